//! The goals, and whether they are met.

use serde::Serialize;

use crate::floor::TONIC;
use crate::pgbench::Script;
use crate::report::Report;
use crate::usage::Memory;

/// All that was measured.
#[derive(Debug, Default, Serialize)]
pub struct Findings {
    /// Seconds of each start with an existing database, from the command to the open port.
    pub starts: Vec<f64>,
    /// Memory of the server before its first call.
    pub idle: Option<Memory>,
    /// Memory of the server after its last call.
    pub peak: Option<Memory>,
    /// The medians.
    pub reports: Vec<Report>,
    /// Lists with more appointments.
    pub larger: Vec<Report>,
}

/// A goal.
struct Goal {
    name: &'static str,
    found: Option<f64>,
    /// At least this, or at most.
    limit: Limit,
    unit: &'static str,
}

enum Limit {
    AtLeast(f64),
    AtMost(f64),
}

impl Goal {
    fn line(&self) -> String {
        let (limit, met) = match self.limit {
            Limit::AtLeast(least) => (format!("≥ {least}"), self.found.map(|found| found >= least)),
            Limit::AtMost(most) => (format!("≤ {most}"), self.found.map(|found| found <= most)),
        };
        let found = self
            .found
            .map_or("not measured".to_owned(), |found| format!("{found:.2}{}", self.unit));
        let met = match met {
            Some(true) => "yes",
            Some(false) => "**no**",
            None => "–",
        };
        format!("| {} | {found} | {limit}{} | {met} |", self.name, self.unit)
    }
}

/// The table of goals.
#[must_use]
pub fn verdict(findings: &Findings) -> String {
    let mut lines = vec!["| goal | found | limit | met |".to_owned(), "|---|--:|--:|---|".into()];
    lines.extend(goals(findings).iter().map(Goal::line));
    lines.join("\n")
}

fn goals(findings: &Findings) -> Vec<Goal> {
    let of = |name: &str| findings.reports.iter().find(|report| report.scenario == name);
    let ratio = |name: &str, floor: &str| {
        let floor = of(floor)?.per_second;
        (floor > 0.0).then_some(of(name)?.per_second / floor)
    };
    let cpu = |name: &str| of(name)?.cpu_ms();
    let server_cpu = |name: &str| Some(of(name)?.server_cpu_us? / 1_000.0);
    let larger = |name: &str| {
        let larger = findings.larger.iter().find(|report| report.scenario == name)?;
        Some(larger.cpu_ms()? / cpu(name)?)
    };
    let least = |name, found, limit| Goal { name, found, limit: Limit::AtLeast(limit), unit: "" };
    let most = |name, found, limit, unit| Goal { name, found, limit: Limit::AtMost(limit), unit };
    let [get, audited, booking] = [Script::Get, Script::Audited, Script::Booking].map(Script::name);
    let under_load = findings.peak.map(|memory| memory.peak);
    vec![
        least("empty authenticated call / empty tonic call", ratio("empty", TONIC), 0.9),
        least("get by id / its select in pgbench", ratio("get", get), 0.36),
        least("audited read / its statements in pgbench", ratio("audited", audited), 0.55),
        least("booking / its rows in pgbench, 4 trips", ratio("book", booking), 0.9),
        most("page of 20, operator, CPU", cpu("list"), 0.12, " ms"),
        most("page of 20, doctor, CPU", cpu("list-doctor"), 0.12, " ms"),
        most("page of 20 with total, doctor, CPU", cpu("list-total"), 1.0, " ms"),
        most("page of 20 with total, of everybody, CPU", cpu("list-total-all"), 1.0, " ms"),
        most("operator's page, 10 × the rows", larger("list"), 1.3, " ×"),
        most("doctor's page, 10 × the rows", larger("list-doctor"), 1.3, " ×"),
        most("search, CPU", cpu("search"), 0.4, " ms"),
        most("search, p50", of("search").map(|report| report.p50_ms), 5.0, " ms"),
        most("slots of 7 days, server CPU", server_cpu("slots7"), 0.3, " ms"),
        most("slots of 30 days, server CPU", server_cpu("slots30"), 1.0, " ms"),
        most("start with an existing database", median(&findings.starts), 1.0, " s"),
        most("memory idle (RSS)", findings.idle.map(|memory| memory.resident), 48.0, " MiB"),
        most("memory under load (highest RSS)", under_load, 128.0, " MiB"),
    ]
}

fn median(of: &[f64]) -> Option<f64> {
    let mut sorted = of.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied()
}
