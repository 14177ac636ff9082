//! The audit log, looked at from outside: `clinicd audit verify`, and a hand in the database.

use std::path::{Path, PathBuf};
use std::process::Command;

use tokio_postgres::NoTls;

use super::story::{Failure, Outcome};

/// Runs `clinicd audit verify`: whether the chain is whole, and what it said.
pub fn verify(clinicd: &Path, data_dir: &Path) -> Outcome<(bool, String)> {
    let output = Command::new(clinicd)
        .args(["audit", "verify", "--data-dir"])
        .arg(data_dir)
        .env("RUST_LOG", "error")
        .output()?;
    let mut said = String::from_utf8_lossy(&output.stdout).into_owned();
    said.push_str(&String::from_utf8_lossy(&output.stderr));
    Ok((output.status.success(), said.trim().to_owned()))
}

/// The `clinicd` program that was built beside this one.
pub fn program() -> Outcome<PathBuf> {
    let own = std::env::current_exe()?;
    let folders = own.ancestors().skip(1).take(3);
    let mut found = folders.map(|folder| folder.join("clinicd")).filter(|path| path.is_file());
    found.next().ok_or_else(|| Failure("the clinicd program is not built: cargo build".to_owned()))
}

/// Somebody with the keys to the database itself.
pub struct Intruder {
    database: tokio_postgres::Client,
}

impl Intruder {
    /// Opens the embedded database of a data directory as its owner.
    pub async fn enter(data_dir: &Path) -> Outcome<Self> {
        // Line 5 of this file names the folder of the socket.
        let postmaster = std::fs::read_to_string(data_dir.join("pg/data/postmaster.pid"))?;
        let socket = postmaster.lines().nth(4).unwrap_or_default();
        let mut config = tokio_postgres::Config::new();
        config.host_path(socket).user("postgres").dbname("clinicd");
        let (database, connection) = config.connect(NoTls).await?;
        tokio::spawn(connection);
        Ok(Self { database })
    }

    /// Changes one byte of the newest sealed entry of a patient and returns the entry's id and
    /// what stood there.
    pub async fn change_a_byte(&self, patient: &str) -> Outcome<(String, String)> {
        let row = self
            .database
            .query_one(
                "SELECT e.id::text, e.rule FROM audit_entries e \
                 JOIN audit_chain c ON c.entry_id = e.id \
                 WHERE e.patient_id::text = $1 ORDER BY c.position DESC LIMIT 1",
                &[&patient],
            )
            .await?;
        let (id, rule): (String, String) = (row.get(0), row.get(1));
        let changed = format!("X{}", &rule[1..]);
        self.write(&id, &changed).await?;
        Ok((id, rule))
    }

    /// Puts it back.
    pub async fn write(&self, id: &str, rule: &str) -> Outcome<()> {
        let statement = "UPDATE audit_entries SET rule = $2 WHERE id::text = $1";
        self.database.execute(statement, &[&id, &rule]).await?;
        Ok(())
    }
}
