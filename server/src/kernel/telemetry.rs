//! What operators measure: the page of metrics on a private port, and what is sampled for it.
//!
//! Memory is bounded: histograms have fixed buckets, and labels take their values from fixed sets
//! (methods, codes, kinds of jobs), never from what people send. No metric carries personal data.

use std::net::SocketAddr;
use std::time::Duration;

use axum::routing::get;
use diesel::sql_types;
use diesel_async::RunQueryDsl;
use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use metrics_exporter_prometheus::PrometheusBuilder;
use tokio_util::sync::CancellationToken;

use super::error::Result;
use super::kinds::Time;
use crate::app::App;
use crate::statement;

/// Upper ends of the buckets of all histograms, in seconds.
const BUCKETS: [f64; 15] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];
/// How often the gauges are taken.
const PERIOD: Duration = Duration::from_secs(15);
/// How often observations that nobody has asked for are put into their buckets.
const UPKEEP: Duration = Duration::from_secs(5);
/// Due jobs are counted up to here, so that a long queue costs no more than a short one.
const COUNTED: i64 = 10_000;

/// Why there are no metrics.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The address is taken or not ours.
    #[error("cannot listen on {address}: {source}; choose another with --metrics-listen")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The system's reason.
        source: std::io::Error,
    },
    /// Something else in this process has installed a recorder.
    #[error("metrics cannot be recorded: {0}")]
    Recorder(#[from] metrics_exporter_prometheus::BuildError),
}

/// Serves `/metrics` (Prometheus) and `/healthz` (200 while the process lives) at this address, in
/// plaintext and to everybody who can reach it, until the process ends.
pub async fn serve(address: SocketAddr) -> Result<(), TelemetryError> {
    let recorder = PrometheusBuilder::new().set_buckets(&BUCKETS)?.install_recorder()?;
    describe();
    let listener = tokio::net::TcpListener::bind(address)
        .await
        .map_err(|source| TelemetryError::Listen { address, source })?;
    let page = recorder.clone();
    let router = axum::Router::new()
        .route("/metrics", get(move || std::future::ready(page.render())))
        .route("/healthz", get(|| std::future::ready("ok")));
    tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, router).await {
            tracing::error!(%error, "metrics are no longer served");
        }
    });
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(UPKEEP).await;
            recorder.run_upkeep();
        }
    });
    Ok(())
}

fn describe() {
    describe_counter!("clinicd_rpc_total", "Calls answered, by method and gRPC code.");
    describe_histogram!("clinicd_rpc_seconds", "Time from a call to the head of its answer.");
    describe_gauge!("clinicd_db_connections", "Connections of this process's pool, by state.");
    describe_counter!("clinicd_db_waits_total", "Times that a connection had to be waited for.");
    describe_counter!("clinicd_db_timeouts_total", "Times that no connection came in time.");
    describe_counter!("clinicd_db_wait_milliseconds_total", "Time waited for connections.");
    describe_counter!("clinicd_deliveries_total", "Attempts at messages, by channel and outcome.");
    describe_counter!("clinicd_webhook_attempts_total", "POSTs to partners, by outcome.");
    describe_counter!("clinicd_jobs_total", "Attempts at jobs, by kind and outcome.");
    describe_histogram!("clinicd_job_seconds", "Time of one attempt at a job, by kind.");
    describe_gauge!("clinicd_jobs_due", "Jobs that could run now; counted up to 10000.");
    describe_gauge!("clinicd_jobs_running", "Jobs that workers run; counted up to 10000.");
    describe_gauge!("clinicd_jobs_failed", "Jobs that were given up; counted up to 10000.");
    describe_gauge!("clinicd_jobs_oldest_seconds", "How long the oldest due job has waited.");
    describe_gauge!("clinicd_watch_streams", "Open streams of the feed in this process.");
    describe_gauge!("clinicd_watch_hub", "1 while this process reads the feed for its streams.");
    describe_gauge!("clinicd_audit_unsealed_seconds", "Age of the oldest unsealed audit entry.");
    describe_gauge!("process_resident_memory_bytes", "Memory of this process.");
}

/// How an attempt at a job ended.
pub(super) fn attempted(kind: &'static str, outcome: &'static str, took: Duration) {
    counter!("clinicd_jobs_total", "kind" => kind, "outcome" => outcome).increment(1);
    histogram!("clinicd_job_seconds", "kind" => kind).record(took);
}

/// Counts an open stream of the feed for as long as it lives.
#[derive(Debug)]
pub struct OpenStream(());

impl OpenStream {
    /// One more.
    #[must_use]
    pub fn new() -> Self {
        gauge!("clinicd_watch_streams").increment(1.0);
        Self(())
    }
}

impl Default for OpenStream {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        gauge!("clinicd_watch_streams").decrement(1.0);
    }
}

statement! {
    /// Jobs that are due, run and were given up (each counted up to a limit), since when the oldest
    /// is due, and when the oldest entry behind the audit chain was written. Each part reads the end
    /// of an index.
    Backlog { now: Time, limit: i64 }
        -> (
            sql_types::BigInt, sql_types::BigInt, sql_types::BigInt,
            sql_types::Nullable<sql_types::Timestamptz>,
            sql_types::Nullable<sql_types::Timestamptz>,
        ),
    "WITH due AS ( \
        SELECT run_at FROM jobs WHERE state = 'ready' AND run_at <= $1 ORDER BY run_at LIMIT $2), \
     head AS ( \
        SELECT e.xid, e.seq FROM audit_chain c JOIN audit_entries e ON e.id = c.entry_id \
        ORDER BY c.position DESC LIMIT 1) \
     SELECT (SELECT count(*) FROM due), \
        (SELECT count(*) FROM (SELECT FROM jobs WHERE state = 'running' LIMIT $2) running), \
        (SELECT count(*) FROM (SELECT FROM jobs WHERE state = 'failed' LIMIT $2) failed), \
        (SELECT min(run_at) FROM due), \
        (SELECT e.created_at FROM audit_entries e \
         WHERE (e.xid, e.seq) > (coalesce((SELECT xid FROM head), 0), \
            coalesce((SELECT seq FROM head), 0)) \
         ORDER BY e.xid, e.seq LIMIT 1)";
}

/// Takes the gauges until `stop`; nothing where nobody can ask for them.
pub async fn sample(app: App, stop: CancellationToken) {
    if app.config.metrics_listen.is_none() {
        return;
    }
    loop {
        app.db.measure();
        if let Some(bytes) = resident_bytes().await {
            gauge!("process_resident_memory_bytes").set(bytes);
        }
        if let Err(error) = take_backlog(&app).await {
            tracing::warn!(error = %error, "the backlog was not measured");
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(PERIOD) => {}
        }
    }
}

async fn take_backlog(app: &App) -> Result<()> {
    let now = app.clock.now();
    let mut conn = app.db.read().await?;
    let (due, running, failed, oldest, unsealed): (i64, i64, i64, Option<Time>, Option<Time>) =
        Backlog { now, limit: COUNTED }.get_result(&mut conn).await?;
    drop(conn);
    let count = |count| u32::try_from(count).unwrap_or(u32::MAX);
    gauge!("clinicd_jobs_due").set(count(due));
    gauge!("clinicd_jobs_running").set(count(running));
    gauge!("clinicd_jobs_failed").set(count(failed));
    gauge!("clinicd_jobs_oldest_seconds").set(age(now, oldest));
    gauge!("clinicd_audit_unsealed_seconds").set(age(now, unsealed));
    Ok(())
}

/// Seconds since then; 0 without such a time.
fn age(now: Time, since: Option<Time>) -> f64 {
    let waited = since.map(|since| now.timestamp().duration_since(since.timestamp()));
    waited.map_or(0.0, |waited| waited.as_secs_f64().max(0.0))
}

/// Physical memory of this process; `None` where the system has no `/proc`.
async fn resident_bytes() -> Option<f64> {
    let status = tokio::fs::read_to_string("/proc/self/status").await.ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u32 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(f64::from(kib) * 1024.0)
}
