//! Mails about appointments.

use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use super::rows::{self, Appointment};
use crate::app::App;
use crate::kernel::error::Error;
use crate::kernel::events::Event;
use crate::kernel::jobs::{Job, JobError, NewJob};
use crate::kernel::kinds::{AppointmentId, ConsultationMode};
use crate::kernel::locale::{self, Locale, MailKind};
use crate::{identity, notifications, profiles};

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
        tell(&app, id, self.appointment, MailKind::AppointmentBooked).await
    }
}

impl Job for TellCancelled {
    const KIND: &'static str = "appointments.tell_cancelled";

    async fn run(self, app: App, id: Uuid) -> Result<(), JobError> {
        tell(&app, id, self.appointment, MailKind::AppointmentCancelled).await
    }
}

async fn tell(app: &App, key: Uuid, id: AppointmentId, kind: MailKind) -> Result<(), JobError> {
    let mut conn = app.db.read().await?;
    let Some(row) = rows::find(&mut conn, id).await.map_err(JobError::Retry)? else {
        return Ok(());
    };
    let Some(patient) = profiles::patient(&mut conn, row.patient_id).await? else { return Ok(()) };
    let Some(contact) = identity::contact(&mut conn, patient.account).await? else { return Ok(()) };
    let doctor = profiles::doctor(&mut conn, row.doctor_id).await?;
    drop(conn);
    let language = locale::negotiate(&contact.language);
    let clinic = doctor
        .filter(|_| row.mode == ConsultationMode::InPerson)
        .map(|doctor| doctor.clinic_name)
        .filter(|name| !name.is_empty());
    let values = json!({
        "name": contact.name,
        "doctor": format!("{} {}", row.doctor_given, row.doctor_family).trim(),
        "start": start(&row, &patient.time_zone, language)?,
        "clinic": clinic,
        "cancel_hours": app.config.cancellation_hours,
    });
    notifications::send_mail(app, key, patient.account, kind, values).await
}

/// The start in the recipient's zone and language.
fn start(row: &Appointment, zone: &str, language: Locale) -> Result<String, JobError> {
    let zone = TimeZone::get(zone).or_else(|_| TimeZone::get(&row.time_zone));
    let zone = zone.map_err(|error| JobError::Give(Error::internal(error)))?;
    let texts =
        locale::texts().map_err(|error| JobError::Give(Error::internal(error.to_string())))?;
    Ok(texts.format_date_time(language, &row.starts_at.timestamp().to_zoned(zone)))
}
