//! Whether a doctor takes new bookings, as the clinic decides.

use diesel::OptionalExtension;
use diesel::sql_types::Bool;
use diesel_async::RunQueryDsl;

use super::creating::changed;
use crate::app::App;
use crate::kernel::db::Conn;
use crate::kernel::error::{Error, Result};
use crate::kernel::kinds::{DoctorId, Time};
use crate::statement;

statement! {
    /// Whether a doctor takes bookings; locked.
    LockBookable { id: DoctorId } -> Bool,
    "SELECT available_for_booking FROM doctors WHERE id = $1 AND closed_at IS NULL FOR UPDATE";

    /// Opens a doctor for bookings, or stops them.
    SetBookable { id: DoctorId, bookable: bool, now: Time },
    "UPDATE doctors SET available_for_booking = $2, updated_at = $3, version = version + 1 \
     WHERE id = $1";
}

/// Opens a doctor for new bookings, or stops them; those that exist stay. Nothing changes when it is
/// so already.
pub async fn set_bookable(app: &App, conn: &mut Conn, id: DoctorId, bookable: bool) -> Result<()> {
    let before: Option<bool> = LockBookable { id }.get_result(conn).await.optional()?;
    if before.ok_or_else(|| Error::not_found("doctor"))? == bookable {
        return Ok(());
    }
    SetBookable { id, bookable, now: app.clock.now() }.execute(conn).await?;
    let event_type =
        if bookable { "doctor.opened_for_booking" } else { "doctor.blocked_for_booking" };
    app.events.emit(conn, changed(event_type, id)).await
}
