//! Reading the sign-in history, and hiding records of it.

use diesel::OptionalExtension;
use diesel::sql_types;
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use clinicd_proto::identity::v1 as pb;

use crate::app::App;
use crate::identity::administration::managing::{require_other, require_rank};
use crate::identity::history::query::{After, Count, Filter, Order, Page, SignInRow};
use crate::identity::registration::registering::event;
use crate::identity::rows;
use crate::kernel::access::Caller;
use crate::kernel::error::{Error, Result};
use crate::kernel::kinds::{AccountId, Time, uuid_from_wire};
use crate::kernel::page::{Direction, PageRequest, parse_order};
use crate::statement;

/// Key of the last row of a page: time in microseconds, success, id.
type Key = (i64, bool, Uuid);

statement! {
    /// The account of a record that is not hidden; null when the attempt was at none. Locked.
    LockSignIn { id: Uuid } -> sql_types::Nullable<sql_types::Uuid>,
    "SELECT account_id FROM sign_ins WHERE id = $1 AND hidden_at IS NULL FOR UPDATE";

    /// Hides a record from every list.
    HideSignIn { id: Uuid, by: AccountId, now: Time },
    "UPDATE sign_ins SET hidden_at = $3, hidden_by = $2 WHERE id = $1 AND hidden_at IS NULL";
}

/// What both lists are asked.
struct Wish<'a> {
    list: &'static str,
    filter: Filter,
    order_by: &'a str,
    page_size: i32,
    page_token: &'a str,
    include_total: bool,
}

/// A page of either list.
struct Listed {
    sign_ins: Vec<pb::SignInRecord>,
    next_page_token: String,
    total_size: Option<i64>,
}

/// `ListMySignIns`.
pub(in crate::identity) async fn list_mine(
    app: &App,
    caller: &Caller,
    request: pb::ListMySignInsRequest,
) -> Result<pb::ListMySignInsResponse> {
    let wish = Wish {
        list: "identity.my_sign_ins",
        filter: Filter { account: Some(caller.require_account()?), success: request.success },
        order_by: &request.order_by,
        page_size: request.page_size,
        page_token: &request.page_token,
        include_total: request.include_total,
    };
    let Listed { sign_ins, next_page_token, total_size } = read(app, caller, wish).await?;
    Ok(pb::ListMySignInsResponse { sign_ins, next_page_token, total_size })
}

/// `ListSignIns`.
pub(in crate::identity) async fn list(
    app: &App,
    caller: &Caller,
    request: pb::ListSignInsRequest,
) -> Result<pb::ListSignInsResponse> {
    let account = request.account_id.as_deref();
    let account = account.map(|id| AccountId::from_wire("account_id", id)).transpose()?;
    let wish = Wish {
        list: "identity.sign_ins",
        filter: Filter { account, success: request.success },
        order_by: &request.order_by,
        page_size: request.page_size,
        page_token: &request.page_token,
        include_total: request.include_total,
    };
    let Listed { sign_ins, next_page_token, total_size } = read(app, caller, wish).await?;
    Ok(pb::ListSignInsResponse { sign_ins, next_page_token, total_size })
}

async fn read(app: &App, caller: &Caller, wish: Wish<'_>) -> Result<Listed> {
    let (filter, (order, direction)) = (wish.filter, order(wish.order_by)?);
    let page = app.pages.open::<Key>(&PageRequest {
        list: wish.list,
        page_size: wish.page_size,
        page_token: wish.page_token,
        bound_to: &[
            caller.require_account()?.0.as_bytes(),
            format!("{filter:?} {order:?} {direction:?}").as_bytes(),
        ],
    })?;
    let after = page.after.map(last_of_page).transpose()?;
    let query = Page { filter, order, direction, after, limit: page.limit + 1 };
    let mut conn = app.db.read().await?;
    let rows: Vec<SignInRow> = query.get_results(&mut conn).await?;
    let mut total_size = None;
    if wish.include_total {
        total_size = Some(Count(filter).get_result(&mut conn).await?);
    }
    let key = |row: &SignInRow| (row.created_at.unix_micros(), row.success, row.id);
    let (rows, next_page_token) = page.close(rows, key)?;
    let sign_ins = rows.into_iter().map(Into::into).collect();
    Ok(Listed { sign_ins, next_page_token, total_size })
}

/// The one field that a list is ordered by; the newest first when none is named.
fn order(order_by: &str) -> Result<(Order, Direction)> {
    if order_by.trim().is_empty() {
        return Ok((Order::Id, Direction::Descending));
    }
    match parse_order(order_by, &["id", "create_time", "success"])?[..] {
        [("id", direction)] => Ok((Order::Id, direction)),
        [("create_time", direction)] => Ok((Order::Time, direction)),
        [("success", direction)] => Ok((Order::Success, direction)),
        _ => {
            let remedy = "must name one field, \"id\", \"create_time\" or \"success\"";
            Err(Error::field("order_by", remedy))
        }
    }
}

fn last_of_page((micros, success, id): Key) -> Result<After> {
    let created_at = Time::from_unix_micros(micros);
    let created_at = created_at.ok_or_else(|| Error::internal("a page key"))?;
    Ok(After { created_at, success, id })
}

/// `DeleteSignIn`. Nothing is removed: the server's role may not. Nobody covers the own traces, nor
/// an admin those of an admin or a superuser.
pub(in crate::identity) async fn hide(
    app: &App,
    caller: &Caller,
    request: pb::DeleteSignInRequest,
) -> Result<pb::DeleteSignInResponse> {
    let id = uuid_from_wire("sign_in_id", &request.sign_in_id)?;
    let by = caller.require_account()?;
    app.once(caller, &request.request_id, &request, async |conn| {
        let account: Option<Option<AccountId>> =
            LockSignIn { id }.get_result(conn).await.optional()?;
        let account = account.ok_or_else(|| Error::not_found("sign_in"))?;
        if let Some(account) = account {
            require_other(caller, account)?;
            if let Some(owner) = rows::find(conn, account).await? {
                require_rank(caller, &owner)?;
            }
            app.events.emit(conn, event("account.sign_in_hidden", account)).await?;
        }
        HideSignIn { id, by, now: app.clock.now() }.execute(conn).await?;
        Ok(pb::DeleteSignInResponse {})
    })
    .await
}

impl From<SignInRow> for pb::SignInRecord {
    fn from(row: SignInRow) -> Self {
        Self {
            id: row.id.to_string(),
            create_time: Some(row.created_at.into()),
            account_id: row.account.map(|account| account.to_string()).unwrap_or_default(),
            success: row.success,
            method: row.method.into(),
            client_address: row.address,
            user_agent: row.user_agent,
        }
    }
}
