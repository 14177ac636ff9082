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

mod reading;

use std::sync::Arc;

use diesel::pg::Pg;
use diesel::query_builder::{AstPass, QueryFragment, QueryId};
use diesel::result::QueryResult;
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::access::Actor;
use super::clock::Clock;
use super::db::Conn;
use super::error::Result;
use super::ids::Ids;
use super::jobs::{InsertJobs, NewJob};
use super::kinds::{AccountId, DoctorId, PatientId, Time, wire_enum};
use crate::statement;

pub use reading::{
    FeedRow, Found, NewRow, Place, Position, Viewer, end, horizon, new_rows, place, read_after,
    sweep,
};

/// Events after which the resource is gone: whoever keeps something of it drops that. What a room
/// keeps of it by law is no longer shown as that resource.
const GONE: [&str; 4] =
    ["account.deleted", "application.withdrawn", "doctor.retired", "patient.closed"];

/// Whether the resource is gone after an event of this type.
#[must_use]
pub fn is_gone(event_type: &str) -> bool {
    GONE.contains(&event_type)
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documentation_names_what_is_gone() {
        let text = include_str!("../../../../docs/live-updates.md");
        for event_type in GONE {
            assert!(text.contains(&format!("`{event_type}`")), "{event_type}");
        }
        assert!(is_gone("patient.closed") && !is_gone("application.ended"));
    }
}
