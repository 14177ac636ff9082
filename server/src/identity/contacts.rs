//! To be written.

use clinicd_proto::identity::v1 as pb;

use crate::app::App;
use crate::kernel::access::Caller;
use crate::kernel::error::{Error, Reason, Result};

/// `ChangeEmail`.
pub(super) async fn change_email(
    _app: &App,
    _caller: &Caller,
    _request: pb::ChangeEmailRequest,
) -> Result<pb::ChangeEmailResponse> {
    Err(Error::of(Reason::UnknownMethod))
}

/// `ChangePhone`.
pub(super) async fn change_phone(
    _app: &App,
    _caller: &Caller,
    _request: pb::ChangePhoneRequest,
) -> Result<pb::ChangePhoneResponse> {
    Err(Error::of(Reason::UnknownMethod))
}

/// `ConfirmContactChange`.
pub(super) async fn confirm(
    _app: &App,
    _caller: &Caller,
    _request: pb::ConfirmContactChangeRequest,
) -> Result<pb::ConfirmContactChangeResponse> {
    Err(Error::of(Reason::UnknownMethod))
}
