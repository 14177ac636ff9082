//! Prescriptions that exist, for the snapshot of a watched feed.

use diesel::sql_types;
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use crate::kernel::db::Conn;
use crate::kernel::error::Result;
use crate::kernel::events::{ResourceKind, Viewer};
use crate::statement;

statement! {
    /// Prescriptions.
    AllPrescriptions { after: Uuid, limit: i64 } -> sql_types::Uuid,
    "SELECT id FROM prescriptions WHERE id > $1 ORDER BY id LIMIT $2";

    /// The same of an account: for its patients, and by the doctor who it is.
    OwnPrescriptions { after: Uuid, limit: i64, account: Uuid, doctor: bool } -> sql_types::Uuid,
    "(SELECT v.id FROM patients p JOIN prescriptions v ON v.patient_id = p.id \
     WHERE p.account_id = $3 AND v.id > $1 ORDER BY v.id LIMIT $2) \
     UNION \
     (SELECT v.id FROM prescriptions v WHERE $4 AND v.prescriber_id = $3 AND v.id > $1 \
      ORDER BY v.id LIMIT $2) \
     ORDER BY id LIMIT $2";
}

/// The next prescriptions behind this id that a viewer may see.
pub async fn prescription_ids(
    conn: &mut Conn,
    viewer: &Viewer,
    after: Uuid,
    limit: i64,
) -> Result<Vec<Uuid>> {
    if viewer.sees_all(ResourceKind::Prescription) {
        return Ok(AllPrescriptions { after, limit }.get_results(conn).await?);
    }
    let account = viewer.account.0;
    Ok(OwnPrescriptions { after, limit, account, doctor: viewer.doctor }.get_results(conn).await?)
}
