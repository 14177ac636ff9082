//! The only shared state: what every room is handed. Cheap to clone.

use std::sync::Arc;

use diesel::sql_types;
use diesel_async::RunQueryDsl;
use tokio_util::sync::CancellationToken;

use crate::config::{Config, Environment};
use crate::identity::passwords::Passwords;
use crate::kernel::access::rules::Rules;
use crate::kernel::access::tokens::{TokenConfig, Tokens};
use crate::kernel::clock::Clock;
use crate::kernel::crypto::{KeyFolder, Keys, Random};
use crate::kernel::db::Db;
use crate::kernel::error::{Error, Result};
use crate::kernel::events::{Events, Subscriber};
use crate::kernel::ids::Ids;
use crate::kernel::locale;
use crate::kernel::page::Pages;
use crate::kernel::ports::Ports;
use crate::prescriptions::pdf::Fonts;
use crate::statement;

/// Life of an access token.
pub const ACCESS_TOKEN_SECONDS: i64 = 15 * 60;

/// The application.
#[derive(Clone)]
pub struct App {
    /// Settings.
    pub config: Arc<Config>,
    /// The database.
    pub db: Db,
    /// The time.
    pub clock: Clock,
    /// New ids.
    pub ids: Ids,
    /// Secrets from the operating system's randomness.
    pub random: Random,
    /// Keys of this installation.
    pub keys: Arc<Keys>,
    /// Access tokens.
    pub tokens: Arc<Tokens>,
    /// Who may call which method.
    pub rules: Arc<Rules>,
    /// Page tokens.
    pub pages: Pages,
    /// Password hashes.
    pub passwords: Passwords,
    /// The feed.
    pub events: Events,
    /// Mail, SMS, push, files.
    pub ports: Ports,
    /// Fonts of documents.
    pub fonts: Arc<Fonts>,
    /// Told when the server stops: streams end, workers finish.
    pub stop: CancellationToken,
}

statement! {
    /// The database's clock, in microseconds since the Unix epoch.
    DatabaseClock {} -> sql_types::BigInt,
    "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint";
}

impl App {
    /// Opens everything that the settings name. The database must be migrated.
    pub async fn open(
        config: Config,
        database_url: &str,
        subscriptions: Vec<(&'static str, Subscriber)>,
    ) -> Result<Self> {
        let replica = config.read_database_url.as_ref().map(|url| url.0.as_str());
        let db = Db::connect(database_url, replica, config.database_connections).await?;
        let clock = Clock::default();
        let ids = Ids::new(clock.clone());
        let create = config.env == Environment::Development;
        let keys =
            KeyFolder::open_or_create(&config.keys_dir(), create).map_err(Error::internal)?;
        let issued = TokenConfig {
            issuer: "clinicd".to_owned(),
            audience: "clinicd".to_owned(),
            life: ACCESS_TOKEN_SECONDS,
        };
        let tokens = Tokens::new(&keys.signing, issued).map_err(Error::internal)?;
        let rules = Rules::from_descriptors(clinicd_proto::FILE_DESCRIPTOR_SET);
        let rules = rules.map_err(Error::internal)?;
        locale::texts().map_err(|error| Error::internal(error.to_string()))?;
        let ports = Ports::open(&config).map_err(Error::internal)?;
        let app = Self {
            pages: Pages::new(keys.macs.clone()),
            passwords: Passwords::new(config.passwords).map_err(Error::internal)?,
            events: Events::new(clock.clone(), ids.clone(), subscriptions),
            fonts: Arc::new(Fonts::load(config.fonts_dir.as_deref()).map_err(Error::internal)?),
            config: Arc::new(config),
            db,
            clock,
            ids,
            random: Random,
            keys: Arc::new(keys),
            tokens: Arc::new(tokens),
            rules: Arc::new(rules),
            ports,
            stop: CancellationToken::new(),
        };
        app.follow_database_clock().await?;
        Ok(app)
    }

    /// Goes on with the signing keys that lie in the key folder now. What cannot be read changes
    /// nothing.
    pub async fn follow_signing_keys(&self) -> Result<()> {
        let path = self.config.keys_dir();
        let keys = tokio::task::spawn_blocking(move || KeyFolder::signing(&path)).await;
        let keys = keys.map_err(Error::internal)?.map_err(Error::internal)?;
        if self.tokens.replace_keys(&keys).map_err(Error::internal)? {
            tracing::info!(count = keys.len(), "the signing keys have changed");
        }
        Ok(())
    }

    /// Sets the clock by the database's, as all replicas do.
    pub async fn follow_database_clock(&self) -> Result<()> {
        let mut conn = self.db.read().await?;
        let micros: i64 = DatabaseClock {}.get_result(&mut conn).await?;
        self.clock.follow(micros);
        Ok(())
    }
}
