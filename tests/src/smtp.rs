//! A real mail server (aiosmtpd, `scripts/smtp-server.py`) with STARTTLS and a login.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clinicd_server::kernel::ports::mail::{Security, SmtpSettings};
use clinicd_server::kernel::secret::Secret;
use serde::Deserialize;

use crate::certificates;
use crate::cluster::programs;
use crate::expect::eventually;

/// Who may send.
const USER: &str = "clinicd";
/// With which password.
const PASSWORD: &str = "herons";

/// A mail as the server took it.
#[derive(Debug, Clone, Deserialize)]
pub struct Received {
    /// The sender of the envelope.
    pub from: String,
    /// The recipients of the envelope.
    pub to: Vec<String>,
    /// Whether it came over TLS.
    pub tls: bool,
    /// Who had signed in.
    pub user: Option<String>,
    /// Headers and body.
    #[serde(deserialize_with = "decoded")]
    pub mail: String,
}

fn decoded<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    Ok(String::from_utf8(STANDARD.decode(text).unwrap()).unwrap())
}

/// What a server offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offers {
    /// STARTTLS, and nothing without it; nothing without the login.
    StartTls,
    /// Neither.
    Plaintext,
}

/// A mail server, ended with the value.
pub struct SmtpServer {
    child: Child,
    port: u16,
    folder: PathBuf,
    received: Arc<Mutex<Vec<Received>>>,
}

impl SmtpServer {
    /// Starts one. `None`, and a line that says so, where its package is missing; with
    /// `CLINICD_TESTS_REQUIRE_SMTP=1` that is a failure. `name` differs between tests.
    pub async fn start(name: &str, offers: Offers) -> Option<Self> {
        let Some(python) = python() else {
            let required = std::env::var("CLINICD_TESTS_REQUIRE_SMTP").is_ok_and(|it| it == "1");
            assert!(!required, "aiosmtpd is missing: see the step \"a mail server\" of .ci/run");
            eprintln!("SKIPPED: there is no aiosmtpd, so no mail server was tested");
            return None;
        };
        let folder = format!("smtp/{name}_{}", std::process::id());
        let folder = programs().parent().expect("the target folder").join(folder);
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        let mut command = Command::new(python);
        command.arg(root().join("scripts/smtp-server.py")).stdout(Stdio::piped());
        command.stderr(std::fs::File::create(folder.join("log")).unwrap());
        if offers == Offers::StartTls {
            certificates::make(&folder);
            command.arg("--certificate").arg(folder.join("server.pem"));
            command.arg("--key").arg(folder.join("server.key"));
            command.args(["--user", USER, "--password", PASSWORD]);
        }
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let first = tokio::task::spawn_blocking(move || (lines.next(), lines));
        let (port, lines) = first.await.unwrap();
        let port = port.expect("the mail server listens").unwrap().parse().unwrap();
        let received = Arc::new(Mutex::new(Vec::new()));
        let into = received.clone();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                into.lock().unwrap().push(serde_json::from_str(&line).unwrap());
            }
        });
        Some(Self { child, port, folder, received })
    }

    /// What it takes to send through it.
    #[must_use]
    pub fn settings(&self) -> SmtpSettings {
        SmtpSettings {
            host: "localhost".to_owned(),
            port: self.port,
            security: Security::StartTls,
            login: Some((USER.to_owned(), Secret(PASSWORD.to_owned()))),
            from: "A Clinic <no-reply@clinic.example>".to_owned(),
            ca_certificate: Some(self.folder.join("ca.pem")),
        }
    }

    /// The settings of another server, with the port of this one.
    #[must_use]
    pub fn settings_for(&self, other: &SmtpSettings) -> SmtpSettings {
        SmtpSettings { port: self.port, ..other.clone() }
    }

    /// The PEM file of an authority that has not signed its certificate.
    #[must_use]
    pub fn other_authority(&self) -> PathBuf {
        self.folder.join("other.pem")
    }

    /// The mails that it took up to now.
    #[must_use]
    pub fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }

    /// Waits for a mail to this address.
    pub async fn mail_to(&self, address: &str) -> Received {
        let to = |mail: &Received| mail.to.iter().any(|to| to == address);
        let arrived = async || self.received().iter().any(to);
        eventually(&format!("a mail to {address}"), arrived).await;
        self.received().into_iter().find(to).unwrap()
    }
}

impl Drop for SmtpServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// A python that has the package: the one that `.ci/run` makes, or the machine's.
fn python() -> Option<PathBuf> {
    let made = root().join("target/smtp-venv/bin/python3");
    let has_it = |python: &PathBuf| {
        let found = Command::new(python).args(["-c", "import aiosmtpd"]).output();
        found.is_ok_and(|found| found.status.success())
    };
    [made, PathBuf::from("python3")].into_iter().find(has_it)
}
