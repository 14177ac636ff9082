//! To be written.

use clinicd_proto::identity::v1 as pb;

use crate::app::App;
use crate::kernel::access::Caller;
use crate::kernel::error::{Error, Reason, Result};

/// `DeleteMyAccount`.
pub(super) async fn delete_mine(
    _app: &App,
    _caller: &Caller,
    _request: pb::DeleteMyAccountRequest,
) -> Result<pb::DeleteMyAccountResponse> {
    Err(Error::of(Reason::UnknownMethod))
}

/// `DeleteUser`.
pub(super) async fn delete_user(
    _app: &App,
    _caller: &Caller,
    _request: pb::DeleteUserRequest,
) -> Result<pb::DeleteUserResponse> {
    Err(Error::of(Reason::UnknownMethod))
}
