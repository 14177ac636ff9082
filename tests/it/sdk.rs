//! What the Rust SDK does by itself.

use std::time::Duration;

use clinicd_sdk::proto::identity::v1::{GetMyAccountRequest, ListUsersRequest};
use clinicd_sdk::{Client, Error};
use clinicd_server::app::ACCESS_TOKEN_SECONDS;
use clinicd_tests::people::PASSWORD;
use clinicd_tests::{Code, Process, World, eventually, refused};
use jiff::SignedDuration;

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_token_is_renewed_once_for_all_clones() {
    let world = World::start().await;
    let asha = world.patient().await;
    world.advance(SignedDuration::from_secs(ACCESS_TOKEN_SECONDS + 10));
    let calls: Vec<_> = (0..10)
        .map(|_| {
            let client = asha.client.clone();
            tokio::spawn(async move { client.send(GetMyAccountRequest {}).await })
        })
        .collect();
    for call in calls {
        call.await.unwrap().unwrap();
    }
    let tokens = world.sql("SELECT count(*), count(replaced_at) FROM refresh_tokens").await;
    assert_eq!(tokens, [["2", "1"]], "one exchange");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_ended_is_told_apart() {
    let world = World::start().await;
    let asha = world.patient().await;
    asha.client.sign_out().await.unwrap();
    eventually("the session ends", async || {
        matches!(asha.client.send(GetMyAccountRequest {}).await, Err(Error::SessionEnded(_)))
    })
    .await;
    let wrong = world.client().sign_in(&asha.email, "not the password at all").await;
    refused(wrong, Code::Unauthenticated, "INVALID_CREDENTIALS");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_is_read_over_all_its_pages() {
    let world = World::start().await;
    let mut known = vec![world.admin().await.id, world.superuser().await.id];
    for _ in 0..5 {
        known.push(world.patient().await.id);
    }
    let request = ListUsersRequest { page_size: 2, ..Default::default() };
    let users = world.admin().await.client.all(request).await.unwrap();
    let mut listed: Vec<_> = users.into_iter().map(|user| user.id).collect();
    (known.sort(), listed.sort());
    assert_eq!(listed, known);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_in_this_process_and_outside_are_one_service() {
    let world = World::start().await;
    let asha = world.patient().await;
    let second = world.second_server().await;
    let third = Process::start(&world).await;
    for client in [second.client(), third.client()] {
        let tokens = asha.client.tokens().unwrap();
        let there = client.with_tokens(asha.id.clone(), tokens).unwrap();
        let account = there.send(GetMyAccountRequest {}).await.unwrap().account.unwrap();
        assert_eq!(account.email, asha.email);
        client.sign_in(&asha.email, PASSWORD).await.unwrap();
    }
    assert!(third.terminate().await.success());
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_never_answers_is_given_up_at_the_deadline() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let client = Client::builder(&url).deadline(Duration::from_millis(300)).connect_lazy().unwrap();
    let answer = client.send(GetMyAccountRequest {}).await;
    assert!(matches!(answer, Err(Error::Deadline)), "{answer:?}");
}
