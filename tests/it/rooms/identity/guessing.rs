//! Refused sign-ins: what they tell, and how many there may be.

use std::time::Duration;

use clinicd_sdk::proto::access::v1::Role;
use clinicd_sdk::proto::identity::v1::{CreateStaffMemberRequest, SignInRequest};
use clinicd_sdk::proto::r#type::v1::PersonName;
use clinicd_sdk::{ApiError, Client, Code};
use clinicd_tests::people::PASSWORD;
use clinicd_tests::{World, refused, wire};
use futures_util::future::join_all;
use jiff::SignedDuration;

use super::registration;

const WRONG: &str = "not the password at all";

async fn wrong(client: &Client, email: &str) {
    let answer = client.sign_in(email, WRONG).await;
    refused(answer, Code::Unauthenticated, "INVALID_CREDENTIALS");
}

async fn blocked(client: &Client, email: &str, password: &str) -> ApiError {
    let answer = client.sign_in(email, password).await;
    refused(answer, Code::ResourceExhausted, "TOO_MANY_ATTEMPTS")
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_wrong_a_refused_sign_in_says_the_same() {
    let world = World::start().await;
    let asha = world.patient().await;
    let barred = world.patient().await;
    world.sql(&format!("UPDATE accounts SET state = 'blocked' WHERE id = '{}'", barred.id)).await;
    world.client().send(registration("inactive@example.org")).await.unwrap();
    let name = Some(PersonName { given: "Kiran".to_owned(), family: String::new() });
    let (email, role) = ("invited@example.org".to_owned(), Role::Operator.into());
    let invitation = CreateStaffMemberRequest { email, name, role, ..Default::default() };
    world.superuser().await.client.send(invitation).await.unwrap();

    let channel = wire::channel(world.url());
    let mut refusals = Vec::new();
    for (email, password) in [
        (asha.email.as_str(), WRONG),
        (&asha.email, ""),
        (&asha.email, "quiet-harbour-lantern-82 "),
        ("nobody@example.org", PASSWORD),
        ("", ""),
        ("not an address", PASSWORD),
        (&barred.email, PASSWORD),
        ("inactive@example.org", PASSWORD),
        ("invited@example.org", PASSWORD),
        ("invited@example.org", ""),
    ] {
        let request = SignInRequest {
            request_id: world.app.ids.next().to_string(),
            email: email.to_owned(),
            password: password.to_owned(),
            ..Default::default()
        };
        refusals.push(wire::send(&channel, None, &request).await.unwrap_err());
    }
    assert!(refusals.iter().all(|refusal| *refusal == refusals[0]), "{refusals:#?}");
    let first = refused(
        Err::<(), _>(refusals.swap_remove(0).into_error()),
        Code::Unauthenticated,
        "INVALID_CREDENTIALS",
    );
    assert!(first.metadata.is_empty() && first.violations.is_empty());
    world.finish().await;
}

/// With the condition taken out of `TakeAttempt`, the right password signed in.
#[tokio::test(flavor = "multi_thread")]
async fn five_failures_block_an_address_for_ten_minutes_everywhere() {
    let world = World::start().await;
    let asha = world.patient().await;
    let second = world.second_server().await;
    let (here, there) = (world.client(), second.client());
    // A success takes the count away.
    for _ in 0..4 {
        wrong(&here, &asha.email).await;
    }
    here.sign_in(&asha.email, PASSWORD).await.unwrap();
    // An unknown address is counted like a known one.
    for email in [&asha.email, "nobody@example.org"] {
        for client in [&here, &there, &here, &there, &here] {
            wrong(client, email).await;
        }
        for client in [&here, &there] {
            let refusal = blocked(client, email, PASSWORD).await;
            let wait = refusal.retry_after.unwrap();
            assert!((590..=600).contains(&wait.as_secs()), "{wait:?}");
        }
    }
    blocked(&there, &asha.email.to_uppercase(), PASSWORD).await;
    // Others are not concerned, nor is the open session.
    world.patient().await;

    world.advance(SignedDuration::from_secs(590));
    let refusal = blocked(&there, &asha.email, PASSWORD).await;
    assert!(refusal.retry_after.unwrap() <= Duration::from_secs(10));
    world.advance(SignedDuration::from_secs(11));
    there.sign_in(&asha.email, PASSWORD).await.unwrap();
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_far_apart_do_not_block() {
    let world = World::start().await;
    let asha = world.patient().await;
    let client = world.client();
    for _ in 0..3 {
        wrong(&client, &asha.email).await;
        wrong(&client, &asha.email).await;
        world.advance(SignedDuration::from_secs(5 * 60 + 1));
    }
    client.sign_in(&asha.email, PASSWORD).await.unwrap();
    world.finish().await;
}

/// With the condition taken out of `TakeAttempt`, all twenty were judged.
#[tokio::test(flavor = "multi_thread")]
async fn of_parallel_guesses_five_are_judged() {
    let world = World::start().await;
    let asha = world.patient().await;
    let second = world.second_server().await;
    let guesses = (0..20).map(|number| {
        let client = if number % 2 == 0 { world.client() } else { second.client() };
        let email = asha.email.clone();
        tokio::spawn(async move { client.sign_in(&email, WRONG).await })
    });
    let mut judged = 0;
    for guess in join_all(guesses).await {
        let error = guess.unwrap().unwrap_err();
        match error.reason() {
            Some("INVALID_CREDENTIALS") => judged += 1,
            Some("TOO_MANY_ATTEMPTS") => {}
            _ => panic!("{error}"),
        }
    }
    assert_eq!(judged, 5);
    blocked(&second.client(), &asha.email, PASSWORD).await;
    world.finish().await;
}
