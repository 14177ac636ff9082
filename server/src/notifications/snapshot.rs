//! Messages in inboxes, for the snapshot of a watched feed.

use diesel::sql_types;
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use crate::kernel::db::Conn;
use crate::kernel::error::Result;
use crate::kernel::events::{ResourceKind, Viewer};
use crate::statement;

statement! {
    /// Messages that lie in an inbox.
    AllNotifications { after: Uuid, limit: i64 } -> sql_types::Uuid,
    "SELECT id FROM notifications WHERE id > $1 AND in_inbox ORDER BY id LIMIT $2";

    /// The same of one account.
    OwnNotifications { after: Uuid, limit: i64, account: Uuid } -> sql_types::Uuid,
    "SELECT id FROM notifications WHERE account_id = $3 AND id > $1 AND in_inbox \
     ORDER BY id LIMIT $2";
}

/// The next messages behind this id that a viewer may see.
pub async fn notification_ids(
    conn: &mut Conn,
    viewer: &Viewer,
    after: Uuid,
    limit: i64,
) -> Result<Vec<Uuid>> {
    if viewer.sees_all(ResourceKind::Notification) {
        return Ok(AllNotifications { after, limit }.get_results(conn).await?);
    }
    let account = viewer.account.0;
    Ok(OwnNotifications { after, limit, account }.get_results(conn).await?)
}
