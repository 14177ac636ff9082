//! Rows of appointments and schedules, and how they are found.

use std::collections::HashMap;

use diesel::prelude::*;
use diesel::sql_types;
use diesel_async::RunQueryDsl;
use jiff::civil::Weekday;
use jiff::tz::TimeZone;
use uuid::Uuid;

use clinicd_proto::appointments::v1 as pb;
use clinicd_proto::r#type::v1 as types;

use super::Visit;
use super::rules::{Busy, Schedule, WeeklyRule};
use crate::kernel::access::Caller;
use crate::kernel::db::Conn;
use crate::kernel::db::statement::List;
use crate::kernel::error::{Error, Result};
use crate::kernel::kinds::{
    AccountId, AppointmentId, ConsultationMode, Day, DoctorId, PatientId, Role, Time, wire_enum,
};
use crate::profiles::money_to_wire;
use crate::schema::schedules;
use crate::statement;

wire_enum! {
    /// Where an appointment stands.
    AppointmentState = pb::AppointmentState {
        /// Confirmed; the time is taken.
        Booked = "booked",
        /// The visit goes on; the time is taken.
        InConsultation = "in_consultation",
        /// The visit took place.
        Completed = "completed",
        /// Called off; the time is free again.
        Cancelled = "cancelled",
    }
}

/// An appointment with the names of its people.
#[derive(Debug, Clone, diesel::Queryable)]
pub struct Appointment {
    pub id: AppointmentId,
    pub doctor_id: DoctorId,
    pub patient_id: PatientId,
    pub mode: ConsultationMode,
    pub starts_at: Time,
    pub ends_at: Time,
    pub time_zone: String,
    pub state: AppointmentState,
    pub reason: String,
    pub currency_code: String,
    pub price_minor_units: i64,
    pub booked_by: AccountId,
    pub cancellation_reason: String,
    pub version: i32,
    pub created_at: Time,
    pub updated_at: Time,
    pub doctor_given: String,
    pub doctor_family: String,
    pub patient_given: String,
    pub patient_family: String,
    pub patient_account: AccountId,
}

/// What an [`Appointment`] is selected from `a`, `d` and `p`.
macro_rules! appointment {
    () => {
        "SELECT a.id, a.doctor_id, a.patient_id, a.mode, a.starts_at, a.ends_at, a.time_zone, \
            a.state, a.reason, a.currency_code, a.price_minor_units, a.booked_by, \
            a.cancellation_reason, a.version, a.created_at, a.updated_at, d.given_name, \
            d.family_name, p.given_name, p.family_name, p.account_id"
    };
}

/// The same, for queries of several shapes.
pub(super) const APPOINTMENT: &str = appointment!();

/// The SQL types of an [`Appointment`].
pub(super) type AppointmentSql = (
    sql_types::Uuid,
    sql_types::Uuid,
    sql_types::Uuid,
    sql_types::Text,
    sql_types::Timestamptz,
    sql_types::Timestamptz,
    sql_types::Text,
    sql_types::Text,
    sql_types::Text,
    sql_types::Text,
    sql_types::BigInt,
    sql_types::Uuid,
    sql_types::Text,
    sql_types::Integer,
    sql_types::Timestamptz,
    sql_types::Timestamptz,
    sql_types::Text,
    sql_types::Text,
    sql_types::Text,
    sql_types::Text,
    sql_types::Uuid,
);

/// One appointment that the caller may see: as patient or guardian, as doctor, or any as operator
/// or admin.
pub async fn find_visible(
    conn: &mut Conn,
    caller: &Caller,
    id: AppointmentId,
) -> Result<Appointment> {
    let visible = VisibleAppointment {
        id,
        account: caller.require_account()?,
        doctor: caller.as_doctor(),
        staff: caller.is(Role::Operator) || caller.is_admin(),
    };
    let found = visible.get_result(conn).await.optional()?;
    found.ok_or_else(|| Error::not_found("appointment"))
}

/// One appointment, whoever asks.
pub async fn find(conn: &mut Conn, id: AppointmentId) -> Result<Option<Appointment>> {
    Ok(AnyAppointment { id }.get_result(conn).await.optional()?)
}

/// What other rooms may know of one.
pub async fn visit(conn: &mut Conn, id: AppointmentId) -> Result<Option<Visit>> {
    Ok(find(conn, id).await?.map(|row| Visit {
        id: row.id,
        doctor: row.doctor_id,
        patient: row.patient_id,
        starts_at: row.starts_at,
        time_zone: row.time_zone,
        begun: matches!(row.state, AppointmentState::InConsultation | AppointmentState::Completed),
    }))
}

statement! {
    /// One appointment, if this account may see it.
    VisibleAppointment {
        id: AppointmentId, account: AccountId, doctor: Option<DoctorId>, staff: bool,
    } -> AppointmentSql,
    concat!(
        appointment!(),
        " FROM appointments a JOIN doctors d ON d.id = a.doctor_id \
         JOIN patients p ON p.id = a.patient_id \
         WHERE a.id = $1 AND ($4 OR p.account_id = $2 OR a.doctor_id = $3)"
    );

    /// One appointment.
    AnyAppointment { id: AppointmentId } -> AppointmentSql,
    concat!(
        appointment!(),
        " FROM appointments a JOIN doctors d ON d.id = a.doctor_id \
         JOIN patients p ON p.id = a.patient_id WHERE a.id = $1"
    );

    /// What is booked of a doctor from an instant on, by start.
    BookedFrom { doctor: DoctorId, from: Time } -> AppointmentSql,
    concat!(
        appointment!(),
        " FROM appointments a JOIN doctors d ON d.id = a.doctor_id \
         JOIN patients p ON p.id = a.patient_id \
         WHERE a.doctor_id = $1 AND a.starts_at >= $2 AND a.state = 'booked' \
         ORDER BY a.starts_at, a.id"
    );

    /// Books, part of [`at_once`](crate::kernel::at_once). The exclusion constraints decide whether
    /// the time is free. Bookings of one doctor, and of one patient, come one after the other:
    /// several that meet in a constraint would each wait for the others, until the database's search
    /// for deadlocks ends them one by one.
    InsertAppointment {
        id: AppointmentId, doctor: DoctorId, patient: PatientId, mode: ConsultationMode,
        starts_at: Time, ends_at: Time, blocks_from: Time, blocks_until: Time, zone: String,
        reason: String, currency: String, price: i64, booked_by: AccountId, now: Time,
    },
    "WITH turn AS MATERIALIZED ( \
        SELECT pg_advisory_xact_lock(hashtext('appointments.doctor'), hashtext($2::text)), \
            pg_advisory_xact_lock(hashtext('appointments.patient'), hashtext($3::text)) FROM claim) \
     INSERT INTO appointments (id, doctor_id, patient_id, mode, starts_at, ends_at, blocks_from, \
        blocks_until, time_zone, state, reason, currency_code, price_minor_units, booked_by, \
        created_at, updated_at) \
     SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, 'booked', $10, $11, $12, $13, $14, $14 FROM turn";

    /// Doctor and schedule, if they are as they were read, and the patient, if the record is open;
    /// they stay so until the booking is committed.
    Unchanged { doctor: DoctorId, doctor_version: i32, schedule_version: i32, patient: PatientId },
    "SELECT FROM doctors d JOIN schedules s ON s.doctor_id = d.id, patients p \
     WHERE d.id = $1 AND d.version = $2 AND s.version = $3 \
       AND p.id = $4 AND p.closed_at IS NULL FOR SHARE";

    /// The live visits of the patients of an account, and of its doctor, the next ones first: id,
    /// whether it is the doctor's, and how many there are.
    LiveOf { account: AccountId, limit: i64, since: Time }
        -> (sql_types::Uuid, sql_types::Bool, sql_types::BigInt),
    "SELECT id, as_doctor, count(*) OVER () FROM ( \
        SELECT id, true AS as_doctor, starts_at FROM appointments \
        WHERE doctor_id = $1 AND state IN ('booked', 'in_consultation') \
          AND (state = 'in_consultation' OR ends_at > $3) \
        UNION ALL \
        SELECT a.id, false, a.starts_at FROM patients p JOIN appointments a ON a.patient_id = p.id \
        WHERE p.account_id = $1 AND a.state IN ('booked', 'in_consultation') \
          AND (a.state = 'in_consultation' OR a.ends_at > $3)) live \
     ORDER BY starts_at, id LIMIT $2";

    /// The same of a doctor alone.
    LiveOfDoctor { doctor: DoctorId, limit: i64, since: Time }
        -> (sql_types::Uuid, sql_types::Bool, sql_types::BigInt),
    "SELECT a.id, true, count(*) OVER () FROM appointments a \
     WHERE a.state IN ('booked', 'in_consultation') AND a.doctor_id = $1 \
       AND (a.state = 'in_consultation' OR a.ends_at > $3) \
     ORDER BY a.starts_at, a.id LIMIT $2";

    /// Takes a step, unless the appointment changed since it was read.
    TakeStep { id: AppointmentId, version: i32, state: AppointmentState, reason: String, now: Time },
    "UPDATE appointments SET state = $3, cancellation_reason = $4, version = version + 1, \
        updated_at = $5 \
     WHERE id = $1 AND version = $2";

    /// The time that live appointments take of these doctors.
    BusyTimes { doctors: List<DoctorId>, from: Time, until: Time }
        -> (sql_types::Uuid, sql_types::Timestamptz, sql_types::Timestamptz),
    "SELECT doctor_id, blocks_from, blocks_until FROM appointments \
     WHERE doctor_id = ANY ($1) AND state IN ('booked', 'in_consultation') \
       AND tstzrange(blocks_from, blocks_until) && tstzrange($2, $3) \
     ORDER BY blocks_from";

    /// Creates the schedule, or replaces it if it is still at this version. No row when not.
    PutSchedule {
        doctor: DoctorId, version: i32, zone: String, lead_minutes: i32, horizon_days: i32, now: Time,
    },
    "INSERT INTO schedules (doctor_id, time_zone, lead_minutes, horizon_days, created_at, updated_at) \
     SELECT $1, $3, $4, $5, $6, $6 WHERE $2 = 0 OR EXISTS (SELECT FROM schedules WHERE doctor_id = $1) \
     ON CONFLICT (doctor_id) DO UPDATE SET time_zone = $3, lead_minutes = $4, horizon_days = $5, \
        version = schedules.version + 1, updated_at = $6 \
     WHERE schedules.version = $2";

    /// The rules of these doctors, in order.
    RulesOf { doctors: List<DoctorId> }
        -> (
            sql_types::Uuid, sql_types::SmallInt, sql_types::Integer, sql_types::Integer,
            sql_types::Integer, sql_types::Integer, sql_types::Integer,
            sql_types::Array<sql_types::Text>, sql_types::Nullable<sql_types::Date>,
            sql_types::Nullable<sql_types::Date>,
        ),
    "SELECT doctor_id, weekday, start_minute, end_minute, slot_minutes, buffer_before_minutes, \
        buffer_after_minutes, modes, valid_from, valid_until \
     FROM schedule_rules WHERE doctor_id = ANY ($1) ORDER BY doctor_id, position";

    /// Takes the old rules away.
    DeleteRules { doctor: DoctorId },
    "DELETE FROM schedule_rules WHERE doctor_id = $1";

    /// Adds a rule.
    InsertRule {
        doctor: DoctorId, position: i32, weekday: i16, start_minute: i32, end_minute: i32,
        slot_minutes: i32, before: i32, after: i32, modes: List<ConsultationMode>,
        valid_from: Option<Day>, valid_until: Option<Day>,
    },
    "INSERT INTO schedule_rules (doctor_id, position, weekday, start_minute, end_minute, \
        slot_minutes, buffer_before_minutes, buffer_after_minutes, modes, valid_from, valid_until) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";
}

/// A schedule as stored.
#[derive(Debug, Clone, HasQuery)]
#[diesel(table_name = schedules)]
pub struct ScheduleRow {
    pub doctor_id: DoctorId,
    pub time_zone: String,
    pub lead_minutes: i32,
    pub horizon_days: i32,
    pub version: i32,
    pub created_at: Time,
    pub updated_at: Time,
}

/// A rule as stored.
#[derive(Debug, Clone, Queryable)]
pub struct RuleRow {
    pub doctor_id: DoctorId,
    pub weekday: i16,
    pub start_minute: i32,
    pub end_minute: i32,
    pub slot_minutes: i32,
    pub buffer_before_minutes: i32,
    pub buffer_after_minutes: i32,
    pub modes: Vec<ConsultationMode>,
    pub valid_from: Option<Day>,
    pub valid_until: Option<Day>,
}

/// The schedule of a doctor with its rules.
pub async fn schedule(
    conn: &mut Conn,
    doctor: DoctorId,
) -> Result<Option<(ScheduleRow, Schedule)>> {
    Ok(schedules_of(conn, &[doctor]).await?.remove(&doctor))
}

/// The schedules of these doctors with their rules, in two queries.
pub async fn schedules_of(
    conn: &mut Conn,
    doctors: &[DoctorId],
) -> Result<HashMap<DoctorId, (ScheduleRow, Schedule)>> {
    let rows: Vec<ScheduleRow> =
        ScheduleRow::query().filter(schedules::doctor_id.eq_any(doctors)).load(conn).await?;
    let rules: Vec<RuleRow> = RulesOf { doctors: List(doctors.to_vec()) }.get_results(conn).await?;
    let mut found = HashMap::with_capacity(rows.len());
    for row in rows {
        let zone = TimeZone::get(&row.time_zone).map_err(Error::internal)?;
        let (lead_minutes, horizon_days) = (row.lead_minutes, row.horizon_days);
        let schedule = Schedule { zone, lead_minutes, horizon_days, rules: Vec::new() };
        found.insert(row.doctor_id, (row, schedule));
    }
    for rule in rules {
        if let Some((_, schedule)) = found.get_mut(&rule.doctor_id) {
            schedule.rules.push(rule.try_into()?);
        }
    }
    Ok(found)
}

/// The time that live appointments take of these doctors, each list sorted by start.
pub async fn busy(
    conn: &mut Conn,
    doctors: &[DoctorId],
    from: Time,
    until: Time,
) -> Result<HashMap<DoctorId, Vec<Busy>>> {
    let rows: Vec<(Uuid, Time, Time)> =
        BusyTimes { doctors: List(doctors.to_vec()), from, until }.get_results(conn).await?;
    let mut busy: HashMap<DoctorId, Vec<Busy>> = HashMap::new();
    for (doctor, from, until) in rows {
        busy.entry(DoctorId(doctor)).or_default().push((from, until));
    }
    Ok(busy)
}

impl TryFrom<RuleRow> for WeeklyRule {
    type Error = Error;

    fn try_from(row: RuleRow) -> Result<Self> {
        let weekday = i8::try_from(row.weekday).map_err(Error::internal)?;
        Ok(Self {
            weekday: Weekday::from_monday_one_offset(weekday).map_err(Error::internal)?,
            start_minute: row.start_minute,
            end_minute: row.end_minute,
            slot_minutes: row.slot_minutes,
            buffer_before_minutes: row.buffer_before_minutes,
            buffer_after_minutes: row.buffer_after_minutes,
            modes: row.modes,
            valid_from: row.valid_from.map(|day| day.0),
            valid_until: row.valid_until.map(|day| day.0),
        })
    }
}

impl From<Appointment> for pb::Appointment {
    fn from(row: Appointment) -> Self {
        let name = |given, family| Some(types::PersonName { given, family });
        Self {
            id: row.id.to_string(),
            create_time: Some(row.created_at.into()),
            update_time: Some(row.updated_at.into()),
            etag: row.version.to_string(),
            doctor_id: row.doctor_id.to_string(),
            patient_id: row.patient_id.to_string(),
            mode: row.mode.into(),
            start_time: Some(row.starts_at.into()),
            end_time: Some(row.ends_at.into()),
            time_zone: row.time_zone,
            state: row.state.into(),
            reason: row.reason,
            price: Some(money_to_wire(&row.currency_code, row.price_minor_units)),
            booked_by: row.booked_by.to_string(),
            cancellation_reason: row.cancellation_reason,
            doctor_name: name(row.doctor_given, row.doctor_family),
            patient_name: name(row.patient_given, row.patient_family),
        }
    }
}
