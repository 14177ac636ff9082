//! Work outside the transaction that asked for it: once committed, a job runs at least once, also
//! when the process is killed in the middle, so every job is idempotent.
//!
//! A job is claimed with a lease by a short statement and runs outside any transaction. A worker
//! renews the lease while it runs; a dead worker's job is claimed again when the lease ends. The
//! number of attempts is the fence: a worker that lost its lease cannot finish the job, and breaks
//! it off. A job that kills its worker every time is given up like one that fails every time.
//! Leases are judged by the database's own clock, `run_at` by the clock of the system.

pub mod admin;
pub mod announce;
mod cleaning;
mod schedule;
mod worker;

use std::future::Future;
use std::time::Duration;

use diesel::pg::Pg;
use diesel::query_builder::{AstPass, QueryFragment, QueryId};
use diesel::result::QueryResult;
use diesel_async::RunQueryDsl;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

pub use cleaning::{ForgetJobs, KEPT_DAYS};
pub use schedule::Schedule;
pub use worker::{Worker, run_due};

use super::db::Conn;
use super::db::statement::List;
use super::error::{Error, Result};
use super::kinds::Time;
use crate::app::App;
use crate::statement;

/// Attempts before a job is given up and kept as failed.
pub const MAX_ATTEMPTS: i32 = 8;
/// How long a claim holds without being renewed.
pub const LEASE_SECONDS: i32 = 20;
/// Longest time of one attempt; then it is broken off and counts as failed.
pub const ATTEMPT_LIMIT: Duration = Duration::from_mins(5);

/// A kind of job: its payload, and what it does.
pub trait Job: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// Stable name, `<room>.<verb>`.
    const KIND: &'static str;

    /// Does the work. May run more than once. `id` is the same for every attempt: providers get
    /// it as idempotency key.
    fn run(self, app: App, id: Uuid) -> impl Future<Output = Result<(), JobError>> + Send;
}

/// Why an attempt failed.
#[derive(Debug)]
pub enum JobError {
    /// Trying later may help.
    Retry(Error),
    /// It never will: kept as failed at once.
    Give(Error),
}

impl From<Error> for JobError {
    fn from(error: Error) -> Self {
        Self::Retry(error)
    }
}

/// A cause with a fixed text, which is kept and shown with the job that failed. The text of any other
/// cause may repeat what the job was about, and goes to the log alone.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Fixed(pub &'static str);

/// A job to be enqueued.
#[derive(Debug, Clone)]
pub struct NewJob {
    kind: &'static str,
    payload: Result<serde_json::Value, String>,
    run_at: Option<Time>,
    dedupe_key: Option<String>,
}

impl NewJob {
    /// A job that runs as soon as the transaction is committed.
    pub fn now<J: Job>(job: &J) -> Self {
        Self {
            kind: J::KIND,
            payload: serde_json::to_value(job).map_err(|error| error.to_string()),
            run_at: None,
            dedupe_key: None,
        }
    }

    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        self.kind
    }

    /// Runs it no earlier than this.
    #[must_use]
    pub fn at(mut self, run_at: Time) -> Self {
        self.run_at = Some(run_at);
        self
    }

    /// At most one job has this key, for as long as the job is kept ([`KEPT_DAYS`]).
    #[must_use]
    pub fn once(mut self, key: impl Into<String>) -> Self {
        self.dedupe_key = Some(key.into());
        self
    }
}

statement! {
    /// Writes jobs, once `change` has a row.
    InsertJobs {
        now: Time, ids: List<Uuid>, kinds: List<&'static str>, payloads: List<serde_json::Value>,
        run_at: List<Time>, dedupe_keys: List<Option<String>>,
    },
    "INSERT INTO jobs (id, kind, payload, state, run_at, dedupe_key, created_at) \
     SELECT job.id, job.kind, job.payload, 'ready', job.run_at, job.dedupe_key, $1 \
     FROM change, unnest($2, $3, $4, $5, $6) AS job (id, kind, payload, run_at, dedupe_key) \
     ON CONFLICT (dedupe_key) DO NOTHING";
}

impl InsertJobs {
    /// No job yet.
    pub(super) fn new(now: Time) -> Self {
        Self {
            now,
            ids: List(Vec::new()),
            kinds: List(Vec::new()),
            payloads: List(Vec::new()),
            run_at: List(Vec::new()),
            dedupe_keys: List(Vec::new()),
        }
    }

    /// One more job.
    pub(super) fn add(&mut self, id: Uuid, job: NewJob) -> Result<()> {
        let NewJob { kind, payload, run_at, dedupe_key } = job;
        self.ids.0.push(id);
        self.kinds.0.push(kind);
        self.payloads.0.push(payload.map_err(Error::internal)?);
        self.run_at.0.push(run_at.unwrap_or(self.now));
        self.dedupe_keys.0.push(dedupe_key);
        announce::note();
        Ok(())
    }
}

/// Jobs that no event asks for.
struct Enqueue {
    jobs: InsertJobs,
}

impl QueryId for Enqueue {
    type QueryId = Self;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl QueryFragment<Pg> for Enqueue {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("WITH change AS (SELECT) ");
        self.jobs.walk_ast(out.reborrow())
    }
}

/// Enqueues a job in the caller's transaction. Workers hear of it when that is committed.
pub async fn enqueue(conn: &mut Conn, id: Uuid, now: Time, job: NewJob) -> Result<()> {
    enqueue_all(conn, now, [(id, job)]).await
}

/// Enqueues several jobs, each with its id, by one statement.
pub async fn enqueue_all(
    conn: &mut Conn,
    now: Time,
    new: impl IntoIterator<Item = (Uuid, NewJob)>,
) -> Result<()> {
    let mut jobs = InsertJobs::new(now);
    for (id, job) in new {
        jobs.add(id, job)?;
    }
    Enqueue { jobs }.execute(conn).await?;
    Ok(())
}

type Runner = fn(serde_json::Value, App, Uuid) -> BoxFuture<'static, Result<(), JobError>>;

/// A job kind as `work.rs` lists it.
#[derive(Clone, Copy)]
pub struct Kind {
    /// Its name.
    pub name: &'static str,
    runner: Runner,
}

impl Kind {
    /// The kind of this job.
    #[must_use]
    pub fn of<J: Job>() -> Self {
        Self { name: J::KIND, runner: run_payload::<J> }
    }
}

fn run_payload<J: Job>(
    payload: serde_json::Value,
    app: App,
    id: Uuid,
) -> BoxFuture<'static, Result<(), JobError>> {
    async move {
        let job: J = serde_json::from_value(payload)
            .map_err(|_| JobError::Give(Error::internal(Fixed("not a payload of this kind"))))?;
        job.run(app, id).await
    }
    .boxed()
}
