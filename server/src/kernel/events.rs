//! The feed: every change is one event, written in the transaction of the change, together with
//! the jobs of those who subscribed to it.
//!
//! The order is gap-free (guarantee G3): an event carries its transaction, and readers take only
//! what lies below the oldest transaction that still runs, so no event can appear behind a
//! position that a reader has passed.

use std::sync::Arc;

use diesel::sql_types;
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::clock::Clock;
use super::db::Conn;
use super::db::statement::List;
use super::error::Result;
use super::ids::Ids;
use super::jobs::{self, NewJob};
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
    }
}

/// A change that happened. It names the resource and who may see it; it carries no content.
#[derive(Debug, Clone)]
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

statement! {
    /// Writes an event; the transaction and the sequence come from the database.
    InsertEvent {
        id: Uuid, now: Time, event_type: String, kind: ResourceKind, resource: Uuid,
        account: Option<AccountId>, patient: Option<PatientId>, doctor: Option<DoctorId>,
    },
    "INSERT INTO events (id, created_at, event_type, resource_kind, resource_id, account_id, \
        patient_id, doctor_id) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";

    /// Events after a position that no running transaction can still precede.
    EventsAfter { xid: i64, seq: i64, kinds: List<ResourceKind>, limit: i64 }
        -> (
            sql_types::Uuid, sql_types::BigInt, sql_types::BigInt, sql_types::Timestamptz,
            sql_types::Text, sql_types::Text, sql_types::Uuid,
            sql_types::Nullable<sql_types::Uuid>, sql_types::Nullable<sql_types::Uuid>,
            sql_types::Nullable<sql_types::Uuid>,
        ),
    "SELECT id, xid, seq, created_at, event_type, resource_kind, resource_id, account_id, \
        patient_id, doctor_id FROM events \
     WHERE (xid, seq) > ($1, $2) \
       AND xid < pg_snapshot_xmin(pg_current_snapshot())::text::bigint \
       AND (cardinality($3::text[]) = 0 OR resource_kind = ANY ($3)) \
     ORDER BY xid, seq LIMIT $4";

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
        let now = self.clock.now();
        let row = InsertEvent {
            id: self.ids.next(),
            now,
            event_type: event.event_type.to_owned(),
            kind: event.kind,
            resource: event.resource,
            account: event.account,
            patient: event.patient,
            doctor: event.doctor,
        };
        row.execute(conn).await?;
        for (event_type, subscriber) in self.subscriptions.iter() {
            if *event_type == event.event_type {
                jobs::enqueue(conn, self.ids.next(), now, subscriber(&event)).await?;
            }
        }
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
}

impl FeedRow {
    /// The position behind this event.
    #[must_use]
    pub fn position(&self) -> Position {
        Position { xid: self.xid, seq: self.seq }
    }
}

/// Reads up to `limit` events after a position, in feed order; all kinds when `kinds` is empty.
pub async fn read_after(
    conn: &mut Conn,
    after: Position,
    kinds: Vec<ResourceKind>,
    limit: i64,
) -> Result<Vec<FeedRow>> {
    let Position { xid, seq } = after;
    Ok(EventsAfter { xid, seq, kinds: List(kinds), limit }.get_results(conn).await?)
}

/// The end of the feed at this moment.
pub async fn end(conn: &mut Conn) -> Result<Position> {
    use diesel::OptionalExtension;
    let last: Option<(i64, i64)> = FeedEnd {}.get_result(conn).await.optional()?;
    Ok(last.map_or_else(Position::default, |(xid, seq)| Position { xid, seq }))
}
