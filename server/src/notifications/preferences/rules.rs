//! What may be chosen, and what a choice makes of what was chosen before.

use std::collections::BTreeSet;

use clinicd_proto::notifications::v1 as pb;
use clinicd_proto::r#type::v1::TimeOfDay;

use crate::kernel::error::{Faults, Result};
use crate::kernel::locale::NoticeKind;
use crate::notifications::plan::{Channel, Class, plan};

/// Minutes of a day.
const DAY_MINUTES: i32 = 24 * 60;

/// What an account has chosen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::notifications) struct Chosen {
    /// What is switched off.
    pub(in crate::notifications) closed: BTreeSet<(Class, Channel)>,
    /// Quiet hours: first and last minute of the day, the last one not included.
    pub(in crate::notifications) quiet: Option<(i32, i32)>,
}

/// The channels by which some message of a class goes; SMS where it stands in for mail, too.
pub(in crate::notifications) fn channels_of(class: Class) -> Vec<Channel> {
    let plans = || NoticeKind::ALL.iter().map(|kind| (plan(*kind), kind.has_short()));
    let uses = |channel: &Channel| {
        plans().any(|(plan, has_short)| {
            let stands_in = *channel == Channel::Sms && has_short;
            plan.class == class
                && (plan.channels.contains(channel)
                    || stands_in && plan.channels.contains(&Channel::Mail))
        })
    };
    Channel::ALL.into_iter().filter(uses).collect()
}

/// The choice with the changes of a request, or every fault of it.
pub(in crate::notifications) fn change(
    before: &Chosen,
    request: &pb::UpdatePreferencesRequest,
) -> Result<Chosen> {
    let (mut chosen, mut faults) = (before.clone(), Faults::default());
    let mut named = BTreeSet::new();
    for (at, switch) in request.switches.iter().enumerate() {
        let field = |name: &str| format!("switches[{at}].{name}");
        let Some(class) = Class::from_wire(switch.class) else {
            faults.field(field("class"), "must be a class");
            continue;
        };
        let Some(channel) = Channel::from_wire(switch.channel) else {
            faults.field(field("channel"), "must be a channel");
            continue;
        };
        if !named.insert((class, channel)) {
            faults.field(field("channel"), "must not be named twice for a class");
        } else if !channels_of(class).contains(&channel) {
            faults.field(field("channel"), "must be a channel that this class uses");
        } else if class.is_required() && !switch.enabled {
            faults.field(field("class"), "must be a class that can be switched off");
        } else if switch.enabled {
            chosen.closed.remove(&(class, channel));
        } else {
            chosen.closed.insert((class, channel));
        }
    }
    if request.clear_quiet_hours {
        chosen.quiet = None;
    }
    if let Some(hours) = &request.quiet_hours {
        chosen.quiet = quiet_hours(hours, &mut faults);
        if request.clear_quiet_hours {
            faults.field("clear_quiet_hours", "must not come together with quiet_hours");
        }
    }
    faults.check()?;
    Ok(chosen)
}

fn quiet_hours(hours: &pb::QuietHours, faults: &mut Faults) -> Option<(i32, i32)> {
    let mut minute = |name: &str, time: Option<TimeOfDay>| {
        let minute = time.and_then(minute_of_day);
        if minute.is_none() {
            faults.field(format!("quiet_hours.{name}"), "must be from 00:00 to 24:00");
        }
        minute
    };
    let (start, end) = (minute("start", hours.start), minute("end", hours.end));
    let (start, end) = start.zip(end)?;
    if start == end {
        faults.field("quiet_hours.end", "must be another time than the start");
    }
    Some((start, end))
}

/// Minutes since midnight; 24:00 is the same time as 00:00.
fn minute_of_day(time: TimeOfDay) -> Option<i32> {
    let minute = time.hours.checked_mul(60)?.checked_add(time.minutes)?;
    (0..=DAY_MINUTES).contains(&minute).then_some(minute % DAY_MINUTES)
}

/// Every class with the channels that are open.
pub(in crate::notifications) fn classes(chosen: &Chosen) -> Vec<pb::ClassPreference> {
    let of_class = |class: Class| {
        let open =
            |channel: &Channel| class.is_required() || !chosen.closed.contains(&(class, *channel));
        let channels = channels_of(class).into_iter().filter(open).map(Into::into).collect();
        pb::ClassPreference { class: class.into(), channels, required: class.is_required() }
    };
    Class::ALL.into_iter().map(of_class).collect()
}

/// Quiet hours as the wire shows them.
pub(in crate::notifications) fn quiet_to_wire((start, end): (i32, i32)) -> pb::QuietHours {
    let time = |minute: i32| TimeOfDay { hours: minute / 60, minutes: minute % 60 };
    pb::QuietHours { start: Some(time(start)), end: Some(time(end)) }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::kernel::error::Reason;

    fn switch(class: Class, channel: Channel, enabled: bool) -> pb::PreferenceSwitch {
        pb::PreferenceSwitch { class: class.into(), channel: channel.into(), enabled }
    }

    fn hours(start: (i32, i32), end: (i32, i32)) -> pb::UpdatePreferencesRequest {
        let time = |(hours, minutes)| Some(TimeOfDay { hours, minutes });
        let hours = pb::QuietHours { start: time(start), end: time(end) };
        pb::UpdatePreferencesRequest { quiet_hours: Some(hours), ..Default::default() }
    }

    fn refused(request: &pb::UpdatePreferencesRequest) -> String {
        let error = change(&Chosen::default(), request).unwrap_err();
        assert_eq!(error.reason, Reason::InvalidFields);
        format!("{error:?}")
    }

    #[test]
    fn what_is_optional_is_closed_and_opened() {
        let close = vec![switch(Class::Greeting, Channel::Mail, false)];
        let request = pb::UpdatePreferencesRequest { switches: close, ..Default::default() };
        let chosen = change(&Chosen::default(), &request).unwrap();
        assert_eq!(chosen.closed, [(Class::Greeting, Channel::Mail)].into());
        assert_eq!(change(&chosen, &request).unwrap(), chosen);
        let greeting = classes(&chosen).into_iter().find(|c| c.class == i32::from(Class::Greeting));
        assert!(!greeting.unwrap().channels.contains(&Channel::Mail.into()));
        let open = vec![switch(Class::Greeting, Channel::Mail, true)];
        let request = pb::UpdatePreferencesRequest { switches: open, ..Default::default() };
        assert_eq!(change(&chosen, &request).unwrap(), Chosen::default());
    }

    #[test]
    fn required_classes_stay_open() {
        for class in Class::ALL {
            let switches = vec![switch(class, Channel::Mail, false)];
            let request = pb::UpdatePreferencesRequest { switches, ..Default::default() };
            let changed = change(&Chosen::default(), &request);
            assert_eq!(changed.is_err(), class.is_required(), "{class:?}");
        }
        let closed = [(Class::Security, Channel::Mail)].into();
        let security = classes(&Chosen { closed, quiet: None }).remove(0);
        assert!(security.required && security.channels.contains(&Channel::Mail.into()));
    }

    #[test]
    fn every_fault_is_told_with_its_field() {
        let twice = switch(Class::Greeting, Channel::Mail, false);
        let switches = vec![switch(Class::Account, Channel::Mail, false), twice, twice];
        let request = pb::UpdatePreferencesRequest {
            switches,
            clear_quiet_hours: true,
            ..hours((22, 0), (22, 0))
        };
        let refusal = refused(&request);
        for field in
            ["switches[0].class", "switches[2].channel", "quiet_hours.end", "clear_quiet_hours"]
        {
            assert!(refusal.contains(&format!("\"{field}\"")), "{field} in {refusal}");
        }
        assert!(!refusal.contains("switches[1]"), "{refusal}");
    }

    #[test]
    fn quiet_hours_may_pass_midnight() {
        let quiet = |request| change(&Chosen::default(), &request).unwrap().quiet;
        assert_eq!(quiet(hours((22, 30), (7, 0))), Some((1_350, 420)));
        assert_eq!(quiet(hours((22, 0), (24, 0))), Some((1_320, 0)));
        assert!(refused(&hours((0, 0), (24, 0))).contains("quiet_hours.end"));
        assert!(refused(&hours((24, 1), (7, 0))).contains("quiet_hours.start"));
        let clear = pb::UpdatePreferencesRequest { clear_quiet_hours: true, ..Default::default() };
        let before = Chosen { quiet: Some((1, 2)), ..Chosen::default() };
        assert_eq!(change(&before, &clear).unwrap().quiet, None);
    }
}
