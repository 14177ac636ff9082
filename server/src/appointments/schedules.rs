//! Reading and replacing a doctor's weekly rules.

use diesel_async::RunQueryDsl;

use clinicd_proto::appointments::v1 as pb;

use super::rows::{self, Appointment, DeleteRules, InsertRule, PutSchedule};
use super::rules::Schedule;
use super::weekly_rules;
use crate::app::App;
use crate::kernel::access::Caller;
use crate::kernel::db::Conn;
use crate::kernel::db::statement::List;
use crate::kernel::error::{Error, Reason, Result};
use crate::kernel::events::{Event, ResourceKind};
use crate::kernel::kinds::{Day, DoctorId, Role};
use crate::profiles;

/// Conflicts that one answer names at most.
const MAX_CONFLICTS: i64 = 100;

/// The schedule of a doctor.
pub(super) async fn get(
    app: &App,
    caller: &Caller,
    request: pb::GetScheduleRequest,
) -> Result<pb::GetScheduleResponse> {
    let doctor = DoctorId::from_wire("doctor_id", &request.doctor_id)?;
    let mut conn = app.db.read().await?;
    may_manage(&mut conn, caller, doctor).await?;
    let schedule = match rows::schedule(&mut conn, doctor).await? {
        Some((row, schedule)) => weekly_rules::to_wire(row, &schedule),
        None => pb::Schedule {
            doctor_id: doctor.to_string(),
            etag: "0".to_owned(),
            ..pb::Schedule::default()
        },
    };
    Ok(pb::GetScheduleResponse { schedule: Some(schedule) })
}

/// Replaces all weekly rules. Bookings are never touched; those outside the new rules are named.
pub(super) async fn replace(
    app: &App,
    caller: &Caller,
    request: pb::ReplaceWeeklyRulesRequest,
) -> Result<pb::ReplaceWeeklyRulesResponse> {
    let doctor = DoctorId::from_wire("doctor_id", &request.doctor_id)?;
    app.once(caller, &request.request_id, &request, async |conn| {
        may_manage(conn, caller, doctor).await?;
        let wanted = weekly_rules::read(&request)?;
        put(app, conn, doctor, &request, &wanted).await?;
        app.events.emit(conn, replaced(doctor)).await?;
        let conflicts = conflicts(app, conn, doctor, &wanted).await?;
        let Some((row, schedule)) = rows::schedule(conn, doctor).await? else {
            return Err(Error::internal("a schedule vanished while it was written"));
        };
        Ok(pb::ReplaceWeeklyRulesResponse {
            schedule: Some(weekly_rules::to_wire(row, &schedule)),
            conflicts: conflicts.into_iter().map(Into::into).collect(),
        })
    })
    .await
}

/// A doctor manages the own schedule, operator and admin any.
async fn may_manage(conn: &mut Conn, caller: &Caller, doctor: DoctorId) -> Result<()> {
    let own = caller.as_doctor() == Some(doctor);
    let staff = caller.is(Role::Operator) || caller.is_admin();
    let known = (own || staff) && profiles::doctor(conn, doctor).await?.is_some();
    if known { Ok(()) } else { Err(Error::not_found("doctor")) }
}

async fn put(
    app: &App,
    conn: &mut Conn,
    doctor: DoctorId,
    request: &pb::ReplaceWeeklyRulesRequest,
    wanted: &Schedule,
) -> Result<()> {
    let stale = || Error::of(Reason::EtagMismatch);
    let put = PutSchedule {
        doctor,
        version: request.etag.parse().map_err(|_| stale())?,
        // As the database of zones spells it: clients compare names letter by letter.
        zone: wanted.zone.iana_name().unwrap_or(&request.time_zone).to_owned(),
        lead_minutes: wanted.lead_minutes,
        horizon_days: wanted.horizon_days,
        now: app.clock.now(),
    };
    if put.execute(conn).await? == 0 {
        return Err(stale());
    }
    DeleteRules { doctor }.execute(conn).await?;
    for (position, rule) in (0..).zip(&wanted.rules) {
        InsertRule {
            doctor,
            position,
            weekday: i16::from(rule.weekday.to_monday_one_offset()),
            start_minute: rule.start_minute,
            end_minute: rule.end_minute,
            slot_minutes: rule.slot_minutes,
            before: rule.buffer_before_minutes,
            after: rule.buffer_after_minutes,
            modes: List(rule.modes.clone()),
            valid_from: rule.valid_from.map(Day),
            valid_until: rule.valid_until.map(Day),
        }
        .execute(conn)
        .await?;
    }
    Ok(())
}

/// Bookings to come that are no slot of the new rules.
async fn conflicts(
    app: &App,
    conn: &mut Conn,
    doctor: DoctorId,
    schedule: &Schedule,
) -> Result<Vec<Appointment>> {
    let booked: Vec<Appointment> =
        rows::BookedFrom { doctor, from: app.clock.now() }.get_results(conn).await?;
    let limit = usize::try_from(MAX_CONFLICTS).unwrap_or(usize::MAX);
    let outside = booked.into_iter().filter(|row| {
        let slot = schedule.slot_at(row.starts_at, row.mode);
        slot.is_none_or(|slot| slot.end != row.ends_at)
    });
    Ok(outside.take(limit).collect())
}

fn replaced(doctor: DoctorId) -> Event {
    Event {
        event_type: "schedule.replaced",
        kind: ResourceKind::Schedule,
        resource: doctor.0,
        account: None,
        patient: None,
        doctor: Some(doctor),
    }
}
