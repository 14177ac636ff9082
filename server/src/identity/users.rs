//! Administration of accounts.

use diesel_async::RunQueryDsl;
use uuid::Uuid;

use clinicd_proto::identity::v1 as pb;

use super::rows::{AccountRow, AccountsDown, AccountsUp, CountAccounts};
use super::rules;
use crate::app::App;
use crate::kernel::access::Caller;
use crate::kernel::error::{Error, Reason, Result};
use crate::kernel::kinds::Role;
use crate::kernel::page::{Direction, PageRequest, parse_order};

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

/// `GetUser`.
pub(super) async fn get(
    _app: &App,
    _caller: &Caller,
    _request: pb::GetUserRequest,
) -> Result<pb::GetUserResponse> {
    Err(Error::of(Reason::UnknownMethod))
}

/// `UpdateUser`.
pub(super) async fn update(
    _app: &App,
    _caller: &Caller,
    _request: pb::UpdateUserRequest,
) -> Result<pb::UpdateUserResponse> {
    Err(Error::of(Reason::UnknownMethod))
}
