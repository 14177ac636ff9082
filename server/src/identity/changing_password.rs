//! To be written.

use clinicd_proto::identity::v1 as pb;

use crate::app::App;
use crate::kernel::access::Caller;
use crate::kernel::error::{Error, Reason, Result};

/// `ChangePassword`.
pub(super) async fn change(
    _app: &App,
    _caller: &Caller,
    _request: pb::ChangePasswordRequest,
) -> Result<pb::ChangePasswordResponse> {
    Err(Error::of(Reason::UnknownMethod))
}
