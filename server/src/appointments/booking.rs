//! Booking a free slot: the facts in one statement, the decision, and everything that it writes in
//! one statement.

use clinicd_proto::appointments::v1 as pb;

use super::facts::{self, Facts};
use super::rows::{Appointment, AppointmentState, InsertAppointment, Unchanged};
use super::rules::Slot;
use crate::app::App;
use crate::kernel::access::Caller;
use crate::kernel::error::{Error, Reason, Result};
use crate::kernel::events::{Event, ResourceKind};
use crate::kernel::idempotency::Key;
use crate::kernel::kinds::{AppointmentId, ConsultationMode, DoctorId, PatientId, Role, Time};

/// How often a booking is decided anew because doctor or schedule changed meanwhile.
const TRIES: usize = 3;

/// A patient books for herself or a dependant, operator and admin on behalf of a patient. Whether
/// the time is free is decided by the database, at the moment of the insert.
pub(super) async fn book(
    app: &App,
    caller: &Caller,
    request: pb::BookAppointmentRequest,
) -> Result<pb::BookAppointmentResponse> {
    let wish = Wish::read(caller, &request)?;
    let key = Key::new(app, caller, &request.request_id, &request)?;
    for _ in 0..TRIES {
        let mut conn = app.db.read().await?;
        let facts =
            facts::find(&mut conn, wish.patient, wish.doctor, wish.mode, wish.start).await?;
        let (row, basis) = match decide(app, caller, &wish, &request.reason, facts) {
            Ok(decided) => decided,
            // What is refused now may have been done before.
            Err(refusal) => return key.first_answer(app, &mut conn).await?.ok_or(refusal),
        };
        drop(conn);
        let (insert, event) = (insert(&row, &basis.slot), booked(&row));
        let answer = pb::BookAppointmentResponse { appointment: Some(row.into()) };
        if app
            .at_once(&key, &answer, basis.unchanged, insert, event)
            .await
            .map_err(time_is_taken)?
        {
            return Ok(answer);
        }
        let mut conn = app.db.read().await?;
        if let Some(first) = key.first_answer(app, &mut conn).await? {
            return Ok(first);
        }
    }
    Err(Error::unavailable())
}

/// What is asked for, in our own types.
struct Wish {
    doctor: DoctorId,
    patient: PatientId,
    mode: ConsultationMode,
    start: Time,
}

impl Wish {
    fn read(caller: &Caller, request: &pb::BookAppointmentRequest) -> Result<Self> {
        let patient = match &request.patient_id {
            Some(id) => PatientId::from_wire("patient_id", id)?,
            None => PatientId::from(caller.require_account()?),
        };
        let start = request.start_time.ok_or_else(|| Error::field("start_time", "must be set"))?;
        Ok(Self {
            doctor: DoctorId::from_wire("doctor_id", &request.doctor_id)?,
            patient,
            mode: ConsultationMode::from_wire(request.mode)
                .ok_or_else(|| Error::field("mode", "must be a known mode"))?,
            start: Time::try_from(start)
                .map_err(|_| Error::field("start_time", "must be an instant of the calendar"))?,
        })
    }
}

/// What a decision was made on.
struct Basis {
    slot: Slot,
    unchanged: Unchanged,
}

/// The appointment, if the facts allow it. The price comes from the doctor's fees, never from the
/// client.
fn decide(
    app: &App,
    caller: &Caller,
    wish: &Wish,
    reason: &str,
    facts: Facts,
) -> Result<(Appointment, Basis)> {
    let account = caller.require_account()?;
    let staff = caller.is(Role::Operator) || caller.is_admin();
    let patient = facts.patient.filter(|patient| staff || patient.account == account);
    let patient = patient.ok_or_else(|| Error::not_found("patient"))?;
    let doctor = facts.doctor.ok_or_else(|| Error::not_found("doctor"))?;
    if patient.account.0 == wish.doctor.0 {
        return Err(Error::of(Reason::OwnRecord));
    }
    if !doctor.available {
        return Err(Error::of(Reason::DoctorNotBookable));
    }
    // A mode without a fee is not offered.
    let outside = || Error::of(Reason::SlotOutsideSchedule);
    let (currency, price) = facts.fee.ok_or_else(outside)?;
    let plan = facts.plan.ok_or_else(outside)?;
    let now = app.clock.now();
    if wish.start < plan.schedule.bookable_from(now) {
        return Err(Error::of(Reason::SlotInPast));
    }
    if wish.start >= plan.schedule.bookable_until(now) {
        return Err(outside());
    }
    let slot = plan.schedule.slot_at(wish.start, wish.mode).ok_or_else(outside)?;
    let row = Appointment {
        id: AppointmentId(app.ids.next()),
        doctor_id: wish.doctor,
        patient_id: wish.patient,
        mode: wish.mode,
        starts_at: slot.start,
        ends_at: slot.end,
        time_zone: plan.zone,
        state: AppointmentState::Booked,
        reason: reason.to_owned(),
        currency_code: currency,
        price_minor_units: price,
        booked_by: account,
        cancellation_reason: String::new(),
        version: 1,
        created_at: now,
        updated_at: now,
        doctor_given: doctor.given,
        doctor_family: doctor.family,
        patient_given: patient.given,
        patient_family: patient.family,
        patient_account: patient.account,
    };
    let unchanged = Unchanged {
        doctor: wish.doctor,
        doctor_version: doctor.version,
        schedule_version: plan.version,
        patient: wish.patient,
    };
    Ok((row, Basis { slot, unchanged }))
}

fn insert(row: &Appointment, slot: &Slot) -> InsertAppointment {
    InsertAppointment {
        id: row.id,
        doctor: row.doctor_id,
        patient: row.patient_id,
        mode: row.mode,
        starts_at: row.starts_at,
        ends_at: row.ends_at,
        blocks_from: slot.blocks_from,
        blocks_until: slot.blocks_until,
        zone: row.time_zone.clone(),
        reason: row.reason.clone(),
        currency: row.currency_code.clone(),
        price: row.price_minor_units,
        booked_by: row.booked_by,
        now: row.created_at,
    }
}

/// Gives the two exclusion constraints their meaning.
fn time_is_taken(error: Error) -> Error {
    error
        .when_constraint("appointments_doctor_free", || Error::of(Reason::SlotTaken))
        .when_constraint("appointments_patient_free", || Error::of(Reason::PatientBusy))
}

fn booked(row: &Appointment) -> Event {
    Event {
        event_type: "appointment.booked",
        kind: ResourceKind::Appointment,
        resource: row.id.0,
        account: None,
        patient: Some(row.patient_id),
        doctor: Some(row.doctor_id),
    }
}
