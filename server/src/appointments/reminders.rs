//! Reminders of visits: a day and an hour before, to the patient's account.
//!
//! They are planned when the visit is booked, and looked at again when they are due: one of a visit
//! that was cancelled, moved or begun is not sent.

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::jobs::Known;
use super::rows::{self, Appointment, AppointmentState};
use super::rules;
use crate::app::App;
use crate::kernel::events::Event;
use crate::kernel::jobs::{self, Job, JobError, NewJob};
use crate::kernel::kinds::{AppointmentId, Time};
use crate::kernel::locale::NoticeKind;
use crate::notifications::{Notice, notify};

/// How long before the visit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lead {
    /// 24 hours.
    Day,
    /// One hour.
    Hour,
}

impl Lead {
    const ALL: [Self; 2] = [Self::Day, Self::Hour];

    /// As the texts call it.
    fn as_str(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Hour => "hour",
        }
    }

    /// When the reminder of a visit that begins then is due.
    fn before(self, start: Time) -> Time {
        let hours = match self {
            Self::Day => 24,
            Self::Hour => 1,
        };
        start.plus_seconds(-SignedDuration::from_hours(hours).as_secs())
    }

    /// When this reminder is of no use any more: at the next one, or at the start.
    fn until(self, start: Time) -> Time {
        match self {
            Self::Day => Self::Hour.before(start),
            Self::Hour => start,
        }
    }
}

/// A reminder may come this much before its time, in seconds.
const EARLY_SECONDS: i64 = 60;

/// Plans the reminders of a visit.
#[derive(Debug, Serialize, Deserialize)]
pub struct PlanReminders {
    appointment: AppointmentId,
}

impl PlanReminders {
    /// Subscriber to `appointment.booked`.
    #[must_use]
    pub fn on(event: &Event) -> NewJob {
        NewJob::now(&Self { appointment: AppointmentId(event.resource) })
    }
}

impl Job for PlanReminders {
    const KIND: &'static str = "appointments.plan_reminders";

    async fn run(self, app: App, _id: Uuid) -> Result<(), JobError> {
        let found = rows::find(&mut *app.db.read().await?, self.appointment).await?;
        let Some(row) = found else { return Ok(()) };
        let planned: Vec<_> = planned(&row)
            .map(|(lead, at)| {
                let start_micros = row.starts_at.unix_micros();
                let job = Remind { appointment: row.id, start_micros, lead };
                (app.ids.next(), NewJob::now(&job).at(at).once(job.purpose()))
            })
            .collect();
        let (planned, now) = (&planned, app.clock.now());
        app.db
            .transaction(async |conn| jobs::enqueue_all(conn, now, planned.clone()).await)
            .await?;
        Ok(())
    }
}

/// The reminders of a visit, without those that were due before it was booked.
fn planned(row: &Appointment) -> impl Iterator<Item = (Lead, Time)> {
    let due = Lead::ALL.into_iter().map(|lead| (lead, lead.before(row.starts_at)));
    due.filter(|(_, at)| *at >= row.created_at)
}

/// Reminds of a visit.
#[derive(Debug, Serialize, Deserialize)]
pub struct Remind {
    appointment: AppointmentId,
    /// When the visit was to begin, in microseconds since the Unix epoch.
    start_micros: i64,
    lead: Lead,
}

impl Remind {
    /// What is told once.
    fn purpose(&self) -> String {
        let Self { appointment, start_micros, lead } = self;
        format!("reminder/{appointment}/{start_micros}/{}", lead.as_str())
    }

    /// Whether the visit is still as it was, and the reminder of use: now, or later.
    fn is_of_use(&self, row: &Appointment, now: Time) -> bool {
        row.state == AppointmentState::Booked
            && row.starts_at.unix_micros() == self.start_micros
            && now < self.lead.until(row.starts_at)
    }
}

impl Job for Remind {
    const KIND: &'static str = "appointments.remind";

    async fn run(self, app: App, id: Uuid) -> Result<(), JobError> {
        let Some(known) = Known::load(&app, self.appointment).await? else { return Ok(()) };
        let now = app.clock.now();
        if !self.is_of_use(&known.row, now) {
            return Ok(());
        }
        let due = self.lead.before(known.row.starts_at);
        if now.plus_seconds(EARLY_SECONDS) < due {
            // A clock went back, or somebody let it run: another job comes in time.
            let (next, job) = (app.ids.next(), &NewJob::now(&self).at(due));
            app.db
                .transaction(async |conn| jobs::enqueue(conn, next, now, job.clone()).await)
                .await?;
            return Ok(());
        }
        let mut notice = known.notice(&app, NoticeKind::AppointmentReminder);
        notice.values["lead"] = self.lead.as_str().into();
        let (start, hours) = (known.row.starts_at, app.config.cancellation_hours);
        if !rules::patient_may_cancel(start, app.clock.now(), hours) {
            notice.values["cancel_hours"] = 0.into();
        }
        let notice = Notice {
            urgent: self.lead == Lead::Hour,
            until: Some(self.lead.until(start)),
            once: Some(self.purpose()),
            ..notice
        };
        notify(&app, id, notice).await
    }
}
