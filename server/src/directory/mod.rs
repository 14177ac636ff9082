//! STUB of the onboarding branch, so that it compiles; the real room replaces this file.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use crate::kernel::db::Conn;
use crate::kernel::error::Result;
use crate::schema::specialties;

/// Stub.
pub async fn specialty_exists(conn: &mut Conn, code: &str) -> Result<bool> {
    let found = diesel::select(diesel::dsl::exists(specialties::table.find(code)));
    Ok(found.get_result(conn).await?)
}
