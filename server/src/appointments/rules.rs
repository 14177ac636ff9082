//! Pure decisions: which slots a schedule gives, which step a state allows.

use jiff::civil::{Date, DateTime, Weekday};
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{SignedDuration, Timestamp};

use super::rows::AppointmentState;
use crate::kernel::kinds::{ConsultationMode, Time};

/// How long before its start a visit may be begun.
pub const BEGIN_EARLY_SECONDS: i64 = 30 * 60;
/// Most days that one call lists slots of.
pub const MAX_DAYS: i32 = 60;
/// Booking horizon of a schedule that names none.
pub const DEFAULT_HORIZON_DAYS: i32 = 60;

/// Working hours that come back every week. Minutes count from midnight of the wall clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WeeklyRule {
    /// The day.
    pub weekday: Weekday,
    /// First minute of work.
    pub start_minute: i32,
    /// First minute after work, up to 1,440.
    pub end_minute: i32,
    /// Length of a slot.
    pub slot_minutes: i32,
    /// Kept free before each slot.
    pub buffer_before_minutes: i32,
    /// Kept free after each slot.
    pub buffer_after_minutes: i32,
    /// The modes offered.
    pub modes: Vec<ConsultationMode>,
    /// First day on which the rule holds.
    pub valid_from: Option<Date>,
    /// Last day on which it holds.
    pub valid_until: Option<Date>,
}

/// A schedule, ready to compute with.
#[derive(Debug, Clone)]
pub struct Schedule {
    /// The zone of its wall clock.
    pub zone: TimeZone,
    /// How long before its start a slot can last be booked.
    pub lead_minutes: i32,
    /// How far ahead slots can be booked.
    pub horizon_days: i32,
    /// The rules.
    pub rules: Vec<WeeklyRule>,
}

/// A slot: the visit itself, and the doctor's time that it takes with its buffers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Slot {
    /// Start of the visit.
    pub start: Time,
    /// End of the visit.
    pub end: Time,
    /// Start of the time that is kept.
    pub blocks_from: Time,
    /// End of the time that is kept.
    pub blocks_until: Time,
}

/// Time that a live appointment takes of its doctor.
pub type Busy = (Time, Time);

impl Schedule {
    /// The slots of one day of the schedule's zone for a mode (any mode when `None`), by start.
    /// An hour that a clock change skips has none; one that it repeats has them twice.
    #[must_use]
    pub fn slots_on(&self, day: Date, mode: Option<ConsultationMode>) -> Vec<Slot> {
        let mut slots: Vec<Slot> = self
            .rules
            .iter()
            .filter(|rule| rule.holds_on(day) && mode.is_none_or(|mode| rule.modes.contains(&mode)))
            .flat_map(|rule| rule.slots_on(day, &self.zone))
            .collect();
        slots.sort_unstable();
        slots.dedup();
        slots
    }

    /// The slot that begins at exactly this instant, if the schedule has one.
    #[must_use]
    pub fn slot_at(&self, start: Time, mode: ConsultationMode) -> Option<Slot> {
        let day = self.day_of(start);
        self.slots_on(day, Some(mode)).into_iter().find(|slot| slot.start == start)
    }

    /// The day of the schedule's zone in which an instant lies.
    #[must_use]
    pub fn day_of(&self, time: Time) -> Date {
        self.zone.to_datetime(time.timestamp()).date()
    }

    /// The first start that can still be booked.
    #[must_use]
    pub fn bookable_from(&self, now: Time) -> Time {
        now.plus_seconds(i64::from(self.lead_minutes) * 60)
    }

    /// The first start that can not be booked yet.
    #[must_use]
    pub fn bookable_until(&self, now: Time) -> Time {
        now.plus_seconds(i64::from(self.horizon_days) * 86_400)
    }

    /// The slots of these days that can be booked now. `busy` is sorted by start.
    pub fn free_slots<'a>(
        &'a self,
        days: impl Iterator<Item = Date> + 'a,
        mode: Option<ConsultationMode>,
        busy: &'a [Busy],
        now: Time,
    ) -> impl Iterator<Item = Slot> + 'a {
        let (from, until) = (self.bookable_from(now), self.bookable_until(now));
        days.flat_map(move |day| self.slots_on(day, mode))
            .filter(move |slot| from <= slot.start && slot.start < until && !is_taken(slot, busy))
    }
}

impl WeeklyRule {
    fn holds_on(&self, day: Date) -> bool {
        day.weekday() == self.weekday
            && self.valid_from.is_none_or(|first| first <= day)
            && self.valid_until.is_none_or(|last| day <= last)
    }

    fn slots_on(&self, day: Date, zone: &TimeZone) -> Vec<Slot> {
        let (before, after) = (self.buffer_before_minutes, self.buffer_after_minutes);
        let step = before + self.slot_minutes + after;
        let closing = at_minute(day, self.end_minute).map(|end| instants(end, zone));
        let Some(closing) = closing.and_then(|ends| ends.last().copied()) else {
            return Vec::new();
        };
        let mut slots = Vec::new();
        let mut minute = self.start_minute + before;
        while minute + self.slot_minutes + after <= self.end_minute {
            let starts = at_minute(day, minute).map(|start| instants(start, zone));
            for start in starts.unwrap_or_default() {
                let slot = Slot {
                    start,
                    end: plus_minutes(start, self.slot_minutes),
                    blocks_from: plus_minutes(start, -before),
                    blocks_until: plus_minutes(start, self.slot_minutes + after),
                };
                // A slot that a skipped hour would push past closing time is none.
                if slot.blocks_until <= closing {
                    slots.push(slot);
                }
            }
            minute += step;
        }
        slots
    }
}

/// A wall-clock minute of a day; minute 1,440 is midnight of the next.
fn at_minute(day: Date, minute: i32) -> Option<DateTime> {
    day.to_datetime(jiff::civil::Time::midnight())
        .checked_add(SignedDuration::from_mins(i64::from(minute)))
        .ok()
}

/// The instants at which a wall clock shows this: none in a gap unless it is the gap's edge, two
/// in a fold, one otherwise.
fn instants(wall: DateTime, zone: &TimeZone) -> Vec<Time> {
    let offsets = match zone.to_ambiguous_timestamp(wall).offset() {
        AmbiguousOffset::Unambiguous { offset } => vec![offset],
        AmbiguousOffset::Gap { .. } => vec![],
        AmbiguousOffset::Fold { before, after } => vec![before, after],
    };
    let instants = offsets.into_iter().filter_map(|offset| offset.to_timestamp(wall).ok());
    instants.map(Time::from).collect()
}

fn plus_minutes(time: Time, minutes: i32) -> Time {
    time.plus_seconds(i64::from(minutes) * 60)
}

/// Whether the time that a slot keeps meets a live appointment. `busy` is sorted by start and does
/// not overlap itself, so its ends are sorted too.
fn is_taken(slot: &Slot, busy: &[Busy]) -> bool {
    let first = busy.partition_point(|(_, until)| *until <= slot.blocks_from);
    busy.get(first).is_some_and(|(from, _)| *from < slot.blocks_until)
}

/// What can be done with an appointment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The doctor begins the visit.
    Begin,
    /// The doctor ends the visit.
    Complete,
    /// Either side calls it off.
    Cancel,
}

/// The state after a step; `None` when the state does not allow it. The one table of transitions.
#[must_use]
pub fn after(state: AppointmentState, step: Step) -> Option<AppointmentState> {
    use AppointmentState::{Booked, Cancelled, Completed, InConsultation};
    match (state, step) {
        (Booked, Step::Begin) => Some(InConsultation),
        (InConsultation, Step::Complete) => Some(Completed),
        (Booked, Step::Cancel) => Some(Cancelled),
        _ => None,
    }
}

/// Whether a patient may still cancel: up to `hours` before the start.
#[must_use]
pub fn patient_may_cancel(start: Time, now: Time, hours: i64) -> bool {
    now <= start.plus_seconds(-hours * 3_600)
}

/// The days from `first` to `last`, both included.
pub fn days(first: Date, last: Date) -> impl Iterator<Item = Date> {
    first.series(jiff::Span::new().days(1)).take_while(move |day| *day <= last)
}

/// The instant at which a day begins in a zone.
#[must_use]
pub fn start_of_day(day: Date, zone: &TimeZone) -> Time {
    let start = day.to_zoned(zone.clone()).map(|zoned| zoned.timestamp());
    Time::from(start.unwrap_or(Timestamp::MAX))
}

#[cfg(test)]
#[path = "rules_tests.rs"]
mod tests;
