//! Free slots: the weekly rules minus live appointments, computed on each call.

use std::collections::HashMap;

use diesel::sql_types::Bool;
use diesel_async::RunQueryDsl;
use jiff::civil::Date;

use clinicd_proto::appointments::v1 as pb;
use clinicd_proto::r#type::v1 as types;

use super::rows;
use super::rules::{self, MAX_DAYS, Schedule, Slot};
use crate::app::App;
use crate::kernel::db::Conn;
use crate::kernel::error::{Error, Result};
use crate::kernel::kinds::{ConsultationMode, Day, DoctorId, Time};
use crate::{profiles, statement};

statement! {
    /// Whether nobody can sign in as this doctor, because the account is blocked or not opened yet.
    IsKeptOut { doctor: DoctorId } -> Bool,
    "SELECT EXISTS (SELECT FROM accounts WHERE id = $1 AND state <> 'active')";
}

/// The free slots of a doctor on some days.
pub(super) async fn list_slots(
    app: &App,
    request: pb::ListSlotsRequest,
) -> Result<pb::ListSlotsResponse> {
    let doctor = DoctorId::from_wire("doctor_id", &request.doctor_id)?;
    let mode = mode(request.mode)?;
    let first = day("first_day", request.first_day)?
        .ok_or_else(|| Error::field("first_day", "must be set"))?;
    let last = day("last_day", request.last_day)?.unwrap_or(first);
    let span = (last - first).get_days();
    if !(0..MAX_DAYS).contains(&span) {
        let remedy = format!("must not be before first_day, nor more than {MAX_DAYS} days in all");
        return Err(Error::field("last_day", remedy));
    }
    let mut conn = app.db.read().await?;
    if !takes_bookings(&mut conn, doctor, mode).await? {
        return Ok(pb::ListSlotsResponse::default());
    }
    let Some((row, schedule)) = rows::schedule(&mut conn, doctor).await? else {
        return Ok(pb::ListSlotsResponse::default());
    };
    let (from, until) = whole_days(&schedule, first, last);
    let busy = rows::busy(&mut conn, &[doctor], from, until).await?.remove(&doctor);
    let busy = busy.unwrap_or_default();
    let free = schedule.free_slots(rules::days(first, last), Some(mode), &busy, app.clock.now());
    let slots = free.map(to_wire).collect();
    Ok(pb::ListSlotsResponse { slots, time_zone: row.time_zone })
}

/// The next free slot of a doctor.
pub(super) async fn next_free_slot(
    app: &App,
    request: pb::GetNextFreeSlotRequest,
) -> Result<pb::GetNextFreeSlotResponse> {
    let doctor = DoctorId::from_wire("doctor_id", &request.doctor_id)?;
    let mode = mode(request.mode)?;
    let mut conn = app.db.read().await?;
    if !takes_bookings(&mut conn, doctor, mode).await? {
        return Ok(pb::GetNextFreeSlotResponse::default());
    }
    let Some((row, schedule)) = rows::schedule(&mut conn, doctor).await? else {
        return Ok(pb::GetNextFreeSlotResponse::default());
    };
    let now = app.clock.now();
    let (from, until) = bookable_days(&schedule, now);
    let busy = rows::busy(&mut conn, &[doctor], from, until).await?.remove(&doctor);
    let slot = next_free(&schedule, Some(mode), &busy.unwrap_or_default(), now);
    Ok(pb::GetNextFreeSlotResponse { slot: slot.map(to_wire), time_zone: row.time_zone })
}

/// The next free slot of each of these doctors in any mode.
pub(super) async fn next_free_slots(
    app: &App,
    conn: &mut Conn,
    doctors: &[DoctorId],
) -> Result<HashMap<DoctorId, (Time, Time)>> {
    let schedules = rows::schedules_of(conn, doctors).await?;
    let now = app.clock.now();
    let days = schedules.values().map(|(_, schedule)| bookable_days(schedule, now));
    let span = days.reduce(|one, other| (one.0.min(other.0), one.1.max(other.1)));
    let Some((from, until)) = span else { return Ok(HashMap::new()) };
    let mut busy = rows::busy(conn, doctors, from, until).await?;
    let next = schedules.into_iter().filter_map(|(doctor, (_, schedule))| {
        let busy = busy.remove(&doctor).unwrap_or_default();
        next_free(&schedule, None, &busy, now).map(|slot| (doctor, (slot.start, slot.end)))
    });
    Ok(next.collect())
}

/// From the beginning of one day to the end of another: the time that their slots can take,
/// buffers included.
fn whole_days(schedule: &Schedule, first: Date, last: Date) -> (Time, Time) {
    let after = last.tomorrow().unwrap_or(last);
    (rules::start_of_day(first, &schedule.zone), rules::start_of_day(after, &schedule.zone))
}

/// The days on which a slot can begin that can be booked now, as [`whole_days`].
fn bookable_days(schedule: &Schedule, now: Time) -> (Time, Time) {
    let (from, until) = (schedule.bookable_from(now), schedule.bookable_until(now));
    whole_days(schedule, schedule.day_of(from), schedule.day_of(until))
}

fn next_free(
    schedule: &Schedule,
    mode: Option<ConsultationMode>,
    busy: &[rules::Busy],
    now: Time,
) -> Option<Slot> {
    let (from, until) = (schedule.bookable_from(now), schedule.bookable_until(now));
    let days = rules::days(schedule.day_of(from), schedule.day_of(until));
    schedule.free_slots(days, mode, busy, now).next()
}

/// Whether the doctor, who must be public, takes bookings in this mode.
async fn takes_bookings(conn: &mut Conn, id: DoctorId, mode: ConsultationMode) -> Result<bool> {
    let doctor = profiles::doctor(conn, id).await?.ok_or_else(|| Error::not_found("doctor"))?;
    let offered = doctor.fees.iter().any(|(offered, ..)| *offered == mode);
    if !(doctor.available_for_booking && offered) {
        return Ok(false);
    }
    let kept_out: bool = IsKeptOut { doctor: id }.get_result(conn).await?;
    Ok(!kept_out)
}

fn mode(value: i32) -> Result<ConsultationMode> {
    ConsultationMode::from_wire(value).ok_or_else(|| Error::field("mode", "must be a known mode"))
}

fn day(field: &'static str, date: Option<types::Date>) -> Result<Option<Date>> {
    let Some(date) = date else { return Ok(None) };
    let day =
        Day::try_from(date).map_err(|_| Error::field(field, "must be a day of the calendar"))?;
    Ok(Some(day.0))
}

fn to_wire(slot: Slot) -> types::TimeRange {
    types::TimeRange { start: Some(slot.start.into()), end: Some(slot.end.into()) }
}
