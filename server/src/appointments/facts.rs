//! What a booking is decided on, found by one statement.

use diesel::sql_types::{BigInt, Bool, Integer, Jsonb, Nullable, Text, Uuid};
use diesel_async::RunQueryDsl;
use jiff::civil::{Date, Weekday};
use jiff::tz::TimeZone;
use serde::Deserialize;

use super::rules::{Schedule, WeeklyRule};
use crate::kernel::db::Conn;
use crate::kernel::error::{Error, Result};
use crate::kernel::kinds::{AccountId, ConsultationMode, DoctorId, PatientId, Time};
use crate::statement;

statement! {
    /// The patient, whose record is open, the doctor, who takes no bookings while the account is
    /// blocked, the fee for the mode, and the schedule with those rules that offer the mode on the
    /// weekday of that start. What does not exist is null.
    FindFacts { patient: PatientId, doctor: DoctorId, mode: ConsultationMode, start: Time } -> (
        (Nullable<Uuid>, Nullable<Text>, Nullable<Text>),
        (Nullable<Bool>, Nullable<Integer>, Nullable<Text>, Nullable<Text>),
        (Nullable<Text>, Nullable<BigInt>),
        (Nullable<Text>, Nullable<Integer>, Nullable<Integer>, Nullable<Integer>, Jsonb),
    ),
    "SELECT p.account_id, p.given_name, p.family_name, \
        d.available_for_booking AND NOT EXISTS \
            (SELECT FROM accounts WHERE accounts.id = d.id AND state <> 'active'), d.version, d.given_name, d.family_name, \
        f.currency_code, f.minor_units, \
        s.time_zone, s.version, s.lead_minutes, s.horizon_days, \
        (SELECT coalesce(jsonb_agg(r), '[]') FROM schedule_rules r \
         WHERE r.doctor_id = s.doctor_id AND $3 = ANY (r.modes) \
           AND r.weekday = extract(isodow FROM $4 AT TIME ZONE s.time_zone)) \
     FROM (SELECT) AS one \
     LEFT JOIN patients p ON p.id = $1 AND p.closed_at IS NULL \
     LEFT JOIN doctors d ON d.id = $2 \
     LEFT JOIN doctor_fees f ON f.doctor_id = d.id AND f.mode = $3 \
     LEFT JOIN schedules s ON s.doctor_id = d.id";
}

type Found = (
    (Option<AccountId>, Option<String>, Option<String>),
    (Option<bool>, Option<i32>, Option<String>, Option<String>),
    (Option<String>, Option<i64>),
    (Option<String>, Option<i32>, Option<i32>, Option<i32>, serde_json::Value),
);

/// What exists of what a booking needs.
#[derive(Debug)]
pub(super) struct Facts {
    pub(super) patient: Option<Patient>,
    pub(super) doctor: Option<Doctor>,
    /// Currency and amount in its minor units, when the doctor offers the mode.
    pub(super) fee: Option<(String, i64)>,
    pub(super) plan: Option<Plan>,
}

/// The patient.
#[derive(Debug)]
pub(super) struct Patient {
    pub(super) account: AccountId,
    pub(super) given: String,
    pub(super) family: String,
}

/// The doctor.
#[derive(Debug)]
pub(super) struct Doctor {
    pub(super) available: bool,
    pub(super) version: i32,
    pub(super) given: String,
    pub(super) family: String,
}

/// The schedule, with the rules that matter for the booking only.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) zone: String,
    pub(super) version: i32,
    pub(super) schedule: Schedule,
}

/// A rule as the statement gives it.
#[derive(Deserialize)]
struct RuleJson {
    weekday: i8,
    start_minute: i32,
    end_minute: i32,
    slot_minutes: i32,
    buffer_before_minutes: i32,
    buffer_after_minutes: i32,
    valid_from: Option<Date>,
    valid_until: Option<Date>,
}

/// Finds what a booking is decided on.
pub(super) async fn find(
    conn: &mut Conn,
    patient: PatientId,
    doctor: DoctorId,
    mode: ConsultationMode,
    start: Time,
) -> Result<Facts> {
    let found: Found = FindFacts { patient, doctor, mode, start }.get_result(conn).await?;
    let (patient, doctor, fee, plan) = found;
    Ok(Facts {
        patient: match patient {
            (Some(account), Some(given), Some(family)) => Some(Patient { account, given, family }),
            _ => None,
        },
        doctor: match doctor {
            (Some(available), Some(version), Some(given), Some(family)) => {
                Some(Doctor { available, version, given, family })
            }
            _ => None,
        },
        fee: fee.0.zip(fee.1),
        plan: match plan {
            (Some(zone), Some(version), Some(lead_minutes), Some(horizon_days), rules) => {
                let rules: Vec<RuleJson> =
                    serde_json::from_value(rules).map_err(Error::internal)?;
                let rules = rules.into_iter().map(|rule| rule.with_mode(mode));
                let schedule = Schedule {
                    zone: TimeZone::get(&zone).map_err(Error::internal)?,
                    lead_minutes,
                    horizon_days,
                    rules: rules.collect::<Result<_>>()?,
                };
                Some(Plan { zone, version, schedule })
            }
            _ => None,
        },
    })
}

impl RuleJson {
    fn with_mode(self, mode: ConsultationMode) -> Result<WeeklyRule> {
        Ok(WeeklyRule {
            weekday: Weekday::from_monday_one_offset(self.weekday).map_err(Error::internal)?,
            start_minute: self.start_minute,
            end_minute: self.end_minute,
            slot_minutes: self.slot_minutes,
            buffer_before_minutes: self.buffer_before_minutes,
            buffer_after_minutes: self.buffer_after_minutes,
            modes: vec![mode],
            valid_from: self.valid_from,
            valid_until: self.valid_until,
        })
    }
}
