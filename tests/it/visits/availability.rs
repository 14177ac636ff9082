//! Free slots: by the doctor's wall clock, within lead time and horizon, without what is taken.

use std::collections::BTreeSet;

use clinicd_sdk::proto::appointments::v1::{
    GetNextFreeSlotRequest, ListSlotsRequest, ReplaceWeeklyRulesRequest, WeeklyRule,
};
use clinicd_sdk::proto::prost_types::Duration;
use clinicd_sdk::proto::r#type::v1::{ConsultationMode, Date, DayOfWeek};
use clinicd_tests::doctors::{FEE, ZONE, every_day};
use clinicd_tests::{Code, Person, World, refused};
use jiff::civil::{self, Time};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};

use super::{
    NOBODY, advance_to, at, book, cancelling, date, days_ahead, free, instant, next_free, now,
    replacing, schedule_of, wall, wish,
};

fn minutes(minutes: i64) -> Duration {
    Duration { seconds: minutes * 60, nanos: 0 }
}

async fn replace(doctor: &Person, change: impl FnOnce(&mut ReplaceWeeklyRulesRequest)) {
    let mut request = replacing(doctor, &schedule_of(doctor, doctor).await.etag);
    change(&mut request);
    doctor.client.send(request).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn slots_follow_rules_and_fees() {
    let world = World::start().await;
    let doctor = world.approved_doctor().await;
    let days = (days_ahead(&world, 2), days_ahead(&world, 3));
    let slots = async |mode: ConsultationMode| {
        let request = ListSlotsRequest {
            doctor_id: doctor.id.clone(),
            mode: mode.into(),
            first_day: Some(date(days.0)),
            last_day: Some(date(days.1)),
        };
        world.client().send(request).await.unwrap()
    };
    assert!(slots(ConsultationMode::InPerson).await.slots.is_empty(), "no schedule, no fee");
    replace(&doctor, |request| {
        request.rules = every_day(9, 17);
        for rule in &mut request.rules {
            rule.modes = vec![ConsultationMode::InPerson.into(), ConsultationMode::Phone.into()];
        }
    })
    .await;
    assert!(slots(ConsultationMode::InPerson).await.slots.is_empty(), "no fee");
    assert_eq!(next_free(&world, &doctor).await, None);
    world.set_fees(&doctor, FEE).await;
    assert!(slots(ConsultationMode::Phone).await.slots.is_empty(), "a rule, but no fee");
    assert!(slots(ConsultationMode::Video).await.slots.is_empty(), "a fee, but no rule");

    let found = slots(ConsultationMode::InPerson).await;
    assert_eq!((found.time_zone.as_str(), found.slots.len()), (ZONE, 32));
    let starts: Vec<_> = found.slots.iter().map(|slot| instant(slot.start)).collect();
    assert_eq!((starts[0], starts[31]), (at(days.0, 9, 0), at(days.1, 16, 30)));
    assert!(starts.is_sorted());
    for slot in &found.slots {
        assert_eq!(instant(slot.end), instant(slot.start) + 30.minutes());
    }
    let next = next_free(&world, &doctor).await.unwrap();
    assert!(next >= now(&world) && next <= starts[0]);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_listed_is_refused() {
    let world = World::start().await;
    let (doctor, asha) = (world.doctor().await, world.patient().await);
    let first = days_ahead(&world, 0);
    let fine = ListSlotsRequest {
        doctor_id: doctor.id.clone(),
        mode: ConsultationMode::InPerson.into(),
        first_day: Some(date(first)),
        last_day: Some(date(first + 59.days())),
    };
    assert!(world.client().send(fine.clone()).await.unwrap().slots.len() >= 59 * 16);
    let february = Some(Date { year: 2027, month: 2, day: 29 });
    for (field, request) in [
        ("last_day", ListSlotsRequest { last_day: Some(date(first + 60.days())), ..fine.clone() }),
        ("last_day", ListSlotsRequest { last_day: Some(date(first - 1.day())), ..fine.clone() }),
        ("first_day", ListSlotsRequest { first_day: february, ..fine.clone() }),
        ("first_day", ListSlotsRequest { first_day: None, ..fine.clone() }),
        ("mode", ListSlotsRequest { mode: 0, ..fine.clone() }),
        ("mode", ListSlotsRequest { mode: 99, ..fine.clone() }),
        ("doctor_id", ListSlotsRequest { doctor_id: "7".to_owned(), ..fine.clone() }),
    ] {
        let answer = world.client().send(request).await;
        let refusal = refused(answer, Code::InvalidArgument, "INVALID_FIELDS");
        let fields: Vec<_> = refusal.violations.iter().map(|(field, _)| field.as_str()).collect();
        assert_eq!(fields, [field]);
    }
    for id in [NOBODY, &asha.id] {
        let request = ListSlotsRequest { doctor_id: id.to_owned(), ..fine.clone() };
        refused(world.client().send(request).await, Code::NotFound, "NOT_FOUND");
        let request = GetNextFreeSlotRequest { doctor_id: id.to_owned(), mode: fine.mode };
        refused(world.client().send(request).await, Code::NotFound, "NOT_FOUND");
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lead_time_and_horizon_bound_what_is_offered_and_booked() {
    let world = World::start().await;
    let (doctor, asha) = (world.doctor().await, world.patient().await);
    replace(&doctor, |request| {
        request.rules = every_day(0, 24);
        request.lead_time = Some(minutes(36 * 60));
        request.horizon = Some(minutes(3 * 24 * 60));
    })
    .await;
    let before = now(&world);
    let found = free(&world, &doctor, days_ahead(&world, 0), days_ahead(&world, 9)).await;
    let (nearest, farthest) = (before + 36.hours(), now(&world) + 72.hours());
    let (first, last) = (found[0], *found.last().unwrap());
    assert!(first >= nearest && first < nearest + 35.minutes(), "{first} {nearest}");
    assert!(last < farthest && last >= farthest - 35.minutes(), "{last} {farthest}");
    assert_eq!(found.len(), 72, "36 hours of two slots each");
    assert_eq!(next_free(&world, &doctor).await, Some(first));
    for (start, reason) in [
        (first - 30.minutes(), "SLOT_IN_PAST"),
        (before - 24.hours(), "SLOT_IN_PAST"),
        (last + 60.minutes(), "SLOT_OUTSIDE_SCHEDULE"),
    ] {
        let answer = asha.client.send(wish(&doctor, start)).await;
        refused(answer, Code::FailedPrecondition, reason);
    }
    book(&asha, &doctor, first).await;
    assert_eq!(next_free(&world, &doctor).await, Some(found[1]));
    book(&asha, &doctor, last).await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_booking_takes_its_buffers_and_gives_them_back() {
    let world = World::start().await;
    let (doctor, asha) = (world.doctor().await, world.patient().await);
    replace(&doctor, |request| {
        request.rules = every_day(9, 12);
        for rule in &mut request.rules {
            rule.buffer_before = Some(minutes(10));
            rule.buffer_after = Some(minutes(5));
        }
    })
    .await;
    let day = days_ahead(&world, 2);
    let times = |list: &[(i8, i8)]| -> Vec<Timestamp> {
        list.iter().map(|(hour, minute)| at(day, *hour, *minute)).collect()
    };
    let spaced = times(&[(9, 10), (9, 55), (10, 40), (11, 25)]);
    assert_eq!(free(&world, &doctor, day, day).await, spaced);
    // Takes 09:45 to 10:30.
    let booked = book(&asha, &doctor, spaced[1]).await;
    assert_eq!(free(&world, &doctor, day, day).await, [spaced[0], spaced[2], spaced[3]]);

    replace(&doctor, |request| {
        request.rules = every_day(9, 11);
        for rule in &mut request.rules {
            rule.slot_length = Some(minutes(15));
        }
    })
    .await;
    let around = times(&[(9, 0), (9, 15), (9, 30), (10, 30), (10, 45)]);
    assert_eq!(free(&world, &doctor, day, day).await, around);
    let other = world.patient().await;
    for taken in times(&[(9, 45), (10, 0), (10, 15)]) {
        let answer = other.client.send(wish(&doctor, taken)).await;
        refused(answer, Code::AlreadyExists, "SLOT_TAKEN");
    }
    asha.client.send(cancelling(&booked)).await.unwrap();
    assert_eq!(free(&world, &doctor, day, day).await.len(), 8);
    book(&other, &doctor, at(day, 10, 0)).await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_free_slot_minds_a_booking_that_has_begun_before() {
    let world = World::start().await;
    let (doctor, asha) = (world.doctor().await, world.patient().await);
    replace(&doctor, |request| request.rules = every_day(0, 24)).await;
    let day = days_ahead(&world, 1);
    book(&asha, &doctor, at(day, 0, 0)).await;
    advance_to(&world, at(day, 1, 0));
    // The first slot, at 02:00, keeps the time from midnight on, which is taken.
    replace(&doctor, |request| {
        request.rules = every_day(0, 24);
        for rule in &mut request.rules {
            rule.buffer_before = Some(minutes(120));
        }
    })
    .await;
    assert_eq!(free(&world, &doctor, day, day).await[0], at(day, 4, 30));
    assert_eq!(next_free(&world, &doctor).await, Some(at(day, 4, 30)));
    world.finish().await;
}

/// Every day at nine, and on Sundays through the hours in which clocks change.
fn around_the_change() -> Vec<WeeklyRule> {
    let mut rules = every_day(9, 10);
    let sunday = rules.iter().find(|rule| rule.day() == DayOfWeek::Sunday).unwrap();
    let [mut early, nine] = [sunday.clone(), sunday.clone()];
    (early.start, early.end) = (every_day(1, 4)[0].start, every_day(1, 4)[0].end);
    assert_eq!(nine.start, every_day(9, 10)[0].start);
    rules.push(early);
    rules
}

#[tokio::test(flavor = "multi_thread")]
async fn the_wall_clock_stays_when_clocks_change() {
    let world = World::start().await;
    let (doctor, asha) = (world.doctor().await, world.patient().await);
    let zone = TimeZone::get("America/New_York").unwrap();
    replace(&doctor, |request| {
        request.time_zone = "America/New_York".to_owned();
        request.rules = around_the_change();
    })
    .await;
    let changes: Vec<_> =
        zone.following(now(&world)).take(2).map(|change| change.timestamp()).collect();
    let mut seen = BTreeSet::new();
    for change in changes {
        // What was an hour on Sunday, and on the Saturdays and Mondays around.
        advance_to(&world, change - 72.hours());
        let sunday = wall(change, &zone).date();
        let found = free(&world, &doctor, sunday - 1.day(), sunday + 1.day()).await;
        let clock = |at: &Timestamp| wall(*at, &zone);
        let nines: Vec<_> = found
            .iter()
            .map(clock)
            .filter(|wall| wall.time() == Time::constant(9, 0, 0, 0))
            .collect();
        let days: Vec<_> = nines.iter().map(|wall| wall.date()).collect();
        assert_eq!(days, [sunday - 1.day(), sunday, sunday + 1.day()]);

        let early: Vec<_> = found
            .iter()
            .copied()
            .filter(|at| clock(at).date() == sunday && clock(at).hour() < 9)
            .collect();
        let hours: Vec<_> = early.iter().map(|at| clock(at).hour()).collect();
        let skipped = hours == [1, 1, 3, 3];
        assert!(skipped || hours == [1, 1, 1, 1, 2, 2, 3, 3], "{hours:?}");
        assert!(early.windows(2).all(|pair| pair[1] == pair[0] + 30.minutes()), "without a gap");
        seen.insert(skipped);
        if !skipped {
            let asha = world.again(&asha).await;
            let twice =
                [book(&asha, &doctor, early[0]).await, book(&asha, &doctor, early[2]).await];
            let times = twice.map(|booked| clock(&instant(booked.start_time)));
            assert_eq!(times[0], times[1], "the same time on the wall, an hour apart");
        }
        skips_nothing_else(&zone, &found, sunday);
    }
    assert_eq!(seen.len(), 2, "one change of each kind");
    world.finish().await;
}

/// The days beside the change have their two slots of the morning.
fn skips_nothing_else(zone: &TimeZone, found: &[Timestamp], sunday: civil::Date) {
    let others = found.iter().filter(|at| wall(**at, zone).date() != sunday);
    assert_eq!(others.count(), 4);
}
