//! A turn at an endpoint, in one transaction that holds its row: what came of the events that were
//! sent is written, new events are taken over from the feed, and what is due is found.
//!
//! Of the events of a resource that wait, the first in feed order has a time of its next attempt
//! (`next_at`), the others have none. Whoever ends the first gives the next one its time.

use std::collections::HashSet;
use std::sync::Arc;

use aws_lc_rs::hmac;
use diesel::{OptionalExtension, sql_types};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::posting::Message;
use super::rows::{EndpointId, Lease, event};
use super::rules::{self, Attempt, Next};
use super::{signing, taking_over};
use crate::app::App;
use crate::identity;
use crate::kernel::db::Conn;
use crate::kernel::db::statement::List;
use crate::kernel::error::Result;
use crate::kernel::events::{Position, ResourceKind};
use crate::kernel::kinds::{AccountId, Scope, Time};
use crate::statement;

/// How long a lease holds without being renewed: longer than a POST takes.
pub(super) const LEASE_SECONDS: i32 = 20;
/// Why an endpoint is given up that takes nothing.
const FAILING: &str = "FAILING";
/// How long an endpoint whose owner has no key is left alone, in seconds.
const WITHOUT_KEY_SECONDS: i64 = 30;

statement! {
    /// Renews the lease and holds the row, while the lease is ours.
    HoldEndpoint { id: EndpointId, lease: Lease, seconds: i32 } -> HeldSql,
    "UPDATE webhook_endpoints \
     SET lease_until = clock_timestamp() + make_interval(secs => $3) \
     WHERE id = $1 AND lease_id = $2 \
     RETURNING id, service_account_id, created_by, url, kinds, state = 'active', secret, \
        previous_secret, previous_secret_until, cursor_xid, cursor_seq, failing_since, failed_at, \
        rests_until";

    /// Ends an event, and makes it the turn of the next one of its resource.
    /// Not if it was taken back meanwhile (`attempts` is what it was when it was sent), and none
    /// beyond the cursor: a replay brings those again.
    EndDelivery {
        id: Uuid, now: Time, state: &'static str, status_code: i32, reason: &'static str,
        attempts: i32,
    },
    "WITH ended AS ( \
        UPDATE webhook_deliveries SET state = $3, attempts = attempts + 1, next_at = NULL, \
            ended_at = $2, status_code = $4, reason = $5 \
        WHERE id = $1 AND state = 'pending' AND attempts = $6 AND next_at IS NOT NULL \
        RETURNING endpoint_id, resource_id), \
     next AS ( \
        SELECT d.id FROM ended JOIN webhook_endpoints e ON e.id = ended.endpoint_id \
            JOIN webhook_deliveries d \
                ON d.endpoint_id = ended.endpoint_id AND d.resource_id = ended.resource_id \
        WHERE d.state = 'pending' AND d.id <> $1 \
            AND (d.xid, d.seq) <= (e.cursor_xid, e.cursor_seq) ORDER BY d.xid, d.seq LIMIT 1) \
     UPDATE webhook_deliveries d SET next_at = $2 FROM next WHERE d.id = next.id";

    /// Tries an event again later, unless it was taken back meanwhile.
    RetryDelivery {
        id: Uuid, at: Time, status_code: i32, reason: &'static str, attempts: i32, counted: i32,
    },
    "UPDATE webhook_deliveries SET attempts = attempts + $6, next_at = $2, status_code = $3, \
        reason = $4 \
     WHERE id = $1 AND state = 'pending' AND attempts = $5 AND next_at IS NOT NULL";

    /// Since when every attempt has failed, and when the last one did.
    PutFailing { id: EndpointId, since: Option<Time>, last: Option<Time> },
    "UPDATE webhook_endpoints SET failing_since = $2, failed_at = $3 WHERE id = $1";

    /// Gives an endpoint up.
    DisableEndpoint { id: EndpointId, problem: &'static str, now: Time },
    "UPDATE webhook_endpoints SET state = 'disabled', problem = $2, version = version + 1, \
        updated_at = $3 WHERE id = $1";

    /// Leaves an endpoint alone until then, or for longer if it rests already.
    RestEndpoint { id: EndpointId, until: Time },
    "UPDATE webhook_endpoints SET rests_until = greatest(coalesce(rests_until, $2), $2) \
     WHERE id = $1";

    /// Events whose turn it is, but for those of resources that are being told of.
    DueDeliveries { endpoint: EndpointId, now: Time, busy: List<Uuid>, limit: i64 }
        -> (sql_types::Uuid, sql_types::Integer, sql_types::Uuid, sql_types::Text,
            sql_types::Text, sql_types::Uuid, sql_types::Timestamptz),
    "SELECT id, attempts, event_id, event_type, resource_kind, resource_id, event_time \
     FROM webhook_deliveries \
     WHERE endpoint_id = $1 AND state = 'pending' AND next_at <= $2 AND resource_id <> ALL ($3) \
     ORDER BY next_at, xid, seq LIMIT $4";
}

type HeldSql = (
    sql_types::Uuid,
    sql_types::Nullable<sql_types::Uuid>,
    sql_types::Uuid,
    sql_types::Text,
    sql_types::Array<sql_types::Text>,
    sql_types::Bool,
    sql_types::Binary,
    sql_types::Nullable<sql_types::Binary>,
    sql_types::Nullable<sql_types::Timestamptz>,
    sql_types::BigInt,
    sql_types::BigInt,
    sql_types::Nullable<sql_types::Timestamptz>,
    sql_types::Nullable<sql_types::Timestamptz>,
    sql_types::Nullable<sql_types::Timestamptz>,
);

/// An endpoint that is held.
#[derive(Debug, Clone, diesel::Queryable)]
pub(super) struct Held {
    pub(super) id: EndpointId,
    service_account: Option<AccountId>,
    created_by: AccountId,
    url: String,
    pub(super) kinds: Vec<ResourceKind>,
    is_active: bool,
    secret: Vec<u8>,
    previous_secret: Option<Vec<u8>>,
    previous_secret_until: Option<Time>,
    cursor_xid: i64,
    cursor_seq: i64,
    failing_since: Option<Time>,
    failed_at: Option<Time>,
    rests_until: Option<Time>,
}

/// An event whose turn it is.
#[derive(Debug, Clone)]
pub(super) struct Due {
    pub(super) delivery: Uuid,
    /// Attempts so far.
    attempts: i32,
    pub(super) message: Message,
}

type DueRow = (Uuid, i32, Uuid, String, ResourceKind, Uuid, Time);

/// An event that was sent.
#[derive(Debug, Clone)]
pub(super) struct Ended {
    delivery: Uuid,
    /// Attempts before it.
    attempts: i32,
    pub(super) resource: Uuid,
    /// Where it was sent to.
    url: Arc<str>,
    attempt: Attempt,
    next: Next,
}

impl Due {
    /// What follows from this attempt.
    pub(super) fn ended(self, url: Arc<str>, attempt: Attempt, now: Time, random: u8) -> Ended {
        let Self { delivery, attempts, message: Message { resource, .. } } = self;
        let next = attempt.next(attempts + 1, now, random);
        Ended { delivery, attempts, resource, url, attempt, next }
    }
}

/// What a turn does.
#[derive(Debug, Clone, Copy)]
pub(super) struct Turn<'a> {
    pub(super) endpoint: EndpointId,
    pub(super) lease: Lease,
    /// To be written.
    pub(super) ended: &'a [Ended],
    /// Resources whose events are being sent.
    pub(super) busy: &'a [Uuid],
    /// So many events may be found; with none nothing is looked for.
    pub(super) room: usize,
}

/// What a turn has found.
pub(super) struct Found {
    pub(super) url: String,
    pub(super) keys: Vec<hmac::Key>,
    pub(super) due: Vec<Due>,
    /// The feed goes on.
    pub(super) more: bool,
}

/// Takes a turn; none when the lease is lost.
pub(super) async fn take(app: &App, turn: Turn<'_>) -> Result<Option<Found>> {
    app.db.transaction(async |conn| take_in(app, conn, turn).await).await
}

async fn take_in(app: &App, conn: &mut Conn, turn: Turn<'_>) -> Result<Option<Found>> {
    let hold = HoldEndpoint { id: turn.endpoint, lease: turn.lease, seconds: LEASE_SECONDS };
    let held: Option<Held> = hold.get_result(conn).await.optional()?;
    let Some(mut held) = held else { return Ok(None) };
    let now = app.clock.now();
    held.record(app, conn, turn.ended, now).await?;
    let mut found = Found { url: held.url.clone(), keys: Vec::new(), due: Vec::new(), more: false };
    let rests = held.rests_until.is_some_and(|until| until > now);
    if turn.room == 0 || rests || !held.is_active {
        return Ok(Some(found));
    }
    if !held.has_key(conn, now).await? {
        let until = now.plus_seconds(WITHOUT_KEY_SECONDS);
        RestEndpoint { id: held.id, until }.execute(conn).await?;
        if held.failing_since.is_some() {
            // Nothing is attempted from now on.
            PutFailing { id: held.id, since: None, last: None }.execute(conn).await?;
        }
        return Ok(Some(found));
    }
    found.keys = held.keys(app, now)?;
    found.due = due(conn, turn, now).await?;
    if found.due.len() < turn.room {
        let idle = found.due.is_empty() && turn.busy.is_empty();
        found.more = taking_over::take_over(app, conn, &held, idle, now).await?;
        if found.more {
            found.due = due(conn, turn, now).await?;
        }
    }
    Ok(Some(found))
}

async fn due(conn: &mut Conn, turn: Turn<'_>, now: Time) -> Result<Vec<Due>> {
    let limit = i64::try_from(turn.room).unwrap_or(1);
    let busy = List(turn.busy.to_vec());
    let find = DueDeliveries { endpoint: turn.endpoint, now, busy, limit };
    let rows: Vec<DueRow> = find.get_results(conn).await?;
    // Whatever the rows say, one event of a resource at a time.
    let mut seen = HashSet::new();
    let due = rows.into_iter().filter(|row| seen.insert(row.5)).map(Due::from);
    Ok(due.collect())
}

impl From<DueRow> for Due {
    fn from((delivery, attempts, id, event_type, kind, resource, create_time): DueRow) -> Self {
        let message = Message { id, event_type, kind, resource, create_time };
        Self { delivery, attempts, message }
    }
}

impl Held {
    pub(super) fn cursor(&self) -> Position {
        Position { xid: self.cursor_xid, seq: self.cursor_seq }
    }

    /// The account that it is about.
    pub(super) fn account(&self) -> AccountId {
        self.service_account.unwrap_or(self.created_by)
    }

    /// Writes what came of events, and what that says about the endpoint.
    async fn record(
        &mut self,
        app: &App,
        conn: &mut Conn,
        ended: &[Ended],
        now: Time,
    ) -> Result<()> {
        let (id, known) = (self.id, (self.failing_since, self.failed_at));
        let mut problem = None;
        for one in ended {
            one.write(conn, now).await?;
            // What came of another URL, or of us, says nothing about this one.
            if *one.url != *self.url || one.attempt.is_ours() {
                continue;
            }
            if one.attempt.is_taken() {
                (self.failing_since, self.failed_at) = (None, None);
                problem = problem.filter(|problem| *problem != FAILING);
                continue;
            }
            let since = rules::failing_since(self.failing_since, self.failed_at, now);
            (self.failing_since, self.failed_at) = (Some(since), Some(now));
            if one.attempt.is_gone() {
                problem = Some("GONE");
            } else if rules::is_given_up(since, now) {
                problem = problem.or(Some(FAILING));
            }
            if let Some(until) = one.attempt.rest(now) {
                RestEndpoint { id, until }.execute(conn).await?;
                self.rests_until = self.rests_until.max(Some(until));
            }
        }
        if (self.failing_since, self.failed_at) != known {
            let (since, last) = (self.failing_since, self.failed_at);
            PutFailing { id, since, last }.execute(conn).await?;
        }
        if let (true, Some(problem)) = (self.is_active, problem) {
            self.is_active = false;
            DisableEndpoint { id, problem, now }.execute(conn).await?;
            let disabled = event("webhook_endpoint.disabled", self.account());
            app.events.emit(conn, disabled).await?;
            tracing::warn!(endpoint = %id, problem, "a webhook endpoint was disabled");
        }
        Ok(())
    }

    /// Whether a key allows that events are sent at this moment.
    async fn has_key(&self, conn: &mut Conn, now: Time) -> Result<bool> {
        let Some(account) = self.service_account else { return Ok(true) };
        let with = identity::programs_with(conn, vec![account], Scope::Webhooks, now).await?;
        Ok(with.contains(&account))
    }

    /// The keys that sign now, the newest first.
    fn keys(&self, app: &App, now: Time) -> Result<Vec<hmac::Key>> {
        let previous = self.previous_secret.as_ref();
        let previous = previous.filter(|_| self.previous_secret_until.is_some_and(|it| it > now));
        let sealed = std::iter::once(&self.secret).chain(previous);
        sealed.map(|sealed| signing::open(app, self.id, sealed)).collect()
    }
}

impl Ended {
    async fn write(&self, conn: &mut Conn, now: Time) -> Result<()> {
        let (id, attempts, reason) = (self.delivery, self.attempts, self.attempt.reason);
        let status_code = i32::from(self.attempt.status);
        let state = match self.next {
            Next::Retry(at) => {
                let counted = i32::from(!self.attempt.is_ours());
                let retry = RetryDelivery { id, at, status_code, reason, attempts, counted };
                retry.execute(conn).await?;
                return Ok(());
            }
            Next::Delivered => "delivered",
            Next::Failed => "failed",
        };
        EndDelivery { id, now, state, status_code, reason, attempts }.execute(conn).await?;
        Ok(())
    }
}
