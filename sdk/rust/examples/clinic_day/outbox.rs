//! The development outbox: mails as files, where a person would have opened a mail program.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::story::{Failure, Outcome};

/// How long to wait for a mail.
const PATIENCE: Duration = Duration::from_secs(15);

/// The outbox of a data directory.
pub struct Outbox {
    folder: PathBuf,
}

impl Outbox {
    /// The outbox of this data directory.
    pub fn of(data_dir: &Path) -> Self {
        Self { folder: data_dir.join("outbox").join("mail") }
    }

    /// Waits for the mail to this address that holds this text, and returns it.
    pub async fn mail(&self, address: &str, holding: &str) -> Outcome<String> {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            if let Some(mail) = self.find(address, holding)? {
                return Ok(mail);
            }
            if tokio::time::Instant::now() > deadline {
                return Err(Failure(format!("no mail to {address} with “{holding}” arrived")));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits for the mailed link and returns its token.
    pub async fn token(&self, address: &str) -> Outcome<String> {
        let mail = self.mail(address, "token=").await?;
        let token = mail.split("token=").nth(1).unwrap_or_default();
        let end = token.find(|c: char| !(c.is_ascii_alphanumeric() || "._-".contains(c)));
        Ok(token[..end.unwrap_or(token.len())].to_owned())
    }

    fn find(&self, address: &str, holding: &str) -> Outcome<Option<String>> {
        let Ok(entries) = std::fs::read_dir(&self.folder) else { return Ok(None) };
        for entry in entries {
            let path = entry?.path();
            if path.extension().is_none_or(|extension| extension != "eml") {
                continue;
            }
            let mail = plain(&std::fs::read_to_string(path)?);
            if mail.contains(address) && mail.contains(holding) {
                return Ok(Some(mail));
            }
        }
        Ok(None)
    }
}

/// Undoes quoted-printable, as far as links need it.
fn plain(mail: &str) -> String {
    mail.replace("=\r\n", "").replace("=\n", "").replace("=3D", "=")
}
