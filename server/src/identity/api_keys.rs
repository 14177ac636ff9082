//! To be written.

use clinicd_proto::identity::v1 as pb;

use crate::app::App;
use crate::kernel::access::Caller;
use crate::kernel::error::{Error, Reason, Result};

/// `ExchangeApiKey`.
pub(super) async fn exchange(
    _app: &App,
    _caller: &Caller,
    _request: pb::ExchangeApiKeyRequest,
) -> Result<pb::ExchangeApiKeyResponse> {
    Err(Error::of(Reason::UnknownMethod))
}

/// `CreateApiKey`.
pub(super) async fn create(
    _app: &App,
    _caller: &Caller,
    _request: pb::CreateApiKeyRequest,
) -> Result<pb::CreateApiKeyResponse> {
    Err(Error::of(Reason::UnknownMethod))
}

/// `ListApiKeys`.
pub(super) async fn list(
    _app: &App,
    _caller: &Caller,
    _request: pb::ListApiKeysRequest,
) -> Result<pb::ListApiKeysResponse> {
    Err(Error::of(Reason::UnknownMethod))
}

/// `RevokeApiKey`.
pub(super) async fn revoke(
    _app: &App,
    _caller: &Caller,
    _request: pb::RevokeApiKeyRequest,
) -> Result<pb::RevokeApiKeyResponse> {
    Err(Error::of(Reason::UnknownMethod))
}
