//! All work outside requests: every job kind, every subscription, every schedule, in one list.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::app::App;
use crate::identity;
use crate::kernel::audit::sealer;
use crate::kernel::events::Subscriber;
use crate::kernel::idempotency::ForgetAnswers;
use crate::kernel::jobs::{ForgetJobs, Kind, NewJob, Schedule, Worker};
use crate::kernel::kinds::AccountId;

/// How often the clock is set by the database's.
const CLOCK_PERIOD: std::time::Duration = std::time::Duration::from_secs(60);
/// Zone in which the nightly work is meant.
const HOUSEKEEPING_ZONE: &str = "UTC";

/// Every kind of job.
fn kinds() -> Arc<[Kind]> {
    [
        Kind::of::<ForgetAnswers>(),
        Kind::of::<ForgetJobs>(),
        Kind::of::<identity::jobs::SendActivation>(),
        Kind::of::<identity::jobs::SendInvitation>(),
        Kind::of::<identity::jobs::SendAccountExists>(),
        Kind::of::<identity::jobs::SendWelcome>(),
        Kind::of::<identity::jobs::SendAdminGranted>(),
        Kind::of::<identity::jobs::SweepFailures>(),
    ]
    .into()
}

/// Who reacts to which event.
#[must_use]
pub fn subscriptions() -> Vec<(&'static str, Subscriber)> {
    use identity::jobs::{SendAdminGranted, SendWelcome};
    vec![
        ("account.activated", |event| {
            NewJob::now(&SendWelcome { account: AccountId(event.resource) })
        }),
        ("account.admin_granted", |event| {
            NewJob::now(&SendAdminGranted { account: AccountId(event.resource) })
        }),
    ]
}

/// What comes back by the clock.
fn schedules() -> Arc<[Schedule]> {
    let daily = |name, cron, job| Schedule { name, cron, zone: HOUSEKEEPING_ZONE, job };
    [
        daily("kernel.forget_answers", "10 3 * * *", || NewJob::now(&ForgetAnswers {})),
        daily("kernel.forget_jobs", "20 3 * * *", || NewJob::now(&ForgetJobs {})),
        daily("identity.sweep_failures", "30 3 * * *", || {
            NewJob::now(&identity::jobs::SweepFailures {})
        }),
    ]
    .into()
}

/// The worker of this process.
#[must_use]
pub fn worker(app: &App) -> Worker {
    Worker { app: app.clone(), kinds: kinds(), schedules: schedules() }
}

/// Starts the worker, the sealer of the audit chain and the clock; they run until `stop`.
#[must_use]
pub fn start(app: &App, database_url: &str, stop: &CancellationToken) -> TaskTracker {
    let tasks = TaskTracker::new();
    tasks.spawn(worker(app).run(database_url.to_owned(), stop.clone()));
    tasks.spawn(sealer::run(app.clone(), stop.clone()));
    tasks.spawn(follow_clock(app.clone(), stop.clone()));
    tasks.close();
    tasks
}

async fn follow_clock(app: App, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(CLOCK_PERIOD) => {}
        }
        if let Err(error) = app.follow_database_clock().await {
            tracing::warn!(error = %error, "the database's clock was not read");
        }
    }
}
