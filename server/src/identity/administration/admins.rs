//! Administrators: made and unmade by a superuser.

use diesel_async::RunQueryDsl;

use clinicd_proto::identity::v1 as pb;

use crate::app::App;
use crate::identity::administration::managing::{self, wrong_state};
use crate::identity::grant_role;
use crate::identity::registration::registering::event;
use crate::identity::rows::{AccountState, DeleteRole, TouchAccount};
use crate::identity::sessions::living::EndSessions;
use crate::kernel::access::Caller;
use crate::kernel::error::Result;
use crate::kernel::kinds::{AccountId, Role};

/// `GrantAdmin`. The superuser's right, by the proto.
pub(in crate::identity) async fn grant_admin(
    app: &App,
    caller: &Caller,
    request: pb::GrantAdminRequest,
) -> Result<pb::GrantAdminResponse> {
    let id = AccountId::from_wire("account_id", &request.account_id)?;
    let by = caller.account();
    app.once(caller, &request.request_id, &request, async |conn| {
        let account = managing::lock(conn, id).await?;
        if account.state != AccountState::Active {
            return Err(wrong_state(&account));
        }
        if !account.has(Role::Admin) {
            grant_role(app, conn, id, Role::Admin, by).await?;
            app.events.emit(conn, event("account.admin_granted", id)).await?;
        }
        let account = managing::find(conn, id).await?;
        Ok(pb::GrantAdminResponse { account: Some(account.into()) })
    })
    .await
}

/// `RevokeAdmin`. Takes the one role; what else the account is, it stays.
pub(in crate::identity) async fn revoke_admin(
    app: &App,
    caller: &Caller,
    request: pb::RevokeAdminRequest,
) -> Result<pb::RevokeAdminResponse> {
    let id = AccountId::from_wire("account_id", &request.account_id)?;
    app.once(caller, &request.request_id, &request, async |conn| {
        managing::lock(conn, id).await?;
        let now = app.clock.now();
        if (DeleteRole { account: id, role: Role::Admin }).execute(conn).await? == 1 {
            TouchAccount { id, now }.execute(conn).await?;
            EndSessions { account: id, now }.execute(conn).await?;
            app.events.emit(conn, event("account.admin_revoked", id)).await?;
        }
        let account = managing::find(conn, id).await?;
        Ok(pb::RevokeAdminResponse { account: Some(account.into()) })
    })
    .await
}
