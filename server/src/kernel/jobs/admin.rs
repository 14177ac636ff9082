//! What those who run the installation see of the jobs, and do to them. Payloads are not shown.
//! The SQL of a page has one shape per combination of filters and order.

use diesel::OptionalExtension;
use diesel::pg::Pg;
use diesel::query_builder::{AstPass, QueryFragment};
use diesel::result::QueryResult;
use diesel::sql_types::{self, BigInt, Integer, Nullable, Text, Timestamptz};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::announce;
use crate::kernel::db::Conn;
use crate::kernel::error::Result;
use crate::kernel::kinds::{Time, wire_enum};
use crate::kernel::page::Direction;
use crate::{shaped_queries, statement};

wire_enum! {
    /// What becomes of a job.
    JobState = clinicd_proto::operations::v1::JobState {
        /// It waits for its time, or for the next attempt.
        Ready = "ready",
        /// A worker runs it.
        Running = "running",
        /// It is done.
        Done = "done",
        /// It was given up.
        Failed = "failed",
        /// An admin cancelled it.
        Cancelled = "cancelled",
    }
}

/// A job, without its payload.
#[derive(Debug, Clone, diesel::Queryable)]
pub struct JobRow {
    /// Its id.
    pub id: Uuid,
    /// When it was written.
    pub created_at: Time,
    /// What it does.
    pub kind: String,
    /// What becomes of it.
    pub state: JobState,
    /// Attempts that were begun.
    pub attempts: i32,
    /// Not run before this.
    pub run_at: Time,
    /// When it was done, given up or cancelled.
    pub finished_at: Option<Time>,
    /// Why the last attempt failed.
    pub last_error: Option<String>,
}

type JobSql = (
    sql_types::Uuid,
    Timestamptz,
    Text,
    Text,
    Integer,
    Timestamptz,
    Nullable<Timestamptz>,
    Nullable<Text>,
);

/// Which jobs are asked for.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Only in this state.
    pub state: Option<JobState>,
    /// Only of this kind.
    pub kind: Option<String>,
}

/// One page of them, by id.
#[derive(Debug, Clone)]
pub struct Page {
    /// Which.
    pub filter: Filter,
    /// Newest first, or oldest.
    pub direction: Direction,
    /// Only jobs with a higher id.
    pub above: Uuid,
    /// Only jobs with a lower id.
    pub below: Uuid,
    /// Most rows.
    pub limit: i64,
}

/// How many match.
#[derive(Debug, Clone)]
pub struct Count(pub Filter);

impl Filter {
    fn push<'b>(&'b self, out: &mut AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        if let Some(state) = &self.state {
            out.push_sql(" AND state = ");
            out.push_bind_param::<Text, _>(state)?;
        }
        self.push_kind(out)
    }

    fn push_kind<'b>(&'b self, out: &mut AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        let Some(kind) = &self.kind else { return Ok(()) };
        out.push_sql(" AND kind = ");
        out.push_bind_param::<Text, _>(kind)
    }
}

impl Page {
    /// Between these ids. With the state or the kind they are a range of its index, and the order is
    /// the index's: a plan that was made for any state walks past no job of another.
    fn push_range<'b>(&'b self, out: &mut AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        for (bound, id) in [(" > (", &self.above), (" < (", &self.below)] {
            match &self.filter {
                Filter { state: Some(state), .. } => {
                    out.push_sql(" AND (state, id)");
                    out.push_sql(bound);
                    out.push_bind_param::<Text, _>(state)?;
                    out.push_sql(", ");
                }
                Filter { kind: Some(kind), .. } => {
                    out.push_sql(" AND (kind, id)");
                    out.push_sql(bound);
                    out.push_bind_param::<Text, _>(kind)?;
                    out.push_sql(", ");
                }
                Filter { state: None, kind: None } => {
                    out.push_sql(" AND (id)");
                    out.push_sql(bound);
                }
            }
            out.push_bind_param::<sql_types::Uuid, _>(id)?;
            out.push_sql(")");
        }
        if self.filter.state.is_some() { self.filter.push_kind(out) } else { Ok(()) }
    }
}

impl QueryFragment<Pg> for Page {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(
            "SELECT id, created_at, kind, state, attempts, run_at, finished_at, last_error \
             FROM jobs WHERE true",
        );
        self.push_range(&mut out)?;
        let ascending = self.direction == Direction::Ascending;
        let leading = match &self.filter {
            Filter { state: Some(_), .. } => "state",
            Filter { kind: Some(_), .. } => "kind",
            Filter { state: None, kind: None } => "id",
        };
        out.push_sql(" ORDER BY ");
        out.push_sql(leading);
        out.push_sql(if ascending { ", id LIMIT " } else { " DESC, id DESC LIMIT " });
        out.push_bind_param::<BigInt, _>(&self.limit)
    }
}

impl QueryFragment<Pg> for Count {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("SELECT count(*) FROM jobs WHERE true");
        self.0.push(&mut out)
    }
}

shaped_queries! { Page -> JobSql, Count -> BigInt }

statement! {
    /// Since when the job is due that is due longest; null when none is.
    OldestDue { now: Time } -> Nullable<Timestamptz>,
    "SELECT (SELECT run_at FROM jobs WHERE state = 'ready' AND run_at <= $1 ORDER BY run_at LIMIT 1)";

    /// The state of a job, locked: no worker claims it meanwhile.
    LockJob { id: Uuid } -> Text,
    "SELECT state FROM jobs WHERE id = $1 FOR UPDATE";

    /// Runs a job again, with all its attempts. One that was cancelled before its time has come keeps
    /// its time.
    MakeReady { id: Uuid, now: Time } -> JobSql,
    "UPDATE jobs SET state = 'ready', attempts = 0, finished_at = NULL, \
        run_at = CASE state WHEN 'cancelled' THEN greatest(run_at, $2) ELSE $2 END \
     WHERE id = $1 \
     RETURNING id, created_at, kind, state, attempts, run_at, finished_at, last_error";

    /// Ends a job that waits.
    MakeCancelled { id: Uuid, now: Time } -> JobSql,
    "UPDATE jobs SET state = 'cancelled', finished_at = $2 WHERE id = $1 \
     RETURNING id, created_at, kind, state, attempts, run_at, finished_at, last_error";

    /// The last tick of each schedule that was turned into a job.
    LastTicks {} -> (Text, Timestamptz),
    "SELECT name, last_tick FROM job_schedules";
}

impl Page {
    /// The jobs of this page.
    pub async fn load(self, conn: &mut Conn) -> Result<Vec<JobRow>> {
        Ok(self.get_results(conn).await?)
    }
}

impl Count {
    /// The number.
    pub async fn load(self, conn: &mut Conn) -> Result<i64> {
        Ok(self.get_result(conn).await?)
    }
}

/// Seconds for which the job has waited that is due longest; 0 when none is.
pub async fn lag_seconds(conn: &mut Conn, now: Time) -> Result<i64> {
    let since: Option<Time> = OldestDue { now }.get_result(conn).await?;
    let waited = since.map(|since| now.timestamp().duration_since(since.timestamp()).as_secs());
    Ok(waited.unwrap_or(0).max(0))
}

/// The state of a job, which stays as it is until the transaction ends; `None` without such a job.
pub async fn lock(conn: &mut Conn, id: Uuid) -> Result<Option<JobState>> {
    Ok(LockJob { id }.get_result(conn).await.optional()?)
}

/// Makes a locked job run again (at once, unless it was cancelled before its time), with all its
/// attempts. Workers hear of it when that is committed.
pub async fn retry(conn: &mut Conn, id: Uuid, now: Time) -> Result<JobRow> {
    announce::note();
    Ok(MakeReady { id, now }.get_result(conn).await?)
}

/// Cancels a locked job that waits.
pub async fn cancel(conn: &mut Conn, id: Uuid, now: Time) -> Result<JobRow> {
    Ok(MakeCancelled { id, now }.get_result(conn).await?)
}

/// The last tick of each schedule that was turned into a job, by the schedule's name.
pub async fn last_ticks(conn: &mut Conn) -> Result<Vec<(String, Time)>> {
    Ok(LastTicks {}.get_results(conn).await?)
}
