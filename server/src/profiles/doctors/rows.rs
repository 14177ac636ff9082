//! Rows of doctors and their fees.

use diesel::OptionalExtension;
use diesel::sql_types::{Array, BigInt, Bool, Integer, Text, Timestamptz, Uuid};
use diesel_async::RunQueryDsl;

use clinicd_proto::profiles::v1 as pb;
use clinicd_proto::r#type::v1 as types;

use super::rules;
use crate::kernel::db::Conn;
use crate::kernel::db::statement::List;
use crate::kernel::error::Result;
use crate::kernel::kinds::{ConsultationMode, DoctorId, Time};
use crate::profiles::money_to_wire;
use crate::statement;

/// A doctor, with the specialty's name.
#[derive(Debug, Clone, PartialEq, diesel::Queryable)]
pub(super) struct DoctorRow {
    pub(super) id: DoctorId,
    pub(super) given_name: String,
    pub(super) family_name: String,
    pub(super) mobile: String,
    pub(super) specialty_code: String,
    pub(super) specialty_name: String,
    pub(super) registration_number: String,
    pub(super) registration_council: String,
    pub(super) years_of_experience: i32,
    pub(super) qualification: String,
    pub(super) bio: String,
    pub(super) languages: Vec<String>,
    pub(super) clinic_name: String,
    pub(super) clinic_lines: Vec<String>,
    pub(super) clinic_city: String,
    pub(super) clinic_region: String,
    pub(super) clinic_postal_code: String,
    pub(super) clinic_country_code: String,
    pub(super) available_for_booking: bool,
    pub(super) version: i32,
    pub(super) created_at: Time,
    pub(super) updated_at: Time,
}

/// What a doctor asks for one mode.
#[derive(Debug, Clone, PartialEq, diesel::Queryable)]
pub(super) struct FeeRow {
    pub(super) doctor: DoctorId,
    pub(super) mode: ConsultationMode,
    pub(super) currency: String,
    pub(super) minor_units: i64,
}

/// The SQL types of a [`DoctorRow`].
pub(super) type DoctorSql = (
    Uuid,
    Text,
    Text,
    Text,
    Text,
    Text,
    Text,
    Text,
    Integer,
    Text,
    Text,
    Array<Text>,
    Text,
    Array<Text>,
    Text,
    Text,
    Text,
    Text,
    Bool,
    Integer,
    Timestamptz,
    Timestamptz,
);

/// Selects a [`DoctorRow`] from `d` and `s`.
macro_rules! select_doctor {
    ($rest:literal) => {
        concat!(
            "SELECT d.id, d.given_name, d.family_name, d.mobile, d.specialty_code, s.name, \
                d.registration_number, d.registration_council, d.years_of_experience, \
                d.qualification, d.bio, d.languages, d.clinic_name, d.clinic_lines, \
                d.clinic_city, d.clinic_region, d.clinic_postal_code, d.clinic_country_code, \
                d.available_for_booking, d.version, d.created_at, d.updated_at \
             FROM doctors d JOIN specialties s ON s.code = d.specialty_code ",
            $rest
        )
    };
}
pub(super) use select_doctor;

statement! {
    /// One doctor.
    FindDoctor { id: DoctorId } -> DoctorSql, select_doctor!("WHERE d.id = $1");

    /// One doctor who has not left.
    FindPresentDoctor { id: DoctorId } -> DoctorSql,
    select_doctor!("WHERE d.id = $1 AND d.closed_at IS NULL");

    /// The fees of several doctors, in the order of the modes' names.
    FeesOf { doctors: List<DoctorId> } -> (Uuid, Text, Text, BigInt),
    "SELECT doctor_id, mode, currency_code, minor_units FROM doctor_fees \
     WHERE doctor_id = ANY ($1) ORDER BY doctor_id, mode";
}

/// The doctor with this id.
pub(super) async fn find(conn: &mut Conn, id: DoctorId) -> Result<Option<DoctorRow>> {
    Ok(FindDoctor { id }.get_result(conn).await.optional()?)
}

/// The doctor with this id, unless she has left.
pub(super) async fn find_present(conn: &mut Conn, id: DoctorId) -> Result<Option<DoctorRow>> {
    Ok(FindPresentDoctor { id }.get_result(conn).await.optional()?)
}

/// The fees of these doctors, in one query.
pub(super) async fn fees(conn: &mut Conn, doctors: &[DoctorId]) -> Result<Vec<FeeRow>> {
    Ok(FeesOf { doctors: List(doctors.to_vec()) }.get_results(conn).await?)
}

impl From<FeeRow> for pb::Fee {
    fn from(row: FeeRow) -> Self {
        Self { mode: row.mode.into(), amount: Some(money_to_wire(&row.currency, row.minor_units)) }
    }
}

impl DoctorRow {
    /// The clinic's address, if the doctor has given one.
    pub(super) fn clinic_address(&self) -> Option<types::Address> {
        (!self.clinic_city.is_empty()).then(|| types::Address {
            lines: self.clinic_lines.clone(),
            city: self.clinic_city.clone(),
            region: self.clinic_region.clone(),
            postal_code: self.clinic_postal_code.clone(),
            country_code: self.clinic_country_code.clone(),
        })
    }
}

/// The doctor's own view.
pub(super) fn profile(row: DoctorRow, fees: Vec<FeeRow>) -> pb::DoctorProfile {
    let (completeness_percent, missing) = rules::completeness(&row, &fees);
    pb::DoctorProfile {
        id: row.id.to_string(),
        create_time: Some(row.created_at.into()),
        update_time: Some(row.updated_at.into()),
        etag: row.version.to_string(),
        clinic_address: row.clinic_address(),
        name: Some(types::PersonName { given: row.given_name, family: row.family_name }),
        specialty_code: row.specialty_code,
        registration_number: row.registration_number,
        registration_council: row.registration_council,
        qualification: row.qualification,
        years_of_experience: row.years_of_experience,
        bio: row.bio,
        languages: row.languages,
        fees: fees.into_iter().map(pb::Fee::from).collect(),
        clinic_name: row.clinic_name,
        available_for_booking: row.available_for_booking,
        mobile: row.mobile,
        completeness_percent,
        missing: missing.into_iter().map(str::to_owned).collect(),
    }
}
