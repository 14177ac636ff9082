//! To be written.

use clinicd_proto::identity::v1 as pb;

use crate::app::App;
use crate::kernel::access::Caller;
use crate::kernel::error::{Error, Reason, Result};

/// `BlockDoctor`.
pub(super) async fn block(
    _app: &App,
    _caller: &Caller,
    _request: pb::BlockDoctorRequest,
) -> Result<pb::BlockDoctorResponse> {
    Err(Error::of(Reason::UnknownMethod))
}

/// `UnblockDoctor`.
pub(super) async fn unblock(
    _app: &App,
    _caller: &Caller,
    _request: pb::UnblockDoctorRequest,
) -> Result<pb::UnblockDoctorResponse> {
    Err(Error::of(Reason::UnknownMethod))
}
