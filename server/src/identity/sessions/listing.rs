//! A person sees the own sessions and ends them.

use diesel::sql_types;
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use clinicd_proto::identity::v1 as pb;

use crate::app::App;
use crate::identity::sessions::living::EndOtherSessions;
use crate::kernel::access::Caller;
use crate::kernel::error::{Error, Result};
use crate::kernel::kinds::{AccountId, SessionId, Time};
use crate::kernel::page::{Direction, PageRequest, order_by_id};
use crate::statement;

type SessionSql = (
    sql_types::Uuid,
    sql_types::Text,
    sql_types::Text,
    sql_types::Text,
    sql_types::Timestamptz,
    sql_types::Timestamptz,
    sql_types::Timestamptz,
);

/// A session.
#[derive(Debug, Clone, diesel::Queryable)]
struct SessionRow {
    id: SessionId,
    device_name: String,
    client_address: String,
    user_agent: String,
    created_at: Time,
    last_used_at: Time,
    expires_at: Time,
}

/// Live sessions of an account; `$rest` goes on from there.
macro_rules! select_sessions {
    ($rest:literal) => {
        concat!(
            "SELECT id, device_name, client_address, user_agent, created_at, last_used_at, \
                expires_at FROM sessions \
             WHERE account_id = $1 AND ended_at IS NULL AND expires_at > $2 ",
            $rest
        )
    };
}

statement! {
    /// A page of live sessions, oldest first.
    SessionsUp { account: AccountId, now: Time, after: Uuid, limit: i64 } -> SessionSql,
    select_sessions!("AND id > $3 ORDER BY id LIMIT $4");

    /// A page of live sessions, newest first.
    SessionsDown { account: AccountId, now: Time, after: Uuid, limit: i64 } -> SessionSql,
    select_sessions!("AND id < $3 ORDER BY id DESC LIMIT $4");

    /// How many sessions live.
    CountSessions { account: AccountId, now: Time } -> sql_types::BigInt,
    "SELECT count(*) FROM sessions \
     WHERE account_id = $1 AND ended_at IS NULL AND expires_at > $2";

    /// Ends a session of an account.
    EndOwnSession { id: SessionId, account: AccountId, now: Time },
    "UPDATE sessions SET ended_at = $3 \
     WHERE id = $1 AND account_id = $2 AND ended_at IS NULL AND expires_at > $3";
}

/// `ListMySessions`.
pub(in crate::identity) async fn list(
    app: &App,
    caller: &Caller,
    request: pb::ListMySessionsRequest,
) -> Result<pb::ListMySessionsResponse> {
    let (account, current) = (caller.require_account()?, caller.signed_in()?.session);
    let direction = order_by_id(&request.order_by)?;
    let page = app.pages.open::<Uuid>(&PageRequest {
        list: "identity.sessions",
        page_size: request.page_size,
        page_token: &request.page_token,
        bound_to: &[account.0.as_bytes(), format!("{direction:?}").as_bytes()],
    })?;
    let (now, limit) = (app.clock.now(), page.limit + 1);
    let mut conn = app.db.read().await?;
    let rows: Vec<SessionRow> = match direction {
        Direction::Ascending => {
            let after = page.after.unwrap_or(direction.before_all());
            SessionsUp { account, now, after, limit }.get_results(&mut conn).await?
        }
        Direction::Descending => {
            let after = page.after.unwrap_or(direction.before_all());
            SessionsDown { account, now, after, limit }.get_results(&mut conn).await?
        }
    };
    let total_size = if request.include_total {
        Some(CountSessions { account, now }.get_result(&mut conn).await?)
    } else {
        None
    };
    let (rows, next_page_token) = page.close(rows, |row| row.id.0)?;
    let sessions = rows.into_iter().map(|row| row.shown(current)).collect();
    Ok(pb::ListMySessionsResponse { sessions, next_page_token, total_size })
}

impl SessionRow {
    fn shown(self, current: SessionId) -> pb::Session {
        pb::Session {
            id: self.id.to_string(),
            create_time: Some(self.created_at.into()),
            last_use_time: Some(self.last_used_at.into()),
            expire_time: Some(self.expires_at.into()),
            device_name: self.device_name,
            client_address: self.client_address,
            user_agent: self.user_agent,
            current: self.id == current,
        }
    }
}

/// `RevokeSession`.
pub(in crate::identity) async fn revoke(
    app: &App,
    caller: &Caller,
    request: pb::RevokeSessionRequest,
) -> Result<pb::RevokeSessionResponse> {
    let account = caller.require_account()?;
    let id = SessionId::from_wire("session_id", &request.session_id)?;
    app.once(caller, &request.request_id, &request, async |conn| {
        let end = EndOwnSession { id, account, now: app.clock.now() };
        if end.execute(conn).await? == 0 {
            return Err(Error::not_found("session"));
        }
        Ok(pb::RevokeSessionResponse {})
    })
    .await
}

/// `RevokeOtherSessions`.
pub(in crate::identity) async fn revoke_others(
    app: &App,
    caller: &Caller,
    request: pb::RevokeOtherSessionsRequest,
) -> Result<pb::RevokeOtherSessionsResponse> {
    let session = caller.signed_in()?;
    app.once(caller, &request.request_id, &request, async |conn| {
        let (account, kept, now) = (session.account, session.session, app.clock.now());
        let ended = EndOtherSessions { account, kept, now }.execute(conn).await?;
        let ended_sessions = i32::try_from(ended).unwrap_or(i32::MAX);
        Ok(pb::RevokeOtherSessionsResponse { ended_sessions })
    })
    .await
}
