//! Notes that exist, for the snapshot of a watched feed.

use diesel::sql_types;
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use crate::kernel::db::Conn;
use crate::kernel::error::Result;
use crate::kernel::events::{ResourceKind, Viewer};
use crate::statement;

statement! {
    /// Signed notes: a draft is nothing that the feed knows of.
    AllNotes { after: Uuid, limit: i64 } -> sql_types::Uuid,
    "SELECT id FROM visit_notes WHERE id > $1 AND state = 'signed' ORDER BY id LIMIT $2";

    /// The same of an account: of its patients, and of the doctor who it is.
    OwnNotes { after: Uuid, limit: i64, account: Uuid, doctor: bool } -> sql_types::Uuid,
    "(SELECT v.id FROM patients p JOIN visit_notes v ON v.patient_id = p.id \
     WHERE p.account_id = $3 AND v.id > $1 AND v.state = 'signed' ORDER BY v.id LIMIT $2) \
     UNION \
     (SELECT v.id FROM visit_notes v WHERE $4 AND v.doctor_id = $3 AND v.id > $1 AND v.state = 'signed' \
      ORDER BY v.id LIMIT $2) \
     ORDER BY id LIMIT $2";
}

/// The next notes behind this id that a viewer may see.
pub async fn note_ids(
    conn: &mut Conn,
    viewer: &Viewer,
    after: Uuid,
    limit: i64,
) -> Result<Vec<Uuid>> {
    if viewer.sees_all(ResourceKind::VisitNote) {
        return Ok(AllNotes { after, limit }.get_results(conn).await?);
    }
    let account = viewer.account.0;
    Ok(OwnNotes { after, limit, account, doctor: viewer.doctor }.get_results(conn).await?)
}
