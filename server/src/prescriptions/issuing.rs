//! Issuing a prescription.

use clinicd_proto::prescriptions::v1 as pb;
use jiff::tz::TimeZone;

use super::printing::{self, MissingFont, Printed};
use super::rows::{self, PrescriptionId, PrescriptionRow};
use super::{codes, rules};
use crate::app::App;
use crate::appointments::{self, Visit};
use crate::kernel::access::Caller;
use crate::kernel::audit::{self, Access, DataType};
use crate::kernel::db::Conn;
use crate::kernel::error::{Error, Reason, Result};
use crate::kernel::events::{Event, ResourceKind};
use crate::kernel::kinds::AppointmentId;
use crate::kernel::locale::{Locale, negotiate};
use crate::profiles::PatientFacts;
use crate::{identity, profiles};

/// Random numbers that are tried; two of one year are equal once in 2^40.
const NUMBERS: usize = 2;

/// Issues a prescription for the patient of the caller's begun visit. It is printed on trial
/// first, outside the transaction, so that nothing is issued that cannot be handed over.
pub(super) async fn issue(
    app: &App,
    caller: &Caller,
    request: pb::IssuePrescriptionRequest,
) -> Result<pb::IssuePrescriptionResponse> {
    let appointment = AppointmentId::from_wire("appointment_id", &request.appointment_id)?;
    let (row, printable) = prepare(app, caller, appointment, &request).await?;
    let (row, printable, request) = (&row, &printable, &request);
    app.once(caller, &request.request_id, request, async |conn: &mut Conn| {
        check(conn, caller, appointment, request).await?;
        if let Err(missing) = printable {
            return Err(missing.into());
        }
        let row = insert(app, conn, row, &request.items).await?;
        let access = Access {
            patient: Some(row.patient),
            data_types: vec![DataType::Prescription],
            records: vec![row.id.0],
            rule: "treating_doctor",
        };
        audit::record(app, conn, caller, access).await?;
        let event = Event {
            event_type: "prescription.issued",
            kind: ResourceKind::Prescription,
            resource: row.id.0,
            account: None,
            patient: Some(row.patient),
            doctor: Some(row.prescriber),
        };
        app.events.emit(conn, event).await?;
        let prescription = row.with_items(request.items.clone());
        Ok(pb::IssuePrescriptionResponse { prescription: Some(prescription) })
    })
    .await
}

/// Whether the caller may prescribe in this visit, and this. To other doctors the appointment does
/// not exist.
async fn check(
    conn: &mut Conn,
    caller: &Caller,
    appointment: AppointmentId,
    request: &pb::IssuePrescriptionRequest,
) -> Result<(Visit, PatientFacts)> {
    let visit = appointments::visit(conn, appointment).await?;
    let visit = visit
        .filter(|visit| Some(visit.doctor) == caller.as_doctor())
        .ok_or_else(|| Error::not_found("appointment"))?;
    let patient = profiles::patient(conn, visit.patient).await?;
    let patient = patient.ok_or_else(|| Error::internal("an appointment without its patient"))?;
    if Some(patient.account) == caller.account() {
        return Err(Error::of(Reason::OwnRecord));
    }
    if !visit.begun {
        return Err(Error::of(Reason::WrongState).with("state", "not_begun"));
    }
    rules::check_content(&request.items, &request.text)?;
    Ok((visit, patient))
}

/// The prescription as it would be issued, and whether it can be printed: in the patient's
/// language, or else with the fixed words in English.
async fn prepare(
    app: &App,
    caller: &Caller,
    appointment: AppointmentId,
    request: &pb::IssuePrescriptionRequest,
) -> Result<(PrescriptionRow, Result<(), MissingFont>)> {
    let mut conn = app.db.read().await?;
    let (visit, patient) = check(&mut conn, caller, appointment, request).await?;
    let doctor = profiles::doctor(&mut conn, visit.doctor).await?;
    let doctor = doctor.ok_or_else(|| Error::internal("a doctor without a profile"))?;
    let contact = identity::contact(&mut conn, patient.account).await?;
    drop(conn);
    let now = app.clock.now();
    let zone = TimeZone::get(&visit.time_zone).map_err(Error::internal)?;
    let mut printed = Printed {
        language: contact.map_or_else(String::new, |contact| contact.language),
        issue_date: now.timestamp().to_zoned(zone).date(),
        prescriber: doctor.into(),
        patient: patient.into(),
    };
    let mut row = PrescriptionRow {
        id: PrescriptionId(app.ids.next()),
        number: codes::number(printed.issue_date.year(), app.random.bytes()),
        appointment: visit.id,
        patient: visit.patient,
        prescriber: visit.doctor,
        text: request.text.clone(),
        printed: serde_json::Value::Null,
        created_at: now,
        own: false,
    };
    let mut trial = printing::try_render(app, &row, &printed, &request.items).await?;
    if trial.is_err() && negotiate(&printed.language) != Locale::En {
        Locale::En.tag().clone_into(&mut printed.language);
        trial = printing::try_render(app, &row, &printed, &request.items).await?;
    }
    row.printed = serde_json::to_value(printed).map_err(Error::internal)?;
    Ok((row, trial.map(drop)))
}

/// Writes the prescription. A number that is taken is drawn again.
async fn insert(
    app: &App,
    conn: &mut Conn,
    prepared: &PrescriptionRow,
    items: &[pb::PrescriptionItem],
) -> Result<PrescriptionRow> {
    let mut row = prepared.clone();
    for _ in 0..NUMBERS {
        if rows::insert(conn, &row, items).await? {
            return Ok(row);
        }
        row.number = codes::number(row.printed()?.issue_date.year(), app.random.bytes());
    }
    Err(Error::unavailable())
}
