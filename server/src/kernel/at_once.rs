//! A whole unit of work in one statement, for calls that are made all day long.
//!
//! A transaction costs a round trip for each of its statements and holds its locks meanwhile.
//! Where everything is known before the first write, the change, the stored answer of its
//! `request_id`, its event and the jobs of that event are written together: all of it, or
//! nothing, by the one statement.
//!
//! ```sql
//! WITH basis AS (… what was decided on, locked …), claim AS (… the key and its answer FROM basis …),
//!      change AS (… the room's statement FROM claim …), event AS (… FROM change …), job AS (…)
//! SELECT FROM change
//! ```
//!
//! Each part takes its row from the one before, because PostgreSQL runs every part that writes,
//! whether or not another one reads it: a claim that did not ask for its basis would keep the answer
//! of a change that was not made.

use diesel::pg::Pg;
use diesel::query_builder::{AstPass, QueryFragment, QueryId};
use diesel::result::QueryResult;
use prost::Message;

use super::error::Result;
use super::events::{Event, EventParts};
use super::idempotency::{ClaimAnswered, Key};
use crate::app::App;

/// The statement. `B` and `S` are the room's own.
#[derive(Debug, Clone)]
struct AtOnce<B, S> {
    basis: B,
    claim: ClaimAnswered,
    change: S,
    event: EventParts,
}

impl<B: QueryId, S: QueryId> QueryId for AtOnce<B, S> {
    type QueryId = AtOnce<B::QueryId, S::QueryId>;
    const HAS_STATIC_QUERY_ID: bool = B::HAS_STATIC_QUERY_ID && S::HAS_STATIC_QUERY_ID;
}

impl<B: QueryFragment<Pg>, S: QueryFragment<Pg>> QueryFragment<Pg> for AtOnce<B, S> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("WITH basis AS MATERIALIZED (");
        self.basis.walk_ast(out.reborrow())?;
        out.push_sql("), claim AS (");
        self.claim.walk_ast(out.reborrow())?;
        out.push_sql(" RETURNING request_id), change AS (");
        self.change.walk_ast(out.reborrow())?;
        out.push_sql(" RETURNING id), ");
        self.event.walk_ast(out.reborrow())?;
        out.push_sql(" SELECT FROM change");
        Ok(())
    }
}

impl App {
    /// Writes a change with its answer and its event, at most once per `request_id`. `basis` is a
    /// SELECT of one row, locked, or of none when what was decided on has changed. `change` is an
    /// INSERT of one row `FROM claim` into a table with an `id`, without RETURNING.
    ///
    /// `false`: nothing was written, because another call has the key or `basis` has no row.
    pub async fn at_once<A, B, S>(
        &self,
        key: &Key,
        answer: &A,
        basis: B,
        change: S,
        event: Event,
    ) -> Result<bool>
    where
        A: Message,
        B: QueryFragment<Pg> + QueryId + Clone + Send,
        S: QueryFragment<Pg> + QueryId + Clone + Send,
    {
        let claim = key.with_answer(self, answer)?;
        let statement = AtOnce { basis, claim, change, event: self.events.parts(event)? };
        Ok(self.db.statement(&statement).await? == 1)
    }
}
