//! Sessions: started by a sign-in, kept alive by exchanging refresh tokens, ended.

use diesel::OptionalExtension;
use diesel::sql_types;
use diesel_async::RunQueryDsl;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use clinicd_proto::identity::v1 as pb;

use super::registering::event;
use super::rows::{self, AccountRow, AccountState};
use super::rules;
use crate::app::{ACCESS_TOKEN_SECONDS, App};
use crate::kernel::access::tokens::NewToken;
use crate::kernel::access::{Caller, SessionFacts};
use crate::kernel::crypto::sha256;
use crate::kernel::db::Conn;
use crate::kernel::error::{Error, Reason, Result};
use crate::kernel::kinds::{AccountId, Role, SessionId, Time};
use crate::statement;

type FactsSql =
    (sql_types::Uuid, sql_types::Array<sql_types::Text>, sql_types::Bool, sql_types::Timestamptz);

statement! {
    /// What counts about a live session of an active account.
    LiveSession { id: SessionId } -> FactsSql,
    "SELECT a.id, ARRAY(SELECT role FROM account_roles WHERE account_id = a.id ORDER BY role), \
        a.applicant, s.expires_at \
     FROM sessions s JOIN accounts a ON a.id = s.account_id \
     WHERE s.id = $1 AND s.ended_at IS NULL AND a.state = 'active'";

    /// A new session.
    InsertSession {
        id: SessionId, account: AccountId, device: String, address: String, now: Time,
        expires_at: Time,
    },
    "INSERT INTO sessions (id, account_id, device_name, client_address, created_at, \
        last_used_at, expires_at) VALUES ($1, $2, $3, $4, $5, $5, $6)";

    /// A new refresh token of a session.
    InsertRefreshToken { token_hash: Vec<u8>, session: SessionId, now: Time },
    "INSERT INTO refresh_tokens (token_hash, session_id, created_at) VALUES ($1, $2, $3)";

    /// Exchanges a token, once; its live session.
    ReplaceRefreshToken { token_hash: Vec<u8>, now: Time }
        -> (sql_types::Uuid, sql_types::Uuid, sql_types::Timestamptz),
    "UPDATE refresh_tokens r SET replaced_at = $2 FROM sessions s \
     WHERE r.token_hash = $1 AND r.replaced_at IS NULL AND s.id = r.session_id \
       AND s.ended_at IS NULL AND s.expires_at > $2 \
     RETURNING s.id, s.account_id, s.created_at";

    /// Ends the live session of a token that had been exchanged.
    EndReusedSession { token_hash: Vec<u8>, now: Time } -> sql_types::Uuid,
    "UPDATE sessions s SET ended_at = $2 FROM refresh_tokens r \
     WHERE r.token_hash = $1 AND r.replaced_at IS NOT NULL AND s.id = r.session_id \
       AND s.ended_at IS NULL \
     RETURNING s.account_id";

    /// A session was used.
    ExtendSession { id: SessionId, now: Time, expires_at: Time },
    "UPDATE sessions SET last_used_at = $2, expires_at = $3 WHERE id = $1 AND ended_at IS NULL";

    /// Ends one session.
    EndSession { id: SessionId, now: Time },
    "UPDATE sessions SET ended_at = $2 WHERE id = $1 AND ended_at IS NULL";

    /// Ends every session of an account.
    EndSessions { account: AccountId, now: Time },
    "UPDATE sessions SET ended_at = $2 WHERE account_id = $1 AND ended_at IS NULL";

    /// Sessions of an account live at most this long after they began.
    ShortenSessions { account: AccountId, seconds: i64 },
    "UPDATE sessions \
     SET expires_at = least(expires_at, created_at + $2 * interval '1 second') \
     WHERE account_id = $1 AND ended_at IS NULL";
}

/// The facts about a live session, in one statement.
pub fn session_facts(
    conn: &mut Conn,
    id: SessionId,
) -> BoxFuture<'_, Result<Option<SessionFacts>>> {
    async move {
        let row: Option<(AccountId, Vec<Role>, bool, Time)> =
            LiveSession { id }.get_result(conn).await.optional()?;
        Ok(row.map(|(account, roles, applicant, expires_at)| SessionFacts {
            account,
            roles,
            applicant,
            expires_at,
        }))
    }
    .boxed()
}

/// Starts a session of an account that has proved who it is.
pub(super) async fn start(
    app: &App,
    conn: &mut Conn,
    account: &AccountRow,
    device: &str,
    address: &str,
) -> Result<pb::TokenPair> {
    let (id, now) = (SessionId(app.ids.next()), app.clock.now());
    let expires_at = rules::session_end(&account.roles, now, now);
    let session = InsertSession {
        id,
        account: account.id,
        device: device.to_owned(),
        address: address.to_owned(),
        now,
        expires_at,
    };
    session.execute(conn).await?;
    issue(app, conn, account, id, expires_at).await
}

/// A new pair of tokens of a session.
async fn issue(
    app: &App,
    conn: &mut Conn,
    account: &AccountRow,
    session: SessionId,
    expires_at: Time,
) -> Result<pb::TokenPair> {
    let now = app.clock.now();
    let refresh_token = app.random.token();
    let token_hash = sha256(refresh_token.as_bytes()).to_vec();
    InsertRefreshToken { token_hash, session, now }.execute(conn).await?;
    let token = NewToken {
        id: app.ids.next(),
        account: account.id.0,
        session: session.0,
        roles: account.roles.iter().map(|role| role.as_str().to_owned()).collect(),
    };
    let access_token = app.tokens.issue(token, now.timestamp()).map_err(Error::internal)?;
    Ok(pb::TokenPair {
        access_token,
        access_token_expire_time: Some(now.plus_seconds(ACCESS_TOKEN_SECONDS).into()),
        refresh_token,
        refresh_token_expire_time: Some(expires_at.into()),
    })
}

/// `RefreshToken`. A token that was exchanged before ends its session: one of its two holders
/// has stolen it.
pub(super) async fn refresh(
    app: &App,
    caller: &Caller,
    request: pb::RefreshTokenRequest,
) -> Result<pb::RefreshTokenResponse> {
    let token_hash = sha256(request.refresh_token.as_bytes()).to_vec();
    let answer = app
        .once(caller, &request.request_id, &request, async |conn| {
            let tokens = exchange(app, conn, token_hash.clone()).await?;
            Ok(pb::RefreshTokenResponse { tokens: Some(tokens) })
        })
        .await;
    if matches!(&answer, Err(error) if error.reason == Reason::InvalidCredentials) {
        end_reused(app, &token_hash).await?;
    }
    answer
}

async fn exchange(app: &App, conn: &mut Conn, token_hash: Vec<u8>) -> Result<pb::TokenPair> {
    let refused = || Error::of(Reason::InvalidCredentials);
    let now = app.clock.now();
    let replaced: Option<(SessionId, AccountId, Time)> =
        ReplaceRefreshToken { token_hash, now }.get_result(conn).await.optional()?;
    let (session, account, created) = replaced.ok_or_else(refused)?;
    let account = rows::find(conn, account).await?;
    let account = account.filter(|row| row.state == AccountState::Active).ok_or_else(refused)?;
    let expires_at = rules::session_end(&account.roles, created, now);
    if expires_at <= now {
        return Err(refused());
    }
    if (ExtendSession { id: session, now, expires_at }).execute(conn).await? == 0 {
        return Err(refused());
    }
    issue(app, conn, &account, session, expires_at).await
}

/// Its own transaction: the refusal has taken back the one before.
async fn end_reused(app: &App, token_hash: &[u8]) -> Result<()> {
    app.db
        .transaction(async |conn| {
            let (token_hash, now) = (token_hash.to_vec(), app.clock.now());
            let ended: Option<AccountId> =
                EndReusedSession { token_hash, now }.get_result(conn).await.optional()?;
            if let Some(account) = ended {
                app.events.emit(conn, event("session.refresh_reused", account)).await?;
            }
            Ok(())
        })
        .await
}

/// `SignOut`.
pub(super) async fn sign_out(
    app: &App,
    caller: &Caller,
    request: pb::SignOutRequest,
) -> Result<pb::SignOutResponse> {
    let id = caller.signed_in()?.session;
    app.once(caller, &request.request_id, &request, async |conn| {
        EndSession { id, now: app.clock.now() }.execute(conn).await?;
        Ok(pb::SignOutResponse {})
    })
    .await
}
