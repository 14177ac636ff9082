//! The four guarantees, each with tests that try to break it.

mod cut_off;
mod g1;
mod g2;
mod g3;
mod g4;
mod races;

use std::collections::BTreeMap;
use std::sync::Arc;

use clinicd_sdk::proto::appointments::v1::{
    Appointment, BookAppointmentRequest, CancelAppointmentRequest, ListSlotsRequest,
    StartVisitRequest, WeeklyRule,
};
use clinicd_sdk::proto::prost_types::{Duration, Timestamp};
use clinicd_sdk::proto::r#type::v1::{ConsultationMode, Date};
use clinicd_tests::doctors::{ZONE, every_day};
use clinicd_tests::{Person, World};
use jiff::ToSpan as _;
use tokio::sync::Barrier;

/// Begins all of these at the same moment, each in a task of its own.
pub(crate) async fn at_once<T, F>(calls: impl IntoIterator<Item = F>) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let calls: Vec<F> = calls.into_iter().collect();
    let start = Arc::new(Barrier::new(calls.len()));
    let begin = |call: F| {
        let start = Arc::clone(&start);
        tokio::spawn(async move {
            start.wait().await;
            call.await
        })
    };
    let tasks: Vec<_> = calls.into_iter().map(begin).collect();
    let mut answers = Vec::new();
    for task in tasks {
        answers.push(task.await.unwrap());
    }
    answers
}

/// The free slots of the doctor's days from `first` to `last`, counted from today.
pub(crate) async fn free_slots(
    world: &World,
    doctor: &str,
    first: i64,
    last: i64,
) -> Vec<Timestamp> {
    let today = world.app.clock.now().timestamp().in_tz(ZONE).unwrap().date();
    let day = |days: i64| {
        let day = today + days.days();
        Some(Date { year: day.year().into(), month: day.month().into(), day: day.day().into() })
    };
    let request = ListSlotsRequest {
        doctor_id: doctor.to_owned(),
        mode: ConsultationMode::Video.into(),
        first_day: day(first),
        last_day: day(last),
    };
    let slots = world.client().send(request).await.unwrap().slots;
    slots.into_iter().map(|slot| slot.start.unwrap()).collect()
}

/// A booking by the patient who sends it.
pub(crate) fn book(doctor: &str, start: Timestamp) -> BookAppointmentRequest {
    BookAppointmentRequest {
        doctor_id: doctor.to_owned(),
        mode: ConsultationMode::Video.into(),
        start_time: Some(start),
        ..Default::default()
    }
}

pub(crate) fn cancel(appointment: &Appointment) -> CancelAppointmentRequest {
    CancelAppointmentRequest {
        appointment_id: appointment.id.clone(),
        etag: appointment.etag.clone(),
        ..Default::default()
    }
}

fn begin(appointment: &Appointment) -> StartVisitRequest {
    StartVisitRequest {
        appointment_id: appointment.id.clone(),
        etag: appointment.etag.clone(),
        ..Default::default()
    }
}

/// Rules of full hours, with slots and buffers of so many minutes.
fn rules(hours: (i32, i32), before: i64, slot: i64, after: i64) -> Vec<WeeklyRule> {
    let minutes = |minutes: i64| Some(Duration { seconds: minutes * 60, nanos: 0 });
    let with_lengths = |rule| WeeklyRule {
        slot_length: minutes(slot),
        buffer_before: minutes(before),
        buffer_after: minutes(after),
        ..rule
    };
    every_day(hours.0, hours.1).into_iter().map(with_lengths).collect()
}

/// A doctor on call around the clock, so that a visit can begin within minutes.
async fn doctor_on_call(world: &World) -> Person {
    let doctor = world.doctor().await;
    world.replace_rules(&doctor, rules((0, 24), 0, 15, 0)).await;
    doctor
}

/// A slot of a doctor on call in which a visit can begin now.
async fn slot_now(world: &World, doctor: &Person) -> Timestamp {
    let soon = world.app.clock.now().plus_seconds(60);
    let slots = free_slots(world, &doctor.id, 0, 1).await;
    let mut later = slots.into_iter().filter(|slot| slot.seconds > soon.timestamp().as_second());
    later.next().unwrap()
}

/// Tables that change by themselves, or with every attempt: seals, ticks, counted attempts, messages
/// that jobs write, what is sent to partners, and what only the sweep needs.
const RESTLESS: [&str; 10] = [
    "__diesel_schema_migrations",
    "audit_chain",
    "deliveries",
    "job_schedules",
    "jobs",
    "notifications",
    "sign_in_failures",
    "unclaimed_objects",
    "webhook_deliveries",
    "webhook_endpoints",
];

/// Everything in the database: by table the number of its rows, and a hash over them. Jobs come
/// and go, so of them only those count that a call asked for, and only their number; and of events
/// those that no message brings.
async fn contents(world: &World) -> BTreeMap<String, (i64, String)> {
    let tables =
        world.sql("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1").await;
    let asked = "kind NOT LIKE 'kernel.%' AND kind NOT LIKE '%.sweep%' \
        AND kind NOT LIKE 'notifications.%' AND kind <> 'appointments.remind'";
    let mut parts = vec![
        format!("SELECT 'jobs', count(*), '' FROM jobs WHERE {asked}"),
        "SELECT 'cancelled jobs', count(*), '' FROM jobs WHERE state = 'cancelled'".to_owned(),
    ];
    for table in tables.iter().flatten().filter(|table| !RESTLESS.contains(&table.as_str())) {
        parts.push(format!(
            "SELECT '{table}', count(*), md5(string_agg(t::text, ' ' ORDER BY t::text)) \
             FROM {table} t WHERE coalesce(to_jsonb(t) ->> 'event_type', '') \
                <> 'notification.created'"
        ));
    }
    let rows = world.sql(&parts.join(" UNION ALL ")).await;
    let entry = |row: Vec<String>| {
        let [table, count, hash] = row.try_into().unwrap();
        (table, (count.parse().unwrap(), hash))
    };
    rows.into_iter().map(entry).collect()
}
