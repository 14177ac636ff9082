//! Booking a free slot.

use clinicd_proto::appointments::v1 as pb;

use super::rows::{self, InsertAppointment};
use super::rules::Slot;
use crate::app::App;
use crate::kernel::access::Caller;
use crate::kernel::db::Conn;
use crate::kernel::error::{Error, Reason, Result};
use crate::kernel::events::{Event, ResourceKind};
use crate::kernel::kinds::{AppointmentId, ConsultationMode, DoctorId, PatientId, Role, Time};
use crate::profiles::{self, DoctorFacts, PatientFacts};
use diesel_async::RunQueryDsl;

/// A patient books for herself or a dependant, operator and admin on behalf of a patient. Whether
/// the time is free is decided by the database, at the moment of the insert.
pub(super) async fn book(
    app: &App,
    caller: &Caller,
    request: pb::BookAppointmentRequest,
) -> Result<pb::BookAppointmentResponse> {
    let wish = Wish::read(caller, &request)?;
    let wish = &wish;
    app.once(caller, &request.request_id, &request, async |conn| {
        let patient = patient_of(conn, caller, wish.patient).await?;
        let doctor = bookable(conn, wish.doctor, &patient).await?;
        let (currency, price) = fee(&doctor, wish.mode)?;
        let (schedule, slot) = slot(app, conn, wish).await?;
        let id = AppointmentId(app.ids.next());
        InsertAppointment {
            id,
            doctor: wish.doctor,
            patient: patient.id,
            mode: wish.mode,
            starts_at: slot.start,
            ends_at: slot.end,
            blocks_from: slot.blocks_from,
            blocks_until: slot.blocks_until,
            zone: schedule.time_zone,
            reason: request.reason.clone(),
            currency,
            price,
            booked_by: caller.require_account()?,
            now: app.clock.now(),
        }
        .execute(conn)
        .await
        .map_err(time_is_taken)?;
        app.events.emit(conn, booked(id, &patient, wish.doctor)).await?;
        let row = rows::find_visible(conn, caller, id).await?;
        Ok(pb::BookAppointmentResponse { appointment: Some(row.into()) })
    })
    .await
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

/// The patient, if the caller may book for them: oneself and dependants, or anyone as staff.
async fn patient_of(conn: &mut Conn, caller: &Caller, id: PatientId) -> Result<PatientFacts> {
    let own = |patient: &PatientFacts| Some(patient.account) == caller.account();
    let staff = caller.is(Role::Operator) || caller.is_admin();
    let patient = profiles::patient(conn, id).await?.filter(|patient| staff || own(patient));
    patient.ok_or_else(|| Error::not_found("patient"))
}

async fn bookable(conn: &mut Conn, id: DoctorId, patient: &PatientFacts) -> Result<DoctorFacts> {
    let doctor = profiles::doctor(conn, id).await?.ok_or_else(|| Error::not_found("doctor"))?;
    if patient.account.0 == id.0 {
        return Err(Error::of(Reason::OwnRecord));
    }
    if !doctor.available_for_booking {
        return Err(Error::of(Reason::DoctorNotBookable));
    }
    Ok(doctor)
}

/// The price comes from the doctor's fees, never from the client; a mode without a fee is not
/// offered.
fn fee(doctor: &DoctorFacts, mode: ConsultationMode) -> Result<(String, i64)> {
    let fee = doctor.fees.iter().find(|(offered, ..)| *offered == mode);
    let (_, currency, minor_units) = fee.ok_or_else(|| Error::of(Reason::SlotOutsideSchedule))?;
    Ok((currency.clone(), *minor_units))
}

async fn slot(app: &App, conn: &mut Conn, wish: &Wish) -> Result<(rows::ScheduleRow, Slot)> {
    let outside = || Error::of(Reason::SlotOutsideSchedule);
    let now = app.clock.now();
    let (row, schedule) = rows::schedule(conn, wish.doctor).await?.ok_or_else(outside)?;
    if wish.start < schedule.bookable_from(now) {
        return Err(Error::of(Reason::SlotInPast));
    }
    if wish.start >= schedule.bookable_until(now) {
        return Err(outside());
    }
    let slot = schedule.slot_at(wish.start, wish.mode).ok_or_else(outside)?;
    Ok((row, slot))
}

/// Gives the two exclusion constraints their meaning.
fn time_is_taken(error: diesel::result::Error) -> Error {
    Error::from(error)
        .when_constraint("appointments_doctor_free", || Error::of(Reason::SlotTaken))
        .when_constraint("appointments_patient_free", || Error::of(Reason::PatientBusy))
}

fn booked(id: AppointmentId, patient: &PatientFacts, doctor: DoctorId) -> Event {
    Event {
        event_type: "appointment.booked",
        kind: ResourceKind::Appointment,
        resource: id.0,
        account: None,
        patient: Some(patient.id),
        doctor: Some(doctor),
    }
}
