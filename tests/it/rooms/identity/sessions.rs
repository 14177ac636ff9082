//! Sessions: exchanged tokens, their theft, the end.

use std::collections::BTreeSet;

use clinicd_sdk::proto::identity::v1::{
    GetMyAccountRequest, ListMySessionsRequest, RefreshTokenRequest, RevokeOtherSessionsRequest,
    RevokeSessionRequest, SignInRequest, TokenPair,
};
use clinicd_sdk::{Client, Code, Error};
use clinicd_server::config::SessionSettings;
use clinicd_tests::people::PASSWORD;
use clinicd_tests::{Person, World, refused, wire};
use futures_util::future::join_all;
use jiff::SignedDuration;
use tonic::transport::Channel;

use crate::rooms::COUNTS;

async fn exchange(client: &Client, tokens: &TokenPair) -> Result<TokenPair, Error> {
    let refresh_token = tokens.refresh_token.clone();
    let request = RefreshTokenRequest { refresh_token, ..Default::default() };
    client.send(request).await.map(|answer| answer.tokens.unwrap())
}

fn ended<T: std::fmt::Debug>(result: Result<T, Error>) {
    refused(result, Code::Unauthenticated, "INVALID_CREDENTIALS");
}

/// Whether an access token, as it is, opens this server.
async fn opens(server: &Channel, tokens: &TokenPair) -> bool {
    let answer = wire::send(server, Some(&tokens.access_token), &GetMyAccountRequest {}).await;
    let Err(refusal) = answer else { return true };
    refused(Err::<(), _>(refusal.into_error()), Code::Unauthenticated, "UNAUTHENTICATED");
    false
}

/// Both servers have just seen that the session lives.
async fn both_open(servers: &[Channel; 2], tokens: &TokenPair) -> bool {
    opens(&servers[0], tokens).await && opens(&servers[1], tokens).await
}

async fn none_opens(servers: &[Channel; 2], tokens: &TokenPair) -> bool {
    !opens(&servers[0], tokens).await && !opens(&servers[1], tokens).await
}

async fn tokens_of(world: &World, person: &Person) -> TokenPair {
    world.again(person).await.client.tokens().unwrap()
}

/// Without the check that the successor was not exchanged itself, the second use of `first` gave
/// tokens.
#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_token_used_twice_ends_its_session() {
    let world = World::start().await;
    let asha = world.patient().await;
    let second = world.second_server().await;
    let servers = [wire::channel(world.url()), wire::channel(&second.url)];
    let (client, first) = (world.client(), asha.client.tokens().unwrap());
    let other = tokens_of(&world, &asha).await;
    let next = exchange(&client, &first).await.unwrap();
    let newest = exchange(&client, &next).await.unwrap();
    assert!(both_open(&servers, &newest).await);

    // Within the grace, but not the parent of the newest.
    ended(exchange(&second.client(), &first).await);
    tokio::time::sleep(COUNTS).await;
    for tokens in [&first, &next, &newest] {
        assert!(none_opens(&servers, tokens).await);
    }
    ended(exchange(&client, &newest).await);
    // Another session of the same person goes on.
    assert!(both_open(&servers, &other).await);
    exchange(&client, &other).await.unwrap();
    let records = world
        .sql(&format!(
            "SELECT count(*) FROM sign_ins WHERE account_id = '{}' AND NOT success \
             AND method = 'reused_refresh_token'",
            asha.id
        ))
        .await;
    assert_eq!(records, [["1"]]);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_can_be_had_again_for_ten_seconds() {
    let world = World::start().await;
    let asha = world.patient().await;
    let (client, first) = (world.client(), asha.client.tokens().unwrap());
    let next = exchange(&client, &first).await.unwrap();
    assert_ne!(next.refresh_token, first.refresh_token);
    world.advance(SignedDuration::from_secs(8));
    let again = exchange(&client, &first).await.unwrap();
    assert_eq!(again.refresh_token, next.refresh_token);
    assert!(opens(&wire::channel(world.url()), &again).await);
    world.advance(SignedDuration::from_secs(2));
    ended(exchange(&client, &first).await);
    ended(exchange(&client, &next).await);
    world.finish().await;
}

/// Without `FOR UPDATE` in `LockSession`, some of them broke on a double key.
#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_parallel_exchanges_have_one_successor() {
    let world = World::start().await;
    let asha = world.patient().await;
    let second = world.second_server().await;
    let tokens = asha.client.tokens().unwrap();
    let exchanges = (0..100).map(|number| {
        let client = if number % 2 == 0 { world.client() } else { second.client() };
        let tokens = tokens.clone();
        tokio::spawn(async move { exchange(&client, &tokens).await.unwrap().refresh_token })
    });
    let answers = join_all(exchanges).await.into_iter().map(Result::unwrap);
    let successors: BTreeSet<String> = answers.collect();
    assert_eq!(successors.len(), 1);
    let rows = world
        .sql(
            "SELECT count(*) FROM refresh_tokens t JOIN sessions s \
        ON s.id = t.session_id WHERE s.account_id = \
        (SELECT id FROM accounts WHERE email LIKE 'asha%')",
        )
        .await;
    assert_eq!(rows, [["2"]]);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_of_staff_end_when_idle_and_after_a_working_day() {
    let world = World::start_with(|config| config.sessions = SessionSettings::default()).await;
    let server = wire::channel(world.url());
    let (asha, admin) = (world.patient().await, world.new_admin().await);
    let minutes = |minutes| world.advance(SignedDuration::from_mins(minutes));
    // A call every 14 minutes keeps it; the SDK renews the access token.
    for _ in 0..3 {
        minutes(14);
        admin.client.send(GetMyAccountRequest {}).await.unwrap();
    }
    let tokens = admin.client.tokens().unwrap();
    minutes(15);
    ended(exchange(&world.client(), &tokens).await);
    assert!(!opens(&server, &tokens).await);

    let again = world.again(&admin).await;
    for _ in 0..(12 * 60 / 14) {
        minutes(14);
        again.client.send(GetMyAccountRequest {}).await.unwrap();
    }
    minutes(14);
    refused(
        again.client.send(GetMyAccountRequest {}).await,
        Code::Unauthenticated,
        "INVALID_CREDENTIALS",
    );
    // A patient is not sent away so soon.
    asha.client.send(GetMyAccountRequest {}).await.unwrap();
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn people_see_their_sessions_and_end_them() {
    let world = World::start().await;
    let asha = world.patient().await;
    let stranger = world.patient().await;
    let (phone, laptop) =
        (device(&world, &asha, "phone").await, device(&world, &asha, "laptop").await);
    let list = ListMySessionsRequest { include_total: true, ..Default::default() };
    let sessions = phone.send(list.clone()).await.unwrap();
    assert_eq!(sessions.total_size, Some(3));
    let names: Vec<_> =
        sessions.sessions.iter().map(|one| (&*one.device_name, one.current)).collect();
    assert_eq!(names, [("", false), ("phone", true), ("laptop", false)]);
    assert!(sessions.sessions.iter().all(|one| one.client_address == "127.0.0.1"));
    assert!(sessions.sessions.iter().all(|one| one.user_agent.starts_with("clinicd-sdk/")));
    let pages = ListMySessionsRequest {
        page_size: 1,
        order_by: "id desc".to_owned(),
        ..Default::default()
    };
    let ids: Vec<_> = phone.all(pages).await.unwrap().into_iter().map(|one| one.id).collect();
    assert_eq!(ids, sessions.sessions.iter().rev().map(|one| one.id.clone()).collect::<Vec<_>>());

    let of_laptop =
        RevokeSessionRequest { session_id: sessions.sessions[2].id.clone(), ..Default::default() };
    refused(stranger.client.send(of_laptop.clone()).await, Code::NotFound, "NOT_FOUND");
    phone.send(of_laptop.clone()).await.unwrap();
    refused(phone.send(of_laptop).await, Code::NotFound, "NOT_FOUND");
    let ended_sessions =
        phone.send(RevokeOtherSessionsRequest::default()).await.unwrap().ended_sessions;
    assert_eq!(ended_sessions, 1);
    tokio::time::sleep(COUNTS).await;
    for gone in [&laptop, &asha.client] {
        let answer = gone.send(GetMyAccountRequest {}).await;
        refused(answer, Code::Unauthenticated, "INVALID_CREDENTIALS");
    }
    assert_eq!(phone.send(list).await.unwrap().total_size, Some(1));
    stranger.client.send(GetMyAccountRequest {}).await.unwrap();
    world.finish().await;
}

/// The person on another device.
async fn device(world: &World, person: &Person, name: &str) -> Client {
    let request = SignInRequest {
        email: person.email.clone(),
        password: PASSWORD.to_owned(),
        device_name: name.to_owned(),
        ..Default::default()
    };
    world.client().sign_in_with(request).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_refresh_token_is_refused() {
    let world = World::start().await;
    let asha = world.patient().await;
    let tokens = asha.client.tokens().unwrap();
    for refresh_token in ["x", &tokens.access_token[..100], &format!("{}A", tokens.refresh_token)] {
        let refresh_token = refresh_token.to_owned();
        ended(exchange(&world.client(), &TokenPair { refresh_token, ..Default::default() }).await);
    }
    world.advance(SignedDuration::from_hours(30 * 24 + 1));
    ended(exchange(&world.client(), &tokens).await);
    world.finish().await;
}

/// With sessions believed for five seconds, the second server let the token in.
#[tokio::test(flavor = "multi_thread")]
async fn a_sign_out_counts_everywhere_within_a_second() {
    let world = World::start().await;
    let asha = world.patient().await;
    let second = world.second_server().await;
    let servers = [wire::channel(world.url()), wire::channel(&second.url)];
    let (tokens, other) = (asha.client.tokens().unwrap(), tokens_of(&world, &asha).await);
    assert!(both_open(&servers, &tokens).await);
    asha.client.sign_out().await.unwrap();
    tokio::time::sleep(COUNTS).await;
    assert!(none_opens(&servers, &tokens).await);
    ended(exchange(&world.client(), &tokens).await);
    assert!(both_open(&servers, &other).await);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sessions_of_a_blocked_account_end_everywhere() {
    let world = World::start().await;
    let asha = world.patient().await;
    let second = world.second_server().await;
    let servers = [wire::channel(world.url()), wire::channel(&second.url)];
    let tokens = asha.client.tokens().unwrap();
    assert!(both_open(&servers, &tokens).await);
    world.sql(&format!("UPDATE accounts SET state = 'blocked' WHERE id = '{}'", asha.id)).await;
    tokio::time::sleep(COUNTS).await;
    assert!(none_opens(&servers, &tokens).await);
    ended(exchange(&world.client(), &tokens).await);
    world.finish().await;
}
