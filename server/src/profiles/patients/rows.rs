//! Rows of patients, and what other rooms may know of a patient.

use diesel::OptionalExtension;
use diesel::sql_types::{Bool, Date, Integer, Nullable, Text, Timestamptz, Uuid};
use diesel_async::RunQueryDsl;

use clinicd_proto::profiles::v1 as pb;
use clinicd_proto::r#type::v1 as types;

use super::rules::DEFAULT_ZONE;
use crate::app::App;
use crate::kernel::db::Conn;
use crate::kernel::error::Result;
use crate::kernel::events::{Event, ResourceKind};
use crate::kernel::kinds::{AccountId, Day, Gender, PatientId, Time};
use crate::statement;

/// A patient.
#[derive(Debug, Clone, PartialEq, diesel::Queryable)]
pub(super) struct PatientRow {
    pub(super) id: PatientId,
    pub(super) account: AccountId,
    pub(super) given_name: String,
    pub(super) family_name: String,
    pub(super) birth_date: Option<Day>,
    pub(super) gender: Option<Gender>,
    pub(super) phone: String,
    pub(super) time_zone: String,
    /// Empty when it is not known.
    pub(super) city: String,
    /// ISO 3166-1 alpha-2; empty when it is not known.
    pub(super) country_code: String,
    /// The account was closed; the record stands under a pseudonym.
    pub(super) closed: bool,
    pub(super) version: i32,
    pub(super) created_at: Time,
    pub(super) updated_at: Time,
}

/// A patient, for other rooms.
#[derive(Debug, Clone, PartialEq)]
pub struct PatientFacts {
    /// The patient.
    pub id: PatientId,
    /// The account that acts for the patient.
    pub account: AccountId,
    /// Given names.
    pub given_name: String,
    /// Family name; may be empty.
    pub family_name: String,
    /// Day of birth, if given.
    pub birth_date: Option<Day>,
    /// Administrative gender, where it was said.
    pub gender: Option<Gender>,
    /// Mobile number (E.164); may be empty.
    pub phone: String,
    /// IANA zone in which times are told to the patient.
    pub time_zone: String,
    /// City or town; empty when it is not known.
    pub city: String,
    /// ISO 3166-1 alpha-2; empty when it is not known.
    pub country_code: String,
    /// The account was closed; the name is a pseudonym.
    pub closed: bool,
}

statement! {
    /// One patient.
    FindPatient { id: PatientId } -> (
        Uuid, Uuid, Text, Text, Nullable<Date>, Nullable<Text>, Text, Text, Text, Text, Bool,
        Integer, Timestamptz, Timestamptz,
    ),
    "SELECT id, account_id, given_name, family_name, birth_date, gender, phone, time_zone, city, \
        country_code, closed_at IS NOT NULL, version, created_at, updated_at FROM patients WHERE id = $1";

    /// The zone in which times are told to the owner of an account.
    OwnTimeZone { account: AccountId } -> Text,
    "SELECT time_zone FROM patients WHERE id = $1";

    /// Adds the own record of an account.
    InsertOwnPatient { account: AccountId, given_name: String, family_name: String, now: Time },
    "INSERT INTO patients (id, account_id, given_name, family_name, created_at, updated_at) \
     VALUES ($1, $1, $2, $3, $4, $4)";
}

/// The patient with this id.
pub(super) async fn find(conn: &mut Conn, id: PatientId) -> Result<Option<PatientRow>> {
    Ok(FindPatient { id }.get_result(conn).await.optional()?)
}

/// The patient with this id, for other rooms.
pub async fn patient(conn: &mut Conn, id: PatientId) -> Result<Option<PatientFacts>> {
    Ok(find(conn, id).await?.map(|row| PatientFacts {
        id: row.id,
        account: row.account,
        given_name: row.given_name,
        family_name: row.family_name,
        birth_date: row.birth_date,
        gender: row.gender,
        phone: row.phone,
        time_zone: row.time_zone,
        city: row.city,
        country_code: row.country_code,
        closed: row.closed,
    }))
}

/// The IANA zone in which times are told to the owner of an account: that of their own patient
/// record, else the clinic's.
pub async fn time_zone(conn: &mut Conn, account: AccountId) -> Result<String> {
    let zone: Option<String> = OwnTimeZone { account }.get_result(conn).await.optional()?;
    Ok(zone.unwrap_or_else(|| DEFAULT_ZONE.to_owned()))
}

/// Gives an account its own patient record, in the transaction of the registration. The names are
/// clean already.
pub async fn create_own_patient(
    app: &App,
    conn: &mut Conn,
    account: AccountId,
    given: &str,
    family: &str,
) -> Result<()> {
    let insert = InsertOwnPatient {
        account,
        given_name: given.to_owned(),
        family_name: family.to_owned(),
        now: app.clock.now(),
    };
    insert.execute(conn).await?;
    app.events.emit(conn, changed("patient.created", account.into())).await
}

/// The event of a change of this patient.
pub(in crate::profiles) fn changed(event_type: &'static str, patient: PatientId) -> Event {
    Event {
        event_type,
        kind: ResourceKind::Patient,
        resource: patient.0,
        account: None,
        patient: Some(patient),
        doctor: None,
    }
}

impl From<PatientRow> for pb::Patient {
    fn from(row: PatientRow) -> Self {
        Self {
            id: row.id.to_string(),
            create_time: Some(row.created_at.into()),
            update_time: Some(row.updated_at.into()),
            etag: row.version.to_string(),
            name: Some(types::PersonName { given: row.given_name, family: row.family_name }),
            birth_date: row.birth_date.map(Into::into),
            gender: row.gender.map_or(types::Gender::Unspecified, Into::into).into(),
            phone: row.phone,
            time_zone: row.time_zone,
            city: row.city,
            country_code: row.country_code,
        }
    }
}
