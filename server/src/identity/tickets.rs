//! To be written.

use clinicd_proto::identity::v1 as pb;

use crate::app::App;
use crate::kernel::access::Caller;
use crate::kernel::error::{Error, Reason, Result};

/// `IssueStreamTicket`.
pub(super) async fn issue(
    _app: &App,
    _caller: &Caller,
    _request: pb::IssueStreamTicketRequest,
) -> Result<pb::IssueStreamTicketResponse> {
    Err(Error::of(Reason::UnknownMethod))
}

/// Uses a ticket for a method, once; its session.
pub(super) fn redeem<'a>(
    _app: &'a App,
    _ticket: &'a str,
    _method: &'static str,
) -> futures_util::future::BoxFuture<'a, Result<Option<crate::kernel::kinds::SessionId>>> {
    Box::pin(async { Ok(None) })
}
