//! Whether the clinic lets a doctor be booked. Bookings that exist stay.

use clinicd_proto::identity::v1 as pb;

use crate::app::App;
use crate::identity::administration::managing::{require_other, require_rank};
use crate::identity::rows;
use crate::identity::staff::members as staff;
use crate::kernel::access::Caller;
use crate::kernel::db::Conn;
use crate::kernel::error::{Error, Result};
use crate::kernel::kinds::{AccountId, Role};
use crate::profiles;

/// `BlockDoctor`.
pub(in crate::identity) async fn block(
    app: &App,
    caller: &Caller,
    request: pb::BlockDoctorRequest,
) -> Result<pb::BlockDoctorResponse> {
    let id = AccountId::from_wire("doctor_id", &request.doctor_id)?;
    app.once(caller, &request.request_id, &request, async |conn| {
        let member = set(app, conn, caller, id, false).await?;
        Ok(pb::BlockDoctorResponse { member })
    })
    .await
}

/// `UnblockDoctor`.
pub(in crate::identity) async fn unblock(
    app: &App,
    caller: &Caller,
    request: pb::UnblockDoctorRequest,
) -> Result<pb::UnblockDoctorResponse> {
    let id = AccountId::from_wire("doctor_id", &request.doctor_id)?;
    app.once(caller, &request.request_id, &request, async |conn| {
        let member = set(app, conn, caller, id, true).await?;
        Ok(pb::UnblockDoctorResponse { member })
    })
    .await
}

async fn set(
    app: &App,
    conn: &mut Conn,
    caller: &Caller,
    id: AccountId,
    bookable: bool,
) -> Result<Option<pb::StaffMember>> {
    let account = rows::lock(conn, id).await?.filter(|account| account.has(Role::Doctor));
    let account = account.ok_or_else(|| Error::not_found("doctor"))?;
    require_other(caller, id)?;
    require_rank(caller, &account)?;
    profiles::set_bookable(app, conn, id.into(), bookable).await?;
    Ok(staff::members(conn, vec![account]).await?.pop())
}
