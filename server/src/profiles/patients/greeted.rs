//! Who is to be greeted: people by their own record, never their dependants.

use diesel::sql_types;
use diesel_async::RunQueryDsl;

use crate::kernel::db::Conn;
use crate::kernel::db::statement::List;
use crate::kernel::error::Result;
use crate::kernel::kinds::AccountId;
use crate::statement;

statement! {
    /// People who were born on one of these days of a month, in one of these zones.
    BornOn {
        month: i32, days: List<i32>, zones: List<String>, after: AccountId, limit: i64,
    } -> sql_types::Uuid,
    "SELECT id FROM patients \
     WHERE id = account_id AND closed_at IS NULL \
       AND extract(month FROM birth_date) = $1::numeric \
       AND extract(day FROM birth_date) = ANY ($2::numeric[]) \
       AND time_zone = ANY ($3) AND id > $4 ORDER BY id LIMIT $5";

    /// People in one of these zones. An equality of two columns is taken to be rare, and all people
    /// would be sorted for each page; nearly all records are own ones.
    InZones { zones: List<String>, after: AccountId, limit: i64 } -> sql_types::Uuid,
    "SELECT id FROM patients \
     WHERE id >= account_id AND id <= account_id AND closed_at IS NULL \
       AND time_zone = ANY ($1) AND id > $2 ORDER BY id LIMIT $3";
}

/// The accounts of people who were born on one of these days of a month (from 1) and live in one of
/// these zones (IANA), by id: those after another one, at most `limit`.
pub async fn people_with_birthday(
    conn: &mut Conn,
    month: i32,
    days: Vec<i32>,
    zones: Vec<String>,
    after: AccountId,
    limit: i64,
) -> Result<Vec<AccountId>> {
    let (days, zones) = (List(days), List(zones));
    Ok(BornOn { month, days, zones, after, limit }.get_results(conn).await?)
}

/// The accounts of people who live in one of these zones (IANA), by id: those after another one, at
/// most `limit`.
pub async fn people_in_zones(
    conn: &mut Conn,
    zones: Vec<String>,
    after: AccountId,
    limit: i64,
) -> Result<Vec<AccountId>> {
    Ok(InZones { zones: List(zones), after, limit }.get_results(conn).await?)
}
