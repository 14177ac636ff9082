//! Times of the seeded clinic. Every schedule is in Asia/Kolkata, which has had no clock change
//! since 1945, so its wall clock is plain arithmetic.

use jiff::Timestamp;

use crate::Result;

/// The zone of all schedules.
pub const ZONE: &str = "Asia/Kolkata";
/// Seconds of a day.
pub const DAY: i64 = 86_400;
/// Its offset from UTC, in seconds.
const OFFSET: i64 = 19_800;

/// When the clinic is seeded: to the hour, so that two runs give the same rows.
#[derive(Debug, Clone, Copy)]
pub struct Calendar {
    /// Now, in Unix seconds.
    pub now: i64,
    /// Monday, midnight, of this week.
    pub monday: i64,
}

impl Calendar {
    /// The calendar of an instant in Unix seconds.
    #[must_use]
    pub fn at(unix_seconds: i64) -> Self {
        let day = (unix_seconds + OFFSET).div_euclid(DAY);
        // The first day of 1970 was a Thursday.
        let monday = (day - (day + 3).rem_euclid(7)) * DAY - OFFSET;
        Self { now: unix_seconds - unix_seconds.rem_euclid(3_600), monday }
    }

    /// The day of the schedules' zone, some days from today, as year, month and day.
    pub fn day(self, from_today: i64) -> Result<jiff::civil::Date> {
        let local = Timestamp::from_second(self.now + OFFSET + from_today * DAY)?;
        Ok(local.to_zoned(jiff::tz::TimeZone::UTC).date())
    }
}

/// An instant as PostgreSQL reads it.
pub fn instant(unix_seconds: i64) -> Result<Timestamp> {
    Ok(Timestamp::from_second(unix_seconds)?)
}

/// Working hours on one day of the week.
#[derive(Debug, Clone, Copy)]
pub struct Hours {
    /// 0 is Monday.
    pub weekday: i64,
    /// First minute, from midnight.
    pub from: i64,
    /// First minute after work.
    pub until: i64,
}

/// How a doctor works.
#[derive(Debug, Clone)]
pub struct Pattern {
    /// The hours of a week.
    pub hours: Vec<Hours>,
    /// Minutes of a slot.
    pub slot: i64,
    /// Minutes kept free before each slot.
    pub before: i64,
    /// Minutes kept free after each slot.
    pub after: i64,
    /// The modes, as an array of PostgreSQL.
    pub modes: &'static str,
}

impl Pattern {
    /// The patterns that doctors have in turn.
    #[must_use]
    pub fn all() -> [Self; 3] {
        let week = |days: &[i64], spans: &[(i64, i64)]| {
            let of_day = |weekday: i64| {
                spans.iter().map(move |(from, until)| Hours {
                    weekday,
                    from: from * 60,
                    until: until * 60,
                })
            };
            days.iter().flat_map(|day| of_day(*day).collect::<Vec<_>>()).collect()
        };
        let halves = week(&[0, 1, 2, 3, 4], &[(9, 13), (14, 17)]);
        let mornings = week(&[0, 1, 2, 3, 4, 5], &[(9, 14)]);
        let whole = week(&[0, 2, 4], &[(9, 17)]);
        [
            Self { hours: halves, slot: 30, before: 0, after: 0, modes: "{in_person,video}" },
            Self { hours: mornings, slot: 20, before: 0, after: 5, modes: "{in_person,video}" },
            Self { hours: whole, slot: 15, before: 0, after: 0, modes: "{in_person,video,phone}" },
        ]
    }

    /// The starts of the slots of a week, in minutes from Monday, midnight.
    #[must_use]
    pub fn starts(&self) -> Vec<i64> {
        let step = usize::try_from(self.before + self.slot + self.after).unwrap_or(1);
        let of = |hours: &Hours| {
            let last = hours.until - self.slot - self.after;
            let day = hours.weekday * 24 * 60;
            (hours.from + self.before..=last).step_by(step).map(move |minute| day + minute)
        };
        self.hours.iter().flat_map(of).collect()
    }
}
