//! What people are told about their appointments.

use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use super::rows::{self, Appointment};
use crate::app::App;
use crate::kernel::error::Error;
use crate::kernel::events::{Event, ResourceKind};
use crate::kernel::jobs::{Job, JobError, NewJob};
use crate::kernel::kinds::{AppointmentId, ConsultationMode};
use crate::kernel::locale::{self, Locale, NoticeKind};
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
        NewJob::now(&Self { appointment: AppointmentId(event.resource) })
    }
}

impl Job for TellBooked {
    const KIND: &'static str = "appointments.tell_booked";

    async fn run(self, app: App, id: Uuid) -> Result<(), JobError> {
        let Some(known) = Known::load(&app, self.appointment).await? else { return Ok(()) };
        notify(&app, id, known.notice(&app, NoticeKind::AppointmentBooked)?).await
    }
}

impl Job for TellCancelled {
    const KIND: &'static str = "appointments.tell_cancelled";

    async fn run(self, app: App, id: Uuid) -> Result<(), JobError> {
        let appointment = self.appointment.0;
        withdraw(&app, NoticeKind::AppointmentReminder, appointment).await?;
        let Some(known) = Known::load(&app, self.appointment).await? else { return Ok(()) };
        notify(&app, id, known.notice(&app, NoticeKind::AppointmentCancelled)?).await
    }
}

/// What is told of an appointment, and to whom.
pub(super) struct Known {
    /// The appointment.
    pub(super) row: Appointment,
    patient: PatientFacts,
    clinic: Option<String>,
    language: Locale,
}

impl Known {
    /// What is known of an appointment; none when there is nobody to be told.
    pub(super) async fn load(app: &App, id: AppointmentId) -> Result<Option<Self>, Error> {
        let mut conn = app.db.read().await?;
        let Some(row) = rows::find(&mut conn, id).await? else { return Ok(None) };
        let Some(patient) = profiles::patient(&mut conn, row.patient_id).await? else {
            return Ok(None);
        };
        let Some(contact) = identity::contact(&mut conn, patient.account).await? else {
            return Ok(None);
        };
        let doctor = profiles::doctor(&mut conn, row.doctor_id).await?;
        let clinic = doctor
            .filter(|_| row.mode == ConsultationMode::InPerson)
            .map(|doctor| doctor.clinic_name)
            .filter(|name| !name.is_empty());
        let language = locale::negotiate(&contact.language);
        Ok(Some(Self { row, patient, clinic, language }))
    }

    /// A message about the appointment to the patient's account.
    pub(super) fn notice(&self, app: &App, kind: NoticeKind) -> Result<Notice, Error> {
        let row = &self.row;
        let values = json!({
            "doctor": format!("{} {}", row.doctor_given, row.doctor_family).trim(),
            "start": start(row, &self.patient.time_zone, self.language)?,
            "clinic": self.clinic,
            "cancel_hours": app.config.cancellation_hours,
        });
        let about = Some((ResourceKind::Appointment, row.id.0));
        Ok(Notice { about, values, ..Notice::new(kind, self.patient.account) })
    }
}

/// The start in the recipient's zone and language.
fn start(row: &Appointment, zone: &str, language: Locale) -> Result<String, Error> {
    let zone = TimeZone::get(zone).or_else(|_| TimeZone::get(&row.time_zone));
    let zone = zone.map_err(Error::internal)?;
    let texts = locale::texts().map_err(|error| Error::internal(error.to_string()))?;
    Ok(texts.format_date_time(language, &row.starts_at.timestamp().to_zoned(zone)))
}
