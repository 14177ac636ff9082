//! A whole unit of work in one statement, for calls that are made all day long.
//!
//! A transaction costs a round trip for each of its statements and holds its locks meanwhile.
//! Where everything is known before the first write, the change, the stored answer of its
//! `request_id`, its event and the jobs of that event are written together: all of it, or
//! nothing, by the one statement.
//!
//! ```sql
//! WITH claim AS (… the key and its answer …), change AS (… the room's statement …),
//!      event AS (…), job AS (…)
//! SELECT FROM change
//! ```

use diesel::pg::Pg;
use diesel::query_builder::{AstPass, QueryFragment, QueryId};
use diesel::result::QueryResult;
use prost::Message;

use super::error::Result;
use super::events::{Event, EventParts};
use super::idempotency::{ClaimAnswered, Key};
use crate::app::App;

/// The statement. `S` is the room's own.
#[derive(Debug, Clone)]
struct AtOnce<S> {
    claim: ClaimAnswered,
    change: S,
    event: EventParts,
}

impl<S: QueryId> QueryId for AtOnce<S> {
    type QueryId = AtOnce<S::QueryId>;
    const HAS_STATIC_QUERY_ID: bool = S::HAS_STATIC_QUERY_ID;
}

impl<S: QueryFragment<Pg>> QueryFragment<Pg> for AtOnce<S> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("WITH claim AS (");
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
    /// Writes a change with its answer and its event, at most once per `request_id`. `change` is an
    /// INSERT or UPDATE of a table with an `id` that takes its row `FROM claim` and ends before its
    /// RETURNING.
    ///
    /// `false`: nothing was written, because another call has the key or because `change` found
    /// that what it was decided on has changed.
    pub async fn at_once<A, S>(
        &self,
        key: &Key,
        answer: &A,
        change: S,
        event: Event,
    ) -> Result<bool>
    where
        A: Message,
        S: QueryFragment<Pg> + QueryId + Clone + Send,
    {
        let claim = key.with_answer(self, answer)?;
        let statement = AtOnce { claim, change, event: self.events.parts(event)? };
        Ok(self.db.statement(&statement).await? == 1)
    }
}
