//! A read and its audit entry in one statement: what is found is logged, and what is not logged is
//! not found.

use diesel::pg::Pg;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::result::QueryResult;
use diesel_async::RunQueryDsl;
use diesel_async::methods::LoadQuery;
use std::sync::atomic::Ordering;
use uuid::Uuid;

use super::DataType;
use crate::app::App;
use crate::kernel::access::Caller;
use crate::kernel::db::Conn;
use crate::kernel::db::statement::List;
use crate::kernel::error::Result;
use crate::kernel::kinds::{AccountId, Role, SessionId, Time};
use crate::statement;

statement! {
    /// The entry of what was found. `id`, `patient_id` and `rule` are columns of it.
    InsertEntryOfFound {
        id: Uuid, now: Time, actor: AccountId, roles: List<Role>, session: SessionId,
        address: String, method: &'static str, data_type: DataType, request_id: Option<Uuid>,
    },
    "INSERT INTO audit_entries (id, created_at, actor_id, actor_roles, session_id, client_address, \
        method, patient_id, data_types, record_ids, outcome, rule, request_id) \
     SELECT $1, $2, $3, $4, $5, $6, $7, found.patient_id, ARRAY[$8], ARRAY[found.id], 'allowed', \
        found.rule, $9 \
     FROM found";
}

/// The statement. `S` is the room's own, which finds one row or none.
#[derive(Debug, Clone)]
pub struct AuditedRead<S> {
    read: S,
    entry: InsertEntryOfFound,
}

impl<S: QueryId> QueryId for AuditedRead<S> {
    type QueryId = AuditedRead<S::QueryId>;
    const HAS_STATIC_QUERY_ID: bool = S::HAS_STATIC_QUERY_ID;
}

impl<S: Query> Query for AuditedRead<S> {
    type SqlType = S::SqlType;
}

impl<S: QueryFragment<Pg>> QueryFragment<Pg> for AuditedRead<S> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("WITH found AS (");
        self.read.walk_ast(out.reborrow())?;
        out.push_sql("), entry AS (");
        self.entry.walk_ast(out.reborrow())?;
        out.push_sql(") SELECT * FROM found");
        Ok(())
    }
}

impl App {
    /// Runs a read of one record that finds a row or none; a row that is found is logged in the same
    /// statement. The room's statement names the columns `id`, `patient_id` and `rule`, the rule that
    /// allows the access.
    pub async fn read_audited<S, R>(
        &self,
        caller: &Caller,
        data_type: DataType,
        read: S,
    ) -> Result<Option<R>>
    where
        S: Query + QueryFragment<Pg> + QueryId + Send,
        for<'q> AuditedRead<S>: LoadQuery<'q, Conn, R>,
        R: Send,
    {
        let signed_in = caller.signed_in()?;
        let entry = InsertEntryOfFound {
            id: self.ids.next(),
            now: self.clock.now(),
            actor: signed_in.account,
            roles: List(signed_in.roles.clone()),
            session: signed_in.session,
            address: caller.address.clone(),
            method: caller.method,
            data_type,
            request_id: caller.trail.request_id.get().copied(),
        };
        let mut conn = self.db.read().await?;
        // All rows, not the first: only the end of the answer comes after the commit.
        let found: Vec<R> = AuditedRead { read, entry }.get_results(&mut conn).await?;
        let found = found.into_iter().next();
        if found.is_some() {
            caller.trail.recorded.store(true, Ordering::Release);
        }
        Ok(found)
    }
}
