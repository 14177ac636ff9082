//! What was measured, as a table or as JSON.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::usage::{Cpu, Memory};

/// One measurement.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    /// What was called.
    pub scenario: String,
    /// Calls that were answered well.
    pub calls: u64,
    /// Calls per second.
    pub per_second: f64,
    /// Half of the calls took at most this long.
    pub p50_ms: f64,
    /// 99 of 100 calls.
    pub p99_ms: f64,
    /// 999 of 1,000 calls.
    pub p999_ms: f64,
    /// CPU time of the server per call, in microseconds.
    pub server_cpu_us: Option<f64>,
    /// CPU time of PostgreSQL per call, in microseconds.
    pub postgres_cpu_us: Option<f64>,
    /// CPU time of the load tool per call, in microseconds.
    pub client_cpu_us: Option<f64>,
    /// Memory of the server afterwards, in MiB.
    pub rss_mib: Option<f64>,
    /// The same, shared pages counted in part.
    pub pss_mib: Option<f64>,
    /// What failed, by code or reason.
    pub errors: BTreeMap<String, u64>,
    /// What only this scenario tells.
    pub more: BTreeMap<String, f64>,
}

impl Report {
    /// Sets rate and CPU time per call, of so many seconds.
    #[must_use]
    pub fn with_cpu(self, seconds: f64, before: Cpu, after: Cpu) -> Self {
        let calls = number(self.calls.max(1));
        let per_call = |before: Option<f64>, after: Option<f64>| Some((after? - before?) / calls);
        Self {
            per_second: number(self.calls) / seconds,
            server_cpu_us: per_call(before.server, after.server),
            postgres_cpu_us: per_call(before.postgres, after.postgres),
            client_cpu_us: per_call(Some(before.client), Some(after.client)),
            ..self
        }
    }

    /// Sets the latencies, which are in nanoseconds.
    #[must_use]
    pub fn with_latencies(self, latencies: &Histogram<u64>) -> Self {
        let at = |quantile| number(latencies.value_at_quantile(quantile)) / 1e6;
        Self { p50_ms: at(0.5), p99_ms: at(0.99), p999_ms: at(0.999), ..self }
    }

    /// Sets the server's memory.
    #[must_use]
    pub fn with_memory(self, memory: Option<Memory>) -> Self {
        let rss_mib = memory.map(|memory| memory.resident);
        Self { rss_mib, pss_mib: memory.map(|memory| memory.proportional), ..self }
    }

    /// The whole CPU time of a call, server and database, in milliseconds.
    #[must_use]
    pub fn cpu_ms(&self) -> Option<f64> {
        Some((self.server_cpu_us? + self.postgres_cpu_us.unwrap_or_default()) / 1_000.0)
    }

    /// Calls that failed.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.errors.values().sum()
    }
}

/// A count as a number to compute with.
#[expect(clippy::cast_precision_loss, reason = "no count comes near 2^52")]
#[must_use]
pub fn number(count: u64) -> f64 {
    count as f64
}

/// The reports as a table in Markdown.
#[must_use]
pub fn table(reports: &[Report]) -> String {
    let mut lines = vec![
        "| scenario | calls/s | p50 ms | p99 ms | p99.9 ms | server CPU µs | database CPU µs \
         | client CPU µs | RSS MiB | PSS MiB | errors |"
            .to_owned(),
        format!("|---|{}---|", "--:|".repeat(9)),
    ];
    let shown = |value: Option<f64>| value.map_or("–".to_owned(), |value| format!("{value:.1}"));
    for report in reports {
        let errors: Vec<String> =
            report.errors.iter().map(|(code, count)| format!("{count} {code}")).collect();
        let errors = if errors.is_empty() { "0".to_owned() } else { errors.join(", ") };
        lines.push(format!(
            "| {} | {:.0} | {:.2} | {:.2} | {:.2} | {} | {} | {} | {} | {} | {errors} |",
            report.scenario,
            report.per_second,
            report.p50_ms,
            report.p99_ms,
            report.p999_ms,
            shown(report.server_cpu_us),
            shown(report.postgres_cpu_us),
            shown(report.client_cpu_us),
            shown(report.rss_mib),
            shown(report.pss_mib),
        ));
    }
    for report in reports.iter().filter(|report| !report.more.is_empty()) {
        let more: Vec<String> =
            report.more.iter().map(|(name, value)| format!("{name} {value:.2}")).collect();
        lines.push(format!("\n{}: {}", report.scenario, more.join(", ")));
    }
    lines.join("\n")
}
