//! Staff: created by an admin, invited by mail.

use diesel_async::RunQueryDsl;

use clinicd_proto::identity::v1 as pb;

use super::grant_role;
use super::jobs::SendInvitation;
use super::registering::{NewPerson, activation, enqueue, event};
use super::rows::{self, AccountState};
use crate::app::App;
use crate::kernel::access::Caller;
use crate::kernel::error::{Error, Reason, Result};
use crate::kernel::jobs::NewJob;
use crate::kernel::kinds::{AccountId, Role};

/// `CreateStaffMember`: an inactive account without a password, and an invitation to set one.
pub(super) async fn create(
    app: &App,
    caller: &Caller,
    request: pb::CreateStaffMemberRequest,
) -> Result<pb::CreateStaffMemberResponse> {
    let person = NewPerson::new(&request.email, request.name.clone(), &request.language)?;
    let role = Role::from_wire(request.role)
        .filter(|role| matches!(role, Role::Operator | Role::Pharmacist))
        .ok_or_else(|| Error::field("role", "must be ROLE_OPERATOR or ROLE_PHARMACIST"))?;
    let by = caller.account();
    app.once(caller, &request.request_id, &request, async |conn| {
        let id = AccountId(app.ids.next());
        let account = person.account(app, id, None, AccountState::Inactive);
        if account.execute(conn).await? == 0 {
            return Err(Error::of(Reason::AlreadyExists).with("resource", "account"));
        }
        grant_role(app, conn, id, role, by).await?;
        let activation = activation(app, conn, id, &person.email, true).await?;
        enqueue(app, conn, NewJob::now(&SendInvitation { activation })).await?;
        app.events.emit(conn, event("account.staff_created", id)).await?;
        let account = rows::find(conn, id).await?.map(Into::into);
        Ok(pb::CreateStaffMemberResponse { account })
    })
    .await
}

/// `ListStaff`.
pub(super) async fn list(
    _app: &App,
    _caller: &Caller,
    _request: pb::ListStaffRequest,
) -> Result<pb::ListStaffResponse> {
    Err(Error::of(Reason::UnknownMethod))
}

/// `GetStaffMember`.
pub(super) async fn get(
    _app: &App,
    _caller: &Caller,
    _request: pb::GetStaffMemberRequest,
) -> Result<pb::GetStaffMemberResponse> {
    Err(Error::of(Reason::UnknownMethod))
}

/// `RemoveStaffMember`.
pub(super) async fn remove(
    _app: &App,
    _caller: &Caller,
    _request: pb::RemoveStaffMemberRequest,
) -> Result<pb::RemoveStaffMemberResponse> {
    Err(Error::of(Reason::UnknownMethod))
}
