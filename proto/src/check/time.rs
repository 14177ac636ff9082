//! Checks of `google.protobuf.Timestamp` and `google.protobuf.Duration`.

use prost_types::{Duration, Timestamp};

use super::{Bound, RangeRules, Report};

/// 0001-01-01T00:00:00Z and 9999-12-31T23:59:59Z, the range that the type itself documents.
const TIMESTAMP_SECONDS: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;
/// 10,000 years, the range that the type itself documents.
const MAX_DURATION_SECONDS: i64 = 315_576_000_000;
/// A second holds this many nanoseconds and one more.
const MAX_NANOS: i32 = 999_999_999;

/// Seconds and nanoseconds of one sign, which therefore compare like the duration.
impl Bound for (i64, i32) {
    const RULES: [&'static str; 4] = ["duration.gt", "duration.gte", "duration.lt", "duration.lte"];

    fn shown(self) -> String {
        Duration { seconds: self.0, nanos: self.1 }.to_string()
    }
}

impl Report {
    /// Checks that a timestamp is one.
    pub fn timestamp(&mut self, value: &Timestamp) {
        if !TIMESTAMP_SECONDS.contains(&value.seconds) || !(0..=MAX_NANOS).contains(&value.nanos) {
            self.fault("timestamp.range", "must be a time of the years 0001 to 9999");
        }
    }

    /// Checks that a duration is one, and then its rules.
    pub fn duration(&mut self, value: &Duration, rules: &RangeRules<(i64, i32)>) {
        let in_range = (-MAX_DURATION_SECONDS..=MAX_DURATION_SECONDS).contains(&value.seconds)
            && (-MAX_NANOS..=MAX_NANOS).contains(&value.nanos);
        let one_sign = value.seconds.signum() * i64::from(value.nanos.signum()) >= 0;
        if in_range && one_sign {
            self.range((value.seconds, value.nanos), rules);
        } else {
            self.fault("duration.range", "must be a duration of at most 10,000 years");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::violations;
    use super::*;

    #[test]
    fn timestamps_stay_in_their_years() {
        let broken = |seconds, nanos| {
            !violations(|report| report.timestamp(&Timestamp { seconds, nanos })).is_empty()
        };
        assert!(!broken(*TIMESTAMP_SECONDS.start(), 0));
        assert!(broken(*TIMESTAMP_SECONDS.start() - 1, MAX_NANOS));
        assert!(!broken(*TIMESTAMP_SECONDS.end(), MAX_NANOS));
        assert!(broken(*TIMESTAMP_SECONDS.end() + 1, 0));
        assert!(broken(0, -1));
        assert!(broken(0, MAX_NANOS + 1));
    }

    fn duration(seconds: i64, nanos: i32, rules: RangeRules<(i64, i32)>) -> Vec<&'static str> {
        violations(|report| report.duration(&Duration { seconds, nanos }, &rules))
    }

    #[test]
    fn durations_are_sound() {
        for (seconds, nanos) in [
            (MAX_DURATION_SECONDS, MAX_NANOS),
            (-MAX_DURATION_SECONDS, -MAX_NANOS),
            (0, -1),
            (0, 1),
        ] {
            assert!(duration(seconds, nanos, RangeRules::NONE).is_empty());
        }
        for (seconds, nanos) in [
            (MAX_DURATION_SECONDS + 1, 0),
            (i64::MIN, 0),
            (1, -1),
            (-1, 1),
            (0, MAX_NANOS + 1),
            (0, i32::MIN),
        ] {
            assert_eq!(duration(seconds, nanos, RangeRules::NONE), ["duration.range"]);
        }
    }

    #[test]
    fn durations_have_limits() {
        let rules =
            RangeRules { gt: Some((0, 0)), lte: Some((1, 500_000_000)), ..RangeRules::NONE };
        assert_eq!(duration(0, 0, rules), ["duration.gt"]);
        assert_eq!(duration(0, -1, rules), ["duration.gt"]);
        assert!(duration(0, 1, rules).is_empty());
        assert!(duration(1, 500_000_000, rules).is_empty());
        assert_eq!(duration(1, 500_000_001, rules), ["duration.lte"]);
    }
}
