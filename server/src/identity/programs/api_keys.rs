//! Keys of programs: made, listed, revoked.
//!
//! A key is `clinicd_<id>_<secret>`: 32 hexadecimal digits and 43 characters of base64url, which
//! carry 256 random bits. Of the secret only the SHA-256 is stored.

use diesel::{OptionalExtension, sql_types};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use clinicd_proto::identity::v1 as pb;

use crate::app::App;
pub(in crate::identity) use crate::identity::programs::exchanging::exchange;
use crate::identity::registration::registering::event;
use crate::kernel::access::Caller;
use crate::kernel::crypto::sha256;
use crate::kernel::db::statement::List;
use crate::kernel::error::{Error, Faults, Reason, Result};
use crate::kernel::kinds::{AccountId, Scope, Time, uuid_from_wire};
use crate::kernel::page::{Direction, PageRequest, order_by_id};
use crate::kernel::text;
use crate::statement;

/// How every key begins.
pub(in crate::identity) const PREFIX: &str = "clinicd_";
/// Longest life of a key, in days.
const LONGEST_DAYS: i64 = 366;
/// Live keys of one account at most.
const LIVE_KEYS: i64 = 20;

/// A key as it is listed.
#[derive(Debug, Clone, diesel::Queryable)]
struct KeyRow {
    id: Uuid,
    created_at: Time,
    account: AccountId,
    display_name: String,
    scopes: Vec<Scope>,
    expires_at: Time,
    last_used_at: Option<Time>,
    revoked_at: Option<Time>,
}

type KeySql = (
    sql_types::Uuid,
    sql_types::Timestamptz,
    sql_types::Uuid,
    sql_types::Text,
    sql_types::Array<sql_types::Text>,
    sql_types::Timestamptz,
    sql_types::Nullable<sql_types::Timestamptz>,
    sql_types::Nullable<sql_types::Timestamptz>,
);

/// The columns of [`KeyRow`], in its order.
macro_rules! select_key {
    ($rest:literal) => {
        concat!(
            "SELECT id, created_at, account_id, display_name, scopes, expires_at, last_used_at, \
                revoked_at FROM api_keys ",
            $rest
        )
    };
}

statement! {
    /// Keeps two keys of one account from being made at once.
    LockProgram { id: AccountId } -> sql_types::Uuid,
    "SELECT id FROM accounts WHERE id = $1 AND kind = 'service' AND state <> 'deleted' \
     FOR NO KEY UPDATE";

    /// Whether there is such an account of a program.
    IsProgram { id: AccountId } -> sql_types::Bool,
    "SELECT EXISTS (SELECT FROM accounts WHERE id = $1 AND kind = 'service')";

    /// Keys of an account that work.
    CountLive { account: AccountId, now: Time } -> sql_types::BigInt,
    "SELECT count(*) FROM api_keys WHERE account_id = $1 AND revoked_at IS NULL \
        AND expires_at > $2";

    /// A new key.
    InsertKey {
        id: Uuid, account: AccountId, display_name: String, secret_hash: Vec<u8>,
        scopes: List<Scope>, expires_at: Time, by: AccountId, now: Time,
    },
    "INSERT INTO api_keys (id, account_id, display_name, secret_hash, scopes, expires_at, \
        created_by, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";

    /// One key.
    KeyById { id: Uuid } -> KeySql, select_key!("WHERE id = $1");

    /// A page of the keys of an account, oldest first.
    KeysUp { account: AccountId, after: Uuid, limit: i64 } -> KeySql,
    select_key!("WHERE account_id = $1 AND id > $2 ORDER BY id LIMIT $3");

    /// A page of the keys of an account, newest first.
    KeysDown { account: AccountId, after: Uuid, limit: i64 } -> KeySql,
    select_key!("WHERE account_id = $1 AND id < $2 ORDER BY id DESC LIMIT $3");

    /// How many keys an account has.
    CountKeys { account: AccountId } -> sql_types::BigInt,
    "SELECT count(*) FROM api_keys WHERE account_id = $1";

    /// Revokes a key; nothing when it was already.
    Revoke { id: Uuid, now: Time },
    "UPDATE api_keys SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL";

    /// Which of these accounts have a key that works and has a scope.
    ProgramsWith { accounts: List<AccountId>, scope: Scope, now: Time } -> sql_types::Uuid,
    "SELECT a.id FROM accounts a WHERE a.id = ANY ($1) AND a.state = 'active' AND EXISTS ( \
        SELECT FROM api_keys k WHERE k.account_id = a.id AND k.revoked_at IS NULL \
            AND k.expires_at > $3 AND $2 = ANY (k.scopes))";

    /// Ends the sessions that a key was exchanged for.
    EndKeySessions { key: Uuid, now: Time },
    "UPDATE sessions SET ended_at = $2 WHERE api_key_id = $1 AND ended_at IS NULL";
}

impl From<KeyRow> for pb::ApiKey {
    fn from(row: KeyRow) -> Self {
        Self {
            id: row.id.to_string(),
            create_time: Some(row.created_at.into()),
            service_account_id: row.account.to_string(),
            display_name: row.display_name,
            prefix: prefix(row.id),
            scopes: row.scopes.into_iter().map(i32::from).collect(),
            expire_time: Some(row.expires_at.into()),
            last_use_time: row.last_used_at.map(Into::into),
            revoke_time: row.revoked_at.map(Into::into),
        }
    }
}

/// How a key begins, which is no secret.
pub(in crate::identity) fn prefix(id: Uuid) -> String {
    format!("{PREFIX}{}", id.simple())
}

/// What a request says of a new key.
struct NewKey {
    account: AccountId,
    display_name: String,
    scopes: Vec<Scope>,
    expires_at: Time,
}

impl NewKey {
    fn read(request: &pb::CreateApiKeyRequest, now: Time) -> Result<Self> {
        let mut faults = Faults::default();
        let scopes = request.scopes.iter().map(|scope| {
            let unknown = || Error::field("scopes", "must be scopes of this version");
            Scope::from_wire(*scope).ok_or_else(unknown)
        });
        let scopes = faults.keep(scopes.collect());
        let display_name = faults.keep(text::required_line("display_name", &request.display_name));
        let latest = now.plus_seconds(LONGEST_DAYS * 24 * 3_600);
        let expires_at = request.expire_time.and_then(|time| Time::try_from(time).ok());
        let expires_at = expires_at.filter(|time| (now..=latest).contains(time) && *time != now);
        if expires_at.is_none() {
            let remedy = format!("must be later than now, at most {LONGEST_DAYS} days ahead");
            faults.field("expire_time", remedy);
        }
        faults.check()?;
        let account = uuid_from_wire("service_account_id", &request.service_account_id)?;
        let expires_at = expires_at.unwrap_or(now);
        Ok(Self { account: AccountId(account), display_name, scopes, expires_at })
    }
}

/// `CreateApiKey`.
pub(in crate::identity) async fn create(
    app: &App,
    caller: &Caller,
    request: pb::CreateApiKeyRequest,
) -> Result<pb::CreateApiKeyResponse> {
    let by = caller.require_account()?;
    app.once(caller, &request.request_id, &request, async |conn| {
        let now = app.clock.now();
        let new = NewKey::read(&request, now)?;
        let account = new.account;
        let locked: Option<AccountId> =
            LockProgram { id: account }.get_result(conn).await.optional()?;
        locked.ok_or_else(no_program)?;
        let live: i64 = CountLive { account, now }.get_result(conn).await?;
        if live >= LIVE_KEYS {
            let full = format!("{live} live keys");
            return Err(Error::of(Reason::WrongState).with("state", full));
        }
        let row = KeyRow {
            id: app.ids.next(),
            created_at: now,
            account,
            display_name: new.display_name,
            scopes: new.scopes,
            expires_at: new.expires_at,
            last_used_at: None,
            revoked_at: None,
        };
        let secret = app.random.token();
        let insert = InsertKey {
            id: row.id,
            account,
            display_name: row.display_name.clone(),
            secret_hash: sha256(secret.as_bytes()).to_vec(),
            scopes: List(row.scopes.clone()),
            expires_at: row.expires_at,
            by,
            now,
        };
        insert.execute(conn).await?;
        app.events.emit(conn, event("api_key.created", account)).await?;
        let api_key = format!("{}_{secret}", prefix(row.id));
        Ok(pb::CreateApiKeyResponse { key: Some(row.into()), api_key })
    })
    .await
}

fn no_program() -> Error {
    Error::not_found("service_account")
}

/// `ListApiKeys`.
pub(in crate::identity) async fn list(
    app: &App,
    caller: &Caller,
    request: pb::ListApiKeysRequest,
) -> Result<pb::ListApiKeysResponse> {
    let direction = order_by_id(&request.order_by)?;
    let account = AccountId::from_wire("service_account_id", &request.service_account_id)?;
    let caller = caller.require_account()?;
    let order = format!("{direction:?}");
    let page = app.pages.open::<Uuid>(&PageRequest {
        list: "identity.api_keys",
        page_size: request.page_size,
        page_token: &request.page_token,
        bound_to: &[caller.0.as_bytes(), account.0.as_bytes(), order.as_bytes()],
    })?;
    let (after, limit) = (page.after.unwrap_or(direction.before_all()), page.limit + 1);
    let mut conn = app.db.read().await?;
    let exists: bool = IsProgram { id: account }.get_result(&mut conn).await?;
    if !exists {
        return Err(no_program());
    }
    let rows: Vec<KeyRow> = match direction {
        Direction::Ascending => KeysUp { account, after, limit }.get_results(&mut conn).await?,
        Direction::Descending => KeysDown { account, after, limit }.get_results(&mut conn).await?,
    };
    let total_size = if request.include_total {
        Some(CountKeys { account }.get_result(&mut conn).await?)
    } else {
        None
    };
    let (rows, next_page_token) = page.close(rows, |row| row.id)?;
    let keys = rows.into_iter().map(Into::into).collect();
    Ok(pb::ListApiKeysResponse { keys, next_page_token, total_size })
}

/// `RevokeApiKey`.
pub(in crate::identity) async fn revoke(
    app: &App,
    caller: &Caller,
    request: pb::RevokeApiKeyRequest,
) -> Result<pb::RevokeApiKeyResponse> {
    let id = uuid_from_wire("api_key_id", &request.api_key_id)?;
    app.once(caller, &request.request_id, &request, async |conn| {
        let now = app.clock.now();
        let revoked = Revoke { id, now }.execute(conn).await? == 1;
        let row: Option<KeyRow> = KeyById { id }.get_result(conn).await.optional()?;
        let row = row.ok_or_else(|| Error::not_found("api_key"))?;
        if revoked {
            EndKeySessions { key: id, now }.execute(conn).await?;
            app.events.emit(conn, event("api_key.revoked", row.account)).await?;
        }
        Ok(pb::RevokeApiKeyResponse { key: Some(row.into()) })
    })
    .await
}
