//! More callers than there is room for: each is served or told at once to come back.

use std::time::{Duration, Instant};

use clinicd_sdk::proto::appointments::v1::ListAppointmentsRequest;
use clinicd_sdk::proto::directory::v1::SearchDoctorsRequest;
use clinicd_sdk::proto::feed::v1::WatchRequest;
use clinicd_sdk::proto::identity::v1::{GetMyAccountRequest, SignInRequest};
use clinicd_sdk::{ApiError, Client, Error, RetryPolicy};
use clinicd_server::identity::passwords::PasswordParams;
use clinicd_tests::people::PASSWORD;
use clinicd_tests::{Code, World, eventually, refused};
use futures_util::future::join_all;
use tonic::transport::Endpoint;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use super::hold;

/// Told to come back, and when.
fn sent_away(error: Error) -> ApiError {
    let refusal = refused(Err::<(), _>(error), Code::Unavailable, "UNAVAILABLE");
    assert!(refusal.retry_after.is_some(), "{refusal:?}");
    refusal
}

fn impatient(client: &Client) -> Client {
    client.with_retry(RetryPolicy::NONE)
}

/// Seen to fail with unbounded lanes: all waited for the database.
#[tokio::test(flavor = "multi_thread")]
async fn work_beyond_its_places_is_sent_away_and_health_is_told() {
    let world = World::start_with(|config| {
        config.limits.work_calls = Some(2);
        config.limits.work_queue = 3;
        config.limits.work_wait_millis = 300;
    })
    .await;
    let asha = world.patient().await;
    let channel = Endpoint::from_shared(world.url().to_owned()).unwrap().connect_lazy();
    let mut health = HealthClient::new(channel);
    health.check(HealthCheckRequest::default()).await.unwrap();
    let lock = hold(world.database_url(), "LOCK TABLE doctors").await;
    let client = impatient(&world.client());
    let callers = (0..30).map(|_| {
        let client = client.clone();
        tokio::spawn(async move {
            let began = Instant::now();
            (client.send(SearchDoctorsRequest::default()).await, began.elapsed())
        })
    });
    let callers: Vec<_> = callers.collect();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let began = Instant::now();
    health.check(HealthCheckRequest::default()).await.unwrap();
    assert!(began.elapsed() < Duration::from_millis(200), "{:?}", began.elapsed());
    // Signing in has places of its own.
    world.client().sign_in(&asha.email, PASSWORD).await.unwrap();
    eventually("all but those at work have heard", async || {
        callers.iter().filter(|caller| !caller.is_finished()).count() == 2
    })
    .await;
    lock.batch_execute("ROLLBACK").await.unwrap();
    let answers: Vec<_> = join_all(callers).await.into_iter().map(Result::unwrap).collect();
    let (mut served, mut at_once) = (0, 0);
    for (answer, took) in answers {
        match answer {
            Ok(_) => served += 1,
            Err(error) => {
                sent_away(error);
                at_once += usize::from(took < Duration::from_millis(250));
            }
        }
    }
    assert_eq!((served, at_once), (2, 25), "three waited in vain");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_of_sign_ins_leaves_the_rest_alone() {
    let world = World::start_with(|config| {
        config.passwords = PasswordParams { permits: 1, queue: 2, ..PasswordParams::OWASP_MINIMUM };
        config.limits.sign_in_calls = 4;
        config.limits.sign_in_queue = 8;
        config.limits.sign_in_wait_millis = 200;
    })
    .await;
    let asha = world.patient().await;
    let client = impatient(&world.client());
    let storm = tokio::spawn(join_all((0..200).map(move |number| {
        let client = client.clone();
        async move {
            let email = format!("nobody{number}@example.org");
            let request =
                SignInRequest { email, password: PASSWORD.to_owned(), ..Default::default() };
            client.send(request).await.unwrap_err()
        }
    })));
    let asha = impatient(&asha.client);
    let mut slowest = Duration::ZERO;
    while !storm.is_finished() {
        let began = Instant::now();
        asha.send(GetMyAccountRequest {}).await.unwrap();
        slowest = slowest.max(began.elapsed());
    }
    assert!(slowest < Duration::from_secs(1), "{slowest:?}");
    let (judged, away): (Vec<_>, Vec<_>) =
        storm.await.unwrap().into_iter().partition(|error| error.reason() != Some("UNAVAILABLE"));
    assert!(!judged.is_empty() && away.len() > 100, "{} {}", judged.len(), away.len());
    for error in judged {
        refused(Err::<(), _>(error), Code::Unauthenticated, "INVALID_CREDENTIALS");
    }
    for error in away {
        sent_away(error);
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_account_does_not_take_all_the_places() {
    let world = World::start_with(|config| config.limits.calls_per_account = 2).await;
    let (asha, ravi) = (world.patient().await, world.patient().await);
    let lock = hold(world.database_url(), "LOCK TABLE appointments").await;
    let client = impatient(&asha.client);
    let calls = join_all((0..10).map(|_| client.send(ListAppointmentsRequest::default())));
    let (answers, ()) = tokio::join!(calls, async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        sent_away(impatient(&asha.client).send(GetMyAccountRequest {}).await.unwrap_err());
        ravi.client.send(GetMyAccountRequest {}).await.unwrap();
        lock.batch_execute("ROLLBACK").await.unwrap();
    });
    let away: Vec<_> = answers.into_iter().filter_map(Result::err).map(sent_away).collect();
    assert_eq!(away.len(), 8);
    asha.client.send(ListAppointmentsRequest::default()).await.unwrap();
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_are_counted_by_account_and_in_all() {
    let world = World::start_with(|config| {
        config.limits.streams = 3;
        config.limits.streams_per_account = 2;
        // A stream that has begun takes no place at work.
        config.limits.work_calls = Some(1);
    })
    .await;
    let (asha, ravi) = (world.patient().await, world.patient().await);
    let watch = async |client: &Client| impatient(client).stream(WatchRequest::default()).await;
    let first = watch(&asha.client).await.unwrap();
    let _second = watch(&asha.client).await.unwrap();
    let refusal = watch(&asha.client).await.map(|_| ());
    assert!(refused(refusal, Code::ResourceExhausted, "RATE_LIMITED").retry_after.is_some());
    let _third = watch(&ravi.client).await.unwrap();
    sent_away(watch(&ravi.client).await.map(|_| ()).unwrap_err());
    drop(first);
    eventually("there is room again", async || watch(&ravi.client).await.is_ok()).await;
    world.finish().await;
}
