//! Jobs in a process of their own.

use std::process::Command;
use std::time::Duration;

use clinicd_sdk::proto::identity::v1::RegisterAccountRequest;
use clinicd_sdk::proto::r#type::v1::PersonName;
use clinicd_tests::cluster::TestDatabase;
use clinicd_tests::eventually;
use clinicd_tests::people::PASSWORD;

use super::metrics::{free_address, value};
use super::{Place, Server};
use crate::port::get;

/// Longer than a worker looks away.
const A_WHILE: Duration = Duration::from_millis(1_500);

/// Seen to fail while the setting was not looked at: the job was done at once.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_worker_leaves_jobs_to_the_worker() {
    let (place, database) = (Place::new("worker"), TestDatabase::migrated().await);
    let on_database = |mut command: Command| {
        command.env("DATABASE_URL", &database.url).env("CLINICD_KEYS_DIR", place.dir.join("keys"));
        command
    };
    let without_worker = |metrics: &str| {
        let mut command = on_database(place.serve());
        command.env("CLINICD_WORKER", "false").env("CLINICD_METRICS_LISTEN", metrics);
        Server::start(command)
    };
    let server = without_worker(&free_address());
    let request = RegisterAccountRequest {
        email: "asha@example.org".to_owned(),
        password: PASSWORD.to_owned(),
        name: Some(PersonName { given: "Asha".to_owned(), family: "Rao".to_owned() }),
        ..Default::default()
    };
    server.client().send(request).await.unwrap();
    tokio::time::sleep(A_WHILE).await;
    let jobs = "SELECT kind, state, attempts FROM jobs ORDER BY kind";
    assert_eq!(database.sql(jobs).await, [["identity.send_activation", "ready", "0"]]);
    assert!(database.sql("SELECT FROM job_schedules").await.is_empty(), "no schedule began");
    server.stop().well();

    // What waits, runs and was given up is measured when a process starts.
    let others = "INSERT INTO jobs (id, kind, payload, run_at, created_at, state, lease_until) \
        SELECT gen_random_uuid(), 'test.unknown', '{}'::jsonb, now(), now(), 'failed', NULL \
            FROM generate_series(1, 3) UNION ALL \
        SELECT gen_random_uuid(), 'test.unknown', '{}'::jsonb, now(), now(), 'running', \
            now() + interval '1 hour' FROM generate_series(1, 2)";
    database.sql(others).await;
    let metrics = free_address();
    let server = without_worker(&metrics);
    let measured = async || {
        let page = get(&format!("http://{metrics}"), "/metrics").await.text();
        value(&page, "clinicd_jobs_due") == Some(1.0)
            && value(&page, "clinicd_jobs_oldest_seconds") > Some(1.0)
            && value(&page, "clinicd_jobs_failed") == Some(3.0)
            && value(&page, "clinicd_jobs_running") == Some(2.0)
    };
    eventually("the waiting job is measured", measured).await;

    let own = free_address();
    let arguments = ["worker", "--data-dir", "worker", "--metrics-listen", &own];
    let worker = Server::start_saying(on_database(place.clinicd(&arguments)), "working");
    let done = "SELECT FROM jobs WHERE state = 'done' AND kind = 'identity.send_activation'";
    eventually("the job is done", async || !database.sql(done).await.is_empty()).await;
    let is_mail = |file: &std::fs::DirEntry| file.path().extension().is_some_and(|it| it == "eml");
    let folder = place.dir.join("worker/outbox/mail");
    let mails = || std::fs::read_dir(&folder).unwrap().flatten().filter(is_mail).count();
    eventually("the mail is sent", async || mails() == 1).await;
    let own = format!("http://{own}");
    assert_eq!(get(&own, "/healthz").await.status, 200);
    let page = get(&own, "/metrics").await.text();
    let series = "clinicd_jobs_total{kind=\"identity.send_activation\",outcome=\"done\"}";
    assert_eq!(value(&page, series), Some(1.0), "{page}");
    worker.stop().well();
    server.stop().well();
    database.drop().await;
}
