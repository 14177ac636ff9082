//! API keys are exchanged for the short sessions of programs.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use diesel::{OptionalExtension, sql_types};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use clinicd_proto::identity::v1 as pb;

use crate::app::{ACCESS_TOKEN_SECONDS, App};
use crate::identity::history::records as history;
use crate::identity::history::records::SignInMethod;
use crate::identity::programs::api_keys::{PREFIX, prefix};
use crate::identity::rows::AccountState;
use crate::identity::sessions::living as sessions;
use crate::identity::sign_in::attempts::Attempt;
use crate::kernel::access::Caller;
use crate::kernel::crypto::sha256;
use crate::kernel::db::Conn;
use crate::kernel::error::{Error, Reason, Result};
use crate::kernel::kinds::{AccountId, SessionId, Time};
use crate::statement;

/// Digits of the id in a key.
const ID_DIGITS: usize = 32;

/// What a presented key is judged by.
#[derive(Debug, Clone, diesel::Queryable)]
struct StoredKey {
    account: AccountId,
    secret_hash: Vec<u8>,
    expires_at: Time,
    revoked_at: Option<Time>,
    state: AccountState,
}

type StoredSql = (
    sql_types::Uuid,
    sql_types::Binary,
    sql_types::Timestamptz,
    sql_types::Nullable<sql_types::Timestamptz>,
    sql_types::Text,
);

statement! {
    /// What a presented key is judged by.
    FindStored { id: Uuid } -> StoredSql,
    "SELECT k.account_id, k.secret_hash, k.expires_at, k.revoked_at, a.state \
     FROM api_keys k JOIN accounts a ON a.id = k.account_id WHERE k.id = $1";

    /// Uses a key; nothing when it no longer works.
    UseKey { id: Uuid, now: Time } -> sql_types::Text,
    "UPDATE api_keys SET last_used_at = $2 \
     WHERE id = $1 AND revoked_at IS NULL AND expires_at > $2 RETURNING display_name";

    /// A session of a program. It ends with its one access token.
    InsertKeySession {
        id: SessionId, account: AccountId, device: String, address: String, user_agent: String,
        key: Uuid, now: Time, expires_at: Time,
    },
    "INSERT INTO sessions (id, account_id, device_name, client_address, user_agent, api_key_id, \
        created_at, last_used_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $7, $8)";
}

/// A key that somebody shows, taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Presented<'a> {
    id: Uuid,
    secret: &'a str,
}

impl<'a> Presented<'a> {
    /// What has not the form of a key names one that does not exist, so that it costs the same.
    fn read(text: &'a str) -> Self {
        let none = Self { id: Uuid::nil(), secret: "" };
        let Some((name, secret)) = text.split_at_checked(PREFIX.len() + ID_DIGITS) else {
            return none;
        };
        let id = name.strip_prefix(PREFIX).and_then(|id| Uuid::try_parse(id).ok());
        match (id, secret.strip_prefix('_')) {
            (Some(id), Some(secret)) if prefix(id) == name => Self { id, secret },
            _ => none,
        }
    }
}

impl StoredKey {
    /// Whether this secret opens it now.
    fn admits(&self, secret: &str, now: Time) -> bool {
        let right = verify_slices_are_equal(&self.secret_hash, &sha256(secret.as_bytes())).is_ok();
        let live = self.revoked_at.is_none() && self.expires_at > now;
        right && live && self.state == AccountState::Active
    }
}

/// `ExchangeApiKey`. Unknown, revoked and expired keys and wrong secrets get the same answer.
pub(in crate::identity) async fn exchange(
    app: &App,
    caller: &Caller,
    request: pb::ExchangeApiKeyRequest,
) -> Result<pb::ExchangeApiKeyResponse> {
    let shown = Presented::read(&request.api_key);
    let method = SignInMethod::ApiKey;
    let attempt = Attempt::with_secret(app, caller, method).await?;
    let stored: Option<StoredKey> = {
        let mut conn = app.db.read().await?;
        FindStored { id: shown.id }.get_result(&mut conn).await.optional()?
    };
    let known = stored.as_ref().map(|key| key.account);
    let Some(key) = stored.filter(|key| key.admits(shown.secret, app.clock.now())) else {
        return Err(attempt.failed(known).await);
    };
    attempt.succeeded().await?;
    app.once(caller, &request.request_id, &request, async |conn| {
        history::record(app, conn, caller, method, known, true).await?;
        admit(app, conn, caller, shown.id, &key).await
    })
    .await
}

/// Starts the session of a key that was right a moment ago.
async fn admit(
    app: &App,
    conn: &mut Conn,
    caller: &Caller,
    key: Uuid,
    stored: &StoredKey,
) -> Result<pb::ExchangeApiKeyResponse> {
    let (id, now) = (SessionId(app.ids.next()), app.clock.now());
    let device: Option<String> = UseKey { id: key, now }.get_result(conn).await.optional()?;
    // Revoked meanwhile.
    let device = device.ok_or_else(|| Error::of(Reason::InvalidCredentials))?;
    let expires_at = now.plus_seconds(ACCESS_TOKEN_SECONDS).min(stored.expires_at);
    let session = InsertKeySession {
        id,
        account: stored.account,
        device,
        address: caller.address.clone(),
        user_agent: caller.user_agent.clone(),
        key,
        now,
        expires_at,
    };
    session.execute(conn).await?;
    Ok(pb::ExchangeApiKeyResponse {
        access_token: sessions::access_token(app, stored.account, id, &[])?,
        expire_time: Some(expires_at.into()),
        account_id: stored.account.to_string(),
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_key_is_taken_apart_and_what_is_none_names_nothing() {
        let id = Uuid::from_u128(0xABC);
        let (name, secret) = (prefix(id), "a_b-c".repeat(9));
        let key = format!("{name}_{secret}");
        assert_eq!(Presented::read(&key), Presented { id, secret: &secret });
        for text in [
            "",
            "clinicd_",
            &name,
            &key[1..],
            &key.to_uppercase(),
            &format!("{name}-{secret}"),
            &format!("clinicd_{id}_{secret}"),
            &format!("clinicd_{}é{secret}", "0".repeat(31)),
        ] {
            assert_eq!(Presented::read(text), Presented { id: Uuid::nil(), secret: "" });
        }
    }

    #[test]
    fn a_key_admits_its_secret_alone_and_while_it_lives() {
        let now = Time::from_unix_micros(0).unwrap();
        let key = StoredKey {
            account: AccountId(Uuid::nil()),
            secret_hash: sha256(b"s").to_vec(),
            expires_at: now.plus_seconds(1),
            revoked_at: None,
            state: AccountState::Active,
        };
        assert!(key.admits("s", now) && !key.admits("t", now) && !key.admits("", now));
        assert!(!key.admits("s", now.plus_seconds(1)));
        assert!(!StoredKey { revoked_at: Some(now), ..key.clone() }.admits("s", now));
        assert!(!StoredKey { state: AccountState::Blocked, ..key }.admits("s", now));
    }
}
