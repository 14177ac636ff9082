//! To be written.

use clinicd_proto::identity::v1 as pb;

use crate::app::App;
use crate::kernel::access::Caller;
use crate::kernel::error::{Error, Reason, Result};

/// `ListMySignIns`.
pub(super) async fn list_mine(
    _app: &App,
    _caller: &Caller,
    _request: pb::ListMySignInsRequest,
) -> Result<pb::ListMySignInsResponse> {
    Err(Error::of(Reason::UnknownMethod))
}

/// `ListSignIns`.
pub(super) async fn list(
    _app: &App,
    _caller: &Caller,
    _request: pb::ListSignInsRequest,
) -> Result<pb::ListSignInsResponse> {
    Err(Error::of(Reason::UnknownMethod))
}

/// `DeleteSignIn`.
pub(super) async fn hide(
    _app: &App,
    _caller: &Caller,
    _request: pb::DeleteSignInRequest,
) -> Result<pb::DeleteSignInResponse> {
    Err(Error::of(Reason::UnknownMethod))
}
