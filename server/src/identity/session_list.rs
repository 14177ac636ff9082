//! To be written.

use clinicd_proto::identity::v1 as pb;

use crate::app::App;
use crate::kernel::access::Caller;
use crate::kernel::error::{Error, Reason, Result};

/// `ListMySessions`.
pub(super) async fn list(
    _app: &App,
    _caller: &Caller,
    _request: pb::ListMySessionsRequest,
) -> Result<pb::ListMySessionsResponse> {
    Err(Error::of(Reason::UnknownMethod))
}

/// `RevokeSession`.
pub(super) async fn revoke(
    _app: &App,
    _caller: &Caller,
    _request: pb::RevokeSessionRequest,
) -> Result<pb::RevokeSessionResponse> {
    Err(Error::of(Reason::UnknownMethod))
}

/// `RevokeOtherSessions`.
pub(super) async fn revoke_others(
    _app: &App,
    _caller: &Caller,
    _request: pb::RevokeOtherSessionsRequest,
) -> Result<pb::RevokeOtherSessionsResponse> {
    Err(Error::of(Reason::UnknownMethod))
}
