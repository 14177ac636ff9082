//! Appointments.

use std::collections::{HashMap, HashSet};

use tokio_postgres::Client;
use uuid::Uuid;

use super::calendar::{Calendar, DAY, Pattern, ZONE, instant};
use super::copy::Copy;
use super::people::Doctor;
use crate::Result;
use crate::names::REASONS;
use crate::random::Random;

/// Weeks ahead that have appointments. The weeks behind them are free for bookings.
const WEEKS_AHEAD: i64 = 4;
/// Weeks gone by that have appointments, at least.
const WEEKS_BEHIND: i64 = 12;
/// One of so many doctors is busy; together they have half of the appointments.
const BUSY: usize = 8;
/// How often another patient is looked for who is free.
const TRIES: usize = 50;

const COLUMNS: &str = "appointments (id, doctor_id, patient_id, mode, starts_at, ends_at, \
    blocks_from, blocks_until, time_zone, state, reason, currency_code, price_minor_units, \
    booked_by, cancellation_reason, version, created_at, updated_at)";

/// What appointments are made of.
pub struct Visits<'a> {
    /// Doctors, by number.
    pub doctors: &'a [Doctor],
    /// Ids of patients.
    pub patients: &'a [Uuid],
    /// How doctors work.
    pub patterns: &'a [Pattern],
    /// Now.
    pub calendar: Calendar,
}

/// The time that live appointments take of each patient.
type Taken = HashMap<Uuid, Vec<(i64, i64)>>;

impl Visits<'_> {
    /// Writes so many appointments; the number of rows.
    pub async fn write(&self, client: &Client, count: usize, random: &mut Random) -> Result<u64> {
        let mut table = Copy::into(client, COLUMNS).await?;
        let starts: Vec<Vec<i64>> = self.patterns.iter().map(Pattern::starts).collect();
        let shares = shares(self.doctors.len(), count);
        let mut taken = Taken::new();
        for (doctor, share) in self.doctors.iter().zip(shares) {
            let starts = starts.get(doctor.pattern).ok_or("no such pattern")?;
            let pattern = self.patterns.get(doctor.pattern).ok_or("no such pattern")?;
            for slot in self.slots(starts, share, random)? {
                let visit = self.visit(doctor, pattern, slot, &mut taken, random)?;
                visit.write(&mut table).await?;
            }
        }
        table.finish().await
    }

    /// Starts of different slots of one doctor, in Unix seconds, some of them out of hours.
    fn slots(&self, starts: &[i64], share: usize, random: &mut Random) -> Result<Vec<i64>> {
        let per_week = starts.len().max(1);
        // At most half of the slots, so that free ones are found soon.
        let needed = i64::try_from(2 * share / per_week + 1)?;
        let behind = WEEKS_BEHIND.max(needed);
        let weeks = usize::try_from(behind + WEEKS_AHEAD)?;
        let mut chosen = HashSet::with_capacity(share);
        let mut slots = Vec::with_capacity(share);
        while slots.len() < share {
            let at = random.below(weeks * per_week);
            if chosen.insert(at) {
                let week = i64::try_from(at / per_week)? - behind;
                let minute = starts.get(at % per_week).copied().unwrap_or_default();
                // Twelve hours later nobody works, and what did not overlap does not there.
                let out_of_hours = if random.percent(2) { 12 * 60 } else { 0 };
                slots.push(self.calendar.monday + week * 7 * DAY + (minute + out_of_hours) * 60);
            }
        }
        Ok(slots)
    }

    fn visit<'d>(
        &self,
        doctor: &'d Doctor,
        pattern: &Pattern,
        start: i64,
        taken: &mut Taken,
        random: &mut Random,
    ) -> Result<Visit<'d>> {
        let now = self.calendar.now;
        let (end, fate) = (start + pattern.slot * 60, random.below(100));
        let state = match start {
            start if start > now => {
                if fate < 10 {
                    "cancelled"
                } else {
                    "booked"
                }
            }
            start if start > now - 3_600 => "in_consultation",
            _ if fate < 15 => "cancelled",
            _ if fate < 18 => "booked",
            _ => "completed",
        };
        let is_live = matches!(state, "booked" | "in_consultation");
        let patient = self.free_patient(is_live, (start, end), taken, random)?;
        Ok(Visit {
            doctor,
            patient,
            mode: if random.percent(70) { "in_person" } else { "video" },
            start,
            end,
            blocks: (start - pattern.before * 60, end + pattern.after * 60),
            state,
            created: (start - random.between(1, 21) * DAY).min(now - 3_600),
            id: Uuid::nil(),
            reason: random.word(REASONS),
        }
        .with_id(random))
    }

    /// A patient who has no live appointment then, if this one is live.
    fn free_patient(
        &self,
        is_live: bool,
        (start, end): (i64, i64),
        taken: &mut Taken,
        random: &mut Random,
    ) -> Result<Uuid> {
        for _ in 0..TRIES {
            let patient = *random.pick(self.patients).ok_or("appointments need patients")?;
            if !is_live {
                return Ok(patient);
            }
            let times = taken.entry(patient).or_default();
            if times.iter().all(|(from, until)| end <= *from || *until <= start) {
                times.push((start, end));
                return Ok(patient);
            }
        }
        Err("too few patients for so many appointments".into())
    }
}

/// An appointment.
struct Visit<'a> {
    id: Uuid,
    doctor: &'a Doctor,
    patient: Uuid,
    mode: &'static str,
    start: i64,
    end: i64,
    blocks: (i64, i64),
    state: &'static str,
    created: i64,
    reason: &'static str,
}

impl Visit<'_> {
    fn with_id(self, random: &mut Random) -> Self {
        Self { id: random.id(self.created), ..self }
    }

    async fn write(&self, table: &mut Copy) -> Result<()> {
        let (start, end) = (instant(self.start)?, instant(self.end)?);
        let (from, until) = (instant(self.blocks.0)?, instant(self.blocks.1)?);
        let (created, fee) = (instant(self.created)?, self.doctor.fee);
        let cancelled = if self.state == "cancelled" { "Another day suits better" } else { "" };
        let version = match self.state {
            "booked" => 1,
            "completed" => 3,
            _ => 2,
        };
        table
            .row(&[
                &self.id,
                &self.doctor.id,
                &self.patient,
                &self.mode,
                &start,
                &end,
                &from,
                &until,
                &ZONE,
                &self.state,
                &self.reason,
                &"INR",
                &fee,
                &self.patient,
                &cancelled,
                &version,
                &created,
                &created,
            ])
            .await
    }
}

/// How many appointments each doctor has: the first of eight doctors have half of them.
fn shares(doctors: usize, count: usize) -> Vec<usize> {
    let busy = (doctors / BUSY).max(1).min(doctors);
    let of_busy = if busy == doctors { count } else { count / 2 };
    let part = |total: usize, among: usize, at: usize| {
        let (each, left) = (total.checked_div(among)?, total.checked_rem(among)?);
        Some(each + usize::from(at < left))
    };
    (0..doctors)
        .filter_map(|at| match at.checked_sub(busy) {
            None => part(of_busy, busy, at),
            Some(at) => part(count - of_busy, doctors - busy, at),
        })
        .collect()
}
