//! Settings: defaults, then a TOML file, then the environment (`CLINICD_…`), then flags. Unknown
//! keys are refused. Every key is documented here, and `clinicd config` prints what counts.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use figment::Figment;
use figment::providers::{Env, Format, Serialized, Toml};
use serde::{Deserialize, Serialize};

use crate::identity::passwords::PasswordParams;
use crate::kernel::db::tls;
use crate::kernel::ports::mail::SmtpSettings;
use crate::kernel::ports::push::FcmSettings;
use crate::kernel::ports::sms::TwilioSettings;
use crate::kernel::secret::Secret;
use crate::kernel::transport::{Limits, Network};
use crate::notifications::Channel;

/// Variables that begin like settings and are none: of clients, of the launcher, of this module, of
/// the tests.
const NOT_SETTINGS: [&str; 5] = ["url", "pg_bin", "config", "tests", "tests_require_smtp"];

/// Settings whose value in the environment is text, even where it looks like a number.
const TEXTS: [&str; 22] = [
    "data_dir",
    "keys_dir",
    "files_dir",
    "audit_dir",
    "fonts_dir",
    "public_url",
    "mail_from",
    "tls_certificate",
    "tls_key",
    "smtp.host",
    "smtp.ca_certificate",
    "sms.address",
    "sms.account",
    "sms.token",
    "sms.from",
    "sms.ca_certificate",
    "push.address",
    "push.token_uri",
    "push.project",
    "push.client_email",
    "push.private_key",
    "push.ca_certificate",
];

/// The remedy for half a TLS setting.
const HALF_TLS: &str = "set both CLINICD_TLS_CERTIFICATE and CLINICD_TLS_KEY, or neither";

/// What kind of installation this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Environment {
    /// Everything starts by itself: embedded database, outbox folders, generated keys.
    Development,
    /// Nothing is made up: the server refuses to start until it is configured.
    Production,
}

/// All settings.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Development or production. `CLINICD_ENV`.
    pub env: Environment,
    /// Address of the one port. Port 0 picks a free one. `CLINICD_LISTEN`.
    pub listen: SocketAddr,
    /// Address of the private metrics port; none by default. `CLINICD_METRICS_LISTEN`.
    pub metrics_listen: Option<SocketAddr>,
    /// Folder of everything that the server keeps beside the database. `CLINICD_DATA_DIR`.
    pub data_dir: PathBuf,
    /// Keys; `<data_dir>/keys` unless set. Replicas share it. `CLINICD_KEYS_DIR`.
    pub keys_dir: Option<PathBuf>,
    /// Stored files; `<data_dir>/files` unless set. Replicas share it. `CLINICD_FILES_DIR`.
    pub files_dir: Option<PathBuf>,
    /// Signed heads of the audit chain; `<data_dir>/audit` unless set. `CLINICD_AUDIT_DIR`.
    pub audit_dir: Option<PathBuf>,
    /// Fonts for scripts that the built-in font lacks; the system's unless set.
    /// `CLINICD_FONTS_DIR`.
    pub fonts_dir: Option<PathBuf>,
    /// An outside PostgreSQL, whose user may act as `clinicd_app`. `DATABASE_URL`.
    pub database_url: Option<Secret>,
    /// A streaming standby of that database, for what may be up to ten seconds old: the search of
    /// the directory. `CLINICD_READ_DATABASE_URL`.
    pub read_database_url: Option<Secret>,
    /// The owner of the tables, for migrations; `database_url` unless set.
    /// `CLINICD_MIGRATION_DATABASE_URL`.
    pub migration_database_url: Option<Secret>,
    /// Connections of this process to the database, and as many to its standby; two more listen and
    /// look whether it answers. `CLINICD_DATABASE_CONNECTIONS`.
    pub database_connections: u32,
    /// Whether this process runs jobs and schedules; one process of an installation has to, or
    /// `clinicd worker`. `CLINICD_WORKER`.
    pub worker: bool,
    /// How clients reach this server from outside, for links in mails and on prescriptions.
    /// `CLINICD_PUBLIC_URL`.
    pub public_url: String,
    /// Origins of browser apps that may call, exactly as browsers send them.
    /// `CLINICD_CORS_ORIGINS='["https://app.example.org"]'`.
    pub cors_origins: Vec<String>,
    /// PEM file of the TLS certificate chain; plaintext when unset. `CLINICD_TLS_CERTIFICATE`.
    pub tls_certificate: Option<PathBuf>,
    /// PEM file of its private key. `CLINICD_TLS_KEY`.
    pub tls_key: Option<PathBuf>,
    /// Proxies in front of the server, as addresses or networks: from them alone `x-forwarded-for`
    /// is believed. `CLINICD_TRUSTED_PROXIES='["10.0.0.0/8"]'`.
    pub trusted_proxies: Vec<Network>,
    /// How many connections, calls and streams there may be, and how long the server waits.
    /// `CLINICD_LIMITS__CONNECTIONS` …
    pub limits: Limits,
    /// Server reflection; on in development only unless set. `CLINICD_REFLECTION`.
    pub reflection: Option<bool>,
    /// Sender of mails. `CLINICD_MAIL_FROM`.
    pub mail_from: String,
    /// Mail server; the outbox folder when unset. `CLINICD_SMTP__HOST` …
    pub smtp: Option<SmtpSettings>,
    /// SMS provider; the outbox folder when unset. `CLINICD_SMS__ADDRESS` …
    pub sms: Option<TwilioSettings>,
    /// Push provider; when unset the outbox folder in development, and no push messages in
    /// production. `CLINICD_PUSH__PROJECT` …
    pub push: Option<FcmSettings>,
    /// How fast messages go out. `CLINICD_RATES__MAIL` …
    pub rates: ChannelRates,
    /// Cost of a password hash (argon2id). `CLINICD_PASSWORDS__MEMORY_KIB` …
    pub passwords: PasswordParams,
    /// How long sessions live, and who needs a second factor. `CLINICD_SESSIONS__…`.
    pub sessions: SessionSettings,
    /// Codes sent to phones. `CLINICD_OTP__…`.
    pub otp: OtpSettings,
    /// Webhooks of partners. `CLINICD_WEBHOOKS__…`.
    pub webhooks: WebhookSettings,
    /// Hours before the start of a visit up to which the patient may cancel it.
    /// `CLINICD_CANCELLATION_HOURS`.
    pub cancellation_hours: i64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            env: Environment::Development,
            listen: SocketAddr::from(([127, 0, 0, 1], 7080)),
            metrics_listen: None,
            data_dir: PathBuf::from(".clinicd"),
            keys_dir: None,
            files_dir: None,
            audit_dir: None,
            fonts_dir: None,
            database_url: None,
            read_database_url: None,
            migration_database_url: None,
            database_connections: 16,
            worker: true,
            public_url: "http://127.0.0.1:7080".to_owned(),
            cors_origins: Vec::new(),
            tls_certificate: None,
            tls_key: None,
            trusted_proxies: Vec::new(),
            limits: Limits::default(),
            reflection: None,
            mail_from: "clinicd <no-reply@clinic.example>".to_owned(),
            smtp: None,
            sms: None,
            push: None,
            rates: ChannelRates::default(),
            passwords: PasswordParams::default(),
            sessions: SessionSettings::default(),
            otp: OtpSettings::default(),
            webhooks: WebhookSettings::default(),
            cancellation_hours: 24,
        }
    }
}

/// Flags of the command line that are settings.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Flags {
    /// `--listen`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listen: Option<SocketAddr>,
    /// `--data-dir`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_dir: Option<PathBuf>,
    /// `--metrics-listen`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metrics_listen: Option<SocketAddr>,
}

/// Settings that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A key is unknown or a value of the wrong type.
    #[error("{0}")]
    Invalid(#[from] Box<figment::Error>),
    /// Somebody wants TLS and would get plaintext.
    #[error("{}", HALF_TLS)]
    HalfTls,
    /// Production needs more.
    #[error("this is not fit for production:\n{}", .0.iter().map(|p| format!("  - {p}")).collect::<Vec<_>>().join("\n"))]
    Production(Vec<String>),
}

/// How long sessions live. Whoever holds a role beside patient is staff.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionSettings {
    /// Minutes without a call after which a session of staff ends.
    pub staff_idle_minutes: i64,
    /// Hours after its sign-in at which a session of staff ends (NIST SP 800-63B, AAL2).
    pub staff_hours: i64,
    /// Days without a call after which a session of a patient ends.
    pub patient_idle_days: i64,
    /// Days after its sign-in at which a session of a patient ends.
    pub patient_days: i64,
    /// Whether staff need a second factor for methods that show medical data; in production unless
    /// set.
    pub staff_second_factor: Option<bool>,
}

impl Default for SessionSettings {
    fn default() -> Self {
        Self {
            staff_idle_minutes: 15,
            staff_hours: 12,
            patient_idle_days: 30,
            patient_days: 90,
            staff_second_factor: None,
        }
    }
}

/// What codes sent to phones may cost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OtpSettings {
    /// Countries (ISO 3166-1 alpha-2) to whose numbers codes are sent.
    pub countries: Vec<String>,
    /// Codes that one client network (IPv4 /24, IPv6 /64) may ask for within an hour.
    pub per_network_an_hour: i32,
    /// Codes to numbers of one calling code within a day.
    pub per_country_a_day: i32,
}

impl Default for OtpSettings {
    fn default() -> Self {
        Self { countries: vec!["IN".to_owned()], per_network_an_hour: 60, per_country_a_day: 5_000 }
    }
}

/// Messages per second by each channel, of all servers together; 0: as many as there are. What is
/// urgent does not wait, but counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChannelRates {
    /// Mails.
    pub mail: u32,
    /// Text messages.
    pub sms: u32,
    /// Push messages.
    pub push: u32,
}

impl ChannelRates {
    /// Nothing waits.
    pub const NONE: Self = Self { mail: 0, sms: 0, push: 0 };

    /// The rate of a channel.
    #[must_use]
    pub fn of(&self, channel: Channel) -> u32 {
        match channel {
            Channel::Mail => self.mail,
            Channel::Sms => self.sms,
            Channel::Push => self.push,
        }
    }
}

impl Default for ChannelRates {
    fn default() -> Self {
        Self { mail: 20, sms: 10, push: 200 }
    }
}

/// Where webhooks may go.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebhookSettings {
    /// Inner networks in which endpoints may be, also without TLS and on any port. Everybody who may
    /// create an endpoint can then have a POST sent to whatever listens there. None by default: only
    /// public addresses, by https. `CLINICD_WEBHOOKS__ALLOWED_NETWORKS='["10.20.0.0/16"]'`.
    pub allowed_networks: Vec<Network>,
}

impl Config {
    /// Reads the settings and checks them.
    pub fn load(file: Option<&Path>, flags: &Flags) -> Result<Self, ConfigError> {
        let mut figment = Figment::from(Serialized::defaults(Self::default()));
        if let Some(file) = file {
            figment = figment.merge(Toml::file_exact(file));
        }
        let env = Env::prefixed("CLINICD_").ignore(&NOT_SETTINGS).split("__");
        figment = figment.merge(env.clone());
        for (key, text) in env.iter().filter(|(key, _)| TEXTS.iter().any(|name| key == name)) {
            figment = figment.merge(Serialized::default(key.as_str(), text));
        }
        let config: Self = figment
            .merge(Env::raw().only(&["DATABASE_URL"]))
            .merge(Serialized::defaults(flags))
            .extract()
            .map_err(Box::new)?;
        config.check()?;
        Ok(config)
    }

    /// Refuses a production server with anything made up for development.
    fn check(&self) -> Result<(), ConfigError> {
        let whole_tls = self.tls_certificate.is_some() == self.tls_key.is_some();
        if self.env == Environment::Development {
            return if whole_tls { Ok(()) } else { Err(ConfigError::HalfTls) };
        }
        let mut problems = Vec::new();
        let mut need = |fine: bool, problem: &str| {
            if !fine {
                problems.push(problem.to_owned());
            }
        };
        need(
            self.database_url.is_some(),
            "set DATABASE_URL: the embedded database is for development",
        );
        let is_private =
            |url: &Option<Secret>| url.as_ref().is_none_or(|url| tls::is_private(&url.0));
        need(
            is_private(&self.database_url),
            "DATABASE_URL must have sslmode=require, or lead to a unix socket",
        );
        need(
            is_private(&self.read_database_url),
            "CLINICD_READ_DATABASE_URL must have sslmode=require, or lead to a unix socket",
        );
        need(self.keys_dir.is_some(), "set CLINICD_KEYS_DIR: generated keys are for development");
        need(self.smtp.is_some(), "set CLINICD_SMTP__HOST …: the mail outbox is for development");
        need(self.sms.is_some(), "set CLINICD_SMS__ADDRESS …: the SMS outbox is for development");
        need(whole_tls, HALF_TLS);
        need(
            self.passwords.is_strong(),
            "CLINICD_PASSWORDS__… must be at least 19456 KiB, 2 rounds",
        );
        need(
            self.public_url.starts_with("https://"),
            "CLINICD_PUBLIC_URL must begin with https://",
        );
        if problems.is_empty() { Ok(()) } else { Err(ConfigError::Production(problems)) }
    }

    /// Where the keys lie.
    #[must_use]
    pub fn keys_dir(&self) -> PathBuf {
        self.keys_dir.clone().unwrap_or_else(|| self.data_dir.join("keys"))
    }

    /// Where stored files lie.
    #[must_use]
    pub fn files_dir(&self) -> PathBuf {
        self.files_dir.clone().unwrap_or_else(|| self.data_dir.join("files"))
    }

    /// Where the signed heads of the audit chain lie.
    #[must_use]
    pub fn audit_dir(&self) -> PathBuf {
        self.audit_dir.clone().unwrap_or_else(|| self.data_dir.join("audit"))
    }

    /// Whether staff need a second factor for methods that show medical data.
    #[must_use]
    pub fn staff_second_factor(&self) -> bool {
        self.sessions.staff_second_factor.unwrap_or(self.env == Environment::Production)
    }

    /// Whether the server describes itself to tools.
    #[must_use]
    pub fn reflection(&self) -> bool {
        self.reflection.unwrap_or(self.env == Environment::Development)
    }
}
