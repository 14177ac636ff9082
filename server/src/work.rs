//! All work outside requests: every job kind, every subscription, every schedule, in one list.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::app::App;
use crate::feed::webhooks;
use crate::identity::contact_jobs as contacts;
use crate::identity::jobs as identity;
use crate::kernel::audit::sealer;
use crate::kernel::events::Subscriber;
use crate::kernel::idempotency::ForgetAnswers;
use crate::kernel::jobs::{self, ForgetJobs, Kind, NewJob, Schedule, Worker};
use crate::kernel::telemetry;
use crate::notifications::{self, forgetting, greetings};
use crate::onboarding::jobs as onboarding;
use crate::{appointments, feed, files, prescriptions};

/// How often the clock is set by the database's.
const CLOCK_PERIOD: Duration = Duration::from_mins(1);
/// How often the key folder is looked at for signing keys.
const KEYS_PERIOD: Duration = Duration::from_secs(5);

/// Every kind of job.
#[must_use]
pub fn kinds() -> Arc<[Kind]> {
    [
        Kind::of::<ForgetAnswers>(),
        Kind::of::<ForgetJobs>(),
        Kind::of::<identity::SendActivation>(),
        Kind::of::<identity::SendInvitation>(),
        Kind::of::<identity::SendAccountExists>(),
        Kind::of::<identity::SendWelcome>(),
        Kind::of::<identity::SendAdminGranted>(),
        Kind::of::<identity::SendFactorAdded>(),
        Kind::of::<identity::SendFactorRemoved>(),
        Kind::of::<identity::SendCodesReplaced>(),
        Kind::of::<identity::SweepFailures>(),
        Kind::of::<identity::SendAdminRevoked>(),
        Kind::of::<identity::SendAccountBlocked>(),
        Kind::of::<identity::SendAccountUnblocked>(),
        Kind::of::<identity::SendProfileChanged>(),
        Kind::of::<identity::SendNewDevice>(),
        Kind::of::<identity::SendSessionStolen>(),
        Kind::of::<identity::SendDoctorBlocked>(),
        Kind::of::<identity::SendDoctorUnblocked>(),
        Kind::of::<identity::SendClosed>(),
        Kind::of::<identity::SendPasswordChanged>(),
        Kind::of::<contacts::SendCode>(),
        Kind::of::<contacts::TellNumberExists>(),
        Kind::of::<contacts::SendRecovery>(),
        Kind::of::<contacts::SendEmailChange>(),
        Kind::of::<contacts::TellContactChanged>(),
        Kind::of::<feed::jobs::Sweep>(),
        Kind::of::<files::jobs::Sweep>(),
        Kind::of::<onboarding::TellStatus>(),
        Kind::of::<webhooks::jobs::Sweep>(),
        Kind::of::<webhooks::jobs::Remove>(),
        Kind::of::<onboarding::ForgetApplicant>(),
        Kind::of::<onboarding::EndApproved>(),
        Kind::of::<appointments::jobs::TellBooked>(),
        Kind::of::<appointments::jobs::TellCancelled>(),
        Kind::of::<appointments::reminders::PlanReminders>(),
        Kind::of::<appointments::reminders::Remind>(),
        Kind::of::<prescriptions::jobs::MailIssued>(),
        Kind::of::<greetings::Greetings>(),
        Kind::of::<greetings::FindGreeted>(),
        Kind::of::<greetings::Greet>(),
        Kind::of::<notifications::Deliver>(),
        Kind::of::<forgetting::ForgetAccount>(),
        Kind::of::<forgetting::ForgetOldMessages>(),
    ]
    .into()
}

/// Who reacts to which event.
#[must_use]
pub fn subscriptions() -> Vec<(&'static str, Subscriber)> {
    vec![
        ("account.activated", identity::SendWelcome::on),
        ("account.admin_granted", identity::SendAdminGranted::on),
        ("account.admin_revoked", identity::SendAdminRevoked::on),
        ("account.blocked", identity::SendAccountBlocked::on),
        ("account.unblocked", identity::SendAccountUnblocked::on),
        ("session.new_device", identity::SendNewDevice::on),
        ("session.refresh_reused", identity::SendSessionStolen::on),
        ("doctor.blocked_for_booking", identity::SendDoctorBlocked::on),
        ("doctor.opened_for_booking", identity::SendDoctorUnblocked::on),
        ("account.deleted", onboarding::ForgetApplicant::on),
        ("account.deleted", forgetting::ForgetAccount::on),
        ("account.staff_removed", onboarding::EndApproved::on),
        ("account.second_factor_added", identity::SendFactorAdded::on),
        ("account.second_factor_removed", identity::SendFactorRemoved::on),
        ("account.recovery_codes_replaced", identity::SendCodesReplaced::on),
        ("account.password_changed", identity::SendPasswordChanged::on),
        ("application.submitted", onboarding::TellStatus::on),
        ("application.changes_requested", onboarding::TellStatus::on),
        ("application.approved", onboarding::TellStatus::on),
        ("application.rejected", onboarding::TellStatus::on),
        ("appointment.booked", appointments::jobs::TellBooked::on),
        ("appointment.booked", appointments::reminders::PlanReminders::on),
        ("appointment.cancelled", appointments::jobs::TellCancelled::on),
        ("prescription.issued", prescriptions::jobs::MailIssued::on),
    ]
}

/// What comes back by the clock.
#[must_use]
pub fn schedules() -> Arc<[Schedule]> {
    let in_utc = |name, cron, job| Schedule { name, cron, zone: "UTC", job };
    [
        in_utc("notifications.greetings", "*/15 * * * *", || NewJob::now(&greetings::Greetings {})),
        in_utc("files.sweep", "17 * * * *", files::jobs::Sweep::tick),
        in_utc("feed.sweep", "40 3 * * *", || NewJob::now(&feed::jobs::Sweep {})),
        in_utc("kernel.forget_answers", "10 3 * * *", || NewJob::now(&ForgetAnswers {})),
        in_utc("kernel.forget_jobs", "20 3 * * *", || NewJob::now(&ForgetJobs {})),
        in_utc("notifications.forget_old", "40 3 * * *", || {
            NewJob::now(&forgetting::ForgetOldMessages {})
        }),
        in_utc("feed.sweep_webhooks", "50 3 * * *", || NewJob::now(&webhooks::jobs::Sweep {})),
        in_utc("identity.sweep_failures", "30 3 * * *", || {
            NewJob::now(&identity::SweepFailures {})
        }),
    ]
    .into()
}

/// The worker of this process.
#[must_use]
pub fn worker(app: &App) -> Worker {
    Worker { app: app.clone(), kinds: kinds(), schedules: schedules() }
}

/// Starts what every process does beside its calls, until `stop`: it announces jobs (whoever writes
/// must), seals the audit chain, follows the database's clock and the signing keys, and measures; and, unless the setting
/// `worker` says no, it runs jobs and schedules and sends webhooks.
#[must_use]
pub fn start(app: &App, database_url: &str, stop: &CancellationToken) -> TaskTracker {
    let tasks = TaskTracker::new();
    if app.config.worker {
        tasks.spawn(worker(app).run(database_url.to_owned(), stop.clone()));
        tasks.spawn(webhooks::run(app.clone(), stop.clone()));
    }
    tasks.spawn(jobs::announce::run(app.clone(), stop.clone()));
    tasks.spawn(sealer::run(app.clone(), stop.clone()));
    tasks.spawn(follow_clock(app.clone(), stop.clone()));
    tasks.spawn(follow_signing_keys(app.clone(), stop.clone()));
    tasks.spawn(telemetry::sample(app.clone(), stop.clone()));
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

async fn follow_signing_keys(app: App, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(KEYS_PERIOD) => {}
        }
        if let Err(error) = app.follow_signing_keys().await {
            tracing::warn!(error = %error, "the signing keys were not read; going on with the old ones");
        }
    }
}
