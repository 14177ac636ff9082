//! All work outside requests: every job kind, every subscription, every schedule, in one list.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::app::App;
use crate::kernel::audit::sealer;
use crate::kernel::events::Subscriber;
use crate::kernel::jobs::{Kind, Schedule, Worker};
use crate::onboarding::jobs::{MailStatus, TextStatus};
use crate::{appointments, files, prescriptions};

/// How often the clock is set by the database's.
const CLOCK_PERIOD: Duration = Duration::from_mins(1);

/// Every kind of job.
fn kinds() -> Arc<[Kind]> {
    [
        Kind::of::<appointments::jobs::TellBooked>(),
        Kind::of::<appointments::jobs::TellCancelled>(),
        Kind::of::<files::jobs::Sweep>(),
        Kind::of::<MailStatus>(),
        Kind::of::<TextStatus>(),
        Kind::of::<prescriptions::jobs::MailIssued>(),
    ]
    .into()
}

/// Who reacts to which event.
#[must_use]
pub fn subscriptions() -> Vec<(&'static str, Subscriber)> {
    vec![
        ("appointment.booked", appointments::jobs::on_booked),
        ("appointment.cancelled", appointments::jobs::on_cancelled),
        ("prescription.issued", prescriptions::jobs::mail_issued),
        ("application.submitted", MailStatus::on),
        ("application.submitted", TextStatus::on),
        ("application.changes_requested", MailStatus::on),
        ("application.changes_requested", TextStatus::on),
        ("application.approved", MailStatus::on),
        ("application.approved", TextStatus::on),
        ("application.rejected", MailStatus::on),
        ("application.rejected", TextStatus::on),
    ]
}

/// What comes back by the clock.
fn schedules() -> Arc<[Schedule]> {
    [Schedule {
        name: "files.sweep",
        cron: "17 * * * *",
        zone: "UTC",
        job: files::jobs::Sweep::tick,
    }]
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
