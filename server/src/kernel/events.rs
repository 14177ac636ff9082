//! The feed: every change is one event, written in the transaction of the change, together with
//! the jobs of those who subscribed to it.
//!
//! The order is gap-free (guarantee G3). An event carries its transaction's number, and readers
//! take only what lies below the oldest transaction that still runs, so no event can appear behind
//! a position that a reader has passed. The number is raised to the newest transaction that had
//! ended when the event was written: so a change that waited for another one (a lock, a unique
//! key) comes after it in the feed, although its transaction may have begun first.
//!
//! Limits, for operators:
//! - Any transaction of the whole cluster that has written something and does not end (another
//!   database, a forgotten prepared transaction, a long `CREATE INDEX`) holds the feed up. It loses
//!   nothing. The server's own transactions have time-outs.
//! - The numbers belong to the cluster. A dump restored into a new cluster starts with low ones:
//!   its old events would stay invisible and its new ones would sort before them, and the audit
//!   chain would not go on. Before the first start raise the new cluster's counter above
//!   `max(xid)` of `events` and `audit_entries` with `pg_resetwal -x` and `-e`. A base backup, a
//!   standby and `pg_upgrade` keep the numbers.

use std::sync::Arc;

use diesel::pg::Pg;
use diesel::query_builder::{AstPass, QueryFragment, QueryId};
use diesel::result::QueryResult;
use diesel::sql_types;
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::access::Actor;
use super::clock::Clock;
use super::db::Conn;
use super::db::statement::List;
use super::error::Result;
use super::ids::Ids;
use super::jobs::{InsertJobs, NewJob};
use super::kinds::{AccountId, DoctorId, PatientId, Time, wire_enum};
use crate::statement;

wire_enum! {
    /// What an event is about.
    ResourceKind = clinicd_proto::feed::v1::ResourceKind {
        /// An account.
        Account = "account",
        /// An onboarding application.
        Application = "application",
        /// A doctor's profile.
        Doctor = "doctor",
        /// A patient.
        Patient = "patient",
        /// A doctor's schedule.
        Schedule = "schedule",
        /// An appointment.
        Appointment = "appointment",
        /// A visit note.
        VisitNote = "visit_note",
        /// A prescription.
        Prescription = "prescription",
        /// A message in somebody's inbox.
        Notification = "notification",
    }
}

/// A change that happened. It names the resource and who may see it; it carries no content.
#[derive(Debug, Clone, Copy)]
pub struct Event {
    /// What happened: `<resource>.<past participle>`, such as `appointment.booked`.
    pub event_type: &'static str,
    /// What kind of resource changed.
    pub kind: ResourceKind,
    /// Which one.
    pub resource: Uuid,
    /// The account that may see it, when it is about an account.
    pub account: Option<AccountId>,
    /// The patient whose account may see it.
    pub patient: Option<PatientId>,
    /// The doctor who may see it.
    pub doctor: Option<DoctorId>,
}

/// Makes the job of a subscriber from an event.
pub type Subscriber = fn(&Event) -> NewJob;

/// Emits events. Knows the subscribers, which `work.rs` lists.
#[derive(Clone)]
pub struct Events {
    clock: Clock,
    ids: Ids,
    subscriptions: Arc<[(&'static str, Subscriber)]>,
}

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Events")
            .field("subscriptions", &self.subscriptions.len())
            .finish_non_exhaustive()
    }
}

/// Columns of [`FeedRow`] as SQL types.
type FeedSql = (
    sql_types::Uuid,
    sql_types::BigInt,
    sql_types::BigInt,
    sql_types::Timestamptz,
    sql_types::Text,
    sql_types::Text,
    sql_types::Uuid,
    sql_types::Nullable<sql_types::Uuid>,
    sql_types::Nullable<sql_types::Uuid>,
    sql_types::Nullable<sql_types::Uuid>,
    sql_types::Nullable<sql_types::Uuid>,
    sql_types::Bool,
);

statement! {
    /// Writes an event; the transaction and the sequence come from the database.
    InsertEvent {
        id: Uuid, now: Time, event_type: &'static str, kind: ResourceKind, resource: Uuid,
        account: Option<AccountId>, patient: Option<PatientId>, doctor: Option<DoctorId>,
        actor: Option<AccountId>, stand_in: bool,
    },
    "INSERT INTO events (id, created_at, event_type, resource_kind, resource_id, account_id, \
        patient_id, doctor_id, actor_id, stand_in) \
     SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10 FROM change";

    /// Looks at up to `scan` events after a position that no running transaction can still
    /// precede, and gives those that the viewer may see. Where fewer than `limit` are found, a last
    /// row that is not for the viewer tells how far it looked.
    EventsAfter {
        xid: i64, seq: i64, scan: i64, kinds: List<ResourceKind>, everything: bool, account: Uuid,
        doctor: bool, staff: List<ResourceKind>, limit: i64,
    } -> (sql_types::Bool, FeedSql),
    "WITH scanned AS ( \
        SELECT id, xid, seq, created_at, event_type, resource_kind, resource_id, account_id, \
            patient_id, doctor_id, actor_id, stand_in \
        FROM events \
        WHERE (xid, seq) > ($1, $2) \
          AND xid < pg_snapshot_xmin(pg_current_snapshot())::text::bigint \
        ORDER BY xid, seq LIMIT $3), \
     visible AS ( \
        SELECT * FROM scanned \
        WHERE (cardinality($4::text[]) = 0 OR resource_kind = ANY ($4)) \
          AND ($5 OR resource_kind = ANY ($8) OR account_id = $6 OR ($7 AND doctor_id = $6) \
            OR patient_id IN (SELECT p.id FROM patients p WHERE p.account_id = $6)) \
        ORDER BY xid, seq LIMIT $9) \
     SELECT true, * FROM visible \
     UNION ALL \
     (SELECT false, * FROM scanned WHERE (SELECT count(*) FROM visible) < $9 \
      ORDER BY xid DESC, seq DESC LIMIT 1) \
     ORDER BY xid, seq";

    /// Whether readers may have come as far as this transaction.
    IsReadable { xid: i64 } -> sql_types::Bool,
    "SELECT $1 < pg_snapshot_xmin(pg_current_snapshot())::text::bigint";

    /// The position of the newest event that readers may take.
    FeedEnd {} -> (sql_types::BigInt, sql_types::BigInt),
    "SELECT xid, seq FROM events WHERE xid < pg_snapshot_xmin(pg_current_snapshot())::text::bigint \
     ORDER BY xid DESC, seq DESC LIMIT 1";
}

impl Events {
    /// A feed with these subscribers, by event type.
    #[must_use]
    pub fn new(clock: Clock, ids: Ids, subscriptions: Vec<(&'static str, Subscriber)>) -> Self {
        Self { clock, ids, subscriptions: subscriptions.into() }
    }

    /// Writes the event and the jobs of its subscribers in the caller's transaction.
    pub async fn emit(&self, conn: &mut Conn, event: Event) -> Result<()> {
        Emit { parts: self.parts(event)? }.execute(conn).await?;
        Ok(())
    }

    /// The event and the jobs of its subscribers, as parts of a statement.
    pub(super) fn parts(&self, event: Event) -> Result<EventParts> {
        let now = self.clock.now();
        let mut jobs = InsertJobs::new(now);
        for (event_type, subscriber) in self.subscriptions.iter() {
            if *event_type == event.event_type {
                jobs.add(self.ids.next(), subscriber(&event))?;
            }
        }
        let actor = Actor::current();
        let own = |actor: &Actor| event.patient == Some(actor.account.into());
        let event = InsertEvent {
            id: self.ids.next(),
            now,
            event_type: event.event_type,
            kind: event.kind,
            resource: event.resource,
            account: event.account,
            patient: event.patient,
            doctor: event.doctor,
            actor: actor.map(|actor| actor.account),
            stand_in: actor.is_some_and(|actor| actor.stand_in && !own(&actor)),
        };
        Ok(EventParts { event, jobs })
    }
}

/// `event AS (…), job AS (…)`: parts of a statement in which `change` is what the event is about.
/// Without a row of `change` nothing is written.
#[derive(Debug, Clone)]
pub(super) struct EventParts {
    event: InsertEvent,
    jobs: InsertJobs,
}

impl QueryFragment<Pg> for EventParts {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("event AS (");
        self.event.walk_ast(out.reborrow())?;
        out.push_sql("), job AS (");
        self.jobs.walk_ast(out.reborrow())?;
        out.push_sql(")");
        Ok(())
    }
}

/// An event of a change that other statements have made.
struct Emit {
    parts: EventParts,
}

impl QueryId for Emit {
    type QueryId = Self;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl QueryFragment<Pg> for Emit {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("WITH change AS (SELECT), ");
        self.parts.walk_ast(out.reborrow())?;
        out.push_sql(" SELECT FROM change");
        Ok(())
    }
}

/// A place in the feed: everything up to it has been read.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Default,
    serde::Serialize,
    serde::Deserialize,
)]
pub struct Position {
    /// Transaction.
    pub xid: i64,
    /// Sequence within it.
    pub seq: i64,
}

/// An event as readers find it.
#[derive(Debug, Clone, diesel::Queryable)]
pub struct FeedRow {
    /// Id of the event.
    pub id: Uuid,
    /// Its transaction.
    pub xid: i64,
    /// Its sequence.
    pub seq: i64,
    /// When it happened.
    pub created_at: Time,
    /// What happened.
    pub event_type: String,
    /// To what kind of resource.
    pub kind: ResourceKind,
    /// To which one.
    pub resource: Uuid,
    /// The account that may see it.
    pub account: Option<AccountId>,
    /// The patient whose account may see it.
    pub patient: Option<PatientId>,
    /// The doctor who may see it.
    pub doctor: Option<DoctorId>,
    /// Who made the change; none when the server did.
    pub actor: Option<AccountId>,
    /// An admin in the place of missing staff.
    pub stand_in: bool,
}

impl FeedRow {
    /// The position behind this event.
    #[must_use]
    pub fn position(&self) -> Position {
        Position { xid: self.xid, seq: self.seq }
    }
}

/// Events looked at by one read; it bounds the cost for a viewer who sees few of them.
const SCAN: i64 = 5_000;

/// Who reads, and so what is shown. Judged anew by every read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Viewer {
    /// Sees what concerns this account and the patients that belong to it.
    pub account: AccountId,
    /// Sees as well what concerns the doctor of the same id.
    pub doctor: bool,
    /// Sees all events of these kinds.
    pub staff: Vec<ResourceKind>,
    /// Sees all events.
    pub everything: bool,
}

impl Viewer {
    /// A reader inside the server.
    pub const SERVER: Self = Self {
        account: AccountId(Uuid::nil()),
        doctor: false,
        staff: Vec::new(),
        everything: true,
    };
}

/// What one read has found.
#[derive(Debug, Clone)]
pub struct Found {
    /// Events for the viewer, in feed order.
    pub events: Vec<FeedRow>,
    /// Everything up to here has been looked at, also what the viewer may not see.
    pub position: Position,
    /// Nothing lies behind that position at this moment.
    pub is_end: bool,
}

/// Reads up to `limit` events after a position, in feed order; all kinds when `kinds` is empty. It
/// looks at no more than a few thousand events, so that it may find none although there are more.
pub async fn read_after(
    conn: &mut Conn,
    after: Position,
    viewer: &Viewer,
    kinds: &[ResourceKind],
    limit: i64,
) -> Result<Found> {
    let query = EventsAfter {
        xid: after.xid,
        seq: after.seq,
        scan: SCAN.max(limit),
        kinds: List(kinds.to_vec()),
        everything: viewer.everything,
        account: viewer.account.0,
        doctor: viewer.doctor,
        staff: List(viewer.staff.clone()),
        limit,
    };
    let rows: Vec<(bool, FeedRow)> = query.get_results(conn).await?;
    let position = rows.last().map_or(after, |(_, row)| row.position());
    let events: Vec<FeedRow> =
        rows.into_iter().filter_map(|(shown, row)| shown.then_some(row)).collect();
    Ok(Found { events, position, is_end: position == after })
}

/// The end of the feed at this moment.
pub async fn end(conn: &mut Conn) -> Result<Position> {
    use diesel::OptionalExtension;
    let last: Option<(i64, i64)> = FeedEnd {}.get_result(conn).await.optional()?;
    Ok(last.map_or_else(Position::default, |(xid, seq)| Position { xid, seq }))
}

/// Whether a position can have been given by this feed: `false` after a restore into a cluster
/// whose transactions have lower numbers.
pub async fn is_readable(conn: &mut Conn, position: Position) -> Result<bool> {
    Ok(IsReadable { xid: position.xid }.get_result(conn).await?)
}
