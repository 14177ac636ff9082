//! Entries as the log shows them.

use clinicd_proto::access::v1 as access;
use clinicd_proto::audit::v1 as pb;
use diesel::sql_types;
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use crate::kernel::audit::{DataType, Outcome};
use crate::kernel::db::Conn;
use crate::kernel::error::Result;
use crate::kernel::kinds::{AccountId, PatientId, Role, SessionId, Time};
use crate::statement;

/// Columns of [`Row`] as SQL types.
type RowSql = (
    sql_types::Uuid,
    sql_types::Timestamptz,
    sql_types::Uuid,
    sql_types::Array<sql_types::Text>,
    sql_types::Uuid,
    sql_types::Text,
    sql_types::Nullable<sql_types::Uuid>,
    sql_types::Array<sql_types::Text>,
    sql_types::Array<sql_types::Uuid>,
    sql_types::Text,
    sql_types::Text,
    sql_types::Text,
    sql_types::Nullable<sql_types::BigInt>,
);

statement! {
    /// Accesses to the patients of an account, newest first. Each patient's entries come from the
    /// index of their own, at most a page of them.
    EntriesOfAccount { account: AccountId, before: Uuid, limit: i64 } -> RowSql,
    "SELECT e.id, e.created_at, e.actor_id, e.actor_roles, e.session_id, e.method, e.patient_id, \
        e.data_types, e.record_ids, e.outcome, e.rule, ''::text, c.position \
     FROM patients p \
     CROSS JOIN LATERAL ( \
        SELECT * FROM audit_entries a WHERE a.patient_id = p.id AND a.id < $2 \
        ORDER BY a.id DESC LIMIT $3) e \
     LEFT JOIN audit_chain c ON c.entry_id = e.id \
     WHERE p.account_id = $1 ORDER BY e.id DESC LIMIT $3";

    /// Accesses by anyone to anything, newest first.
    Entries { before: Uuid, outcome: Option<Outcome>, limit: i64 } -> RowSql,
    "SELECT e.id, e.created_at, e.actor_id, e.actor_roles, e.session_id, e.method, e.patient_id, \
        e.data_types, e.record_ids, e.outcome, e.rule, e.client_address, c.position \
     FROM audit_entries e LEFT JOIN audit_chain c ON c.entry_id = e.id \
     WHERE e.id < $1 AND ($2 IS NULL OR e.outcome = $2) \
     ORDER BY e.id DESC LIMIT $3";

    /// Accesses by one account, newest first.
    EntriesByActor {
        before: Uuid, outcome: Option<Outcome>, limit: i64, actor: AccountId,
        patient: Option<PatientId>,
    } -> RowSql,
    "SELECT e.id, e.created_at, e.actor_id, e.actor_roles, e.session_id, e.method, e.patient_id, \
        e.data_types, e.record_ids, e.outcome, e.rule, e.client_address, c.position \
     FROM audit_entries e LEFT JOIN audit_chain c ON c.entry_id = e.id \
     WHERE e.actor_id = $4 AND e.id < $1 AND ($2 IS NULL OR e.outcome = $2) \
       AND ($5 IS NULL OR e.patient_id = $5) \
     ORDER BY e.id DESC LIMIT $3";

    /// Accesses to one patient's data, newest first.
    EntriesOfPatient { before: Uuid, outcome: Option<Outcome>, limit: i64, patient: PatientId }
        -> RowSql,
    "SELECT e.id, e.created_at, e.actor_id, e.actor_roles, e.session_id, e.method, e.patient_id, \
        e.data_types, e.record_ids, e.outcome, e.rule, e.client_address, c.position \
     FROM audit_entries e LEFT JOIN audit_chain c ON c.entry_id = e.id \
     WHERE e.patient_id = $4 AND e.id < $1 AND ($2 IS NULL OR e.outcome = $2) \
     ORDER BY e.id DESC LIMIT $3";
}

/// An entry with its place in the chain.
#[derive(Debug, Clone, diesel::Queryable)]
pub(super) struct Row {
    pub(super) id: Uuid,
    created_at: Time,
    actor: AccountId,
    roles: Vec<Role>,
    session: SessionId,
    method: String,
    patient: Option<PatientId>,
    data_types: Vec<DataType>,
    records: Vec<Uuid>,
    outcome: Outcome,
    rule: String,
    address: String,
    chain_position: Option<i64>,
}

/// What a search selects.
#[derive(Debug, Clone, Copy)]
pub(super) struct Filter {
    pub(super) actor: Option<AccountId>,
    pub(super) patient: Option<PatientId>,
    pub(super) outcome: Option<Outcome>,
}

/// Accesses to the patients of an account, older than an entry; addresses are left out.
pub(super) async fn of_account(
    conn: &mut Conn,
    account: AccountId,
    before: Option<Uuid>,
    limit: i64,
) -> Result<Vec<Row>> {
    let before = before.unwrap_or(Uuid::max());
    Ok(EntriesOfAccount { account, before, limit }.get_results(conn).await?)
}

/// Entries that a filter selects, older than an entry. Each kind of filter has its index.
pub(super) async fn matching(
    conn: &mut Conn,
    filter: Filter,
    before: Option<Uuid>,
    limit: i64,
) -> Result<Vec<Row>> {
    let Filter { actor, patient, outcome } = filter;
    let before = before.unwrap_or(Uuid::max());
    let rows = match (actor, patient) {
        (Some(actor), patient) => {
            let query = EntriesByActor { before, outcome, limit, actor, patient };
            query.get_results(conn).await?
        }
        (None, Some(patient)) => {
            EntriesOfPatient { before, outcome, limit, patient }.get_results(conn).await?
        }
        (None, None) => Entries { before, outcome, limit }.get_results(conn).await?,
    };
    Ok(rows)
}

impl From<Row> for pb::AuditEntry {
    fn from(row: Row) -> Self {
        Self {
            id: row.id.to_string(),
            create_time: Some(row.created_at.into()),
            actor_id: row.actor.to_string(),
            actor_roles: row
                .roles
                .into_iter()
                .map(|role| access::Role::from(role).into())
                .collect(),
            session_id: row.session.to_string(),
            method: row.method,
            patient_id: row.patient.map(|id| id.to_string()).unwrap_or_default(),
            data_types: row.data_types.into_iter().map(i32::from).collect(),
            record_ids: row.records.iter().map(Uuid::to_string).collect(),
            outcome: row.outcome.into(),
            rule: row.rule,
            client_address: row.address,
            chain_position: row.chain_position,
        }
    }
}
