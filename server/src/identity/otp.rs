//! To be written.

use clinicd_proto::identity::v1 as pb;

use crate::app::App;
use crate::kernel::access::Caller;
use crate::kernel::error::{Error, Reason, Result};

/// `SendOtp`.
pub(super) async fn send(
    _app: &App,
    _caller: &Caller,
    _request: pb::SendOtpRequest,
) -> Result<pb::SendOtpResponse> {
    Err(Error::of(Reason::UnknownMethod))
}

/// `VerifyOtp`.
pub(super) async fn verify(
    _app: &App,
    _caller: &Caller,
    _request: pb::VerifyOtpRequest,
) -> Result<pb::VerifyOtpResponse> {
    Err(Error::of(Reason::UnknownMethod))
}
