//! Which way a message goes, when, and when it is tried again: decided from facts alone.

use std::time::Duration;

use jiff::civil::{DateTime, Time as WallTime};
use jiff::tz::TimeZone;
use uuid::Uuid;

use crate::kernel::kinds::Time;
use crate::notifications::plan::{Channel, Plan};

/// Attempts before a delivery is given up.
pub const MAX_ATTEMPTS: i32 = 7;

/// Pauses after the first, second … attempt, in seconds: together about five hours.
const PAUSES: [i64; 6] = [10, 60, 5 * 60, 15 * 60, 3_600, 4 * 3_600];
/// No provider is believed that wants to be left alone for longer, in seconds.
const LONGEST_PAUSE: i64 = 24 * 3_600;

/// Times of day at which a person wants to hear only what is urgent, in minutes since midnight. They
/// may pass midnight; the two differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::notifications) struct QuietHours {
    /// First quiet minute.
    pub(in crate::notifications) from: i32,
    /// First minute after.
    pub(in crate::notifications) until: i32,
}

/// How a person can be reached.
#[derive(Debug, Clone, Default)]
pub(in crate::notifications) struct Reach {
    /// There is a mail address.
    pub(in crate::notifications) mail: bool,
    /// There is a phone number.
    pub(in crate::notifications) sms: bool,
    /// Devices with a living session.
    pub(in crate::notifications) devices: Vec<Uuid>,
    /// Channels that the person has closed for this class of messages.
    pub(in crate::notifications) closed: Vec<Channel>,
}

/// One message by one channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::notifications) struct Way {
    /// The channel.
    pub(in crate::notifications) channel: Channel,
    /// The device, of a push message.
    pub(in crate::notifications) device: Option<Uuid>,
}

/// The ways of a message. `has_short`: there is a text for SMS and push.
pub(in crate::notifications) fn ways(plan: &Plan, has_short: bool, reach: &Reach) -> Vec<Way> {
    let is_open = |channel: Channel| plan.class.is_required() || !reach.closed.contains(&channel);
    let mut ways: Vec<Way> = Vec::new();
    let one = |channel| Way { channel, device: None };
    for channel in plan.channels.iter().copied().filter(|channel| is_open(*channel)) {
        match channel {
            Channel::Mail if reach.mail => ways.push(one(Channel::Mail)),
            // Instead of mail, to whoever has none.
            Channel::Mail | Channel::Sms => {
                let is_new = !ways.contains(&one(Channel::Sms));
                if reach.sms && has_short && is_new && is_open(Channel::Sms) {
                    ways.push(one(Channel::Sms));
                }
            }
            Channel::Push if has_short => ways.extend(
                reach.devices.iter().map(|id| Way { channel: Channel::Push, device: Some(*id) }),
            ),
            Channel::Push => {}
        }
    }
    ways
}

/// Whether quiet hours hold back what goes by this channel.
pub(in crate::notifications) fn waits_for_quiet(channel: Channel, urgent: bool) -> bool {
    !urgent && channel != Channel::Mail
}

/// The zone of this name; UTC where this machine does not know it (any more): a message with odd quiet
/// hours is better than none.
pub(in crate::notifications) fn zone(name: &str) -> TimeZone {
    TimeZone::get(name).unwrap_or(TimeZone::UTC)
}

/// The end of the quiet hours that run at this moment; none when none do. One that a change of the
/// clocks leaves out comes as much later; of one that comes twice, the later is the end.
pub(in crate::notifications) fn quiet_until(
    now: Time,
    zone: &TimeZone,
    quiet: QuietHours,
) -> Option<Time> {
    let local = now.timestamp().to_zoned(zone.clone());
    let minute = i32::from(local.hour()) * 60 + i32::from(local.minute());
    let QuietHours { from, until } = quiet;
    let over_midnight = from > until;
    let is_quiet = if over_midnight {
        minute >= from || minute < until
    } else {
        (from..until).contains(&minute)
    };
    if !is_quiet {
        return None;
    }
    let tomorrow = over_midnight && minute >= from;
    let day = if tomorrow { local.date().tomorrow().ok()? } else { local.date() };
    let (hour, minute) = (i8::try_from(until / 60).ok()?, i8::try_from(until % 60).ok()?);
    let end = DateTime::from_parts(day, WallTime::new(hour, minute, 0, 0).ok()?);
    zone.to_ambiguous_timestamp(end).later().ok().map(Time::from)
}

/// How long to wait after a failed attempt, in seconds; none when it was the last.
pub(in crate::notifications) fn pause_after(
    attempt: i32,
    retry_after: Option<Duration>,
) -> Option<i64> {
    if attempt >= MAX_ATTEMPTS {
        return None;
    }
    let wanted =
        retry_after.map_or(0, |wanted| i64::try_from(wanted.as_secs()).unwrap_or(i64::MAX));
    let index = usize::try_from(attempt.saturating_sub(1)).unwrap_or(0);
    let own = PAUSES.get(index).copied().unwrap_or(LONGEST_PAUSE);
    Some(own.max(wanted.min(LONGEST_PAUSE)))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::notifications::plan::Class;

    const ALL: Plan =
        Plan { class: Class::Record, channels: &Channel::ALL, inbox: true, urgent: false };
    const BY_MAIL: Plan = Plan { channels: &[Channel::Mail], ..ALL };

    fn reach() -> Reach {
        Reach { mail: true, sms: true, devices: vec![Uuid::from_u128(1)], closed: vec![] }
    }

    fn channels(plan: &Plan, reach: &Reach) -> Vec<Channel> {
        ways(plan, true, reach).into_iter().map(|way| way.channel).collect()
    }

    #[test]
    fn a_zone_that_nobody_knows_is_utc() {
        assert_eq!(zone("Mars/Olympus"), TimeZone::UTC);
        assert_ne!(zone("Asia/Kolkata"), TimeZone::UTC);
    }

    #[test]
    fn a_message_goes_by_every_way_that_a_person_has() {
        assert_eq!(channels(&ALL, &reach()), Channel::ALL);
        assert_eq!(
            channels(&ALL, &Reach { sms: false, ..reach() }),
            [Channel::Mail, Channel::Push]
        );
        let two = vec![Uuid::from_u128(1), Uuid::from_u128(2)];
        let push = [Channel::Mail, Channel::Push, Channel::Push];
        assert_eq!(channels(&ALL, &Reach { sms: false, devices: two, ..reach() }), push);
        assert_eq!(ways(&ALL, false, &reach()).len(), 1, "without a short text there is the mail");
    }

    #[test]
    fn who_has_no_address_gets_one_text_message() {
        let without = Reach { mail: false, ..reach() };
        assert_eq!(channels(&BY_MAIL, &without), [Channel::Sms]);
        assert_eq!(channels(&ALL, &without), [Channel::Sms, Channel::Push]);
        assert_eq!(channels(&BY_MAIL, &Reach { sms: false, ..without }), []);
    }

    #[test]
    fn what_is_switched_off_stays_away_where_it_may() {
        let no_mail = Reach { closed: vec![Channel::Mail], ..reach() };
        assert_eq!(channels(&ALL, &no_mail), [Channel::Sms, Channel::Push]);
        assert_eq!(channels(&BY_MAIL, &no_mail), [], "no text message takes its place");
        let no_sms = Reach { mail: false, closed: vec![Channel::Sms], ..reach() };
        assert_eq!(channels(&BY_MAIL, &no_sms), []);
        let required = Plan { class: Class::Booking, ..BY_MAIL };
        assert_eq!(channels(&required, &no_mail), [Channel::Mail]);
    }

    fn at(text: &str) -> Time {
        text.parse::<jiff::Timestamp>().unwrap().into()
    }

    fn until(now: &str, zone: &str, from: i32, until: i32) -> Option<String> {
        let zone = TimeZone::get(zone).unwrap();
        let end = quiet_until(at(now), &zone, QuietHours { from: from * 60, until: until * 60 });
        end.map(|end| end.timestamp().to_string())
    }

    #[test]
    fn quiet_hours_may_pass_midnight() {
        let night = |now| until(now, "Asia/Kolkata", 22, 7);
        let end = Some("2026-11-22T01:30:00Z".to_owned());
        assert_eq!(night("2026-11-21T16:29:59Z"), None);
        assert_eq!(night("2026-11-21T16:30:00Z"), end, "from 22:00");
        assert_eq!(night("2026-11-21T18:30:00Z"), end, "at midnight");
        assert_eq!(night("2026-11-22T01:29:59Z"), end);
        assert_eq!(night("2026-11-22T01:30:00Z"), None, "until 7:00");
        let noon = |now| until(now, "Asia/Kolkata", 12, 14);
        assert_eq!(noon("2026-11-21T06:30:00Z"), Some("2026-11-21T08:30:00Z".to_owned()));
        assert_eq!(noon("2026-11-21T08:30:00Z"), None);
    }

    #[test]
    fn quiet_hours_follow_the_clocks_of_the_zone() {
        // 2026-03-29 02:00 becomes 03:00 in Berlin, 2026-10-25 03:00 becomes 02:00.
        let berlin = |now, from, to| until(now, "Europe/Berlin", from, to);
        let spring = "2026-03-28T22:00:00Z";
        assert_eq!(berlin(spring, 22, 7), Some("2026-03-29T05:00:00Z".to_owned()));
        let autumn = "2026-10-24T21:00:00Z";
        assert_eq!(berlin(autumn, 22, 7), Some("2026-10-25T06:00:00Z".to_owned()));
        // 02:30 is left out in spring and comes twice in autumn.
        let half = |now: &str| {
            let zone = TimeZone::get("Europe/Berlin").unwrap();
            quiet_until(at(now), &zone, QuietHours { from: 22 * 60, until: 150 })
                .map(|end| end.timestamp().to_string())
        };
        assert_eq!(half(spring), Some("2026-03-29T01:30:00Z".to_owned()));
        assert_eq!(half(autumn), Some("2026-10-25T01:30:00Z".to_owned()));
        assert_eq!(half("2026-10-25T00:45:00Z"), None, "02:45 for the first time");
        assert_eq!(half("2026-10-25T01:15:00Z"), Some("2026-10-25T01:30:00Z".to_owned()));
    }

    #[test]
    fn only_sms_and_push_wait_for_the_morning() {
        assert!(waits_for_quiet(Channel::Sms, false) && waits_for_quiet(Channel::Push, false));
        assert!(!waits_for_quiet(Channel::Mail, false) && !waits_for_quiet(Channel::Push, true));
    }

    #[test]
    fn a_provider_is_left_alone_for_longer_each_time_and_as_long_as_it_wants() {
        let pauses: Vec<_> = (1..=7).map(|attempt| pause_after(attempt, None)).collect();
        let own = PAUSES.map(Some);
        assert_eq!((&pauses[..6], pauses[6]), (&own[..], None));
        assert_eq!(pause_after(1, Some(Duration::from_mins(2))), Some(120));
        assert_eq!(pause_after(2, Some(Duration::from_secs(1))), Some(60));
        assert_eq!(pause_after(1, Some(Duration::MAX)), Some(LONGEST_PAUSE));
    }
}
