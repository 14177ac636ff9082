//! Jobs: listed, run again, cancelled.

use clinicd_sdk::proto::operations::v1::{
    CancelJobRequest, Job, JobState, ListJobsRequest, RetryJobRequest,
};
use clinicd_sdk::{Code, Error};
use clinicd_tests::{Person, World, eventually, refused};
use jiff::SignedDuration;
use uuid::Uuid;

use crate::rooms::fields;

/// A kind of job that does nothing worth noticing, and one that nobody knows.
const HARMLESS: &str = "kernel.forget_jobs";
const UNKNOWN: &str = "test.unknown";

/// Writes a job past the server; `columns` are attempts, state, `run_at` and `finished_at`, as SQL.
async fn write(world: &World, kind: &str, columns: &str) -> String {
    let id = world.app.ids.next();
    world
        .sql(&format!(
            "INSERT INTO jobs (id, kind, payload, last_error, created_at, attempts, state, run_at, \
             finished_at) VALUES ('{id}', '{kind}', '{{}}', 'UNAVAILABLE', now(), {columns})"
        ))
        .await;
    id.to_string()
}

async fn waiting(world: &World, kind: &str) -> String {
    write(world, kind, "0, 'ready', now() + interval '1 day', NULL").await
}

async fn ended(world: &World, kind: &str, state: &str) -> String {
    write(world, kind, &format!("3, '{state}', now(), now()")).await
}

/// A transaction that holds a job, as a worker that claims it does.
async fn hold(world: &World, job: &str) -> tokio_postgres::Client {
    let (holder, connection) =
        tokio_postgres::connect(world.database_url(), tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    let hold = format!("BEGIN; SELECT FROM jobs WHERE id = '{job}' FOR UPDATE");
    holder.batch_execute(&hold).await.unwrap();
    holder
}

async fn listed(person: &Person, request: ListJobsRequest) -> Vec<Job> {
    person.client.all(ListJobsRequest { page_size: 2, ..request }).await.unwrap()
}

async fn ids(person: &Person, request: ListJobsRequest) -> Vec<String> {
    listed(person, request).await.into_iter().map(|job| job.id).collect()
}

fn of(kind: &str) -> ListJobsRequest {
    ListJobsRequest { kind: kind.to_owned(), ..Default::default() }
}

fn retry(world: &World, job: &str) -> RetryJobRequest {
    RetryJobRequest { request_id: world.app.ids.next().to_string(), job_id: job.to_owned() }
}

fn cancel(world: &World, job: &str) -> CancelJobRequest {
    CancelJobRequest { request_id: world.app.ids.next().to_string(), job_id: job.to_owned() }
}

async fn find(person: &Person, id: &str) -> Job {
    let jobs = listed(person, ListJobsRequest::default()).await;
    jobs.into_iter().find(|job| job.id == id).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_are_listed_by_state_and_kind() {
    let world = World::start().await;
    let superuser = world.superuser().await;
    let mut made = Vec::new();
    for _ in 0..3 {
        made.push(waiting(&world, UNKNOWN).await);
    }
    let cancelled = ended(&world, UNKNOWN, "cancelled").await;
    let done = ended(&world, HARMLESS, "done").await;
    let newest: Vec<String> = made.iter().rev().cloned().collect();
    let ready = |order_by: &str| ListJobsRequest {
        state: JobState::Ready.into(),
        order_by: order_by.to_owned(),
        ..of(UNKNOWN)
    };
    assert_eq!(ids(&superuser, ready("")).await, newest);
    assert_eq!(ids(&superuser, ready("id desc")).await, newest);
    assert_eq!(ids(&superuser, ready("id")).await, made);
    let unknown = ids(&superuser, of(UNKNOWN)).await;
    assert_eq!(unknown, [&[cancelled.clone()][..], &newest].concat());
    let state = |state: JobState| ListJobsRequest { state: state.into(), ..Default::default() };
    assert_eq!(ids(&superuser, state(JobState::Cancelled)).await, std::slice::from_ref(&cancelled));
    assert!(ids(&superuser, state(JobState::Done)).await.contains(&done));
    assert_eq!(ids(&superuser, state(JobState::Failed)).await, [""; 0]);

    let request = ListJobsRequest { include_total: true, page_size: 1, ..of(UNKNOWN) };
    let first = superuser.client.send(request.clone()).await.unwrap();
    assert_eq!((first.total_size, first.jobs.len(), first.lag_seconds), (Some(4), 1, 0));
    let job = &first.jobs[0];
    assert_eq!((job.state(), job.attempts), (JobState::Cancelled, 3));
    assert_eq!((job.kind.as_str(), job.last_error.as_str()), (UNKNOWN, "UNAVAILABLE"));
    assert!(job.create_time.is_some() && job.run_time.is_some() && job.end_time.is_some());
    let page_token = first.next_page_token;
    let other = ListJobsRequest { page_token, ..of(HARMLESS) };
    refused(superuser.client.send(other).await, Code::InvalidArgument, "PAGE_TOKEN_INVALID");
    let refusal = superuser.client.send(ready("kind")).await;
    assert_eq!(fields(&refused(refusal, Code::InvalidArgument, "INVALID_FIELDS")), ["order_by"]);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lag_is_how_long_the_oldest_due_job_waits() {
    let world = World::start().await;
    let superuser = world.superuser().await;
    world.settle().await;
    // No worker claims a row that somebody holds.
    let job = waiting(&world, HARMLESS).await;
    let holder = hold(&world, &job).await;
    let lag = async || superuser.client.send(ListJobsRequest::default()).await.unwrap().lag_seconds;
    assert_eq!(lag().await, 0);
    world.advance(SignedDuration::from_hours(25));
    // The access token lasts a quarter of an hour; the client takes a new one.
    assert!((3_600..3_700).contains(&lag().await), "{}", lag().await);
    holder.batch_execute("COMMIT").await.unwrap();
    eventually("the job is done", async || lag().await == 0).await;
    world.finish().await;
}

/// What it was given up or cancelled for is over: it runs at once, with all its attempts, and once.
#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_was_given_up_or_cancelled_runs_again() {
    let world = World::start().await;
    let superuser = world.superuser().await;
    for state in ["failed", "cancelled"] {
        let job = ended(&world, HARMLESS, state).await;
        let request = retry(&world, &job);
        let answer = superuser.client.send(request.clone()).await.unwrap().job.unwrap();
        assert_eq!((answer.state(), answer.attempts, answer.end_time), (JobState::Ready, 0, None));
        let done = async || find(&superuser, &job).await.state() == JobState::Done;
        eventually("it is done", done).await;
        assert_eq!(find(&superuser, &job).await.attempts, 1);
        // The same call again: its answer, and nothing else.
        assert_eq!(superuser.client.send(request).await.unwrap().job.unwrap(), answer);
        let again = superuser.client.send(retry(&world, &job)).await;
        let refusal = refused(again, Code::FailedPrecondition, "WRONG_STATE");
        assert_eq!(refusal.metadata["state"], "done");
        assert_eq!(find(&superuser, &job).await.attempts, 1);
    }
    let nothing = Uuid::nil().to_string();
    refused(superuser.client.send(retry(&world, &nothing)).await, Code::NotFound, "NOT_FOUND");
    refused(superuser.client.send(cancel(&world, &nothing)).await, Code::NotFound, "NOT_FOUND");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_was_cancelled_before_its_time_keeps_its_time() {
    let world = World::start().await;
    let superuser = world.superuser().await;
    let job = waiting(&world, HARMLESS).await;
    let cancelled = superuser.client.send(cancel(&world, &job)).await.unwrap().job.unwrap();
    let again = superuser.client.send(retry(&world, &job)).await.unwrap().job.unwrap();
    assert_eq!((again.state(), again.run_time), (JobState::Ready, cancelled.run_time));
    world.settle().await;
    assert_eq!(find(&superuser, &job).await.state(), JobState::Ready);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_job_does_not_run() {
    let world = World::start().await;
    let superuser = world.superuser().await;
    let job = waiting(&world, UNKNOWN).await;
    refused(
        superuser.client.send(retry(&world, &job)).await,
        Code::FailedPrecondition,
        "WRONG_STATE",
    );
    let request = cancel(&world, &job);
    let answer = superuser.client.send(request.clone()).await.unwrap().job.unwrap();
    assert_eq!((answer.state(), answer.attempts), (JobState::Cancelled, 0));
    assert!(answer.end_time.is_some());
    assert_eq!(superuser.client.send(request).await.unwrap().job.unwrap(), answer);
    world.advance(SignedDuration::from_hours(48));
    world.settle().await;
    assert_eq!(find(&superuser, &job).await, answer);
    let again = superuser.client.send(cancel(&world, &job)).await;
    refused(again, Code::FailedPrecondition, "WRONG_STATE");

    // Against workers that claim them at this moment.
    let mut jobs = Vec::new();
    for _ in 0..40 {
        jobs.push(write(&world, HARMLESS, "0, 'ready', now() + interval '49 hours', NULL").await);
    }
    let cancelling = jobs.iter().map(|job| superuser.client.send(cancel(&world, job)));
    world.advance(SignedDuration::from_hours(2));
    let answers = futures_util::future::join_all(cancelling).await;
    world.settle().await;
    for (job, answer) in jobs.iter().zip(answers) {
        let job = find(&superuser, job).await;
        match answer {
            Ok(_) => assert_eq!((job.state(), job.attempts), (JobState::Cancelled, 0)),
            Err(Error::Api(refusal)) if refusal.reason == "WRONG_STATE" => {
                assert_eq!((job.state(), job.attempts), (JobState::Done, 1));
            }
            Err(other) => panic!("{other:?}"),
        }
    }
    world.finish().await;
}

/// Seen to fail without the lock in `LockJob`: the call went on from a state that was gone, and was
/// answered with `INTERNAL`.
#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_a_worker_takes_at_this_moment_is_not_cancelled() {
    let world = World::start().await;
    let superuser = world.superuser().await;
    let job = waiting(&world, HARMLESS).await;
    let worker = hold(&world, &job).await;
    let (client, request) = (superuser.client.clone(), cancel(&world, &job));
    let cancelling = tokio::spawn(async move { client.send(request).await });
    let waits = "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' \
                 AND datname = current_database()";
    eventually("the call waits", async || !world.sql(waits).await.is_empty()).await;
    let claim = "UPDATE jobs SET state = 'running', attempts = 1, lease_until = clock_timestamp() \
                 WHERE state = 'ready'; COMMIT";
    worker.batch_execute(claim).await.unwrap();
    let refusal = cancelling.await.unwrap();
    let refusal = refused(refusal, Code::FailedPrecondition, "WRONG_STATE");
    assert_eq!(refusal.metadata["state"], "running");
    let done = async || find(&superuser, &job).await.state() == JobState::Done;
    eventually("another worker goes on with it", done).await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_ended_is_forgotten_after_a_month_unless_it_was_given_up() {
    let world = World::start().await;
    let superuser = world.superuser().await;
    let mut kept = Vec::new();
    for state in ["done", "cancelled", "failed"] {
        ended(&world, UNKNOWN, state).await;
    }
    let mut states = async || {
        kept = listed(&superuser, of(UNKNOWN)).await.iter().map(Job::state).collect();
        kept.clone()
    };
    world.advance(SignedDuration::from_hours(24 * 29));
    write(&world, HARMLESS, "0, 'ready', now(), NULL").await;
    let forgotten = "SELECT FROM jobs WHERE kind = 'kernel.forget_jobs' AND state <> 'done'";
    eventually("they were looked at", async || world.sql(forgotten).await.is_empty()).await;
    assert_eq!(states().await, [JobState::Failed, JobState::Cancelled, JobState::Done]);
    world.advance(SignedDuration::from_hours(48));
    write(&world, HARMLESS, "0, 'ready', now(), NULL").await;
    eventually("they are gone", async || states().await == [JobState::Failed]).await;
    world.sql("DELETE FROM jobs WHERE state = 'failed'").await;
    world.finish().await;
}
