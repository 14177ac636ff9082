//! Doctors and patients that exist, for the snapshot of a watched feed.

use diesel::sql_types;
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use crate::kernel::db::Conn;
use crate::kernel::error::Result;
use crate::kernel::events::{ResourceKind, Viewer};
use crate::statement;

statement! {
    /// Doctors who have not retired.
    AllDoctors { after: Uuid, limit: i64 } -> sql_types::Uuid,
    "SELECT id FROM doctors WHERE id > $1 AND closed_at IS NULL ORDER BY id LIMIT $2";

    /// The same of one account: who is a doctor sees themselves.
    OwnDoctor { after: Uuid, limit: i64, account: Uuid, doctor: bool } -> sql_types::Uuid,
    "SELECT id FROM doctors \
     WHERE $4 AND id = $3 AND id > $1 AND closed_at IS NULL LIMIT $2";

    /// Patients who are not closed.
    AllPatients { after: Uuid, limit: i64 } -> sql_types::Uuid,
    "SELECT id FROM patients WHERE id > $1 AND closed_at IS NULL ORDER BY id LIMIT $2";

    /// The same of one account.
    OwnPatients { after: Uuid, limit: i64, account: Uuid } -> sql_types::Uuid,
    "SELECT id FROM patients WHERE account_id = $3 AND id > $1 AND closed_at IS NULL \
     ORDER BY id LIMIT $2";
}

/// The next doctors behind this id that a viewer may see.
pub async fn doctor_ids(
    conn: &mut Conn,
    viewer: &Viewer,
    after: Uuid,
    limit: i64,
) -> Result<Vec<Uuid>> {
    if viewer.sees_all(ResourceKind::Doctor) {
        return Ok(AllDoctors { after, limit }.get_results(conn).await?);
    }
    let account = viewer.account.0;
    Ok(OwnDoctor { after, limit, account, doctor: viewer.doctor }.get_results(conn).await?)
}

/// The next patients behind this id that a viewer may see.
pub async fn patient_ids(
    conn: &mut Conn,
    viewer: &Viewer,
    after: Uuid,
    limit: i64,
) -> Result<Vec<Uuid>> {
    if viewer.sees_all(ResourceKind::Patient) {
        return Ok(AllPatients { after, limit }.get_results(conn).await?);
    }
    let account = viewer.account.0;
    Ok(OwnPatients { after, limit, account }.get_results(conn).await?)
}
