//! To be written.

use clinicd_proto::identity::v1 as pb;

use crate::app::App;
use crate::kernel::access::Caller;
use crate::kernel::error::{Error, Reason, Result};

/// `CreateServiceAccount`.
pub(super) async fn create(
    _app: &App,
    _caller: &Caller,
    _request: pb::CreateServiceAccountRequest,
) -> Result<pb::CreateServiceAccountResponse> {
    Err(Error::of(Reason::UnknownMethod))
}

/// `ListServiceAccounts`.
pub(super) async fn list(
    _app: &App,
    _caller: &Caller,
    _request: pb::ListServiceAccountsRequest,
) -> Result<pb::ListServiceAccountsResponse> {
    Err(Error::of(Reason::UnknownMethod))
}
