//! Weekly rules between the wire and [`Schedule`].

use jiff::civil::Weekday;
use jiff::tz::TimeZone;

use clinicd_proto::appointments::v1 as pb;
use clinicd_proto::r#type::v1 as types;

use super::rows::ScheduleRow;
use super::rules::{self, Schedule, WeeklyRule};
use crate::kernel::error::{Faults, Result};
use crate::kernel::kinds::{ConsultationMode, Day};

/// Reads the wanted schedule, or names every fault at once.
pub(super) fn read(request: &pb::ReplaceWeeklyRulesRequest) -> Result<Schedule> {
    let mut faults = Faults::default();
    let zone = TimeZone::get(&request.time_zone).unwrap_or_else(|_| {
        faults.field("time_zone", "must be an IANA zone, such as Asia/Kolkata");
        TimeZone::UTC
    });
    let lead_minutes = minutes(request.lead_time).unwrap_or_else(|| {
        faults.field("lead_time", "must be in whole minutes");
        0
    });
    let horizon_days = match request.horizon {
        None => rules::DEFAULT_HORIZON_DAYS,
        Some(horizon) if horizon.seconds % 86_400 == 0 && horizon.nanos == 0 => {
            i32::try_from(horizon.seconds / 86_400).unwrap_or(rules::DEFAULT_HORIZON_DAYS)
        }
        Some(_) => {
            faults.field("horizon", "must be in whole days");
            rules::DEFAULT_HORIZON_DAYS
        }
    };
    let mut rules: Vec<WeeklyRule> = Vec::with_capacity(request.rules.len());
    for (index, rule) in request.rules.iter().enumerate() {
        if let Some(rule) = read_rule(&format!("rules[{index}]"), rule, &mut faults) {
            if rules.iter().any(|other| overlap(other, &rule)) {
                faults
                    .field(format!("rules[{index}]"), "must not overlap another rule of that day");
            }
            rules.push(rule);
        }
    }
    faults.check()?;
    Ok(Schedule { zone, lead_minutes, horizon_days, rules })
}

fn read_rule(path: &str, rule: &pb::WeeklyRule, faults: &mut Faults) -> Option<WeeklyRule> {
    let before = faults.count();
    let mut part = |name: &str, value: Option<i32>, remedy| {
        value.unwrap_or_else(|| {
            faults.field(format!("{path}.{name}"), remedy);
            0
        })
    };
    let of_day = "must be from 00:00 to 24:00";
    let whole = "must be in whole minutes";
    let start_minute = part("start", minute_of_day(rule.start), of_day);
    let end_minute = part("end", minute_of_day(rule.end), of_day);
    let slot_minutes = part("slot_length", minutes(rule.slot_length), whole);
    let buffer_before_minutes = part("buffer_before", minutes(rule.buffer_before), whole);
    let buffer_after_minutes = part("buffer_after", minutes(rule.buffer_after), whole);
    let weekday =
        i8::try_from(rule.day).ok().and_then(|day| Weekday::from_monday_one_offset(day).ok());
    let valid_from = read_day(rule.valid_from, &format!("{path}.valid_from"), faults);
    let valid_until = read_day(rule.valid_until, &format!("{path}.valid_until"), faults);
    if faults.count() > before {
        return None;
    }
    if end_minute <= start_minute {
        faults.field(format!("{path}.end"), "must be after start");
    } else if buffer_before_minutes + slot_minutes + buffer_after_minutes
        > end_minute - start_minute
    {
        faults.field(
            format!("{path}.slot_length"),
            "must fit between start and end with its buffers",
        );
    }
    if valid_from.zip(valid_until).is_some_and(|(from, until)| until < from) {
        faults.field(format!("{path}.valid_until"), "must not be before valid_from");
    }
    if faults.count() > before {
        return None;
    }
    Some(WeeklyRule {
        weekday: weekday?,
        start_minute,
        end_minute,
        slot_minutes,
        buffer_before_minutes,
        buffer_after_minutes,
        modes: rule.modes.iter().filter_map(|mode| ConsultationMode::from_wire(*mode)).collect(),
        valid_from,
        valid_until,
    })
}

fn read_day(
    date: Option<types::Date>,
    path: &str,
    faults: &mut Faults,
) -> Option<jiff::civil::Date> {
    let day = Day::try_from(date?);
    if day.is_err() {
        faults.field(path, "must be a day of the calendar");
    }
    day.ok().map(|day| day.0)
}

/// Whether two rules claim the same minute of the same day.
fn overlap(one: &WeeklyRule, other: &WeeklyRule) -> bool {
    let starts = one.valid_from.max(other.valid_from);
    let ends = [one.valid_until, other.valid_until].into_iter().flatten().min();
    one.weekday == other.weekday
        && one.start_minute < other.end_minute
        && other.start_minute < one.end_minute
        && starts.zip(ends).is_none_or(|(start, end)| start <= end)
}

fn minute_of_day(time: Option<types::TimeOfDay>) -> Option<i32> {
    let time = time?;
    let minute = time.hours.checked_mul(60)?.checked_add(time.minutes)?;
    (0..=1_440).contains(&minute).then_some(minute)
}

/// Whole minutes; nothing is zero.
fn minutes(duration: Option<prost_types::Duration>) -> Option<i32> {
    let duration = duration.unwrap_or_default();
    let whole = duration.nanos == 0 && duration.seconds % 60 == 0;
    if whole { i32::try_from(duration.seconds / 60).ok() } else { None }
}

/// The schedule as the wire shows it.
pub(super) fn to_wire(row: ScheduleRow, schedule: &Schedule) -> pb::Schedule {
    pb::Schedule {
        doctor_id: row.doctor_id.to_string(),
        create_time: Some(row.created_at.into()),
        update_time: Some(row.updated_at.into()),
        etag: row.version.to_string(),
        time_zone: row.time_zone,
        lead_time: Some(of_minutes(row.lead_minutes)),
        horizon: Some(of_minutes(row.horizon_days.saturating_mul(1_440))),
        rules: schedule.rules.iter().map(rule_to_wire).collect(),
    }
}

fn rule_to_wire(rule: &WeeklyRule) -> pb::WeeklyRule {
    let of_day = |minute: i32| types::TimeOfDay { hours: minute / 60, minutes: minute % 60 };
    pb::WeeklyRule {
        day: i32::from(rule.weekday.to_monday_one_offset()),
        start: Some(of_day(rule.start_minute)),
        end: Some(of_day(rule.end_minute)),
        slot_length: Some(of_minutes(rule.slot_minutes)),
        buffer_before: Some(of_minutes(rule.buffer_before_minutes)),
        buffer_after: Some(of_minutes(rule.buffer_after_minutes)),
        modes: rule.modes.iter().map(|mode| i32::from(*mode)).collect(),
        valid_from: rule.valid_from.map(|day| Day(day).into()),
        valid_until: rule.valid_until.map(|day| Day(day).into()),
    }
}

fn of_minutes(minutes: i32) -> prost_types::Duration {
    prost_types::Duration { seconds: i64::from(minutes) * 60, nanos: 0 }
}
