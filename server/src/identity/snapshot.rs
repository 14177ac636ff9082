//! Accounts that exist, for the snapshot of a watched feed.

use diesel::sql_types;
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use crate::kernel::db::Conn;
use crate::kernel::error::Result;
use crate::kernel::events::{ResourceKind, Viewer};
use crate::statement;

statement! {
    /// Accounts that are not deleted.
    AllAccounts { after: Uuid, limit: i64 } -> sql_types::Uuid,
    "SELECT id FROM accounts WHERE id > $1 AND state <> 'deleted' ORDER BY id LIMIT $2";

    /// The same of one account: itself.
    OwnAccount { after: Uuid, limit: i64, account: Uuid } -> sql_types::Uuid,
    "SELECT id FROM accounts \
     WHERE id = $3 AND id > $1 AND state <> 'deleted' LIMIT $2";
}

/// The next accounts behind this id that a viewer may see.
pub async fn account_ids(
    conn: &mut Conn,
    viewer: &Viewer,
    after: Uuid,
    limit: i64,
) -> Result<Vec<Uuid>> {
    if viewer.sees_all(ResourceKind::Account) {
        return Ok(AllAccounts { after, limit }.get_results(conn).await?);
    }
    let account = viewer.account.0;
    Ok(OwnAccount { after, limit, account }.get_results(conn).await?)
}
