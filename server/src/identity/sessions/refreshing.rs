//! Exchanging refresh tokens. A token is exchanged once; one that comes back ends its session,
//! because one of its two holders has stolen it.
//!
//! The successor of a token is a keyed hash of it. So a client that lost the answer gets the same
//! successor again, for [`GRACE_SECONDS`] and as long as it was not exchanged itself, and it need
//! not be stored readable.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use diesel::OptionalExtension;
use diesel::sql_types;
use diesel_async::RunQueryDsl;

use clinicd_proto::identity::v1 as pb;

use crate::app::App;
use crate::identity::history::records as history;
use crate::identity::history::records::SignInMethod;
use crate::identity::registration::registering::event;
use crate::identity::rows::{self, AccountRow, AccountState};
use crate::identity::rules;
use crate::identity::sessions::living as sessions;
use crate::identity::sessions::living::{EndSession, ExtendSession};
use crate::kernel::access::Caller;
use crate::kernel::crypto::{Purpose, sha256};
use crate::kernel::db::Conn;
use crate::kernel::error::{Error, Reason, Result};
use crate::kernel::kinds::{AccountId, SessionId, Time};
use crate::statement;

/// How long the answer of an exchange can be had again, in seconds.
const GRACE_SECONDS: i64 = 10;

statement! {
    /// The live session of a refresh token, kept from changing: exchanges of one session go one
    /// after the other.
    LockSession { token_hash: Vec<u8>, now: Time }
        -> (sql_types::Uuid, sql_types::Uuid, sql_types::Timestamptz, sql_types::Timestamptz),
    "SELECT s.id, s.account_id, s.created_at, s.expires_at FROM sessions s \
     WHERE s.id = (SELECT session_id FROM refresh_tokens WHERE token_hash = $1) \
       AND s.ended_at IS NULL AND s.expires_at > $2 FOR UPDATE";

    /// When a token was exchanged.
    ReplacedAt { token_hash: Vec<u8> } -> sql_types::Nullable<sql_types::Timestamptz>,
    "SELECT replaced_at FROM refresh_tokens WHERE token_hash = $1";

    /// Exchanges a token.
    ReplaceToken { token_hash: Vec<u8>, now: Time },
    "UPDATE refresh_tokens SET replaced_at = $2 WHERE token_hash = $1";
}

/// What a refresh token leads to.
enum Exchanged {
    /// New tokens.
    Tokens(Box<pb::TokenPair>),
    /// The token was used before; its session has ended.
    Reused,
}

/// `RefreshToken`.
pub(in crate::identity) async fn refresh(
    app: &App,
    caller: &Caller,
    request: pb::RefreshTokenRequest,
) -> Result<pb::RefreshTokenResponse> {
    let refused = || Error::of(Reason::InvalidCredentials);
    let token = &*request.refresh_token;
    let answer = app
        .once(caller, &request.request_id, &request, async |conn| {
            match exchange(app, conn, caller, token).await? {
                Exchanged::Tokens(tokens) => Ok(pb::RefreshTokenResponse { tokens: Some(*tokens) }),
                // The end of the session must last although the call is refused: an answer
                // without tokens stands for the refusal.
                Exchanged::Reused => Ok(pb::RefreshTokenResponse { tokens: None }),
            }
        })
        .await?;
    if answer.tokens.is_none() { Err(refused()) } else { Ok(answer) }
}

async fn exchange(app: &App, conn: &mut Conn, caller: &Caller, token: &str) -> Result<Exchanged> {
    let refused = || Error::of(Reason::InvalidCredentials);
    let (token_hash, now) = (sha256(token.as_bytes()).to_vec(), app.clock.now());
    let session: Option<(SessionId, AccountId, Time, Time)> =
        LockSession { token_hash: token_hash.clone(), now }.get_result(conn).await.optional()?;
    let (session, account, began, expires_at) = session.ok_or_else(refused)?;
    let account = rows::find(conn, account).await?;
    let account = account.filter(|row| row.state == AccountState::Active).ok_or_else(refused)?;
    // Looked at after the lock: who waited for it sees what was done meanwhile.
    let replaced: Option<Time> =
        ReplacedAt { token_hash: token_hash.clone() }.get_result(conn).await?;
    let successor = successor(app, token);
    let Some(replaced) = replaced else {
        let expires_at = rules::session_life(&app.config.sessions, &account.roles).end(began, now);
        ReplaceToken { token_hash, now }.execute(conn).await?;
        ExtendSession { id: session, now, expires_at }.execute(conn).await?;
        let tokens = sessions::pair(app, conn, &account, session, successor, expires_at).await?;
        return Ok(Exchanged::Tokens(Box::new(tokens)));
    };
    let successor_hash = sha256(successor.as_bytes()).to_vec();
    let successor_replaced: Option<Option<Time>> =
        ReplacedAt { token_hash: successor_hash }.get_result(conn).await.optional()?;
    if successor_replaced == Some(None) && now < replaced.plus_seconds(GRACE_SECONDS) {
        let tokens = sessions::with_access(app, &account, session, successor, expires_at)?;
        return Ok(Exchanged::Tokens(Box::new(tokens)));
    }
    end_reused(app, conn, caller, &account, session).await?;
    Ok(Exchanged::Reused)
}

/// The token that follows another one.
fn successor(app: &App, token: &str) -> String {
    URL_SAFE_NO_PAD.encode(app.keys.macs.sign(Purpose::RefreshToken, token.as_bytes()))
}

async fn end_reused(
    app: &App,
    conn: &mut Conn,
    caller: &Caller,
    account: &AccountRow,
    session: SessionId,
) -> Result<()> {
    EndSession { id: session, now: app.clock.now() }.execute(conn).await?;
    let method = SignInMethod::ReusedRefreshToken;
    history::record(app, conn, caller, method, Some(account.id), false).await?;
    app.events.emit(conn, event("session.refresh_reused", account.id)).await
}
