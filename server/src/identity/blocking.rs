//! To be written.

use clinicd_proto::identity::v1 as pb;

use crate::app::App;
use crate::kernel::access::Caller;
use crate::kernel::error::{Error, Reason, Result};

/// `BlockUser`.
pub(super) async fn block(
    _app: &App,
    _caller: &Caller,
    _request: pb::BlockUserRequest,
) -> Result<pb::BlockUserResponse> {
    Err(Error::of(Reason::UnknownMethod))
}

/// `UnblockUser`.
pub(super) async fn unblock(
    _app: &App,
    _caller: &Caller,
    _request: pb::UnblockUserRequest,
) -> Result<pb::UnblockUserResponse> {
    Err(Error::of(Reason::UnknownMethod))
}
