#![expect(clippy::unwrap_used, reason = "tests")]

use jiff::civil::date;

use super::*;

fn schedule(zone: &str, rules: Vec<WeeklyRule>) -> Schedule {
    let zone = TimeZone::get(zone).unwrap();
    Schedule { zone, lead_minutes: 0, horizon_days: 60, rules }
}

fn rule(weekday: Weekday, from: i32, to: i32, slot: i32) -> WeeklyRule {
    WeeklyRule {
        weekday,
        start_minute: from,
        end_minute: to,
        slot_minutes: slot,
        buffer_before_minutes: 0,
        buffer_after_minutes: 0,
        modes: vec![ConsultationMode::InPerson],
        valid_from: None,
        valid_until: None,
    }
}

fn starts(schedule: &Schedule, day: Date) -> Vec<String> {
    schedule.slots_on(day, None).iter().map(|slot| slot.start.timestamp().to_string()).collect()
}

fn time(text: &str) -> Time {
    text.parse::<Timestamp>().unwrap().into()
}

#[test]
fn slots_are_meant_in_the_zone() {
    let kolkata = schedule("Asia/Kolkata", vec![rule(Weekday::Monday, 600, 660, 30)]);
    let monday = date(2026, 11, 23);
    assert_eq!(starts(&kolkata, monday), ["2026-11-23T04:30:00Z", "2026-11-23T05:00:00Z"]);
    assert!(starts(&kolkata, date(2026, 11, 24)).is_empty());
}

#[test]
fn a_skipped_hour_has_no_slots_and_the_wall_clock_stays() {
    // New York, 8 March 2026: 02:00 becomes 03:00.
    let new_york = schedule("America/New_York", vec![rule(Weekday::Sunday, 60, 240, 30)]);
    let found = starts(&new_york, date(2026, 3, 8));
    assert_eq!(
        found,
        [
            "2026-03-08T06:00:00Z",
            "2026-03-08T06:30:00Z",
            "2026-03-08T07:00:00Z",
            "2026-03-08T07:30:00Z"
        ]
    );
    // The week before, 01:00 was the same instant of the day; 03:00 was an hour later.
    assert_eq!(starts(&new_york, date(2026, 3, 1))[0], "2026-03-01T06:00:00Z");
}

#[test]
fn a_repeated_hour_has_its_slots_twice() {
    // New York, 1 November 2026: 02:00 becomes 01:00.
    let new_york = schedule("America/New_York", vec![rule(Weekday::Sunday, 60, 120, 30)]);
    let found = starts(&new_york, date(2026, 11, 1));
    assert_eq!(
        found,
        [
            "2026-11-01T05:00:00Z",
            "2026-11-01T05:30:00Z",
            "2026-11-01T06:00:00Z",
            "2026-11-01T06:30:00Z"
        ]
    );
}

#[test]
fn a_half_hour_change_repeats_half_an_hour() {
    // Lord Howe, 5 April 2026: 02:00 becomes 01:30.
    let lord_howe = schedule("Australia/Lord_Howe", vec![rule(Weekday::Sunday, 60, 150, 30)]);
    assert_eq!(starts(&lord_howe, date(2026, 4, 5)).len(), 4);
}

#[test]
fn a_day_that_the_zone_left_out_has_no_slots() {
    // Apia went from 29 to 31 December 2011.
    let apia = schedule("Pacific/Apia", vec![rule(Weekday::Friday, 540, 600, 30)]);
    assert!(starts(&apia, date(2011, 12, 30)).is_empty());
}

#[test]
fn a_slot_that_a_skipped_hour_pushes_past_closing_is_none() {
    let new_york = schedule("America/New_York", vec![rule(Weekday::Sunday, 90, 180, 90)]);
    assert!(starts(&new_york, date(2026, 3, 8)).is_empty());
    assert_eq!(starts(&new_york, date(2026, 3, 1)).len(), 1);
}

#[test]
fn working_hours_may_end_at_midnight() {
    let kolkata = schedule("Asia/Kolkata", vec![rule(Weekday::Monday, 1_380, 1_440, 60)]);
    assert_eq!(starts(&kolkata, date(2026, 11, 23)), ["2026-11-23T17:30:00Z"]);
}

#[test]
fn buffers_lie_within_the_hours_and_between_slots() {
    let mut buffered = rule(Weekday::Monday, 600, 700, 30);
    buffered.buffer_before_minutes = 5;
    buffered.buffer_after_minutes = 10;
    let slots = schedule("Asia/Kolkata", vec![buffered]).slots_on(date(2026, 11, 23), None);
    assert_eq!(slots.len(), 2);
    assert_eq!(slots[0].blocks_until, slots[1].blocks_from);
    assert_eq!(slots[0].start, time("2026-11-23T04:35:00Z"));
}

#[test]
fn validity_and_mode_narrow_a_rule() {
    let mut narrow = rule(Weekday::Monday, 600, 660, 30);
    narrow.valid_from = Some(date(2026, 11, 30));
    narrow.valid_until = Some(date(2026, 11, 30));
    let kolkata = schedule("Asia/Kolkata", vec![narrow]);
    assert!(kolkata.slots_on(date(2026, 11, 23), None).is_empty());
    assert_eq!(kolkata.slots_on(date(2026, 11, 30), None).len(), 2);
    assert!(kolkata.slots_on(date(2026, 12, 7), None).is_empty());
    assert!(kolkata.slots_on(date(2026, 11, 30), Some(ConsultationMode::Video)).is_empty());
}

#[test]
fn taken_past_near_and_far_slots_are_not_free() {
    let mut kolkata = schedule("Asia/Kolkata", vec![rule(Weekday::Monday, 600, 720, 30)]);
    kolkata.lead_minutes = 20;
    kolkata.horizon_days = 5;
    let monday = date(2026, 11, 23);
    let busy = [(time("2026-11-23T05:10:00Z"), time("2026-11-23T05:20:00Z"))];
    let free = |now| -> Vec<Slot> {
        kolkata.free_slots(days(monday, monday), None, &busy, time(now)).collect()
    };
    let from =
        |now| free(now).iter().map(|slot| slot.start.timestamp().to_string()).collect::<Vec<_>>();
    // 04:30 is nearer than the lead time, 05:00 is taken.
    assert_eq!(from("2026-11-23T04:15:00Z"), ["2026-11-23T05:30:00Z", "2026-11-23T06:00:00Z"]);
    assert!(free("2026-11-10T00:00:00Z").is_empty());
    assert_eq!(free("2026-11-19T00:00:00Z").len(), 3);
}

#[test]
fn only_the_table_of_transitions_counts() {
    use AppointmentState::{Booked, Cancelled, Completed, InConsultation};
    for state in [Booked, InConsultation, Completed, Cancelled] {
        for step in [Step::Begin, Step::Complete, Step::Cancel] {
            let expected = match (state, step) {
                (Booked, Step::Begin) => Some(InConsultation),
                (Booked, Step::Cancel) => Some(Cancelled),
                (InConsultation, Step::Complete) => Some(Completed),
                _ => None,
            };
            assert_eq!(after(state, step), expected, "{state:?} {step:?}");
        }
    }
}

#[test]
fn a_patient_cancels_up_to_the_hour() {
    let start = time("2026-11-23T05:00:00Z");
    assert!(patient_may_cancel(start, time("2026-11-22T05:00:00Z"), 24));
    assert!(!patient_may_cancel(start, time("2026-11-22T05:00:01Z"), 24));
}
