//! The worker: claims, runs, finishes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use diesel::sql_types;
use diesel_async::RunQueryDsl;
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::announce::CHANNEL;
use super::{ATTEMPT_LIMIT, Fixed, JobError, Kind, LEASE_SECONDS, MAX_ATTEMPTS, Schedule};
use crate::app::App;
use crate::kernel::db::listen::Listener;
use crate::kernel::error::{Error, Reason, Result, name_of};
use crate::kernel::kinds::Time;
use crate::kernel::locale::{self, Locale};
use crate::kernel::ports::PortError;
use crate::kernel::telemetry;
use crate::statement;

/// Jobs that one process runs at a time.
const PARALLEL: usize = 8;
/// How often a worker looks without having been woken.
const IDLE: Duration = Duration::from_secs(1);
/// How often a lease is renewed: less than a third of [`LEASE_SECONDS`].
const RENEW: Duration = Duration::from_secs(6);
/// How long an end is tried to be recorded: less than a lease has left.
const RECORD: Duration = Duration::from_secs(12);
/// Pause between two tries.
const AGAIN: Duration = Duration::from_millis(200);
/// How long running jobs may take to finish after `stop`.
const FINISH: Duration = Duration::from_secs(20);

statement! {
    /// Claims what is due, and what a dead worker left behind. Never waits for another worker.
    ClaimJobs { now: Time, limit: i64, lease_seconds: i32 }
        -> (sql_types::Uuid, sql_types::Text, sql_types::Jsonb, sql_types::Integer),
    "WITH left_behind AS ( \
        SELECT id FROM jobs WHERE state = 'running' AND lease_until < clock_timestamp() \
        ORDER BY lease_until LIMIT $2 FOR UPDATE SKIP LOCKED), \
     due AS ( \
        SELECT id FROM jobs WHERE state = 'ready' AND run_at <= $1 \
        ORDER BY run_at LIMIT $2 - (SELECT count(*) FROM left_behind) FOR UPDATE SKIP LOCKED) \
     UPDATE jobs SET state = 'running', attempts = attempts + 1, \
        lease_until = clock_timestamp() + make_interval(secs => $3) \
     WHERE id IN (SELECT id FROM left_behind UNION ALL SELECT id FROM due) \
     RETURNING id, kind, payload, attempts";

    /// Renews a claim, while it is still ours.
    RenewLease { id: Uuid, attempts: i32, lease_seconds: i32 },
    "UPDATE jobs SET lease_until = clock_timestamp() + make_interval(secs => $3) \
     WHERE id = $1 AND attempts = $2 AND state = 'running'";

    /// Ends an attempt, while the claim is still ours.
    EndAttempt {
        id: Uuid, attempts: i32, state: String, run_at: Option<Time>, error: Option<String>,
        finished: Option<Time>,
    },
    "UPDATE jobs SET state = $3, lease_until = NULL, run_at = coalesce($4, run_at), \
        last_error = $5, finished_at = $6 \
     WHERE id = $1 AND attempts = $2 AND state = 'running'";
}

#[derive(diesel::Queryable)]
struct Claimed {
    id: Uuid,
    kind: String,
    payload: serde_json::Value,
    attempts: i32,
}

/// Runs jobs and schedules until it is told to stop.
#[derive(Clone)]
pub struct Worker {
    /// The application.
    pub app: App,
    /// Every kind of job.
    pub kinds: Arc<[Kind]>,
    /// Every schedule.
    pub schedules: Arc<[Schedule]>,
}

impl Worker {
    /// Runs until `stop`; then lets the jobs that are running finish. One that does not in time is
    /// left to its lease.
    pub async fn run(self, database_url: String, stop: CancellationToken) {
        let woken = Listener::start(database_url, CHANNEL, stop.clone());
        tokio::join!(self.tick(&stop), self.work(woken, &stop));
    }

    /// Turns ticks of the schedules into jobs.
    async fn tick(&self, stop: &CancellationToken) {
        let mut seen = vec![None; self.schedules.len()];
        while !stop.is_cancelled() {
            self.take_ticks(&mut seen).await;
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(IDLE) => {}
            }
        }
    }

    /// Looks at all schedules once. `seen` has a place for each: the latest tick that was dealt
    /// with, none at first.
    pub async fn take_ticks(&self, seen: &mut [Option<Time>]) {
        for (schedule, seen) in self.schedules.iter().zip(seen) {
            if let Err(error) = schedule.tick(&self.app, seen).await {
                tracing::warn!(schedule = schedule.name, error = %error, "tick not taken");
            }
        }
    }

    async fn work(&self, mut woken: Listener, stop: &CancellationToken) {
        let running = TaskTracker::new();
        let finished = Arc::new(Notify::new());
        let slots = Arc::new(Semaphore::new(PARALLEL));
        while !stop.is_cancelled() {
            let free = slots.available_permits();
            let claimed = self.claim(free).await.unwrap_or_else(|error| {
                tracing::warn!(error = %error, "no jobs claimed");
                Vec::new()
            });
            let count = claimed.len();
            for job in claimed {
                let (worker, finished) = (self.clone(), finished.clone());
                let slot = slots.clone().try_acquire_owned();
                running.spawn(async move {
                    worker.attempt(job).await;
                    drop(slot);
                    finished.notify_one();
                });
            }
            // With room left, all that was due is running.
            let idle = count < free;
            tokio::select! {
                () = stop.cancelled() => {}
                () = finished.notified(), if !idle => {}
                () = woken.wait(), if idle => {}
                () = tokio::time::sleep(IDLE) => {}
            }
        }
        running.close();
        if tokio::time::timeout(FINISH, running.wait()).await.is_err() {
            tracing::warn!(jobs = running.len(), "jobs left to their leases");
        }
    }

    async fn claim(&self, limit: usize) -> Result<Vec<Claimed>> {
        if limit == 0 {
            return Ok(Vec::new());
        }
        let mut conn = self.app.db.read().await?;
        let claim = ClaimJobs {
            now: self.app.clock.now(),
            limit: i64::try_from(limit).unwrap_or(1),
            lease_seconds: LEASE_SECONDS,
        };
        Ok(claim.get_results(&mut conn).await?)
    }

    /// One attempt at a job, with the lease kept alive; a panic counts as a failed attempt.
    async fn attempt(&self, job: Claimed) {
        let begun = Instant::now();
        let Some(kind) = self.kinds.iter().find(|kind| kind.name == job.kind) else {
            let unknown = JobError::Give(Error::internal(Fixed("no job of this kind")));
            let outcome = self.end(&job, Err(unknown)).await;
            return telemetry::attempted("unknown", outcome, begun.elapsed());
        };
        let outcome = self.run_attempt(kind, job).await;
        telemetry::attempted(kind.name, outcome, begun.elapsed());
    }

    /// How it ended, as the metrics call it.
    async fn run_attempt(&self, kind: &Kind, job: Claimed) -> &'static str {
        if job.attempts > MAX_ATTEMPTS {
            let fatal = JobError::Give(Error::internal(Fixed("its worker died in every attempt")));
            return self.end(&job, Err(fatal)).await;
        }
        let mut work = tokio::spawn((kind.runner)(job.payload.clone(), self.app.clone(), job.id));
        let limit = tokio::time::sleep(ATTEMPT_LIMIT);
        let mut limit = std::pin::pin!(limit);
        let result = loop {
            tokio::select! {
                done = &mut work => break match done {
                    Ok(result) => result,
                    Err(_) => Err(JobError::Retry(Error::internal(Fixed("the job panicked")))),
                },
                () = &mut limit => {
                    work.abort();
                    break Err(JobError::Retry(Error::of(Reason::DeadlineExceeded)));
                }
                () = tokio::time::sleep(RENEW) => if !self.renew(&job).await {
                    tracing::warn!(job = %job.id, "lease lost; broken off");
                    work.abort();
                    return "lost";
                },
            }
        };
        self.end(&job, result).await
    }

    /// Whether the job is still ours, as far as can be known.
    async fn renew(&self, job: &Claimed) -> bool {
        let Ok(mut conn) = self.app.db.read().await else { return true };
        let Claimed { id, attempts, .. } = *job;
        let renew = RenewLease { id, attempts, lease_seconds: LEASE_SECONDS };
        !matches!(renew.execute(&mut conn).await, Ok(0))
    }

    /// Records how an attempt ended. While the database is busy this is tried again, for as long as
    /// the lease holds: a job whose end is not recorded runs once more.
    async fn end(&self, job: &Claimed, result: Result<(), JobError>) -> &'static str {
        let now = self.app.clock.now();
        let (state, run_at, error) = match result {
            Ok(()) => ("done", None, None),
            Err(JobError::Retry(error)) if job.attempts < MAX_ATTEMPTS => {
                ("ready", Some(now.plus_seconds(back_off_seconds(job.attempts))), Some(error))
            }
            Err(JobError::Retry(error) | JobError::Give(error)) => ("failed", None, Some(error)),
        };
        if let Some(error) = &error {
            tracing::warn!(job = %job.id, kind = job.kind, attempt = job.attempts, state, error = %error, "job failed");
        }
        let finished = (state != "ready").then_some(now);
        let end = EndAttempt {
            id: job.id,
            attempts: job.attempts,
            state: state.to_owned(),
            run_at,
            error: error.as_ref().map(kept),
            finished,
        };
        let recorded = async {
            while let Err(error) = self.record(&end).await {
                tracing::warn!(job = %job.id, error = %error, "end not recorded yet");
                tokio::time::sleep(AGAIN).await;
            }
        };
        if tokio::time::timeout(RECORD, recorded).await.is_err() {
            tracing::warn!(job = %job.id, "end not recorded; the job will run again");
            return "lost";
        }
        if state == "ready" { "retried" } else { state }
    }

    async fn record(&self, end: &EndAttempt) -> Result<()> {
        let mut conn = self.app.db.read().await?;
        end.clone().execute(&mut conn).await?;
        Ok(())
    }
}

/// What is kept of an error, for admins: the reason and a fixed text. The words of the database, of
/// parsers and of panics quote values.
fn kept(error: &Error) -> String {
    let cause = std::error::Error::source(error);
    let name = name_of(error.reason);
    if let Some(Fixed(text)) = cause.and_then(|cause| cause.downcast_ref()) {
        return format!("{name}: {text}");
    }
    match cause.and_then(|cause| cause.downcast_ref::<PortError>()) {
        Some(port) => format!("{name}: {port}"),
        None => format!("{name}: {}", locale::error_text(Locale::En, name)),
    }
}

/// 2, 4, 8 … seconds, at most an hour.
fn back_off_seconds(attempts: i32) -> i64 {
    1_i64.checked_shl(u32::try_from(attempts).unwrap_or(1)).unwrap_or(3_600).min(3_600)
}

/// Claims and runs what is due, once; the number of jobs run. For tests and the sandbox.
pub async fn run_due(worker: &Worker) -> Result<usize> {
    let claimed = worker.claim(PARALLEL).await?;
    let count = claimed.len();
    futures_util::future::join_all(claimed.into_iter().map(|job| worker.attempt(job))).await;
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_of_an_error_quotes_nothing() {
        let foreign = kept(&Error::internal("invalid value: +919812345678"));
        assert!(foreign.starts_with("INTERNAL: ") && !foreign.contains('9'), "{foreign}");
        assert_eq!(kept(&Error::internal(Fixed("the job panicked"))), "INTERNAL: the job panicked");
        assert_eq!(kept(&Error::internal(PortError::NotFound)), "INTERNAL: no file under this key");
    }
}
