//! Applications that exist, for the snapshot of a watched feed.

use diesel::sql_types;
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use crate::kernel::db::Conn;
use crate::kernel::error::Result;
use crate::kernel::events::{ResourceKind, Viewer};
use crate::statement;

statement! {
    /// Applications whose applicant was not forgotten.
    AllApplications { after: Uuid, limit: i64 } -> sql_types::Uuid,
    "SELECT id FROM applications WHERE id > $1 \
        AND (status <> 'rejected' OR given_name IS NOT NULL) ORDER BY id LIMIT $2";

    /// The same of one account.
    OwnApplications { after: Uuid, limit: i64, account: Uuid } -> sql_types::Uuid,
    "SELECT id FROM applications WHERE account_id = $3 AND id > $1 \
        AND (status <> 'rejected' OR given_name IS NOT NULL) \
     ORDER BY id LIMIT $2";
}

/// The next applications behind this id that a viewer may see.
pub async fn application_ids(
    conn: &mut Conn,
    viewer: &Viewer,
    after: Uuid,
    limit: i64,
) -> Result<Vec<Uuid>> {
    if viewer.sees_all(ResourceKind::Application) {
        return Ok(AllApplications { after, limit }.get_results(conn).await?);
    }
    let account = viewer.account.0;
    Ok(OwnApplications { after, limit, account }.get_results(conn).await?)
}
