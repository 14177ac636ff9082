//! What processes use, as Linux tells in `/proc`.

use std::fs;
use std::process::Command;

use serde::Serialize;
use tokio_postgres::Client;

use crate::Result;
use crate::database;

/// Fields of `/proc/PID/stat` behind the name of the program.
const PARENT: usize = 1;
const USER: usize = 11;
const SYSTEM: usize = 12;
const CHILDREN_USER: usize = 13;
const CHILDREN_SYSTEM: usize = 14;

/// Whom to look at, and how.
#[derive(Debug)]
pub struct Meter {
    /// The server.
    pub server: Option<u32>,
    /// The postmaster.
    pub postgres: Option<u32>,
    ticks_per_second: f64,
}

/// CPU time used so far, in microseconds.
#[derive(Debug, Clone, Copy, Default)]
pub struct Cpu {
    /// By the server.
    pub server: Option<f64>,
    /// By PostgreSQL: the postmaster and all its children, also those that have ended.
    pub postgres: Option<f64>,
    /// By this process.
    pub client: f64,
}

/// Memory of the server, in MiB.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Memory {
    /// Resident, code and shared pages included.
    pub resident: f64,
    /// The most that it ever was.
    pub peak: f64,
    /// Resident, shared pages counted in part.
    pub proportional: f64,
}

impl Meter {
    /// A meter of these processes.
    pub fn new(server: Option<u32>, postgres: Option<u32>) -> Result<Self> {
        let ticks = Command::new("getconf").arg("CLK_TCK").output()?.stdout;
        let ticks_per_second = String::from_utf8(ticks)?.trim().parse()?;
        Ok(Self { server, postgres, ticks_per_second })
    }

    /// CPU time up to now.
    #[must_use]
    pub fn cpu(&self) -> Cpu {
        let micros = |ticks: u64| ticks_as_f64(ticks) * 1e6 / self.ticks_per_second;
        let own = |pid| stat(pid).map(|stat| sum(&stat, &[USER, SYSTEM]));
        Cpu {
            server: self.server.and_then(own).map(micros),
            postgres: self.postgres.and_then(tree).map(micros),
            client: own(std::process::id()).map(micros).unwrap_or_default(),
        }
    }

    /// Memory of the server now.
    #[must_use]
    pub fn memory(&self) -> Option<Memory> {
        let folder = format!("/proc/{}", self.server?);
        let read = |file: &str, field: &str| {
            let text = fs::read_to_string(format!("{folder}/{file}")).ok()?;
            let value = text.lines().find_map(|line| line.strip_prefix(field))?;
            let kib: f64 = value.trim().trim_end_matches("kB").trim().parse().ok()?;
            Some(kib / 1_024.0)
        };
        Some(Memory {
            resident: read("status", "VmRSS:")?,
            peak: read("status", "VmHWM:")?,
            proportional: read("smaps_rollup", "Pss:")?,
        })
    }
}

/// The postmaster behind a connection, if it runs on this machine.
pub async fn postmaster(client: &Client) -> Result<Option<u32>> {
    let backend = database::number(client, "SELECT pg_backend_pid()::bigint").await?;
    let stat = u32::try_from(backend).ok().and_then(stat);
    Ok(stat.and_then(|stat| stat.get(PARENT).and_then(|parent| u32::try_from(*parent).ok())))
}

/// Ticks of a process, its children, and those of its children that have ended.
fn tree(pid: u32) -> Option<u64> {
    let whole = [USER, SYSTEM, CHILDREN_USER, CHILDREN_SYSTEM];
    let mut ticks = sum(&stat(pid)?, &whole);
    for entry in fs::read_dir("/proc").ok()?.flatten() {
        let child = entry.file_name().to_str().and_then(|name| name.parse().ok()).and_then(stat);
        let is_child = |stat: &Vec<u64>| stat.get(PARENT) == Some(&u64::from(pid));
        ticks += child.filter(is_child).map_or(0, |stat| sum(&stat, &whole));
    }
    Some(ticks)
}

/// The numbers of `/proc/PID/stat` behind the program's name; its state and what is negative
/// count as 0.
fn stat(pid: u32) -> Option<Vec<u64>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, behind) = text.rsplit_once(") ")?;
    Some(behind.split_whitespace().map(|field| field.parse().unwrap_or_default()).collect())
}

fn sum(stat: &[u64], fields: &[usize]) -> u64 {
    fields.iter().filter_map(|field| stat.get(*field)).sum()
}

#[expect(clippy::cast_precision_loss, reason = "a clock that has run for ages is exact enough")]
fn ticks_as_f64(ticks: u64) -> f64 {
    ticks as f64
}
