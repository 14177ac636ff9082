//! How often a caller may call.

use std::time::Duration;

use clinicd_proto::rpc::Rpc;
use clinicd_sdk::proto::directory::v1::{SearchDoctorsRequest, SearchDoctorsResponse};
use clinicd_sdk::proto::feed::v1::{ListEventsRequest, WatchRequest, WatchResponse};
use clinicd_sdk::proto::identity::v1::{
    GetMyAccountRequest, GetMyAccountResponse, RefreshTokenRequest, RefreshTokenResponse,
};
use clinicd_sdk::proto::prescriptions::v1::ListPrescriptionsRequest;
use clinicd_sdk::proto::profiles::v1::UpdateMyPatientRequest;
use clinicd_sdk::{ApiError, Client, Error, RetryPolicy};
use clinicd_tests::wire::access_token;
use clinicd_tests::{Code, World, refused};
use prost::Message;
use tonic::transport::Endpoint;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use super::peers::Peer;
use super::{GRPC, WEB, frame, native, native_on, web};

/// Told when to come again.
fn sent_away<T: std::fmt::Debug>(answer: Result<T, Error>) -> ApiError {
    let refusal = refused(answer, Code::ResourceExhausted, "RATE_LIMITED");
    let wait = refusal.retry_after.unwrap();
    assert!(Duration::ZERO < wait && wait <= Duration::from_secs(1), "{wait:?}");
    refusal
}

fn impatient(client: &Client) -> Client {
    client.with_retry(RetryPolicy::NONE)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_has_a_burst_and_then_its_rate() {
    let world = World::start_with(|config| {
        config.limits.reads_per_minute = 60;
        config.limits.reads_burst = 3;
        config.limits.changes_per_minute = 60;
        config.limits.changes_burst = 1;
        config.limits.medical_per_minute = 60;
        config.limits.medical_burst = 2;
    })
    .await;
    let (asha, ravi) = (world.patient().await, world.patient().await);
    let (asha, ravi) = (impatient(&asha.client), impatient(&ravi.client));
    asha.send(GetMyAccountRequest {}).await.unwrap();
    asha.send(GetMyAccountRequest {}).await.unwrap();
    asha.send(ListEventsRequest::default()).await.unwrap();
    let wait = sent_away(asha.send(GetMyAccountRequest {}).await).retry_after.unwrap();
    sent_away(asha.send(ListEventsRequest::default()).await);
    // Others, and other work, are not concerned.
    ravi.send(GetMyAccountRequest {}).await.unwrap();
    asha.send(ListPrescriptionsRequest::default()).await.unwrap();
    asha.send(ListPrescriptionsRequest::default()).await.unwrap();
    sent_away(asha.send(ListPrescriptionsRequest::default()).await);
    let change = UpdateMyPatientRequest { etag: "1".to_owned(), ..Default::default() };
    let first = asha.send(change.clone()).await;
    assert_ne!(
        first.err().and_then(|e| e.reason().map(str::to_owned)).as_deref(),
        Some("RATE_LIMITED")
    );
    sent_away(asha.send(change).await);

    tokio::time::sleep(wait).await;
    asha.send(GetMyAccountRequest {}).await.unwrap();
    sent_away(asha.send(GetMyAccountRequest {}).await);
    // A client that waits as it is told does not notice.
    asha.with_retry(RetryPolicy::default()).send(GetMyAccountRequest {}).await.unwrap();
    world.finish().await;
}

/// One call over native gRPC or grpc-web that says it was forwarded for somebody.
async fn forwarded<R: Rpc, M: Message + Default + std::fmt::Debug>(
    world: &World,
    request: &R,
    client: &str,
    from_browser: bool,
) -> Result<(), Error> {
    let forwarded = ("x-forwarded-for", client);
    let answer = if from_browser {
        web(world.url(), request, &[WEB, forwarded]).await
    } else {
        let body = frame(&request.encode_to_vec());
        native(world.url(), R::PATH, &[GRPC, forwarded], body).await
    };
    answer.messages::<M>().map(|_| ())
}

/// What is refused, once it is judged.
fn refresh(world: &World) -> RefreshTokenRequest {
    let request_id = world.app.ids.next().to_string();
    RefreshTokenRequest { request_id, refresh_token: "x".to_owned() }
}

#[tokio::test(flavor = "multi_thread")]
async fn public_calls_are_counted_by_the_address_that_is_true() {
    let world = World::start_with(|config| {
        config.limits.sign_in_per_minute = 60;
        config.limits.sign_in_burst = 4;
        config.limits.public_reads_per_minute = 60;
        config.limits.public_reads_burst = 4;
    })
    .await;
    let search = SearchDoctorsRequest::default();
    let (mut served, mut refusals) = (0, 0);
    for number in 0..12 {
        let client = format!("192.0.2.{number}");
        let browser = number % 2 == 0;
        let answer = forwarded::<_, SearchDoctorsResponse>(&world, &search, &client, browser).await;
        match answer {
            Ok(()) => served += 1,
            answer => {
                sent_away(answer);
                refusals += 1;
            }
        }
        if refusals == 2 {
            break;
        }
    }
    assert!((4..8).contains(&served) && refusals == 2, "{served} {refusals}");
    // What changes something has a count of its own.
    let mut served = 0;
    let refusal = loop {
        let request = refresh(&world);
        match forwarded::<_, RefreshTokenResponse>(&world, &request, "::1", false).await {
            Err(error) if error.reason() == Some("INVALID_CREDENTIALS") => served += 1,
            refusal => break refusal,
        }
        assert!(served < 10, "nobody was sent away");
    };
    sent_away(refusal);
    assert!(served >= 4, "{served}");

    // Somebody at another address is served, and the health is always told.
    let other = Peer::connect_from(world.url(), [127, 0, 0, 2]).await.0;
    let body = frame(&search.encode_to_vec());
    let path = SearchDoctorsRequest::PATH;
    let answer = native_on(other, world.url(), "POST", path, &[GRPC], body).await;
    answer.messages::<SearchDoctorsResponse>().unwrap();
    let channel = Endpoint::from_shared(world.url().to_owned()).unwrap().connect_lazy();
    let mut health = HealthClient::new(channel);
    for _ in 0..20 {
        health.check(HealthCheckRequest::default()).await.unwrap();
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_are_nobodys_are_counted_by_address() {
    let world = World::start_with(|config| {
        config.limits.unauthenticated_per_minute = 60;
        config.limits.unauthenticated_burst = 3;
        config.trusted_proxies = vec!["127.0.0.1".parse().unwrap()];
    })
    .await;
    let asha = format!("Bearer {}", access_token(&world.patient().await));
    let account = async |client: &str, token: &str| {
        let headers = [GRPC, ("x-forwarded-for", client), ("authorization", token)];
        let answer = native(world.url(), GetMyAccountRequest::PATH, &headers, frame(&[])).await;
        answer.messages::<GetMyAccountResponse>().map(|_| ())
    };
    let watch = async |client: &str| {
        let path = format!("{}?ticket={}", WatchRequest::PATH, "x".repeat(43));
        let body = frame(&WatchRequest::default().encode_to_vec());
        let headers = [GRPC, ("x-forwarded-for", client)];
        native(world.url(), &path, &headers, body).await.messages::<WatchResponse>().map(|_| ())
    };
    // Whoever is known costs nothing.
    for _ in 0..10 {
        account("192.0.2.1", &asha).await.unwrap();
    }
    for by_ticket in [false, true] {
        let client = if by_ticket { "192.0.2.1" } else { "192.0.2.2" };
        let mut shut = 0;
        let refusal = loop {
            let answer =
                if by_ticket { watch(client).await } else { account(client, "Bearer x").await };
            match answer {
                Err(error) if error.reason() == Some("UNAUTHENTICATED") => shut += 1,
                refusal => break refusal,
            }
            assert!(shut < 10, "nobody was sent away");
        };
        let wait = sent_away(refusal).retry_after.unwrap();
        assert!(shut >= 3, "{shut}");
        // A good token of that address waits too; that of another does not.
        sent_away(account(client, &asha).await);
        account("192.0.2.3", &asha).await.unwrap();
        tokio::time::sleep(wait).await;
        account(client, &asha).await.unwrap();
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_a_named_proxy_each_client_is_one() {
    let world = World::start_with(|config| {
        config.limits.public_reads_per_minute = 60;
        config.limits.public_reads_burst = 2;
        config.trusted_proxies = vec!["127.0.0.1".parse().unwrap()];
    })
    .await;
    let search = SearchDoctorsRequest::default();
    let search = async |client: &str| {
        forwarded::<_, SearchDoctorsResponse>(&world, &search, client, false).await
    };
    for client in ["192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8:0:1::1"] {
        for _ in 0..2 {
            search(client).await.unwrap();
        }
    }
    // The rest of the /64, and what a client writes of itself, are no others.
    for client in ["2001:db8::2", "2001:db8:0:1:2::1", "192.0.2.77, 192.0.2.1"] {
        sent_away(search(client).await);
    }
    world.finish().await;
}
