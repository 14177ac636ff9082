//! Attaching a document to the caller's application.

use clinicd_proto::onboarding::v1 as pb;
use diesel_async::RunQueryDsl;

use super::applying::emit;
use super::rows::{self, ApplicationRow, AttachDocument, TouchDocuments};
use super::rules::{self, Action, DocumentKind};
use crate::app::App;
use crate::files;
use crate::kernel::access::Caller;
use crate::kernel::error::{Error, Result};
use crate::kernel::kinds::FileId;

/// Adds a file of the caller in place of the document of that kind. Admins may read it once the
/// application is submitted.
pub(super) async fn attach(
    app: &App,
    caller: &Caller,
    request: pb::AttachDocumentRequest,
) -> Result<pb::AttachDocumentResponse> {
    let account = caller.require_account()?;
    let file = FileId::from_wire("file_id", &request.file_id)?;
    let kind = DocumentKind::from_wire(request.kind)
        .ok_or_else(|| Error::field("kind", "must be a kind of document"))?;
    app.once(caller, &request.request_id, &request, async |conn| {
        let row = ApplicationRow::lock_latest(conn, account).await?;
        if files::owned(conn, file, account).await?.is_none() {
            return Err(Error::not_found("file"));
        }
        rules::next(row.status, Action::Edit)?;
        AttachDocument { id: row.id, kind, file }.execute(conn).await?;
        TouchDocuments { id: row.id, now: app.clock.now() }.execute(conn).await?;
        emit(app, conn, "application.updated", row.id, account).await?;
        let application = Some(rows::reload(conn, row.id).await?);
        Ok(pb::AttachDocumentResponse { application })
    })
    .await
}
