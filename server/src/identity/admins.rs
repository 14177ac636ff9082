//! Administration of accounts.

use diesel_async::RunQueryDsl;
use uuid::Uuid;

use clinicd_proto::identity::v1 as pb;

use super::registering::event;
use super::rows::{
    self, AccountRow, AccountState, AccountsDown, AccountsUp, CountAccounts, DeleteRole,
    TouchAccount,
};
use super::sessions::EndSessions;
use super::{grant_role, rules};
use crate::app::App;
use crate::kernel::access::Caller;
use crate::kernel::error::{Error, Reason, Result};
use crate::kernel::kinds::{AccountId, Role};
use crate::kernel::page::{Direction, PageRequest, parse_order};

/// `GetMyAccount`.
pub(super) async fn get_mine(app: &App, caller: &Caller) -> Result<pb::GetMyAccountResponse> {
    let mut conn = app.db.read().await?;
    let account = rows::find(&mut conn, caller.require_account()?).await?;
    let account = account.ok_or_else(|| Error::not_found("account"))?;
    Ok(pb::GetMyAccountResponse { account: Some(account.into()) })
}

/// `ListUsers`.
pub(super) async fn list(
    app: &App,
    caller: &Caller,
    request: pb::ListUsersRequest,
) -> Result<pb::ListUsersResponse> {
    let role = match request.role {
        None => None,
        Some(role) => {
            Some(Role::from_wire(role).ok_or_else(|| Error::field("role", "must name a role"))?)
        }
    };
    let email_key = request.email.as_deref().map(rules::email_key);
    let [(_, direction)] = parse_order(&request.order_by, &["id"])?[..] else {
        return Err(Error::field("order_by", "must be \"id\" or \"id desc\""));
    };
    let account = caller.require_account()?;
    let page = app.pages.open::<Uuid>(&PageRequest {
        list: "identity.users",
        page_size: request.page_size,
        page_token: &request.page_token,
        bound_to: &[
            account.0.as_bytes(),
            email_key.as_deref().unwrap_or_default().as_bytes(),
            role.map_or("", Role::as_str).as_bytes(),
            format!("{direction:?}").as_bytes(),
        ],
    })?;
    let (after, limit) = (page.after, page.limit + 1);
    let mut conn = app.db.read().await?;
    let rows: Vec<AccountRow> = match direction {
        Direction::Ascending => {
            let page = AccountsUp { after, email_key: email_key.clone(), role, limit };
            page.get_results(&mut conn).await?
        }
        Direction::Descending => {
            let page = AccountsDown { after, email_key: email_key.clone(), role, limit };
            page.get_results(&mut conn).await?
        }
    };
    let total_size = if request.include_total {
        Some(CountAccounts { email_key, role }.get_result(&mut conn).await?)
    } else {
        None
    };
    let (rows, next_page_token) = page.close(rows, |row| row.id.0)?;
    let users = rows.into_iter().map(Into::into).collect();
    Ok(pb::ListUsersResponse { users, next_page_token, total_size })
}

/// `GrantAdmin`. The superuser's right, by the proto.
pub(super) async fn grant_admin(
    app: &App,
    caller: &Caller,
    request: pb::GrantAdminRequest,
) -> Result<pb::GrantAdminResponse> {
    let id = AccountId::from_wire("account_id", &request.account_id)?;
    let by = caller.account();
    app.once(caller, &request.request_id, &request, async |conn| {
        let unknown = || Error::not_found("account");
        let account = rows::lock(conn, id).await?.ok_or_else(unknown)?;
        if account.state != AccountState::Active {
            return Err(Error::of(Reason::WrongState).with("state", account.state.as_str()));
        }
        if !account.has(Role::Admin) {
            grant_role(app, conn, id, Role::Admin, by).await?;
            app.events.emit(conn, event("account.admin_granted", id)).await?;
        }
        let account = rows::find(conn, id).await?.ok_or_else(unknown)?;
        Ok(pb::GrantAdminResponse { account: Some(account.into()) })
    })
    .await
}

/// `RevokeAdmin`. Takes the one role; what else the account is, it stays.
pub(super) async fn revoke_admin(
    app: &App,
    caller: &Caller,
    request: pb::RevokeAdminRequest,
) -> Result<pb::RevokeAdminResponse> {
    let id = AccountId::from_wire("account_id", &request.account_id)?;
    app.once(caller, &request.request_id, &request, async |conn| {
        let unknown = || Error::not_found("account");
        rows::lock(conn, id).await?.ok_or_else(unknown)?;
        let now = app.clock.now();
        if (DeleteRole { account: id, role: Role::Admin }).execute(conn).await? == 1 {
            TouchAccount { id, now }.execute(conn).await?;
            EndSessions { account: id, now }.execute(conn).await?;
            app.events.emit(conn, event("account.admin_revoked", id)).await?;
        }
        let account = rows::find(conn, id).await?.ok_or_else(unknown)?;
        Ok(pb::RevokeAdminResponse { account: Some(account.into()) })
    })
    .await
}
