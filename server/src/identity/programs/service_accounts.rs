//! Accounts of programs. They have no contacts, no password, no roles: what they may do is what
//! their [`api_keys`](crate::identity::programs::api_keys) allow.

use diesel::sql_types;
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use clinicd_proto::identity::v1 as pb;

use crate::app::App;
use crate::identity::registration::registering::event;
use crate::kernel::access::Caller;
use crate::kernel::error::Result;
use crate::kernel::kinds::{AccountId, Time};
use crate::kernel::page::{Direction, PageRequest, order_by_id};
use crate::kernel::text;
use crate::statement;

/// Language of an account that nobody reads.
const LANGUAGE: &str = "en";

/// An account of a program: its name stands where people have their given name.
#[derive(Debug, Clone, diesel::Queryable)]
struct ProgramRow {
    id: AccountId,
    created_at: Time,
    display_name: String,
    created_by: Option<AccountId>,
}

type ProgramSql = (
    sql_types::Uuid,
    sql_types::Timestamptz,
    sql_types::Text,
    sql_types::Nullable<sql_types::Uuid>,
);

/// The columns of [`ProgramRow`], in its order.
macro_rules! select_program {
    ($rest:literal) => {
        concat!(
            "SELECT id, created_at, given_name, created_by FROM accounts WHERE kind = 'service' ",
            $rest
        )
    };
}

statement! {
    /// A new account of a program.
    InsertProgram {
        id: AccountId, display_name: String, language: &'static str, by: AccountId, now: Time,
    },
    "INSERT INTO accounts (id, kind, state, given_name, family_name, language, created_by, \
        created_at, updated_at) VALUES ($1, 'service', 'active', $2, '', $3, $4, $5, $5)";

    /// A page, oldest first.
    ProgramsUp { after: Uuid, limit: i64 } -> ProgramSql,
    select_program!("AND id > $1 ORDER BY id LIMIT $2");

    /// A page, newest first.
    ProgramsDown { after: Uuid, limit: i64 } -> ProgramSql,
    select_program!("AND id < $1 ORDER BY id DESC LIMIT $2");

    /// How many there are.
    CountPrograms {} -> sql_types::BigInt,
    "SELECT count(*) FROM accounts WHERE kind = 'service'";
}

impl From<ProgramRow> for pb::ServiceAccount {
    fn from(row: ProgramRow) -> Self {
        Self {
            id: row.id.to_string(),
            create_time: Some(row.created_at.into()),
            display_name: row.display_name,
            creator_id: row.created_by.map(|id| id.to_string()).unwrap_or_default(),
        }
    }
}

/// `CreateServiceAccount`.
pub(in crate::identity) async fn create(
    app: &App,
    caller: &Caller,
    request: pb::CreateServiceAccountRequest,
) -> Result<pb::CreateServiceAccountResponse> {
    let display_name = text::required_line("display_name", &request.display_name)?;
    let by = caller.require_account()?;
    app.once(caller, &request.request_id, &request, async |conn| {
        let (id, now) = (AccountId(app.ids.next()), app.clock.now());
        let display_name = display_name.clone();
        let row = ProgramRow { id, created_at: now, display_name, created_by: Some(by) };
        let display_name = row.display_name.clone();
        InsertProgram { id, display_name, language: LANGUAGE, by, now }.execute(conn).await?;
        app.events.emit(conn, event("service_account.created", id)).await?;
        Ok(pb::CreateServiceAccountResponse { service_account: Some(row.into()) })
    })
    .await
}

/// `ListServiceAccounts`.
pub(in crate::identity) async fn list(
    app: &App,
    caller: &Caller,
    request: pb::ListServiceAccountsRequest,
) -> Result<pb::ListServiceAccountsResponse> {
    let direction = order_by_id(&request.order_by)?;
    let account = caller.require_account()?;
    let page = app.pages.open::<Uuid>(&PageRequest {
        list: "identity.service_accounts",
        page_size: request.page_size,
        page_token: &request.page_token,
        bound_to: &[account.0.as_bytes(), format!("{direction:?}").as_bytes()],
    })?;
    let (after, limit) = (page.after.unwrap_or(direction.before_all()), page.limit + 1);
    let mut conn = app.db.read().await?;
    let rows: Vec<ProgramRow> = match direction {
        Direction::Ascending => ProgramsUp { after, limit }.get_results(&mut conn).await?,
        Direction::Descending => ProgramsDown { after, limit }.get_results(&mut conn).await?,
    };
    let total_size = if request.include_total {
        Some(CountPrograms {}.get_result(&mut conn).await?)
    } else {
        None
    };
    let (rows, next_page_token) = page.close(rows, |row| row.id.0)?;
    let service_accounts = rows.into_iter().map(Into::into).collect();
    Ok(pb::ListServiceAccountsResponse { service_accounts, next_page_token, total_size })
}
