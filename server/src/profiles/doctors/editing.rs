//! A doctor reads and changes the own profile.

use diesel_async::RunQueryDsl;

use clinicd_proto::profiles::v1 as pb;

use super::creating::changed;
use super::index::Searched;
use super::rows::{self, DoctorRow};
use super::rules;
use crate::app::App;
use crate::kernel::access::Caller;
use crate::kernel::db::Conn;
use crate::kernel::db::statement::List;
use crate::kernel::error::{Error, Faults, Reason, Result};
use crate::kernel::kinds::{ConsultationMode, DoctorId, Time};
use crate::kernel::text;
use crate::profiles::{clean_address, require_etag};
use crate::statement;

statement! {
    /// Stores the fields that a doctor may change, unless someone changed the doctor meanwhile.
    ChangeDoctor {
        id: DoctorId, version: i32, bio: String, qualification: String, years_of_experience: i32,
        languages: List<String>, clinic_name: String, clinic_lines: List<String>,
        clinic_city: String, clinic_region: String, clinic_postal_code: String,
        clinic_country_code: String, now: Time, search_text: String,
    },
    "UPDATE doctors SET bio = $3, qualification = $4, years_of_experience = $5, languages = $6, \
        clinic_name = $7, clinic_lines = $8, clinic_city = $9, clinic_region = $10, \
        clinic_postal_code = $11, clinic_country_code = $12, updated_at = $13, \
        version = version + 1, search_text = $14 \
     WHERE id = $1 AND version = $2";

    /// Removes all fees.
    DropFees { doctor: DoctorId }, "DELETE FROM doctor_fees WHERE doctor_id = $1";

    /// Adds fees.
    AddFees {
        doctor: DoctorId, modes: List<ConsultationMode>, currencies: List<String>,
        minor_units: List<i64>,
    },
    "INSERT INTO doctor_fees (doctor_id, mode, currency_code, minor_units) \
     SELECT $1, * FROM unnest($2, $3, $4)";
}

/// The caller's profile.
pub(in crate::profiles) async fn get_mine(
    app: &App,
    caller: &Caller,
) -> Result<pb::GetMyDoctorProfileResponse> {
    let mut conn = app.db.read().await?;
    let row = find_own(&mut conn, caller).await?;
    let fees = rows::fees(&mut conn, &[row.id]).await?;
    Ok(pb::GetMyDoctorProfileResponse { profile: Some(rows::profile(row, fees)) })
}

/// Changes the present fields of the caller's profile.
pub(in crate::profiles) async fn update_mine(
    app: &App,
    caller: &Caller,
    request: pb::UpdateMyDoctorProfileRequest,
) -> Result<pb::UpdateMyDoctorProfileResponse> {
    let request = &request;
    app.once(caller, &request.request_id, request, async move |conn: &mut Conn| {
        let before = find_own(conn, caller).await?;
        require_etag(before.version, &request.etag)?;
        let (mut row, fees) = with_changes(before.clone(), request)?;
        if row != before || fees.is_some() {
            row.updated_at = app.clock.now();
            store(conn, &row).await?;
            row.version += 1;
            if let Some(fees) = fees {
                DropFees { doctor: row.id }.execute(conn).await?;
                let (modes, amounts): (Vec<_>, Vec<_>) = fees.into_iter().unzip();
                let (currencies, minor_units) = amounts.into_iter().unzip();
                AddFees {
                    doctor: row.id,
                    modes: List(modes),
                    currencies: List(currencies),
                    minor_units: List(minor_units),
                }
                .execute(conn)
                .await?;
            }
            app.events.emit(conn, changed("doctor.updated", row.id)).await?;
        }
        let fees = rows::fees(conn, &[row.id]).await?;
        Ok(pb::UpdateMyDoctorProfileResponse { profile: Some(rows::profile(row, fees)) })
    })
    .await
}

async fn find_own(conn: &mut Conn, caller: &Caller) -> Result<DoctorRow> {
    let id = DoctorId::from(caller.require_account()?);
    rows::find(conn, id).await?.ok_or_else(|| Error::not_found("doctor"))
}

/// The row as the request wants it, and the fees if it names any: they are a table of their own.
fn with_changes(
    mut row: DoctorRow,
    request: &pb::UpdateMyDoctorProfileRequest,
) -> Result<(DoctorRow, Option<rules::Fees>)> {
    let mut faults = Faults::default();
    if let Some(bio) = &request.bio {
        row.bio = faults.keep(text::block("bio", bio));
    }
    if let Some(qualification) = &request.qualification {
        row.qualification = faults.keep(text::line("qualification", qualification));
    }
    if let Some(years) = request.years_of_experience {
        row.years_of_experience = years;
    }
    if let Some(languages) = &request.languages {
        row.languages = faults.keep(rules::languages(languages));
    }
    if let Some(name) = &request.clinic_name {
        row.clinic_name = faults.keep(text::line("clinic_name", name));
    }
    if let Some(address) = &request.clinic_address {
        let address = faults.keep(clean_address("clinic_address", address));
        row.clinic_lines = address.lines;
        row.clinic_city = address.city;
        row.clinic_region = address.region;
        row.clinic_postal_code = address.postal_code;
        row.clinic_country_code = address.country_code;
    }
    let fees = request.fees.as_ref().map(|fees| faults.keep(rules::fees(fees)));
    faults.check()?;
    Ok((row, fees))
}

async fn store(conn: &mut Conn, row: &DoctorRow) -> Result<()> {
    let searched = Searched {
        given_name: &row.given_name,
        family_name: &row.family_name,
        specialty_name: &row.specialty_name,
        qualification: &row.qualification,
        clinic_name: &row.clinic_name,
        clinic_city: &row.clinic_city,
    };
    let search_text = searched.index(conn).await?;
    let row = row.clone();
    let change = ChangeDoctor {
        id: row.id,
        version: row.version,
        bio: row.bio,
        qualification: row.qualification,
        years_of_experience: row.years_of_experience,
        languages: List(row.languages),
        clinic_name: row.clinic_name,
        clinic_lines: List(row.clinic_lines),
        clinic_city: row.clinic_city,
        clinic_region: row.clinic_region,
        clinic_postal_code: row.clinic_postal_code,
        clinic_country_code: row.clinic_country_code,
        now: row.updated_at,
        search_text,
    };
    match change.execute(conn).await? {
        0 => Err(Error::of(Reason::EtagMismatch)),
        _ => Ok(()),
    }
}
