//! Where on earth it is the time for greetings.

use std::collections::BTreeMap;
use std::ops::Range;

use jiff::civil::{Date, Time as WallTime};
use jiff::tz::{self, TimeZone};
use serde::{Deserialize, Serialize};

use crate::kernel::kinds::Time;
use crate::kernel::locale::NoticeKind;

/// Hours of the recipient's day at which a greeting is written: at the first, or later when the
/// server was down, but not at night.
const HOURS: Range<i8> = 10..22;

/// What people are greeted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Occasion {
    /// A person's birthday; that of 29 February is on the 28th in common years.
    Birthday,
    /// 25 December.
    Christmas,
    /// 31 December.
    NewYear,
}

impl Occasion {
    /// The message.
    pub(in crate::notifications) fn kind(self) -> NoticeKind {
        match self {
            Self::Birthday => NoticeKind::Birthday,
            Self::Christmas => NoticeKind::Christmas,
            Self::NewYear => NoticeKind::NewYear,
        }
    }
}

/// The zones in which a greeting may be written now, by their day and by what their clocks are ahead
/// of UTC, in seconds. Where a clock is put forward or back, the time that it shows counts.
pub(in crate::notifications) fn days(now: Time) -> BTreeMap<(Date, i32), Vec<String>> {
    let mut days: BTreeMap<(Date, i32), Vec<String>> = BTreeMap::new();
    for name in tz::db().available() {
        if let Some(day) = day_in(now, name.as_str()) {
            days.entry(day).or_default().push(name.as_str().to_owned());
        }
    }
    days
}

/// The day in a zone and what its clocks are ahead of UTC, in seconds, while a greeting may be written.
pub(in crate::notifications) fn day_in(now: Time, zone: &str) -> Option<(Date, i32)> {
    let local = now.timestamp().to_zoned(TimeZone::get(zone).ok()?);
    HOURS.contains(&local.hour()).then(|| (local.date(), local.offset().seconds()))
}

/// When it is too late for the greetings of a day.
pub(in crate::notifications) fn evening(day: Date, zone: &str) -> Option<Time> {
    let end = day.to_datetime(WallTime::new(HOURS.end, 0, 0, 0).ok()?);
    TimeZone::get(zone).ok()?.to_ambiguous_timestamp(end).earlier().ok().map(Time::from)
}

/// What is greeted for on a day, wherever it is that day.
pub(in crate::notifications) fn occasions(day: Date) -> Vec<Occasion> {
    let mut occasions = vec![Occasion::Birthday];
    match (day.month(), day.day()) {
        (12, 25) => occasions.push(Occasion::Christmas),
        (12, 31) => occasions.push(Occasion::NewYear),
        _ => {}
    }
    occasions
}

/// The days of the month on which those who are greeted on this day were born.
pub(in crate::notifications) fn birth_days(day: Date) -> Vec<i32> {
    let mut days = vec![i32::from(day.day())];
    if (day.month(), day.day()) == (2, 28) && !day.in_leap_year() {
        days.push(29);
    }
    days
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use jiff::civil::date;

    fn days_at(text: &str) -> BTreeMap<(Date, i32), Vec<String>> {
        days(text.parse::<jiff::Timestamp>().unwrap().into())
    }

    fn is_time(text: &str, zone: &str, day: Date) -> bool {
        let mut days = days_at(text).into_iter().filter(|((date, _), _)| *date == day);
        days.any(|(_, zones)| zones.iter().any(|name| name == zone))
    }

    #[test]
    fn it_is_time_from_ten_to_ten_by_the_clock_of_the_zone() {
        let day = date(2026, 12, 25);
        assert!(!is_time("2026-12-25T04:29:59Z", "Asia/Kolkata", day));
        assert!(is_time("2026-12-25T04:30:00Z", "Asia/Kolkata", day));
        assert!(is_time("2026-12-25T16:29:59Z", "Asia/Kolkata", day));
        assert!(!is_time("2026-12-25T16:30:00Z", "Asia/Kolkata", day));
    }

    #[test]
    fn a_day_is_not_the_same_day_everywhere() {
        // 10:00 on the first island, and 23 hours later... the last one has not begun the day.
        assert!(is_time("2026-12-24T20:00:00Z", "Pacific/Kiritimati", date(2026, 12, 25)));
        assert!(!is_time("2026-12-24T20:00:00Z", "Pacific/Pago_Pago", date(2026, 12, 25)));
        assert!(is_time("2026-12-24T21:00:00Z", "Pacific/Pago_Pago", date(2026, 12, 24)));
        assert!(is_time("2026-12-25T21:00:00Z", "Pacific/Pago_Pago", date(2026, 12, 25)));
    }

    #[test]
    fn where_clocks_change_the_shown_time_counts() {
        // 2027-03-14: New York goes from 02:00 to 03:00, so that 10:00 comes after nine hours.
        let day = date(2027, 3, 14);
        assert!(!is_time("2027-03-14T13:59:59Z", "America/New_York", day));
        assert!(is_time("2027-03-14T14:00:00Z", "America/New_York", day));
        assert!(!is_time("2027-03-13T14:59:59Z", "America/New_York", date(2027, 3, 13)));
    }

    #[test]
    fn greetings_end_in_the_evening() {
        let evening =
            |zone| evening(date(2026, 12, 25), zone).map(|end| end.timestamp().to_string());
        assert_eq!(evening("Asia/Kolkata"), Some("2026-12-25T16:30:00Z".to_owned()));
        assert_eq!(evening("Pacific/Pago_Pago"), Some("2026-12-26T09:00:00Z".to_owned()));
        assert_eq!(evening("Nowhere/At_All"), None);
    }

    #[test]
    fn zones_whose_clocks_agree_are_looked_at_together() {
        let days = days_at("2026-12-25T06:00:00Z");
        let kolkata = &days[&(date(2026, 12, 25), 19_800)];
        assert!(kolkata.iter().any(|zone| zone == "Asia/Colombo"), "{kolkata:?}");
        assert!(days.len() < 40, "{}", days.len());
    }

    #[test]
    fn every_zone_is_known() {
        let known: usize = ["2026-06-01T00:00:00Z", "2026-06-01T12:00:00Z"]
            .map(|now| days_at(now).values().map(Vec::len).sum())
            .iter()
            .sum();
        assert!(known > 400, "{known}");
    }

    #[test]
    fn who_was_born_on_29_february_is_greeted_every_year() {
        assert_eq!(birth_days(date(2027, 2, 28)), [28, 29]);
        assert_eq!(birth_days(date(2028, 2, 28)), [28]);
        assert_eq!(birth_days(date(2028, 2, 29)), [29]);
        assert_eq!(birth_days(date(2027, 3, 28)), [28]);
        // 2100 is no leap year.
        assert_eq!(birth_days(date(2100, 2, 28)), [28, 29]);
    }

    #[test]
    fn feasts_have_their_days() {
        use Occasion::{Birthday, Christmas, NewYear};
        assert_eq!(occasions(date(2026, 12, 24)), [Birthday]);
        assert_eq!(occasions(date(2026, 12, 25)), [Birthday, Christmas]);
        assert_eq!(occasions(date(2026, 12, 31)), [Birthday, NewYear]);
        assert_eq!(occasions(date(2027, 1, 1)), [Birthday]);
    }
}
