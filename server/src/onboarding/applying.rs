//! Starting, reading and handing in the caller's own application.

use clinicd_proto::onboarding::v1 as pb;
use diesel_async::RunQueryDsl;

use super::rows::{self, ApplicationId, ApplicationRow, DocumentRow, InsertApplication, Submit};
use super::rules::{self, Action, DocumentKind, Filled, Status};
use crate::app::App;
use crate::kernel::access::Caller;
use crate::kernel::db::Conn;
use crate::kernel::error::{Error, Reason, Result};
use crate::kernel::events::{Event, ResourceKind};
use crate::kernel::kinds::{AccountId, Role};
use crate::{files, identity};

/// Starts an application, or returns the one that is open.
pub(super) async fn start(
    app: &App,
    caller: &Caller,
    request: pb::StartApplicationRequest,
) -> Result<pb::StartApplicationResponse> {
    let account = caller.require_account()?;
    let is_doctor = || Error::of(Reason::AlreadyExists).with("resource", "doctor");
    app.once(caller, &request.request_id, &request, async |conn| {
        if caller.is(Role::Doctor) {
            return Err(is_doctor());
        }
        let insert =
            InsertApplication { id: ApplicationId(app.ids.next()), account, now: app.clock.now() };
        let started = insert.execute(conn).await? == 1;
        let row = ApplicationRow::lock_latest(conn, account).await?;
        if row.status == Status::Approved {
            return Err(is_doctor());
        }
        if started {
            identity::set_applicant(app, conn, account, true).await?;
            emit(app, conn, "application.started", row.id, account).await?;
        }
        let application = Some(rows::reload(conn, row.id).await?);
        Ok(pb::StartApplicationResponse { application })
    })
    .await
}

/// The caller's latest application.
pub(super) async fn get_mine(app: &App, caller: &Caller) -> Result<pb::GetMyApplicationResponse> {
    let account = caller.require_account()?;
    app.db
        .transaction(async |conn| {
            let row = ApplicationRow::latest(conn, account).await?;
            let row = row.ok_or_else(|| Error::not_found("application"))?;
            let application = rows::to_wire(conn, vec![row]).await?.pop();
            Ok(pb::GetMyApplicationResponse { application })
        })
        .await
}

/// Hands the application in. From now on admins may read its documents.
pub(super) async fn submit(
    app: &App,
    caller: &Caller,
    request: pb::SubmitApplicationRequest,
) -> Result<pb::SubmitApplicationResponse> {
    let account = caller.require_account()?;
    app.once(caller, &request.request_id, &request, async |conn| {
        let row = ApplicationRow::lock_latest(conn, account).await?;
        rules::next(row.status, Action::Submit)?;
        let documents = DocumentRow::of(conn, &[row.id]).await?;
        let kinds: Vec<DocumentKind> = documents.iter().map(|document| document.kind).collect();
        Filled { row: &row, documents: &kinds }.check_complete()?;
        for document in &documents {
            files::open_for_review(conn, document.file_id).await?;
        }
        Submit { id: row.id, now: app.clock.now() }.execute(conn).await?;
        emit(app, conn, "application.submitted", row.id, account).await?;
        let application = Some(rows::reload(conn, row.id).await?);
        Ok(pb::SubmitApplicationResponse { application })
    })
    .await
}

/// Writes an event about an application, which its applicant may see.
pub(super) async fn emit(
    app: &App,
    conn: &mut Conn,
    event_type: &'static str,
    application: ApplicationId,
    applicant: AccountId,
) -> Result<()> {
    let event = Event {
        event_type,
        kind: ResourceKind::Application,
        resource: application.0,
        account: Some(applicant),
        patient: None,
        doctor: None,
    };
    app.events.emit(conn, event).await
}
