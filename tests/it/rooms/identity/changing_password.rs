//! A person changes the own password.

use clinicd_sdk::proto::identity::v1::{ChangePasswordRequest, GetMyAccountRequest};
use clinicd_sdk::{Client, Code};
use clinicd_tests::people::PASSWORD;
use clinicd_tests::{World, refused};
use futures_util::future::join_all;
use jiff::SignedDuration;

use crate::rooms::COUNTS;

const NEW: &str = "seven-otters-cross-the-bridge";

fn change(current: &str, new: &str) -> ChangePasswordRequest {
    ChangePasswordRequest {
        current_password: current.to_owned(),
        new_password: new.to_owned(),
        ..Default::default()
    }
}

async fn works(client: &Client) -> bool {
    client.send(GetMyAccountRequest {}).await.is_ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_password_ends_all_other_sessions() {
    let world = World::start().await;
    let asha = world.patient().await;
    let second = world.second_server().await;
    let other = second.client().sign_in(&asha.email, PASSWORD).await.unwrap();
    assert!(works(&other).await);
    let answer = asha.client.send(change("wrong-password-here", NEW)).await;
    refused(answer, Code::Unauthenticated, "INVALID_CREDENTIALS");
    let weak = asha.client.send(change(PASSWORD, "asha")).await;
    refused(weak, Code::InvalidArgument, "WEAK_PASSWORD");
    assert!(works(&other).await);

    asha.client.send(change(PASSWORD, NEW)).await.unwrap();
    tokio::time::sleep(COUNTS).await;
    let answer = other.send(GetMyAccountRequest {}).await;
    refused(answer, Code::Unauthenticated, "INVALID_CREDENTIALS");
    assert!(works(&asha.client).await);
    let old = world.client().sign_in(&asha.email, PASSWORD).await;
    refused(old, Code::Unauthenticated, "INVALID_CREDENTIALS");
    world.client().sign_in(&asha.email, NEW).await.unwrap();
    world.mail_to(&asha.email, |mail| mail.subject.contains("password")).await;
    world.finish().await;
}

/// With a limit of 5,000 failures, 50 were judged (and then the address was blocked).
#[tokio::test(flavor = "multi_thread")]
async fn the_current_password_is_guessed_five_times_at_most() {
    let world = World::start().await;
    let asha = world.patient().await;
    let guesses = (0..100).map(|number| {
        let client = asha.client.clone();
        let guess = format!("wrong-password-{number}");
        tokio::spawn(async move { client.send(change(&guess, NEW)).await })
    });
    let mut judged = 0;
    for answer in join_all(guesses).await.into_iter().map(Result::unwrap) {
        let reason = answer.as_ref().unwrap_err().reason().unwrap_or_default().to_owned();
        if reason == "INVALID_CREDENTIALS" {
            judged += 1;
            continue;
        }
        let refusal = refused(answer, Code::ResourceExhausted, "TOO_MANY_ATTEMPTS");
        assert!(refusal.retry_after.unwrap().as_secs() <= 600);
    }
    assert_eq!(judged, 5);
    // The right one neither; the session goes on.
    let right = asha.client.send(change(PASSWORD, NEW)).await;
    refused(right, Code::ResourceExhausted, "TOO_MANY_ATTEMPTS");
    assert!(works(&asha.client).await);
    world.advance(SignedDuration::from_secs(601));
    asha.client.send(change(PASSWORD, NEW)).await.unwrap();
    world.finish().await;
}
