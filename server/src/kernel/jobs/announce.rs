//! Tells workers that there is something to do.
//!
//! A notification makes the commits of a database wait for each other, so none is sent in the
//! transaction of a change. After commits that wrote jobs one is sent for all of them, at most
//! fifty times a second. One that is lost with its process costs time and nothing else: every
//! worker looks round by itself each second.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use diesel_async::RunQueryDsl;
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::kernel::error::Result;
use crate::statement;

/// Channel on which committed jobs are announced.
pub(super) const CHANNEL: &str = "clinicd_jobs";
/// How long commits are gathered for one announcement.
const GATHER: Duration = Duration::from_millis(20);

/// Jobs that this process has begun to write.
static BEGUN: AtomicU64 = AtomicU64::new(0);

statement! {
    /// Wakes the workers of all processes.
    Announce {}, "NOTIFY clinicd_jobs";
}

/// A job is about to be written.
pub(super) fn note() {
    BEGUN.fetch_add(1, Ordering::Relaxed);
}

/// How many jobs this process has begun to write. A transaction during which it grew may have
/// written one.
pub(in crate::kernel) fn begun() -> u64 {
    AtomicU64::load(&BEGUN, Ordering::Relaxed)
}

/// Announces jobs that this process has committed, until `stop`.
pub async fn run(app: App, stop: CancellationToken) {
    let mut committed = app.db.jobs_committed();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            changed = committed.changed() => if changed.is_err() { return },
        }
        tokio::time::sleep(GATHER).await;
        committed.mark_unchanged();
        if let Err(error) = announce(&app).await {
            tracing::warn!(error = %error, "jobs not announced; workers look round by themselves");
        }
    }
}

async fn announce(app: &App) -> Result<()> {
    let mut conn = app.db.read().await?;
    Announce {}.execute(&mut conn).await?;
    Ok(())
}
