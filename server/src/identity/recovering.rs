//! To be written.

use clinicd_proto::identity::v1 as pb;

use crate::app::App;
use crate::kernel::access::Caller;
use crate::kernel::error::{Error, Reason, Result};

/// `RequestRecovery`.
pub(super) async fn request(
    _app: &App,
    _caller: &Caller,
    _request: pb::RequestRecoveryRequest,
) -> Result<pb::RequestRecoveryResponse> {
    Err(Error::of(Reason::UnknownMethod))
}

/// `ConfirmRecovery`.
pub(super) async fn confirm(
    _app: &App,
    _caller: &Caller,
    _request: pb::ConfirmRecoveryRequest,
) -> Result<pb::ConfirmRecoveryResponse> {
    Err(Error::of(Reason::UnknownMethod))
}

/// `StartRecoveryFor`.
pub(super) async fn start_for(
    _app: &App,
    _caller: &Caller,
    _request: pb::StartRecoveryForRequest,
) -> Result<pb::StartRecoveryForResponse> {
    Err(Error::of(Reason::UnknownMethod))
}
