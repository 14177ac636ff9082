//! From the schedule to the visit and what is left of it: note, prescription, audit log.

mod appointments;
mod audit_log;
mod availability;
mod booking;
mod canary;
mod master_key;
mod notes;
mod prescriptions;
mod printed;
mod reminders;
mod schedules;
mod visit_states;

use clinicd_sdk::proto::appointments::v1::{
    Appointment, BookAppointmentRequest, CancelAppointmentRequest, GetNextFreeSlotRequest,
    GetScheduleRequest, ListSlotsRequest, ReplaceWeeklyRulesRequest, Schedule, StartVisitRequest,
};
use clinicd_sdk::proto::identity::v1::RegisterAccountRequest;
use clinicd_sdk::proto::prost_types;
use clinicd_sdk::proto::r#type::v1::{ConsultationMode, Date, PersonName};
use clinicd_sdk::{ApiError, Error};
use clinicd_tests::doctors::ZONE;
use clinicd_tests::people::PASSWORD;
use clinicd_tests::{Code, Person, World, refused};
use jiff::civil;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};

/// An id that nothing has.
const NOBODY: &str = "0198c0de-0000-7000-8000-00000000beef";

/// The time of the servers.
fn now(world: &World) -> Timestamp {
    world.app.clock.now().timestamp()
}

/// Moves the clocks forward to an instant.
fn advance_to(world: &World, at: Timestamp) {
    world.advance(at.duration_since(now(world)));
}

/// A day that lies some days ahead where the doctors are.
fn days_ahead(world: &World, days: i64) -> civil::Date {
    now(world).in_tz(ZONE).unwrap().date().checked_add(days.days()).unwrap()
}

/// When the doctors' wall clock shows this.
fn at(day: civil::Date, hour: i8, minute: i8) -> Timestamp {
    day.at(hour, minute, 0, 0).in_tz(ZONE).unwrap().timestamp()
}

fn wire(at: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds: at.as_second(), nanos: at.subsec_nanosecond() }
}

fn instant(at: Option<prost_types::Timestamp>) -> Timestamp {
    let at = at.unwrap();
    Timestamp::new(at.seconds, at.nanos).unwrap()
}

fn date(day: civil::Date) -> Date {
    Date { year: day.year().into(), month: day.month().into(), day: day.day().into() }
}

/// A refusal without the id of its call, for comparing two.
fn shown<T: std::fmt::Debug>(result: Result<T, Error>, code: Code, reason: &str) -> ApiError {
    ApiError { request_id: None, ..refused(result, code, reason) }
}

/// The starts of the free slots of a doctor in person, as anybody sees them.
async fn free(
    world: &World,
    doctor: &Person,
    first: civil::Date,
    last: civil::Date,
) -> Vec<Timestamp> {
    let request = ListSlotsRequest {
        doctor_id: doctor.id.clone(),
        mode: ConsultationMode::InPerson.into(),
        first_day: Some(date(first)),
        last_day: Some(date(last)),
    };
    let slots = world.client().send(request).await.unwrap().slots;
    slots.into_iter().map(|slot| instant(slot.start)).collect()
}

/// The next free slot of a doctor in person.
async fn next_free(world: &World, doctor: &Person) -> Option<Timestamp> {
    let request = GetNextFreeSlotRequest {
        doctor_id: doctor.id.clone(),
        mode: ConsultationMode::InPerson.into(),
    };
    let slot = world.client().send(request).await.unwrap().slot;
    slot.map(|slot| instant(slot.start))
}

/// What is asked for to visit a doctor in person.
fn wish(doctor: &Person, start: Timestamp) -> BookAppointmentRequest {
    BookAppointmentRequest {
        doctor_id: doctor.id.clone(),
        mode: ConsultationMode::InPerson.into(),
        start_time: Some(wire(start)),
        reason: "A flutter in the chest.".to_owned(),
        ..Default::default()
    }
}

async fn book(patient: &Person, doctor: &Person, start: Timestamp) -> Appointment {
    let booked = patient.client.send(wish(doctor, start)).await.unwrap();
    booked.appointment.unwrap()
}

fn starting(appointment: &Appointment) -> StartVisitRequest {
    StartVisitRequest {
        appointment_id: appointment.id.clone(),
        etag: appointment.etag.clone(),
        ..Default::default()
    }
}

fn cancelling(appointment: &Appointment) -> CancelAppointmentRequest {
    CancelAppointmentRequest {
        appointment_id: appointment.id.clone(),
        etag: appointment.etag.clone(),
        reason: "Something came up.".to_owned(),
        ..Default::default()
    }
}

async fn start(doctor: &Person, appointment: &Appointment) -> Appointment {
    doctor.client.send(starting(appointment)).await.unwrap().appointment.unwrap()
}

/// Books the doctor's next free slot, waits for its time and begins the visit.
pub(crate) async fn visit(world: &World, doctor: &Person, patient: &Person) -> Appointment {
    let slot = next_free(world, doctor).await.unwrap();
    let appointment = book(patient, doctor, slot).await;
    advance_to(world, slot);
    start(doctor, &appointment).await
}

async fn schedule_of(reader: &Person, doctor: &Person) -> Schedule {
    let request = GetScheduleRequest { doctor_id: doctor.id.clone() };
    reader.client.send(request).await.unwrap().schedule.unwrap()
}

/// A schedule without rules in place of the present one.
fn replacing(doctor: &Person, etag: &str) -> ReplaceWeeklyRulesRequest {
    ReplaceWeeklyRulesRequest {
        doctor_id: doctor.id.clone(),
        etag: etag.to_owned(),
        time_zone: ZONE.to_owned(),
        ..Default::default()
    }
}

/// A patient whose mails are in Hindi.
async fn hindi_patient(world: &World, given: &str) -> Person {
    let email = "hindi@example.org";
    let name = PersonName { given: given.to_owned(), family: String::new() };
    let request = RegisterAccountRequest {
        email: email.to_owned(),
        password: PASSWORD.to_owned(),
        name: Some(name.clone()),
        language: "hi".to_owned(),
        ..Default::default()
    };
    world.client().send(request).await.unwrap();
    world.activate(email, None).await;
    world.signed_in(email, name).await
}

/// What the wall clock shows somewhere.
fn wall(at: Timestamp, zone: &TimeZone) -> civil::DateTime {
    zone.to_datetime(at)
}
