//! Endpoints as they are stored, and who may see which.

use std::collections::HashSet;

use diesel::OptionalExtension;
use diesel::sql_types;
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use clinicd_proto::feed::v1 as pb;

use crate::app::App;
use crate::identity;
use crate::kernel::access::Caller;
use crate::kernel::db::Conn;
use crate::kernel::db::statement::List;
use crate::kernel::error::{Error, Result};
use crate::kernel::events::{Event, Position, ResourceKind};
use crate::kernel::kinds::{AccountId, Scope, Time, ids, wire_enum};
use crate::statement;

ids! {
    /// An endpoint.
    EndpointId,
}

wire_enum! {
    /// Whether an endpoint gets events.
    EndpointState = pb::EndpointState {
        /// It does.
        Active = "active",
        /// Somebody paused it.
        Paused = "paused",
        /// The server gave it up.
        Disabled = "disabled",
    }
}

/// Nothing is sent, because no key of the owner has the scope.
const NO_KEY: &str = "NO_KEY";

/// An endpoint.
#[derive(Debug, Clone, diesel::Queryable)]
pub(super) struct EndpointRow {
    pub(super) id: EndpointId,
    /// None: it belongs to the installation.
    pub(super) service_account: Option<AccountId>,
    pub(super) created_by: AccountId,
    pub(super) url: String,
    pub(super) display_name: String,
    /// All when empty.
    pub(super) kinds: Vec<ResourceKind>,
    pub(super) state: EndpointState,
    pub(super) problem: String,
    pub(super) previous_secret_until: Option<Time>,
    cursor_xid: i64,
    cursor_seq: i64,
    missed_at: Option<Time>,
    failing_since: Option<Time>,
    pub(super) version: i32,
    created_at: Time,
    updated_at: Time,
}

/// The SQL types of [`EndpointRow`].
pub(super) type EndpointSql = (
    sql_types::Uuid,
    sql_types::Nullable<sql_types::Uuid>,
    sql_types::Uuid,
    sql_types::Text,
    sql_types::Text,
    sql_types::Array<sql_types::Text>,
    sql_types::Text,
    sql_types::Text,
    sql_types::Nullable<sql_types::Timestamptz>,
    sql_types::BigInt,
    sql_types::BigInt,
    sql_types::Nullable<sql_types::Timestamptz>,
    sql_types::Nullable<sql_types::Timestamptz>,
    sql_types::Integer,
    sql_types::Timestamptz,
    sql_types::Timestamptz,
);

/// SQL that ends in the columns of [`EndpointRow`], in its order, and what follows them.
macro_rules! endpoint_columns {
    ($before:literal, $after:literal) => {
        concat!(
            $before,
            " id, service_account_id, created_by, url, display_name, kinds, state, problem, \
                previous_secret_until, cursor_xid, cursor_seq, missed_at, failing_since, version, \
                created_at, updated_at",
            $after
        )
    };
}
pub(super) use endpoint_columns;

statement! {
    /// Keeps two endpoints of one owner from being made at once.
    LockOwner { owner: String }, "SELECT pg_advisory_xact_lock(hashtextextended($1, 800))";

    /// How many endpoints an owner has.
    CountEndpoints { owner: Option<AccountId> } -> sql_types::BigInt,
    "SELECT count(*) FROM webhook_endpoints \
     WHERE service_account_id IS NOT DISTINCT FROM $1 AND state <> 'deleted'";

    /// A new endpoint.
    InsertEndpoint {
        id: EndpointId, owner: Option<AccountId>, by: AccountId, url: String,
        display_name: String, kinds: List<ResourceKind>, secret: Vec<u8>, xid: i64, seq: i64,
        now: Time,
    } -> EndpointSql,
    endpoint_columns!(
        "INSERT INTO webhook_endpoints (id, service_account_id, created_by, url, display_name, \
            kinds, state, secret, cursor_xid, cursor_seq, served_at, created_at, updated_at) \
         VALUES ($1, $2, $3, $4, $5, $6, 'active', $7, $8, $9, clock_timestamp(), $10, $10) \
         RETURNING",
        ""
    );

    /// One endpoint, if this owner may see it; nobody means everybody's. Locked.
    LockEndpoint { id: EndpointId, owner: Option<AccountId> } -> EndpointSql,
    endpoint_columns!(
        "SELECT",
        " FROM webhook_endpoints WHERE id = $1 AND state <> 'deleted' \
            AND ($2 IS NULL OR service_account_id = $2) FOR UPDATE"
    );

    /// Whether there is such an endpoint for this owner.
    HasEndpoint { id: EndpointId, owner: Option<AccountId> } -> sql_types::Bool,
    "SELECT EXISTS (SELECT FROM webhook_endpoints WHERE id = $1 AND state <> 'deleted' \
        AND ($2 IS NULL OR service_account_id = $2))";

    /// Writes what a request has changed; `anew`: it begins without failures.
    ChangeEndpoint {
        id: EndpointId, url: String, display_name: String, kinds: List<ResourceKind>,
        state: EndpointState, anew: bool, now: Time,
    } -> EndpointSql,
    endpoint_columns!(
        "UPDATE webhook_endpoints SET url = $2, display_name = $3, kinds = $4, state = $5, \
            problem = CASE WHEN $5 = 'disabled' THEN problem ELSE '' END, \
            failing_since = CASE WHEN $6 THEN NULL ELSE failing_since END, \
            failed_at = CASE WHEN $6 THEN NULL ELSE failed_at END, \
            rests_until = CASE WHEN $6 THEN NULL ELSE rests_until END, \
            version = version + 1, updated_at = $7 WHERE id = $1 RETURNING",
        ""
    );

    /// Gives what waits its attempts back, the next one now.
    WakeWaiting { endpoint: EndpointId, now: Time },
    "UPDATE webhook_deliveries SET next_at = $2, attempts = 0 \
     WHERE endpoint_id = $1 AND state = 'pending' AND next_at IS NOT NULL";

    /// Drops what waits of other kinds than these.
    DropOtherKinds { endpoint: EndpointId, kinds: List<ResourceKind> },
    "DELETE FROM webhook_deliveries \
     WHERE endpoint_id = $1 AND state = 'pending' AND resource_kind <> ALL ($2)";

    /// Another secret; the one before signs beside it for a while. One that still signs stays: who
    /// rotates twice has not taken the one between into use.
    PutSecret { id: EndpointId, secret: Vec<u8>, until: Time, now: Time } -> EndpointSql,
    endpoint_columns!(
        "UPDATE webhook_endpoints SET \
            previous_secret = CASE WHEN previous_secret_until > $4 THEN previous_secret \
                ELSE secret END, \
            previous_secret_until = CASE WHEN previous_secret_until > $4 \
                THEN previous_secret_until ELSE $3 END, \
            secret = $2, version = version + 1, updated_at = $4 WHERE id = $1 RETURNING",
        ""
    );

    /// Moves the cursor back.
    MoveBack { id: EndpointId, xid: i64, seq: i64, now: Time } -> EndpointSql,
    endpoint_columns!(
        "UPDATE webhook_endpoints SET cursor_xid = $2, cursor_seq = $3, version = version + 1, updated_at = $4 WHERE id = $1 RETURNING",
        ""
    );

    /// What waits behind the cursor begins anew when the cursor passes it.
    HoldBehind { id: EndpointId, xid: i64, seq: i64 },
    "UPDATE webhook_deliveries SET attempts = 0, next_at = NULL, status_code = 0, reason = '' \
     WHERE endpoint_id = $1 AND state = 'pending' AND (xid, seq) > ($2, $3)";

    /// Hides an endpoint and forgets its secrets.
    HideEndpoint { id: EndpointId, now: Time },
    "UPDATE webhook_endpoints SET state = 'deleted', problem = '', secret = '', \
        previous_secret = NULL, previous_secret_until = NULL, version = version + 1, \
        updated_at = $2 WHERE id = $1";
}

impl EndpointRow {
    /// The place in the feed up to which events were taken over.
    pub(super) fn cursor(&self) -> Position {
        Position { xid: self.cursor_xid, seq: self.cursor_seq }
    }

    /// An event about it.
    pub(super) fn event(&self, event_type: &'static str) -> Event {
        event(event_type, self.service_account.unwrap_or(self.created_by))
    }

    fn shown(self, with_key: &HashSet<AccountId>) -> pb::Endpoint {
        let has_key = self.service_account.is_none_or(|account| with_key.contains(&account));
        let problem = match self.problem {
            problem if problem.is_empty() && !has_key => NO_KEY.to_owned(),
            problem => problem,
        };
        pb::Endpoint {
            id: self.id.to_string(),
            create_time: Some(self.created_at.into()),
            update_time: Some(self.updated_at.into()),
            etag: self.version.to_string(),
            service_account_id: self.service_account.map(|id| id.to_string()).unwrap_or_default(),
            url: self.url,
            display_name: self.display_name,
            kinds: self.kinds.into_iter().map(i32::from).collect(),
            state: self.state.into(),
            failing_since_time: self.failing_since.map(Into::into),
            previous_secret_expire_time: self.previous_secret_until.map(Into::into),
            problem,
            missed_events_time: self.missed_at.map(Into::into),
        }
    }
}

/// An event about an endpoint of this account.
pub(super) fn event(event_type: &'static str, account: AccountId) -> Event {
    Event {
        event_type,
        kind: ResourceKind::Account,
        resource: account.0,
        account: Some(account),
        patient: None,
        doctor: None,
    }
}

/// Whose endpoints the caller sees: a program its own, an admin all.
pub(super) fn owner(caller: &Caller) -> Result<Option<AccountId>> {
    let session = caller.signed_in()?;
    Ok(session.scopes.is_some().then_some(session.account))
}

/// An endpoint that the caller may change, locked. One that is somebody else's is not there.
pub(super) async fn lock(conn: &mut Conn, caller: &Caller, id: EndpointId) -> Result<EndpointRow> {
    let lock = LockEndpoint { id, owner: owner(caller)? };
    let row: Option<EndpointRow> = lock.get_result(conn).await.optional()?;
    row.ok_or_else(not_found)
}

/// There is none, or it is somebody else's.
pub(super) fn not_found() -> Error {
    Error::not_found("webhook_endpoint")
}

/// Endpoints as they are shown; an expired secret is no longer told of.
pub(super) async fn shown(
    app: &App,
    conn: &mut Conn,
    rows: Vec<EndpointRow>,
) -> Result<Vec<pb::Endpoint>> {
    let now = app.clock.now();
    let owners = rows.iter().filter_map(|row| row.service_account).collect();
    let with_key = identity::programs_with(conn, owners, Scope::Webhooks, now).await?;
    let shown = rows.into_iter().map(|mut row| {
        row.previous_secret_until = row.previous_secret_until.filter(|until| *until > now);
        row.shown(&with_key)
    });
    Ok(shown.collect())
}

/// One endpoint as it is shown.
pub(super) async fn shown_one(
    app: &App,
    conn: &mut Conn,
    row: EndpointRow,
) -> Result<Option<pb::Endpoint>> {
    Ok(shown(app, conn, vec![row]).await?.pop())
}

/// An id for an endpoint from a request.
pub(super) fn id_from(text: &str) -> Result<EndpointId> {
    EndpointId::from_wire("endpoint_id", text)
}

/// A lease: who serves an endpoint now.
pub(super) type Lease = Uuid;
