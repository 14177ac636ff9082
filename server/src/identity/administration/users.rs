//! Administration of accounts: finding people, and changing what is known of them.

use diesel_async::RunQueryDsl;
use jiff::ToSpan;
use jiff::tz::TimeZone;
use prost::Message;
use uuid::Uuid;

use clinicd_proto::identity::v1 as pb;
use clinicd_proto::profiles::v1::UpdateMyPatientRequest;
use clinicd_proto::r#type::v1::Date;

use crate::app::App;
use crate::identity::accounts::{Change, require_etag};
use crate::identity::administration::managing::{self, require_other, require_rank, wrong_state};
use crate::identity::administration::user_query::{Count, Filter, Page, PersonFilter};
use crate::identity::jobs::SendProfileChanged;
use crate::identity::registration::registering::enqueue;
use crate::identity::rows::{AccountRow, AccountState, TouchAccount};
use crate::identity::rules;
use crate::kernel::access::Caller;
use crate::kernel::db::Conn;
use crate::kernel::error::{Error, Faults, Result};
use crate::kernel::jobs::NewJob;
use crate::kernel::kinds::{AccountId, Day, Gender, Role, Time};
use crate::kernel::page::{PageRequest, order_by_id};
use crate::kernel::{phone, text};
use crate::{profiles, statement};

statement! {
    /// Has the lists of this transaction planned by what they are asked for: few people are older
    /// than 90 and many older than 18, and a plan that is made for either is slow for the other.
    PlanByValues {}, "SELECT set_config('plan_cache_mode', 'force_custom_plan', true)";
}

/// `ListUsers`.
pub(in crate::identity) async fn list(
    app: &App,
    caller: &Caller,
    request: pb::ListUsersRequest,
) -> Result<pb::ListUsersResponse> {
    let filter = filter(&request, app.clock.now())?;
    let direction = order_by_id(&request.order_by)?;
    let bound = pb::ListUsersRequest {
        page_size: 0,
        page_token: String::new(),
        include_total: false,
        ..request.clone()
    };
    let page = app.pages.open::<Uuid>(&PageRequest {
        list: "identity.users",
        page_size: request.page_size,
        page_token: &request.page_token,
        bound_to: &[&bound.encode_to_vec(), caller.require_account()?.0.as_bytes()],
    })?;
    let (after, limit) = (page.after.map(AccountId), page.limit + 1);
    let query = Page { filter: filter.clone(), direction, after, limit };
    let count = request.include_total.then_some(Count(filter));
    let (query, count) = (&query, &count);
    let (rows, total_size) = app
        .db
        .transaction(async move |conn: &mut Conn| {
            PlanByValues {}.execute(conn).await?;
            let rows: Vec<AccountRow> = query.clone().get_results(conn).await?;
            let total: Option<i64> = match count {
                Some(count) => Some(count.clone().get_result(conn).await?),
                None => None,
            };
            Ok((rows, total))
        })
        .await?;
    let (rows, next_page_token) = page.close(rows, |row| row.id.0)?;
    let users = rows.into_iter().map(Into::into).collect();
    Ok(pb::ListUsersResponse { users, next_page_token, total_size })
}

/// What is asked for; empty texts ask for nothing.
fn filter(request: &pb::ListUsersRequest, now: Time) -> Result<Filter> {
    let mut faults = Faults::default();
    let words = |value: &Option<String>| {
        value.as_deref().map(text::searched).filter(|value| !value.is_empty())
    };
    let known = |field: &str, value: bool| {
        if value { Ok(()) } else { Err(Error::field(field, "must be a known one")) }
    };
    let role = request.role.map(Role::from_wire);
    faults.keep(known("role", role != Some(None)));
    let state = request.state.map(AccountState::from_wire);
    faults.keep(known("state", state != Some(None)));
    let gender = request.gender.map(Gender::from_wire);
    faults.keep(known("gender", gender != Some(None)));
    let phone = words(&request.phone).map(|number| faults.keep(phone::e164("phone", &number)));
    let birth_date = request.birth_date.map(|date| faults.keep(day(date).map(Some)));
    let born_until = request.min_age.map(|age| faults.keep(birthday(now, age).map(Some)));
    let born_after = request.max_age.map(|age| faults.keep(birthday(now, age + 1).map(Some)));
    faults.check()?;
    Ok(Filter {
        email_key: words(&request.email).map(|email| rules::email_key(&email)),
        phone,
        role: role.flatten(),
        state: state.flatten(),
        given_name: words(&request.given_name),
        family_name: words(&request.family_name),
        person: PersonFilter {
            born_after: born_after.flatten(),
            born_until: born_until.flatten(),
            birth_date: birth_date.flatten(),
            city: words(&request.city),
            country_code: words(&request.country_code),
            gender: gender.flatten(),
        },
    })
}

fn day(date: Date) -> Result<Day> {
    Day::try_from(date).map_err(|_| Error::field("birth_date", "must be a day of the calendar"))
}

/// The last day on which somebody was born who has completed this many years today, by the calendar
/// of UTC.
fn birthday(now: Time, years: i32) -> Result<Day> {
    let today = now.timestamp().to_zoned(TimeZone::UTC).date();
    today.checked_sub(years.years()).map(Day).map_err(Error::internal)
}

/// `GetUser`.
pub(in crate::identity) async fn get(
    app: &App,
    _caller: &Caller,
    request: pb::GetUserRequest,
) -> Result<pb::GetUserResponse> {
    let id = AccountId::from_wire("account_id", &request.account_id)?;
    let mut conn = app.db.read().await?;
    let account = managing::find(&mut conn, id).await?;
    let person = profiles::patient(&mut conn, id.into()).await?;
    let mut user = pb::GetUserResponse { account: Some(account.into()), ..Default::default() };
    if let Some(person) = person {
        user.birth_date = person.birth_date.map(Into::into);
        user.gender = person.gender.map(Into::into).unwrap_or_default();
        (user.city, user.country_code) = (person.city, person.country_code);
    }
    Ok(user)
}

/// `UpdateUser`: the account, and the own patient record if there is one.
pub(in crate::identity) async fn update(
    app: &App,
    caller: &Caller,
    request: pb::UpdateUserRequest,
) -> Result<pb::UpdateUserResponse> {
    let id = AccountId::from_wire("account_id", &request.account_id)?;
    let change = &Change::read(request.name.as_ref(), request.language.as_deref())?;
    let person = &UpdateMyPatientRequest {
        name: request.name.clone(),
        birth_date: request.birth_date,
        gender: request.gender,
        city: request.city.clone(),
        country_code: request.country_code.clone(),
        ..Default::default()
    };
    app.once(caller, &request.request_id, &request, async |conn| {
        let account = managing::lock(conn, id).await?;
        require_other(caller, id)?;
        require_rank(caller, &account)?;
        if account.state == AccountState::Deleted {
            return Err(wrong_state(&account));
        }
        require_etag(&account, &request.etag)?;
        let before = account.version;
        let person_changed = profiles::change_person(app, conn, id, person).await?;
        if person_changed.is_none() {
            require_no_person(person)?;
        }
        let mut account = change.store(app, conn, account).await?;
        if account.version == before && person_changed == Some(true) {
            // The etag covers the patient record too.
            let now = app.clock.now();
            TouchAccount { id, now }.execute(conn).await?;
            (account.version, account.updated_at) = (before + 1, now);
        }
        if account.version != before {
            enqueue(app, conn, NewJob::now(&SendProfileChanged { account: id })).await?;
        }
        Ok(pb::UpdateUserResponse { account: Some(account.into()) })
    })
    .await
}

/// Refuses what there is no place for: staff who were invited have no patient record.
fn require_no_person(person: &UpdateMyPatientRequest) -> Result<()> {
    let mut faults = Faults::default();
    let present = [
        ("birth_date", person.birth_date.is_some()),
        ("gender", person.gender.is_some()),
        ("city", person.city.is_some()),
        ("country_code", person.country_code.is_some()),
    ];
    for (field, _) in present.into_iter().filter(|(_, present)| *present) {
        faults.field(field, "must be absent: this person has no patient record");
    }
    faults.check()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn ages_are_completed_years() {
        let now =
            |day: &str| Time::from(format!("{day}T23:59:59Z").parse::<jiff::Timestamp>().unwrap());
        for (today, years, born) in [
            ("2026-11-21", 18, "2008-11-21"),
            ("2028-02-29", 1, "2027-02-28"),
            ("2026-02-28", 22, "2004-02-28"),
            ("2026-11-21", 0, "2026-11-21"),
            ("2026-11-21", 151, "1875-11-21"),
        ] {
            assert_eq!(birthday(now(today), years).unwrap().0.to_string(), born);
        }
    }
}
