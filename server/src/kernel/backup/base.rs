//! The base backup of the database, by PostgreSQL's own program.

use std::path::{Path, PathBuf};
use std::process::Command;

use tokio_postgres::config::{Config, Host, SslMode};

use super::{BackupError, DATABASE};
use crate::kernel::db::embedded;

/// The program.
const PROGRAM: &str = "pg_basebackup";
/// The first version whose TLS can be told to trust the machine's own authorities.
const TRUSTS_SYSTEM: u32 = 16;
/// Where Debian keeps those for older versions, unless `PGSSLROOTCERT` names another file.
const AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// How `pg_basebackup` reaches the server.
#[derive(Clone)]
pub struct DatabaseAddress {
    host: String,
    port: u16,
    user: String,
    password: Option<String>,
    tls: bool,
}

impl DatabaseAddress {
    /// Reads a URL of the settings.
    pub fn from_url(url: &str) -> Result<Self, BackupError> {
        let config: Config = url.parse().map_err(|_| BackupError::Address)?;
        let host = match config.get_hosts().first() {
            Some(Host::Tcp(name)) => name.clone(),
            #[cfg(unix)]
            Some(Host::Unix(folder)) => folder.to_string_lossy().into_owned(),
            None => return Err(BackupError::Address),
        };
        let password = config.get_password();
        Ok(Self {
            host,
            port: config.get_ports().first().copied().unwrap_or(5432),
            user: config.get_user().ok_or(BackupError::Address)?.to_owned(),
            password: password.map(|bytes| String::from_utf8_lossy(bytes).into_owned()),
            tls: config.get_ssl_mode() == SslMode::Require,
        })
    }

    /// As variables, which other accounts cannot read as they can arguments.
    fn tell(&self, command: &mut Command, major: u32) {
        command.env("PGHOST", &self.host).env("PGPORT", self.port.to_string());
        command.env("PGUSER", &self.user).env("PGAPPNAME", "clinicd backup");
        if let Some(password) = &self.password {
            command.env("PGPASSWORD", password);
        }
        if !self.tls {
            command.env("PGSSLMODE", "disable");
            return;
        }
        let own = std::env::var_os("PGSSLROOTCERT");
        let system = if major >= TRUSTS_SYSTEM { "system" } else { AUTHORITIES };
        command.env("PGSSLMODE", "verify-full");
        command.env("PGSSLROOTCERT", own.unwrap_or_else(|| system.into()));
    }
}

/// The program that fits a server of this major version.
pub(super) fn program(major: u32) -> Result<PathBuf, BackupError> {
    embedded::client_program(PROGRAM, major).ok_or(BackupError::NoProgram { major })
}

/// Copies the whole cluster into the folder of the backup, while it is in use. The program syncs
/// what it writes, and removes it again when it fails.
pub(super) fn copy(
    program: &Path,
    address: &DatabaseAddress,
    major: u32,
    folder: &Path,
) -> Result<(), BackupError> {
    let mut command = Command::new(program);
    command.env_clear().env("LC_ALL", "C");
    for name in ["PATH", "HOME"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    address.tell(&mut command, major);
    command.arg("--pgdata").arg(folder.join(DATABASE)).args([
        "--format=plain",
        "--wal-method=stream",
        "--checkpoint=fast",
        "--manifest-checksums=SHA256",
        "--label=clinicd backup",
        "--no-password",
    ]);
    embedded::run(&mut command)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn variables(url: &str, major: u32) -> Vec<(String, String)> {
        let mut command = Command::new(PROGRAM);
        DatabaseAddress::from_url(url).unwrap().tell(&mut command, major);
        let text = |value: &std::ffi::OsStr| value.to_str().unwrap().to_owned();
        command.get_envs().map(|(name, value)| (text(name), text(value.unwrap()))).collect()
    }

    #[test]
    fn a_socket_and_a_server_are_told_apart() {
        let socket = variables("postgresql://postgres@%2Ftmp%2Fx/clinicd", 15);
        assert!(socket.contains(&("PGHOST".to_owned(), "/tmp/x".to_owned())));
        assert!(socket.contains(&("PGSSLMODE".to_owned(), "disable".to_owned())));
        let server = variables("postgresql://u:p%40ss@db.example:6000/c?sslmode=require", 16);
        for (name, value) in [
            ("PGHOST", "db.example"),
            ("PGPORT", "6000"),
            ("PGUSER", "u"),
            ("PGPASSWORD", "p@ss"),
            ("PGSSLMODE", "verify-full"),
        ] {
            assert!(server.contains(&(name.to_owned(), value.to_owned())), "{name}");
        }
        assert!(DatabaseAddress::from_url("postgresql:///clinicd").is_err());
    }
}
