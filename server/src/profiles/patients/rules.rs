//! What may stand in a patient's record.

use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

use clinicd_proto::r#type::v1 as types;

use crate::kernel::error::{Error, Result};
use crate::kernel::kinds::Day;

/// Zone of a patient who has named none.
pub(super) const DEFAULT_ZONE: &str = "Asia/Kolkata";
/// Nobody has lived longer, in years.
const OLDEST: i16 = 130;

/// A day of birth, judged by the calendar of the patient's zone.
pub(super) fn birth_date(date: types::Date, now: Timestamp, zone: &str) -> Result<Day> {
    let refused = |remedy: String| Err(Error::field("birth_date", remedy));
    let Ok(day) = Day::try_from(date) else {
        return refused("must be a day of the calendar".to_owned());
    };
    let today = now.to_zoned(TimeZone::get(zone).unwrap_or(TimeZone::UTC)).date();
    if day.0 > today {
        return refused("must not be in the future".to_owned());
    }
    if today.checked_sub(OLDEST.years()).is_ok_and(|oldest| day.0 < oldest) {
        return refused(format!("must not be more than {OLDEST} years ago"));
    }
    Ok(day)
}

/// The zone's name as IANA writes it; the default when it is empty.
pub(super) fn time_zone(name: &str) -> Result<String> {
    if name.is_empty() {
        return Ok(DEFAULT_ZONE.to_owned());
    }
    let zone = TimeZone::get(name).ok();
    let name = zone.as_ref().and_then(TimeZone::iana_name);
    name.map(str::to_owned)
        .ok_or_else(|| Error::field("time_zone", "must be an IANA time zone, such as Asia/Kolkata"))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn births_lie_between_130_years_ago_and_today() {
        let now: Timestamp = "2026-11-20T20:00:00Z".parse().unwrap();
        let born = |year, month, day, zone| {
            birth_date(types::Date { year, month, day }, now, zone).is_ok()
        };
        assert!(born(2026, 11, 20, "UTC") && !born(2026, 11, 21, "UTC"));
        assert!(born(2026, 11, 21, "Asia/Kolkata"), "it is tomorrow there already");
        assert!(born(1896, 11, 20, "UTC") && !born(1896, 11, 19, "UTC"));
        assert!(!born(2025, 2, 29, "UTC") && born(2024, 2, 29, "UTC"));
    }

    #[test]
    fn zones_are_iana_names() {
        assert_eq!(time_zone("asia/kolkata").unwrap(), "Asia/Kolkata");
        assert_eq!(time_zone("Europe/Berlin").unwrap(), "Europe/Berlin");
        assert_eq!(time_zone("").unwrap(), DEFAULT_ZONE);
        for bad in ["Mars/Olympus", "+05:30", "IST-5:30", "Asia/Kolkata\0", "../etc/passwd", " "] {
            assert!(time_zone(bad).is_err(), "{bad}");
        }
    }
}
