//! What people are told about their appointments.

use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use super::rows::{self, Appointment, AppointmentState};
use crate::app::App;
use crate::kernel::access::Actor;
use crate::kernel::error::Error;
use crate::kernel::events::{Event, ResourceKind};
use crate::kernel::jobs::{Job, JobError, NewJob};
use crate::kernel::kinds::{AccountId, AppointmentId, ConsultationMode};
use crate::kernel::locale::NoticeKind;
use crate::notifications::{Notice, notify, withdraw};
use crate::profiles::PatientFacts;
use crate::{identity, profiles};

/// Tells the patient that the visit is booked.
#[derive(Debug, Serialize, Deserialize)]
pub struct TellBooked {
    appointment: AppointmentId,
}

/// Tells the patient that the visit is cancelled.
#[derive(Debug, Serialize, Deserialize)]
pub struct TellCancelled {
    appointment: AppointmentId,
    /// Who has cancelled.
    by: Option<AccountId>,
}

impl TellBooked {
    /// Subscriber to `appointment.booked`.
    #[must_use]
    pub fn on(event: &Event) -> NewJob {
        NewJob::now(&Self { appointment: AppointmentId(event.resource) })
    }
}

impl TellCancelled {
    /// Subscriber to `appointment.cancelled`.
    #[must_use]
    pub fn on(event: &Event) -> NewJob {
        let by = Actor::current().map(|actor| actor.account);
        NewJob::now(&Self { appointment: AppointmentId(event.resource), by })
    }

    /// Who has cancelled, as the texts call it.
    fn by(&self, row: &Appointment) -> &'static str {
        if self.by == Some(row.patient_account) {
            "patient"
        } else if self.by.is_some_and(|by| by.0 == row.doctor_id.0) {
            "doctor"
        } else {
            "clinic"
        }
    }
}

impl Job for TellBooked {
    const KIND: &'static str = "appointments.tell_booked";

    async fn run(self, app: App, id: Uuid) -> Result<(), JobError> {
        let Some(known) = Known::load(&app, self.appointment).await? else { return Ok(()) };
        if known.row.state == AppointmentState::Cancelled {
            return Ok(());
        }
        notify(&app, id, known.notice(&app, NoticeKind::AppointmentBooked)).await
    }
}

impl Job for TellCancelled {
    const KIND: &'static str = "appointments.tell_cancelled";

    async fn run(self, app: App, id: Uuid) -> Result<(), JobError> {
        let appointment = self.appointment.0;
        for kind in [NoticeKind::AppointmentBooked, NoticeKind::AppointmentReminder] {
            withdraw(&app, kind, appointment).await?;
        }
        let Some(known) = Known::load(&app, self.appointment).await? else { return Ok(()) };
        let mut notice = known.notice(&app, NoticeKind::AppointmentCancelled);
        notice.values["by"] = self.by(&known.row).into();
        notify(&app, id, notice).await
    }
}

/// What is told of an appointment, and to whom.
pub(super) struct Known {
    /// The appointment.
    pub(super) row: Appointment,
    patient: PatientFacts,
    clinic: Option<String>,
}

impl Known {
    /// What is known of an appointment; none when there is nobody to be told.
    pub(super) async fn load(app: &App, id: AppointmentId) -> Result<Option<Self>, Error> {
        let mut conn = app.db.read().await?;
        let Some(row) = rows::find(&mut conn, id).await? else { return Ok(None) };
        let Some(patient) = profiles::patient(&mut conn, row.patient_id).await? else {
            return Ok(None);
        };
        if identity::contact(&mut conn, patient.account).await?.is_none() {
            return Ok(None);
        }
        let doctor = profiles::doctor(&mut conn, row.doctor_id).await?;
        let clinic = doctor
            .filter(|_| row.mode == ConsultationMode::InPerson)
            .map(|doctor| doctor.clinic_name)
            .filter(|name| !name.is_empty());
        Ok(Some(Self { row, patient, clinic }))
    }

    /// A message about the appointment to the patient's account. The start is told in the patient's
    /// zone, in the language of whoever reads it.
    pub(super) fn notice(&self, app: &App, kind: NoticeKind) -> Notice {
        let row = &self.row;
        let zone = &self.patient.time_zone;
        let zone = if TimeZone::get(zone).is_ok() { zone } else { &row.time_zone };
        let values = json!({
            "doctor_name": format!("{} {}", row.doctor_given, row.doctor_family).trim(),
            "starts_at": row.starts_at.unix_micros(),
            "zone": zone,
            "clinic": self.clinic,
            "cancel_hours": app.config.cancellation_hours,
        });
        let about = Some((ResourceKind::Appointment, row.id.0));
        Notice { about, values, ..Notice::new(kind, self.patient.account) }
    }
}
