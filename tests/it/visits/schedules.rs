//! Weekly rules: who writes them, what is refused, and what happens to bookings.

use clinicd_sdk::proto::appointments::v1::{
    AppointmentState, GetAppointmentRequest, GetScheduleRequest, ReplaceWeeklyRulesRequest,
    WeeklyRule,
};
use clinicd_sdk::proto::prost_types::Duration;
use clinicd_sdk::proto::r#type::v1::{ConsultationMode, Date, TimeOfDay};
use clinicd_tests::doctors::{ZONE, every_day};
use clinicd_tests::{Code, Person, World, refused};

use super::{NOBODY, at, book, cancelling, days_ahead, free, replacing, schedule_of};

/// Monday from 09:00 to 12:00 in slots of half an hour.
fn monday() -> WeeklyRule {
    every_day(9, 12).remove(0)
}

fn seconds(seconds: i64) -> Duration {
    Duration { seconds, nanos: 0 }
}

fn time(hours: i32, minutes: i32) -> TimeOfDay {
    TimeOfDay { hours, minutes }
}

/// Seen to fail without the version in `PutSchedule`: both replaced it.
#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_is_replaced_by_who_has_read_it() {
    let world = World::start().await;
    let doctor = world.approved_doctor().await;
    let none = schedule_of(&doctor, &doctor).await;
    assert_eq!((none.etag.as_str(), none.rules.len(), none.create_time), ("0", 0, None));
    for etag in ["1", "x", "-1"] {
        let stale = doctor.client.send(replacing(&doctor, etag)).await;
        refused(stale, Code::Aborted, "ETAG_MISMATCH");
    }
    let mut rule = monday();
    rule.buffer_before = Some(seconds(300));
    rule.buffer_after = Some(seconds(0));
    rule.valid_from = Some(Date { year: 2026, month: 1, day: 31 });
    let wanted = ReplaceWeeklyRulesRequest {
        lead_time: Some(seconds(7_200)),
        horizon: Some(seconds(10 * 86_400)),
        time_zone: "asia/kolkata".to_owned(),
        rules: vec![rule],
        ..replacing(&doctor, "0")
    };
    let first = doctor.client.send(wanted.clone()).await.unwrap().schedule.unwrap();
    assert_eq!(first.etag, "1");
    assert_eq!((first.rules.clone(), first.lead_time), (wanted.rules, wanted.lead_time));
    assert_eq!((first.horizon, first.time_zone.as_str()), (wanted.horizon, ZONE));
    assert_eq!(schedule_of(&doctor, &doctor).await, first);

    let requests = [replacing(&doctor, "1"), replacing(&doctor, "1")];
    let [one, two] = requests.map(|request| doctor.client.send(request));
    let (one, two) = tokio::join!(one, two);
    let (won, lost) = if one.is_ok() { (one, two) } else { (two, one) };
    let won = won.unwrap().schedule.unwrap();
    refused(lost, Code::Aborted, "ETAG_MISMATCH");
    assert_eq!((won.etag.as_str(), won.rules.len()), ("2", 0));
    assert_eq!(
        (won.lead_time, won.horizon),
        (Some(seconds(0)), Some(seconds(60 * 86_400))),
        "the defaults"
    );
    assert_eq!(won.create_time, first.create_time);
    let stale = doctor.client.send(replacing(&doctor, "0")).await;
    refused(stale, Code::Aborted, "ETAG_MISMATCH");
    world.finish().await;
}

type Change = fn(&mut ReplaceWeeklyRulesRequest);

/// One fault each, and the fields that have to be named for it.
const FAULTS: [(Change, &[&str]); 16] = [
    (|r| "Mars/Olympus".clone_into(&mut r.time_zone), &["time_zone"]),
    (|r| "Asia/Kolkata\n".clone_into(&mut r.time_zone), &["time_zone"]),
    (|r| r.lead_time = Some(seconds(90)), &["lead_time"]),
    (|r| r.horizon = Some(seconds(86_400 + 3_600)), &["horizon"]),
    (|r| r.horizon = Some(seconds(366 * 86_400)), &["horizon"]),
    (|r| r.rules[0].end = Some(time(8, 0)), &["rules[0].end"]),
    (|r| r.rules[0].end = Some(time(9, 0)), &["rules[0].end"]),
    (|r| r.rules[0].end = Some(time(24, 1)), &["rules[0].end"]),
    (|r| r.rules[0].start = None, &["rules[0].start"]),
    (|r| r.rules[0].slot_length = Some(seconds(4 * 3_600)), &["rules[0].slot_length"]),
    (|r| r.rules[0].slot_length = Some(seconds(330)), &["rules[0].slot_length"]),
    (|r| r.rules[0].slot_length = Some(seconds(240)), &["rules[0].slot_length"]),
    (|r| r.rules[0].buffer_after = Some(seconds(61)), &["rules[0].buffer_after"]),
    (|r| r.rules[0].modes.clear(), &["rules[0].modes"]),
    (
        |r| r.rules[0].valid_from = Some(Date { year: 2027, month: 2, day: 29 }),
        &["rules[0].valid_from"],
    ),
    (|r| r.rules.push(monday()), &["rules[1]"]),
];

#[tokio::test(flavor = "multi_thread")]
async fn every_fault_of_a_schedule_is_named() {
    let world = World::start().await;
    let doctor = world.approved_doctor().await;
    let faulty = |changes: &[Change]| {
        let rules = vec![monday()];
        let mut request = ReplaceWeeklyRulesRequest { rules, ..replacing(&doctor, "0") };
        for change in changes {
            change(&mut request);
        }
        request
    };
    for (change, fields) in FAULTS {
        let request = faulty(&[change]);
        let answer = doctor.client.send(request.clone()).await;
        let refusal = refused(answer, Code::InvalidArgument, "INVALID_FIELDS");
        let named: Vec<_> = refusal.violations.iter().map(|(field, _)| field.as_str()).collect();
        assert_eq!(named, fields, "{request:?}");
    }
    let both_ends = faulty(&[
        |r| "Nowhere".clone_into(&mut r.time_zone),
        |r| r.rules[0].buffer_before = Some(seconds(7_200)),
        |r| r.rules[0].buffer_after = Some(seconds(7_200)),
        |r| r.rules.push(WeeklyRule { end: Some(time(8, 0)), ..monday() }),
    ]);
    let refusal =
        refused(doctor.client.send(both_ends).await, Code::InvalidArgument, "INVALID_FIELDS");
    let named: Vec<_> = refusal.violations.iter().map(|(field, _)| field.as_str()).collect();
    assert_eq!(named, ["time_zone", "rules[0].slot_length", "rules[1].end"]);
    assert_eq!(schedule_of(&doctor, &doctor).await.etag, "0", "nothing was written");

    let day = |day| Some(Date { year: 2027, month: 3, day });
    let side_by_side = vec![
        WeeklyRule { valid_until: day(7), ..monday() },
        WeeklyRule { valid_from: day(8), ..monday() },
        WeeklyRule { start: Some(time(12, 0)), end: Some(time(24, 0)), ..monday() },
        WeeklyRule { day: 2, ..monday() },
    ];
    let request = ReplaceWeeklyRulesRequest { rules: side_by_side, ..replacing(&doctor, "0") };
    doctor.client.send(request).await.unwrap();
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bookings_outside_a_new_schedule_stay_and_are_named() {
    let world = World::start().await;
    let (doctor, asha) = (world.doctor().await, world.patient().await);
    let day = days_ahead(&world, 2);
    let late = book(&asha, &doctor, at(day, 15, 0)).await;
    let early = book(&asha, &doctor, at(day, 9, 0)).await;
    let gone = book(&asha, &doctor, at(day, 16, 0)).await;
    asha.client.send(cancelling(&gone)).await.unwrap();
    let replace = async |rules: Vec<WeeklyRule>| {
        let etag = schedule_of(&doctor, &doctor).await.etag;
        let request = ReplaceWeeklyRulesRequest { rules, ..replacing(&doctor, &etag) };
        doctor.client.send(request).await.unwrap().conflicts
    };
    assert_eq!(replace(every_day(9, 12)).await, std::slice::from_ref(&late));
    assert_eq!(free(&world, &doctor, day, day).await.len(), 5, "09:00 is taken");
    let mut by_video = every_day(9, 17);
    for rule in &mut by_video {
        rule.modes = vec![ConsultationMode::Video.into()];
    }
    assert_eq!(replace(by_video).await, [early.clone(), late.clone()]);
    let mut by_the_hour = every_day(9, 17);
    for rule in &mut by_the_hour {
        rule.slot_length = Some(seconds(3_600));
    }
    assert_eq!(replace(by_the_hour).await.len(), 2, "they no longer end when a slot ends");
    assert_eq!(replace(Vec::new()).await.len(), 2);
    assert!(free(&world, &doctor, day, day).await.is_empty());
    assert!(replace(every_day(9, 17)).await.is_empty());
    for booked in [early, late] {
        let request = GetAppointmentRequest { appointment_id: booked.id.clone() };
        let still = asha.client.send(request).await.unwrap().appointment.unwrap();
        assert_eq!(still, booked);
        assert_eq!(still.state(), AppointmentState::Booked);
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_is_managed_by_its_doctor_and_staff_alone() {
    let world = World::start().await;
    let (doctor, other, asha) =
        (world.doctor().await, world.approved_doctor().await, world.patient().await);
    let get = |id: &str| GetScheduleRequest { doctor_id: id.to_owned() };
    let replace = |id: &str| ReplaceWeeklyRulesRequest {
        doctor_id: id.to_owned(),
        time_zone: "Mars/Olympus".to_owned(),
        ..replacing(&doctor, "1")
    };
    let denied = async |who: &Person, id: &str, code, reason: &str| {
        refused(who.client.send(get(id)).await, code, reason);
        // To those who may not know of it, not even its faults are told.
        refused(who.client.send(replace(id)).await, code, reason);
    };
    denied(&other, &doctor.id, Code::NotFound, "NOT_FOUND").await;
    denied(&asha, &doctor.id, Code::PermissionDenied, "ROLE_REQUIRED").await;
    let operator = world.operator().await;
    for staff in [&operator, &world.admin().await] {
        denied(staff, NOBODY, Code::NotFound, "NOT_FOUND").await;
        denied(staff, &asha.id, Code::NotFound, "NOT_FOUND").await;
        let etag = schedule_of(staff, &doctor).await.etag;
        let request =
            ReplaceWeeklyRulesRequest { rules: every_day(9, 12), ..replacing(&doctor, &etag) };
        staff.client.send(request).await.unwrap();
    }
    world.finish().await;
}
