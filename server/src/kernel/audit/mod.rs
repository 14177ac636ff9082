//! The audit log (guarantee G2): one entry per access to medical data, allowed or refused.
//!
//! An allowed access writes its entry in the transaction that reads or changes the data, or by the
//! very statement that reads it ([`App::read_audited`]), so no data leaves without a committed entry; [`Trail`] lets the access layer see that it was written,
//! and stop an answer without one. A refused access is written by the access layer. Entries are
//! plain inserts; the [`sealer`] links them into a hash chain within a second.

pub mod chain;
pub mod reading;
pub mod sealer;
pub mod verify;

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::access::Caller;
use super::db::Conn;
use super::db::statement::List;
use super::error::{Error, Result};
use super::kinds::{AccountId, PatientId, Role, SessionId, Time, wire_enum};
use crate::app::App;
use crate::statement;

wire_enum! {
    /// A kind of medical data.
    DataType = clinicd_proto::audit::v1::DataType {
        /// Notes of visits.
        VisitNote = "visit_note",
        /// Prescriptions.
        Prescription = "prescription",
        /// The audit log.
        AuditLog = "audit_log",
    }
}

wire_enum! {
    /// What became of an access.
    Outcome = clinicd_proto::audit::v1::AuditOutcome {
        /// Shown or changed.
        Allowed = "allowed",
        /// Nothing was shown.
        Refused = "refused",
    }
}

/// What is accessed, and by which rule.
#[derive(Debug, Clone)]
pub struct Access {
    /// Whose data.
    pub patient: Option<PatientId>,
    /// What kinds.
    pub data_types: Vec<DataType>,
    /// Which records.
    pub records: Vec<Uuid>,
    /// The rule that allows it, such as `own_record` or `treating_doctor`.
    pub rule: &'static str,
}

/// What a call has written to the audit log so far. Shared between the use case and the access
/// layer.
#[derive(Debug, Default)]
pub struct Trail {
    recorded: AtomicBool,
    request_id: OnceLock<Uuid>,
}

statement! {
    /// Adds an entry; transaction and sequence come from the database.
    InsertEntry {
        id: Uuid, now: Time, actor: AccountId, roles: List<Role>, session: SessionId,
        address: String, method: String, patient: Option<PatientId>, data_types: List<DataType>,
        records: List<Uuid>, outcome: Outcome, rule: String, request_id: Option<Uuid>,
    },
    "INSERT INTO audit_entries (id, created_at, actor_id, actor_roles, session_id, client_address, \
        method, patient_id, data_types, record_ids, outcome, rule, request_id) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)";

    /// Logs a repeated call like the first one.
    RepeatEntry {
        id: Uuid, now: Time, actor: AccountId, session: SessionId, address: String, method: String,
        request_id: Uuid,
    },
    "INSERT INTO audit_entries (id, created_at, actor_id, actor_roles, session_id, client_address, \
        method, patient_id, data_types, record_ids, outcome, rule, request_id) \
     SELECT $1, $2, actor_id, actor_roles, $4, $5, method, patient_id, data_types, record_ids, \
        outcome, rule, request_id \
     FROM audit_entries \
     WHERE request_id = $7 AND actor_id = $3 AND method = $6 AND outcome = 'allowed' \
     ORDER BY id LIMIT 1";
}

impl Trail {
    /// An entry was written for the answer of this call.
    #[must_use]
    pub fn is_recorded(&self) -> bool {
        AtomicBool::load(&self.recorded, Ordering::Acquire)
    }

    /// Notes the `request_id` of the call, which its entry will carry.
    pub fn is_about_request(&self, request_id: Uuid) {
        // Set once per call; a second set would be the same value.
        let _ = self.request_id.set(request_id);
    }

    /// Logs a repeated call, whose stored answer shows the data again.
    pub async fn replay(&self, app: &App, conn: &mut Conn, caller: &Caller) -> Result<()> {
        if !caller.medical {
            return Ok(());
        }
        let Some(request_id) = self.request_id.get().copied() else {
            return Err(Error::internal("a medical call is repeated without its request_id"));
        };
        let signed_in = caller.signed_in()?;
        let entry = RepeatEntry {
            id: app.ids.next(),
            now: app.clock.now(),
            actor: signed_in.account,
            session: signed_in.session,
            address: caller.address.clone(),
            method: caller.method.to_owned(),
            request_id,
        };
        if entry.execute(conn).await? == 1 {
            self.recorded.store(true, Ordering::Release);
        }
        Ok(())
    }
}

/// Logs an allowed access in the transaction that reads or changes the data.
pub async fn record(app: &App, conn: &mut Conn, caller: &Caller, access: Access) -> Result<()> {
    insert(app, conn, caller, access, Outcome::Allowed).await?;
    caller.trail.recorded.store(true, Ordering::Release);
    Ok(())
}

/// Logs a refused access, in a transaction of its own. `reason` takes the place of the rule.
pub async fn record_refusal(app: &App, caller: &Caller, reason: &'static str) -> Result<()> {
    let access =
        Access { patient: None, data_types: Vec::new(), records: Vec::new(), rule: reason };
    record_refused(app, caller, access).await
}

/// Logs a refused access to known records, in a transaction of its own: that of the attempt is
/// rolled back. The reason takes the place of the rule.
pub async fn record_refused(app: &App, caller: &Caller, access: Access) -> Result<()> {
    let mut conn = app.db.read().await?;
    insert(app, &mut conn, caller, access, Outcome::Refused).await
}

async fn insert(
    app: &App,
    conn: &mut Conn,
    caller: &Caller,
    access: Access,
    outcome: Outcome,
) -> Result<()> {
    let signed_in = caller.signed_in()?;
    let entry = InsertEntry {
        id: app.ids.next(),
        now: app.clock.now(),
        actor: signed_in.account,
        roles: List(signed_in.roles.clone()),
        session: signed_in.session,
        address: caller.address.clone(),
        method: caller.method.to_owned(),
        patient: access.patient,
        data_types: List(access.data_types),
        records: List(access.records),
        outcome,
        rule: access.rule.to_owned(),
        request_id: caller.trail.request_id.get().copied(),
    };
    entry.execute(conn).await?;
    Ok(())
}
