//! The own account.

use clinicd_proto::identity::v1 as pb;

use super::rows;
use crate::app::App;
use crate::kernel::access::Caller;
use crate::kernel::error::{Error, Reason, Result};

/// `GetMyAccount`.
pub(super) async fn get_mine(
    app: &App,
    caller: &Caller,
    _request: pb::GetMyAccountRequest,
) -> Result<pb::GetMyAccountResponse> {
    let mut conn = app.db.read().await?;
    let account = rows::find(&mut conn, caller.require_account()?).await?;
    let account = account.ok_or_else(|| Error::not_found("account"))?;
    Ok(pb::GetMyAccountResponse { account: Some(account.into()) })
}

/// `UpdateMyAccount`.
pub(super) async fn update_mine(
    _app: &App,
    _caller: &Caller,
    _request: pb::UpdateMyAccountRequest,
) -> Result<pb::UpdateMyAccountResponse> {
    Err(Error::of(Reason::UnknownMethod))
}

/// `GetMyRoles`.
pub(super) async fn my_roles(
    _app: &App,
    _caller: &Caller,
    _request: pb::GetMyRolesRequest,
) -> Result<pb::GetMyRolesResponse> {
    Err(Error::of(Reason::UnknownMethod))
}
