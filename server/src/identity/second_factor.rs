//! To be written.

use clinicd_proto::identity::v1 as pb;

use crate::app::App;
use crate::kernel::access::Caller;
use crate::kernel::error::{Error, Reason, Result};

/// `CompleteSecondFactor`.
pub(super) async fn complete(
    _app: &App,
    _caller: &Caller,
    _request: pb::CompleteSecondFactorRequest,
) -> Result<pb::CompleteSecondFactorResponse> {
    Err(Error::of(Reason::UnknownMethod))
}

/// `EnrollSecondFactor`.
pub(super) async fn enroll(
    _app: &App,
    _caller: &Caller,
    _request: pb::EnrollSecondFactorRequest,
) -> Result<pb::EnrollSecondFactorResponse> {
    Err(Error::of(Reason::UnknownMethod))
}

/// `ConfirmSecondFactor`.
pub(super) async fn confirm(
    _app: &App,
    _caller: &Caller,
    _request: pb::ConfirmSecondFactorRequest,
) -> Result<pb::ConfirmSecondFactorResponse> {
    Err(Error::of(Reason::UnknownMethod))
}

/// `RemoveSecondFactor`.
pub(super) async fn remove(
    _app: &App,
    _caller: &Caller,
    _request: pb::RemoveSecondFactorRequest,
) -> Result<pb::RemoveSecondFactorResponse> {
    Err(Error::of(Reason::UnknownMethod))
}

/// `RegenerateRecoveryCodes`.
pub(super) async fn regenerate(
    _app: &App,
    _caller: &Caller,
    _request: pb::RegenerateRecoveryCodesRequest,
) -> Result<pb::RegenerateRecoveryCodesResponse> {
    Err(Error::of(Reason::UnknownMethod))
}
