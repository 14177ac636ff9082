//! G1: no double booking.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clinicd_sdk::proto::appointments::v1::{
    Appointment, AppointmentState, BookAppointmentRequest, BookAppointmentResponse,
    GetScheduleRequest, ReplaceWeeklyRulesRequest,
};
use clinicd_sdk::proto::prost_types::Timestamp;
use clinicd_sdk::{Client, Error};
use clinicd_tests::doctors::ZONE;
use clinicd_tests::{Code, World, refused};

use super::{at_once, book, cancel, free_slots, rules};

/// Patients who want the same thing.
const CROWD: usize = 50;
/// Connections of a server with room for a crowd to meet in the database.
pub(super) const CONNECTIONS: u32 = 20;

pub(super) type Booked = Result<BookAppointmentResponse, Error>;

async fn world() -> World {
    World::start_with(|config| config.database_connections = CONNECTIONS).await
}

/// Pairs of live appointments that take the same time of a doctor, buffers included, or of a
/// patient.
pub(super) async fn overlaps(world: &World) -> Vec<Vec<String>> {
    world
        .sql(
            "SELECT a.id, b.id FROM appointments a JOIN appointments b ON a.id < b.id \
             WHERE a.state IN ('booked', 'in_consultation') \
               AND b.state IN ('booked', 'in_consultation') \
               AND (a.doctor_id = b.doctor_id AND a.blocks_from < b.blocks_until \
                    AND b.blocks_from < a.blocks_until \
                 OR a.patient_id = b.patient_id AND a.starts_at < b.ends_at \
                    AND b.starts_at < a.ends_at)",
        )
        .await
}

pub(super) async fn live(world: &World) -> usize {
    let live = "SELECT id FROM appointments WHERE state IN ('booked', 'in_consultation')";
    world.sql(live).await.len()
}

/// How often each thing came out: `BOOKED`, or the reason of a refusal.
pub(super) fn outcomes(answers: Vec<Booked>) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for answer in answers {
        let outcome = match answer {
            Ok(_) => "BOOKED".to_owned(),
            Err(error) => {
                let reason = error.reason().unwrap_or_default().to_owned();
                refused(Err::<(), _>(error), Code::AlreadyExists, &reason);
                reason
            }
        };
        *counts.entry(outcome).or_default() += 1;
    }
    counts
}

pub(super) fn counts<const N: usize>(counts: [(&str, usize); N]) -> BTreeMap<String, usize> {
    counts.map(|(outcome, count)| (outcome.to_owned(), count)).into()
}

pub(super) async fn send_all(
    wishes: impl IntoIterator<Item = (Client, BookAppointmentRequest)>,
) -> Vec<Booked> {
    at_once(wishes.into_iter().map(|(client, wish)| async move { client.send(wish).await })).await
}

#[tokio::test(flavor = "multi_thread")]
async fn of_fifty_who_want_one_slot_one_gets_it_and_fifty_slots_have_fifty_winners() {
    let world = world().await;
    let doctor = world.doctor().await;
    let crowd = world.crowd(CROWD).await;
    let slot = free_slots(&world, &doctor.id, 2, 2).await[0];
    let wishes = crowd.iter().map(|one| (one.client.clone(), book(&doctor.id, slot)));
    assert_eq!(
        outcomes(send_all(wishes).await),
        counts([("BOOKED", 1), ("SLOT_TAKEN", CROWD - 1)])
    );
    assert_eq!((live(&world).await, overlaps(&world).await), (1, vec![]));

    let slots = free_slots(&world, &doctor.id, 3, 6).await;
    let wishes =
        crowd.iter().zip(&slots).map(|(one, slot)| (one.client.clone(), book(&doctor.id, *slot)));
    assert_eq!(outcomes(send_all(wishes).await), counts([("BOOKED", CROWD)]));
    assert_eq!((live(&world).await, overlaps(&world).await), (1 + CROWD, vec![]));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_schedule_takes_no_time_of_an_old_booking() {
    let world = world().await;
    let doctor = world.doctor().await;
    let crowd = world.crowd(12).await;
    // 10:00 to 10:30, by the old rules.
    let old = free_slots(&world, &doctor.id, 2, 2).await[2];
    crowd[0].client.send(book(&doctor.id, old)).await.unwrap();
    let minutes = |by: i64| Timestamp { seconds: old.seconds + by * 60, nanos: 0 };
    // Buffer, length, buffer, and a start in minutes from the old one: of two the visit, then the
    // buffer after it, then the buffer before it meets the old booking.
    for (before, slot, after, start) in
        [(0, 40, 0, -20), (0, 40, 0, 20), (0, 50, 20, -60), (20, 60, 0, 40)]
    {
        world.replace_rules(&doctor, rules((9, 17), before, slot, after)).await;
        assert!(!free_slots(&world, &doctor.id, 2, 2).await.contains(&minutes(start)));
        let wishes = crowd[1..]
            .iter()
            .map(|person| (person.client.clone(), book(&doctor.id, minutes(start))));
        let answers = send_all(wishes).await;
        assert_eq!(outcomes(answers), counts([("SLOT_TAKEN", 11)]), "{before} {slot} {after}");
    }
    // What only touches it is free: 10:30 to 11:00.
    world.replace_rules(&doctor, rules((9, 17), 0, 30, 0)).await;
    crowd[1].client.send(book(&doctor.id, minutes(30))).await.unwrap();
    assert_eq!((live(&world).await, overlaps(&world).await), (2, vec![]));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bookings_by_two_schedules_at_once_do_not_overlap() {
    let world = world().await;
    let doctor = world.doctor().await;
    let crowd = world.crowd(20).await;
    let old = free_slots(&world, &doctor.id, 2, 2).await[2];
    // By the new rules 09:40 to 10:20, which meets the old 10:00 to 10:30.
    let new = Timestamp { seconds: old.seconds - 20 * 60, nanos: 0 };
    let schedule = GetScheduleRequest { doctor_id: doctor.id.clone() };
    let replace = ReplaceWeeklyRulesRequest {
        doctor_id: doctor.id.clone(),
        etag: doctor.client.send(schedule).await.unwrap().schedule.unwrap().etag,
        time_zone: ZONE.to_owned(),
        rules: rules((9, 17), 0, 40, 0),
        ..Default::default()
    };
    let booking = crowd.iter().enumerate().map(|(number, person)| {
        let (client, doctor) = (person.client.clone(), doctor.id.clone());
        let start = if number.is_multiple_of(2) { old } else { new };
        tokio::spawn(async move { until_decided(&client, &doctor, start).await })
    });
    let booking: Vec<_> = booking.collect();
    doctor.client.send(replace).await.unwrap();
    for one in booking {
        one.await.unwrap();
    }
    assert_eq!((live(&world).await, overlaps(&world).await), (1, vec![]));
    world.finish().await;
}

/// Tries until the slot is booked or taken; it may not be in the schedule yet, or no longer.
async fn until_decided(client: &Client, doctor: &str, start: Timestamp) {
    for _ in 0..40 {
        let answer = client.send(book(doctor, start)).await;
        match answer.as_ref().map_err(|error| error.reason()) {
            Ok(_) | Err(Some("SLOT_TAKEN")) => return,
            Err(Some("SLOT_OUTSIDE_SCHEDULE")) => {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            Err(other) => panic!("{other:?}: {answer:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_patient_is_in_one_place_at_a_time() {
    let world = world().await;
    let doctor = world.doctor().await;
    let asha = world.patient().await;
    let mut doctors = world.doctors_like(&doctor, CROWD - 1).await;
    doctors.push(doctor.id.clone());
    let slots = free_slots(&world, &doctor.id, 2, 2).await;
    let wishes = doctors.iter().map(|doctor| (asha.client.clone(), book(doctor, slots[0])));
    let answers = send_all(wishes).await;
    assert_eq!(outcomes(answers), counts([("BOOKED", 1), ("PATIENT_BUSY", CROWD - 1)]));

    // Two visits that overlap in part: 11:00 to 11:30, and 11:20 to 12:00 of another doctor.
    let [longer, ..] = &world.doctors_like(&doctor, 1).await[..] else { panic!() };
    let shifted = "UPDATE schedule_rules SET start_minute = 560, slot_minutes = 40";
    world.sql(&format!("{shifted} WHERE doctor_id = '{longer}'")).await;
    let later = Timestamp { seconds: slots[4].seconds + 20 * 60, nanos: 0 };
    let pair = [book(&doctor.id, slots[4]), book(longer, later)];
    let answers = send_all(pair.map(|wish| (asha.client.clone(), wish))).await;
    assert_eq!(outcomes(answers), counts([("BOOKED", 1), ("PATIENT_BUSY", 1)]));
    assert_eq!((live(&world).await, overlaps(&world).await), (2, vec![]));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_that_is_given_up_gets_one_new_owner() {
    let world = world().await;
    let doctor = world.doctor().await;
    let crowd = world.crowd(12).await;
    let slot = free_slots(&world, &doctor.id, 3, 3).await[0];
    let booked = crowd[0].client.send(book(&doctor.id, slot)).await.unwrap();
    let mut held: (Client, Appointment) = (crowd[0].client.clone(), booked.appointment.unwrap());
    for _ in 0..8 {
        let done = Arc::new(AtomicBool::new(false));
        let (holder, appointment) = held.clone();
        let others = crowd.iter().filter(|one| Some(one.id.as_str()) != holder.account_id());
        let hunters = others.map(|one| {
            let (client, doctor, done) = (one.client.clone(), doctor.id.clone(), Arc::clone(&done));
            tokio::spawn(async move { hunt(&client, &doctor, slot, &done).await })
        });
        let hunters: Vec<_> = hunters.collect();
        let cancelled = holder.send(cancel(&appointment)).await.unwrap().appointment.unwrap();
        assert_eq!(cancelled.state(), AppointmentState::Cancelled);
        let mut winners = Vec::new();
        for hunter in hunters {
            winners.extend(hunter.await.unwrap());
        }
        assert_eq!((winners.len(), live(&world).await), (1, 1));
        held = winners.remove(0);
    }
    assert_eq!(overlaps(&world).await, Vec::<Vec<String>>::new());
    world.finish().await;
}

/// Tries to get the slot until somebody has got it.
pub(super) async fn hunt(
    client: &Client,
    doctor: &str,
    slot: Timestamp,
    done: &AtomicBool,
) -> Option<(Client, Appointment)> {
    while !done.load(Ordering::Acquire) {
        match client.send(book(doctor, slot)).await {
            Ok(booked) => {
                done.store(true, Ordering::Release);
                return Some((client.clone(), booked.appointment.unwrap()));
            }
            taken => _ = refused(taken, Code::AlreadyExists, "SLOT_TAKEN"),
        }
    }
    None
}

/// What the tests above would see if the database did not refuse: that they can fail.
#[tokio::test(flavor = "multi_thread")]
async fn without_the_constraints_everybody_would_win() {
    let world = world().await;
    let doctor = world.doctor().await;
    let crowd = world.crowd(5).await;
    world
        .sql(
            "ALTER TABLE appointments DROP CONSTRAINT appointments_doctor_free, \
             DROP CONSTRAINT appointments_patient_free",
        )
        .await;
    let slot = free_slots(&world, &doctor.id, 2, 2).await[0];
    let wishes = crowd.iter().map(|one| (one.client.clone(), book(&doctor.id, slot)));
    assert_eq!(outcomes(send_all(wishes).await), counts([("BOOKED", 5)]));
    assert_eq!((live(&world).await, overlaps(&world).await.len()), (5, 10));
    world.finish().await;
}
