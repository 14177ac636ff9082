//! Schedules and appointments that exist, for the snapshot of a watched feed.

use diesel::sql_types;
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use crate::kernel::db::Conn;
use crate::kernel::error::Result;
use crate::kernel::events::{ResourceKind, Viewer};
use crate::statement;

statement! {
    /// Schedules, by the ids of their doctors.
    AllSchedules { after: Uuid, limit: i64 } -> sql_types::Uuid,
    "SELECT doctor_id FROM schedules WHERE doctor_id > $1 ORDER BY doctor_id LIMIT $2";

    /// The same of one account: who is a doctor sees their own.
    OwnSchedule { after: Uuid, limit: i64, account: Uuid, doctor: bool } -> sql_types::Uuid,
    "SELECT doctor_id FROM schedules WHERE $4 AND doctor_id = $3 AND doctor_id > $1 LIMIT $2";

    /// Appointments in any state.
    AllAppointments { after: Uuid, limit: i64 } -> sql_types::Uuid,
    "SELECT id FROM appointments WHERE id > $1 ORDER BY id LIMIT $2";

    /// The same of an account: of its patients, and of the doctor who it is.
    OwnAppointments { after: Uuid, limit: i64, account: Uuid, doctor: bool } -> sql_types::Uuid,
    "(SELECT v.id FROM patients p JOIN appointments v ON v.patient_id = p.id \
     WHERE p.account_id = $3 AND v.id > $1 ORDER BY v.id LIMIT $2) \
     UNION \
     (SELECT v.id FROM appointments v WHERE $4 AND v.doctor_id = $3 AND v.id > $1 \
      ORDER BY v.id LIMIT $2) \
     ORDER BY id LIMIT $2";
}

/// The next schedules behind this id that a viewer may see.
pub async fn schedule_ids(
    conn: &mut Conn,
    viewer: &Viewer,
    after: Uuid,
    limit: i64,
) -> Result<Vec<Uuid>> {
    if viewer.sees_all(ResourceKind::Schedule) {
        return Ok(AllSchedules { after, limit }.get_results(conn).await?);
    }
    let account = viewer.account.0;
    Ok(OwnSchedule { after, limit, account, doctor: viewer.doctor }.get_results(conn).await?)
}

/// The next appointments behind this id that a viewer may see.
pub async fn appointment_ids(
    conn: &mut Conn,
    viewer: &Viewer,
    after: Uuid,
    limit: i64,
) -> Result<Vec<Uuid>> {
    if viewer.sees_all(ResourceKind::Appointment) {
        return Ok(AllAppointments { after, limit }.get_results(conn).await?);
    }
    let account = viewer.account.0;
    Ok(OwnAppointments { after, limit, account, doctor: viewer.doctor }.get_results(conn).await?)
}
