//! What PostgreSQL does with the statements of the server when only pgbench stands before it.
//!
//! Rows are written to twins of the server's tables, `load_…`, with the same indexes and
//! constraints, so that a running server does not take them for its own.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use clinicd_server::kernel::db::embedded::BINARIES_VARIABLE;
use tokio_postgres::Client;

use crate::drive::histogram;
use crate::report::Report;
use crate::usage::Meter;
use crate::{BOOKING_REASON, Result, database};

/// Ids that a script chooses from.
const IDS: usize = 2_000;
/// Connections of pgbench.
const CLIENTS: &str = "16";
/// Share of the transactions whose latency is logged.
const SAMPLED: &str = "0.05";

/// Makes the twins.
const TWINS: &str = include_str!("pgbench/twins.sql");
/// Empties them.
const TIDY: &str = include_str!("pgbench/tidy.sql");

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Script {
    /// One row of one table by its key.
    Key,
    /// The statement of `GetAppointment`.
    Get,
    /// The rows that `GetNote` reads, and its audit entry, in one statement.
    Audited,
    /// The rows that `BookAppointment` writes, in a transaction of four trips.
    Booking,
    /// The same rows in one statement.
    BookingAtOnce,
}

impl Script {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Key, Self::Get, Self::Audited, Self::Booking, Self::BookingAtOnce];

    /// Its name in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Key => "floor: select by key",
            Self::Get => "floor: select of get",
            Self::Audited => "floor: select and audit entry",
            Self::Booking => "floor: booking in 4 trips",
            Self::BookingAtOnce => "floor: booking in 1 statement",
        }
    }

    /// What the database must hold.
    #[must_use]
    pub fn needs(self) -> &'static str {
        match self {
            Self::Audited => {
                "there are no notes; `clinicd-load run --scenario audited` writes some"
            }
            _ => "the database is not seeded",
        }
    }

    fn text(self) -> &'static str {
        match self {
            Self::Key => include_str!("pgbench/key.sql"),
            Self::Get => include_str!("pgbench/get.sql"),
            Self::Audited => include_str!("pgbench/audited.sql"),
            Self::Booking => include_str!("pgbench/booking.sql"),
            Self::BookingAtOnce => include_str!("pgbench/booking_at_once.sql"),
        }
    }
}

/// pgbench, ready to run.
pub struct Bench {
    url: String,
    program: PathBuf,
    folder: PathBuf,
}

impl Bench {
    /// Finds pgbench and makes the twins.
    pub async fn prepare(url: &str, client: &Client) -> Result<Self> {
        let folder = std::env::temp_dir().join(format!("clinicd-load-{}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        client.batch_execute(TWINS).await?;
        Ok(Self { url: url.to_owned(), program: program(), folder })
    }

    /// Takes away what was written, so that the next run finds what the first one found.
    pub async fn tidy(&self, client: &Client) -> Result<()> {
        client.batch_execute(&TIDY.replace("{reason}", BOOKING_REASON)).await?;
        Ok(client.batch_execute("VACUUM load_appointments").await?)
    }

    /// Runs a script; nothing when what it needs is not there.
    pub async fn run(
        &self,
        script: Script,
        seconds: f64,
        postgres: Option<u32>,
    ) -> Result<Option<Report>> {
        let Some(text) = self.filled_in(script.text()).await? else { return Ok(None) };
        let path = self.folder.join("script.sql");
        std::fs::write(&path, text)?;
        let meter = Meter::new(None, postgres)?;
        let before = meter.cpu();
        let mut pgbench = Command::new(&self.program);
        pgbench
            .args(["-M", "prepared", "-n", "-c", CLIENTS, "-j", "1", "-l"])
            .args(["--sampling-rate", SAMPLED, "--log-prefix"])
            .arg(self.folder.join("log"))
            .args(["-T", &format!("{:.0}", seconds.max(1.0)), "-f"])
            .args([path.as_os_str(), self.url.as_ref()])
            .stdin(Stdio::null());
        let output = tokio::task::spawn_blocking(move || pgbench.output())
            .await?
            .map_err(|error| format!("{}: {error}", self.program.display()))?;
        // By then the postmaster has heard of the end of each connection, and what it used.
        tokio::time::sleep(Duration::from_millis(300)).await;
        let after = meter.cpu();
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
        }
        let text = String::from_utf8(output.stdout)?;
        let calls = after_prefix(&text, "number of transactions actually processed: ")?;
        let report = Report {
            scenario: script.name().to_owned(),
            calls: calls.split('/').next().unwrap_or_default().trim().parse()?,
            ..Report::default()
        };
        let mut report = report.with_cpu(seconds, before, after).with_latencies(&self.logged()?);
        let rate = after_prefix(&text, "tps = ")?;
        report.per_second = rate.split(' ').next().unwrap_or_default().parse()?;
        // pgbench is a process of its own.
        report.client_cpu_us = None;
        Ok(Some(report))
    }

    /// The script with ids of this database in place of `{appointments}` and the like.
    async fn filled_in(&self, script: &str) -> Result<Option<String>> {
        let client = database::connect(&self.url).await?;
        let mut text = script.replace("{reason}", BOOKING_REASON);
        for table in ["appointments", "visit_notes", "doctors", "patients"] {
            if !script.contains(&format!("{{{table}}}")) {
                continue;
            }
            let sql =
                format!("SELECT id::text FROM {table} ORDER BY hashtext(id::text) LIMIT {IDS}");
            let ids = database::texts(&client, &sql).await?;
            if ids.is_empty() {
                return Ok(None);
            }
            // A constant: planned once, and as cheap to look into as a parameter.
            let mut list = String::from("('{");
            write!(list, "{}}}'::uuid[])", ids.join(","))?;
            text = text.replace(&format!("{{{table}}}"), &list);
            text = text.replace(&format!("{{{table}.count}}"), &ids.len().to_string());
        }
        Ok(Some(text))
    }

    /// The latencies of the sampled transactions; the log is taken away.
    fn logged(&self) -> Result<hdrhistogram::Histogram<u64>> {
        const MICROS: usize = 2;
        let mut latencies = histogram()?;
        for entry in std::fs::read_dir(&self.folder)? {
            let path = entry?.path();
            if path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"log")) {
                for line in std::fs::read_to_string(&path)?.lines() {
                    let micros = line.split(' ').nth(MICROS).and_then(|text| text.parse().ok());
                    latencies.saturating_record(micros.unwrap_or(0_u64) * 1_000);
                }
                std::fs::remove_file(&path)?;
            }
        }
        Ok(latencies)
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        // What is left lies in the folder for temporary files.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn after_prefix<'a>(text: &'a str, prefix: &str) -> Result<&'a str> {
    let found = text.lines().find_map(|line| line.strip_prefix(prefix));
    Ok(found.ok_or_else(|| format!("pgbench does not say {prefix:?}"))?)
}

/// pgbench of `CLINICD_PG_BIN`, of the newest PostgreSQL of Debian, or of the path.
fn program() -> PathBuf {
    if let Some(folder) = std::env::var_os(BINARIES_VARIABLE) {
        return Path::new(&folder).join("pgbench");
    }
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let newest = versions.filter_map(|entry| {
        let program = entry.path().join("bin/pgbench");
        let version: u32 = entry.file_name().to_str()?.parse().ok()?;
        program.exists().then_some((version, program))
    });
    newest.max().map_or_else(|| PathBuf::from("pgbench"), |(_, program)| program)
}
