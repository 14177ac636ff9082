//! A patient reads and changes the own record of person.

use diesel_async::RunQueryDsl;

use clinicd_proto::profiles::v1 as pb;

use super::rows::{self, PatientRow, changed};
use super::rules;
use crate::app::App;
use crate::kernel::access::Caller;
use crate::kernel::db::Conn;
use crate::kernel::error::{Error, Faults, Reason, Result};
use crate::kernel::kinds::{AccountId, Day, Gender, PatientId, Time};
use crate::kernel::{phone, text};
use crate::profiles::address::check_country;
use crate::profiles::require_etag;
use crate::statement;

statement! {
    /// Stores the fields that a patient may change, unless someone changed the record meanwhile.
    ChangePatient {
        id: PatientId, version: i32, given_name: String, family_name: String,
        birth_date: Option<Day>, gender: Option<Gender>, phone: String, time_zone: String,
        city: String, country_code: String, now: Time,
    },
    "UPDATE patients SET given_name = $3, family_name = $4, birth_date = $5, gender = $6, \
        phone = $7, time_zone = $8, city = $9, country_code = $10, updated_at = $11, \
        version = version + 1 \
     WHERE id = $1 AND version = $2";
}

/// The caller's own record.
pub(in crate::profiles) async fn get_mine(
    app: &App,
    caller: &Caller,
) -> Result<pb::GetMyPatientResponse> {
    let mut conn = app.db.read().await?;
    let row = find_own(&mut conn, caller).await?;
    Ok(pb::GetMyPatientResponse { patient: Some(row.into()) })
}

/// Changes the present fields of the caller's own record.
pub(in crate::profiles) async fn update_mine(
    app: &App,
    caller: &Caller,
    request: pb::UpdateMyPatientRequest,
) -> Result<pb::UpdateMyPatientResponse> {
    let request = &request;
    app.once(caller, &request.request_id, request, async move |conn: &mut Conn| {
        let before = find_own(conn, caller).await?;
        require_etag(before.version, &request.etag)?;
        let row = change(app, conn, before, request).await?;
        Ok(pb::UpdateMyPatientResponse { patient: Some(row.into()) })
    })
    .await
}

/// Changes the present fields of a person's own record, whatever its version, on behalf of the
/// person; whether that changed anything, and none when they have no record.
pub async fn change_person(
    app: &App,
    conn: &mut Conn,
    account: AccountId,
    request: &pb::UpdateMyPatientRequest,
) -> Result<Option<bool>> {
    let Some(before) = rows::find(conn, account.into()).await? else { return Ok(None) };
    let version = before.version;
    let row = change(app, conn, before, request).await?;
    Ok(Some(row.version != version))
}

async fn change(
    app: &App,
    conn: &mut Conn,
    before: PatientRow,
    request: &pb::UpdateMyPatientRequest,
) -> Result<PatientRow> {
    let now = app.clock.now();
    let mut row = with_changes(before.clone(), request, now)?;
    if row != before {
        row.updated_at = now;
        store(conn, &row).await?;
        row.version += 1;
        app.events.emit(conn, changed("patient.updated", row.id)).await?;
    }
    Ok(row)
}

async fn find_own(conn: &mut Conn, caller: &Caller) -> Result<PatientRow> {
    let id = PatientId::from(caller.require_account()?);
    rows::find(conn, id).await?.ok_or_else(|| Error::not_found("patient"))
}

/// The row as the request wants it.
fn with_changes(
    mut row: PatientRow,
    request: &pb::UpdateMyPatientRequest,
    now: Time,
) -> Result<PatientRow> {
    let mut faults = Faults::default();
    if let Some(name) = &request.name {
        row.given_name = faults.keep(text::required_line("name.given", &name.given));
        row.family_name = faults.keep(text::line("name.family", &name.family));
    }
    if let Some(zone) = &request.time_zone {
        row.time_zone = faults.keep(rules::time_zone(zone));
    }
    if let Some(date) = request.birth_date {
        let day = rules::birth_date(date, now.timestamp(), &row.time_zone);
        row.birth_date = faults.keep(day.map(Some));
    }
    if let Some(gender) = request.gender {
        row.gender = Gender::from_wire(gender);
    }
    if let Some(number) = &request.phone {
        row.phone = match number.trim() {
            "" => String::new(),
            number => faults.keep(phone::e164("phone", number)),
        };
    }
    if let Some(city) = &request.city {
        row.city = faults.keep(text::line("city", city));
    }
    if let Some(code) = &request.country_code {
        if !code.is_empty() {
            faults.keep(check_country("country_code", code));
        }
        row.country_code.clone_from(code);
    }
    faults.check()?;
    Ok(row)
}

async fn store(conn: &mut Conn, row: &PatientRow) -> Result<()> {
    let row = row.clone();
    let change = ChangePatient {
        id: row.id,
        version: row.version,
        given_name: row.given_name,
        family_name: row.family_name,
        birth_date: row.birth_date,
        gender: row.gender,
        phone: row.phone,
        time_zone: row.time_zone,
        city: row.city,
        country_code: row.country_code,
        now: row.updated_at,
    };
    match change.execute(conn).await? {
        0 => Err(Error::of(Reason::EtagMismatch)),
        _ => Ok(()),
    }
}
