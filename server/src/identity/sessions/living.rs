//! Sessions: started by a sign-in, kept alive by being used, ended.

use diesel::OptionalExtension;
use diesel::sql_types;
use diesel_async::RunQueryDsl;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use clinicd_proto::identity::v1 as pb;

use crate::app::{ACCESS_TOKEN_SECONDS, App};
use crate::identity::registration::registering::event;
use crate::identity::rows::{self, AccountRow, AccountState};
use crate::identity::rules;
use crate::identity::sessions::tickets;
use crate::kernel::access::tokens::NewToken;
use crate::kernel::access::{Caller, KnownSession, SessionFacts, SessionTable};
use crate::kernel::crypto::sha256;
use crate::kernel::db::Conn;
use crate::kernel::db::statement::List;
use crate::kernel::error::{Error, Reason, Result};
use crate::kernel::kinds::{AccountId, Role, Scope, SessionId, Time};
use crate::statement;

type FactsSql = (
    sql_types::Uuid,
    sql_types::Array<sql_types::Text>,
    sql_types::Bool,
    sql_types::Timestamptz,
    sql_types::Timestamptz,
    sql_types::Timestamptz,
    sql_types::Bool,
    sql_types::Nullable<sql_types::Array<sql_types::Text>>,
);

/// How long sessions that have ended are remembered, in seconds: a device that was used within this
/// time is no new one.
const REMEMBERED_SECONDS: i64 = 180 * 24 * 3_600;

statement! {
    /// What counts about a live session of an active account. One of an API key lives no longer
    /// than the key.
    LiveSession { id: SessionId } -> FactsSql,
    "SELECT a.id, ARRAY(SELECT role FROM account_roles WHERE account_id = a.id ORDER BY role), \
        a.applicant, least(s.expires_at, k.expires_at), s.created_at, s.last_used_at, \
        s.second_factor, k.scopes \
     FROM sessions s JOIN accounts a ON a.id = s.account_id \
     LEFT JOIN api_keys k ON k.id = s.api_key_id \
     WHERE s.id = $1 AND s.ended_at IS NULL AND a.state = 'active' AND k.revoked_at IS NULL";

    /// The same of many sessions.
    LiveSessions { ids: List<SessionId> } -> (sql_types::Uuid, FactsSql),
    "SELECT s.id, a.id, ARRAY(SELECT role FROM account_roles WHERE account_id = a.id ORDER BY role), \
        a.applicant, least(s.expires_at, k.expires_at), s.created_at, s.last_used_at, \
        s.second_factor, k.scopes \
     FROM sessions s JOIN accounts a ON a.id = s.account_id \
     LEFT JOIN api_keys k ON k.id = s.api_key_id \
     WHERE s.id = ANY ($1) AND s.ended_at IS NULL AND a.state = 'active' AND k.revoked_at IS NULL";

    /// Sessions that do not live, or whose account has other roles than these.
    ChangedSessions { now: Time, ids: List<SessionId>, roles: List<String> } -> sql_types::Uuid,
    "SELECT known.id FROM unnest($2, $3) AS known (id, roles) \
     LEFT JOIN sessions s ON s.id = known.id AND s.ended_at IS NULL AND s.expires_at > $1 \
     LEFT JOIN accounts a ON a.id = s.account_id AND a.state = 'active' \
     LEFT JOIN api_keys k ON k.id = s.api_key_id \
     WHERE a.id IS NULL OR k.revoked_at IS NOT NULL OR k.expires_at <= $1 \
        OR known.roles IS DISTINCT FROM array_to_string( \
            ARRAY(SELECT role FROM account_roles WHERE account_id = a.id ORDER BY role), ',')";

    /// Whether an account has signed in from this device before; null before its first session.
    IsKnownDevice { account: AccountId, device: String, user_agent: String }
        -> sql_types::Nullable<sql_types::Bool>,
    "SELECT bool_or(device_name = $2 AND user_agent = $3) FROM sessions WHERE account_id = $1";

    /// A new session.
    InsertSession {
        id: SessionId, account: AccountId, device: String, address: String, user_agent: String,
        second_factor: bool, now: Time, expires_at: Time,
    },
    "INSERT INTO sessions (id, account_id, device_name, client_address, user_agent, second_factor, \
        created_at, last_used_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $7, $8)";

    /// A new refresh token of a session.
    InsertRefreshToken { token_hash: Vec<u8>, session: SessionId, now: Time },
    "INSERT INTO refresh_tokens (token_hash, session_id, created_at) VALUES ($1, $2, $3)";

    /// A session was used.
    ExtendSession { id: SessionId, now: Time, expires_at: Time },
    "UPDATE sessions SET last_used_at = $2, expires_at = $3 WHERE id = $1 AND ended_at IS NULL";

    /// Ends one session.
    EndSession { id: SessionId, now: Time },
    "UPDATE sessions SET ended_at = $2 WHERE id = $1 AND ended_at IS NULL";

    /// Ends every session of an account.
    EndSessions { account: AccountId, now: Time },
    "UPDATE sessions SET ended_at = $2 WHERE account_id = $1 AND ended_at IS NULL";

    /// Ends every session of an account but one.
    EndOtherSessions { account: AccountId, kept: SessionId, now: Time },
    "UPDATE sessions SET ended_at = $3 WHERE account_id = $1 AND id <> $2 AND ended_at IS NULL";

    /// Forgets sessions that ended long ago, with their tokens.
    SweepSessions { before: Time },
    "DELETE FROM sessions WHERE coalesce(ended_at, expires_at) < $1";
}

/// What the kernel asks of the sessions.
pub const SESSIONS: SessionTable = SessionTable {
    find: session_facts,
    find_many: facts_of_many,
    find_changed: changed_sessions,
    touch,
    redeem: tickets::redeem,
};

type Facts = (AccountId, Vec<Role>, bool, Time, Time, Time, bool, Option<Vec<Scope>>);

/// The facts about a live session, in one statement.
fn session_facts(conn: &mut Conn, id: SessionId) -> BoxFuture<'_, Result<Option<SessionFacts>>> {
    async move {
        let row: Option<Facts> = LiveSession { id }.get_result(conn).await.optional()?;
        Ok(row.map(facts))
    }
    .boxed()
}

fn facts(row: Facts) -> SessionFacts {
    let (account, roles, applicant, expires_at, began_at, last_used_at, second_factor, scopes) =
        row;
    SessionFacts {
        account,
        roles,
        applicant,
        expires_at,
        began_at,
        last_used_at,
        second_factor,
        scopes,
    }
}

/// The facts about those of many sessions that live, in one statement.
fn facts_of_many(
    conn: &mut Conn,
    ids: Vec<SessionId>,
) -> BoxFuture<'_, Result<Vec<(SessionId, SessionFacts)>>> {
    async move {
        let rows: Vec<(SessionId, Facts)> =
            LiveSessions { ids: List(ids) }.get_results(conn).await?;
        Ok(rows.into_iter().map(|(id, row)| (id, facts(row))).collect())
    }
    .boxed()
}

/// Those of many sessions that have ended by now, or whose account has other roles.
fn changed_sessions(
    conn: &mut Conn,
    now: Time,
    known: Vec<KnownSession>,
) -> BoxFuture<'_, Result<Vec<SessionId>>> {
    async move {
        let (ids, roles) = known.into_iter().map(|known| (known.id, known.roles)).unzip();
        let changed = ChangedSessions { now, ids: List(ids), roles: List(roles) };
        Ok(changed.get_results(conn).await?)
    }
    .boxed()
}

/// A session is used now, and so ends later; none when it has ended. That of a program ends when it
/// would.
fn touch<'a>(
    app: &'a App,
    id: SessionId,
    facts: &'a SessionFacts,
) -> BoxFuture<'a, Result<Option<Time>>> {
    async move {
        let now = app.clock.now();
        let expires_at = if facts.scopes.is_some() {
            facts.expires_at
        } else {
            rules::session_life(&app.config.sessions, &facts.roles).end(facts.began_at, now)
        };
        let mut conn = app.db.read().await?;
        let extended = ExtendSession { id, now, expires_at }.execute(&mut conn).await?;
        Ok((extended == 1).then_some(expires_at))
    }
    .boxed()
}

/// Starts a session of an account that has proved who it is. The owner hears of a device that was
/// never used before, except with the first sign-in of all.
pub(in crate::identity) async fn start(
    app: &App,
    conn: &mut Conn,
    caller: &Caller,
    account: &AccountRow,
    device: &str,
    second_factor: bool,
) -> Result<pb::TokenPair> {
    // Held, so that a block or a change of roles that comes meanwhile ends this session too.
    let account = rows::lock(conn, account.id).await?;
    let account = account.filter(|account| account.state == AccountState::Active);
    // Nor does a factor that was set up meanwhile let anybody in who did not give it.
    let account = account.filter(|account| second_factor || !account.second_factor);
    let account = &account.ok_or_else(|| Error::of(Reason::InvalidCredentials))?;
    let (device, user_agent) = (device.to_owned(), caller.user_agent.clone());
    let known = IsKnownDevice {
        account: account.id,
        device: device.clone(),
        user_agent: user_agent.clone(),
    };
    let known: Option<bool> = known.get_result(conn).await?;
    let (id, now) = (SessionId(app.ids.next()), app.clock.now());
    let expires_at = rules::session_life(&app.config.sessions, &account.roles).end(now, now);
    let session = InsertSession {
        id,
        account: account.id,
        device,
        address: caller.address.clone(),
        user_agent,
        second_factor,
        now,
        expires_at,
    };
    session.execute(conn).await?;
    if known == Some(false) {
        app.events.emit(conn, event("session.new_device", account.id)).await?;
    }
    let refresh_token = app.random.token();
    pair(app, conn, account, id, refresh_token, expires_at).await
}

/// A pair of tokens of a session, with a refresh token that is new to it.
pub(in crate::identity) async fn pair(
    app: &App,
    conn: &mut Conn,
    account: &AccountRow,
    session: SessionId,
    refresh_token: String,
    expires_at: Time,
) -> Result<pb::TokenPair> {
    let token_hash = sha256(refresh_token.as_bytes()).to_vec();
    InsertRefreshToken { token_hash, session, now: app.clock.now() }.execute(conn).await?;
    with_access(app, account, session, refresh_token, expires_at)
}

/// A pair of tokens with a refresh token that the session has.
pub(in crate::identity) fn with_access(
    app: &App,
    account: &AccountRow,
    session: SessionId,
    refresh_token: String,
    expires_at: Time,
) -> Result<pb::TokenPair> {
    Ok(pb::TokenPair {
        access_token: access_token(app, account.id, session, &account.roles)?,
        access_token_expire_time: Some(app.clock.now().plus_seconds(ACCESS_TOKEN_SECONDS).into()),
        refresh_token,
        refresh_token_expire_time: Some(expires_at.into()),
    })
}

/// An access token of a session.
pub(in crate::identity) fn access_token(
    app: &App,
    account: AccountId,
    session: SessionId,
    roles: &[Role],
) -> Result<String> {
    let token = NewToken {
        id: app.ids.next(),
        account: account.0,
        session: session.0,
        roles: roles.iter().map(|role| role.as_str().to_owned()).collect(),
    };
    app.tokens.issue(token, app.clock.now().timestamp()).map_err(Error::internal)
}

/// `SignOut`.
pub(in crate::identity) async fn sign_out(
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

/// Forgets sessions that ended long ago.
pub(in crate::identity) async fn sweep(conn: &mut Conn, now: Time) -> Result<usize> {
    Ok(SweepSessions { before: now.plus_seconds(-REMEMBERED_SECONDS) }.execute(conn).await?)
}
