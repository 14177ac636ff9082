//! Sessions: exchanged tokens, their theft, the end.

use clinicd_sdk::proto::identity::v1::{GetMyAccountRequest, RefreshTokenRequest, TokenPair};
use clinicd_sdk::{Client, Code, Error};
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

/// Without `replaced_at IS NULL` in `ReplaceRefreshToken`, the second use gave tokens.
#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_token_used_twice_ends_its_session() {
    let world = World::start().await;
    let asha = world.patient().await;
    let second = world.second_server().await;
    let servers = [wire::channel(world.url()), wire::channel(&second.url)];
    let (client, first) = (world.client(), asha.client.tokens().unwrap());
    let other = tokens_of(&world, &asha).await;

    // The same call, repeated because its answer was lost, gets the same answer.
    let request = RefreshTokenRequest {
        request_id: world.app.ids.next().to_string(),
        refresh_token: first.refresh_token.clone(),
    };
    let answers = join_all((0..5).map(|_| client.send(request.clone()))).await;
    let next = answers[0].clone().unwrap().tokens.unwrap();
    for answer in answers {
        assert_eq!(answer.unwrap().tokens.as_ref(), Some(&next));
    }
    assert_ne!(next.refresh_token, first.refresh_token);
    assert!(both_open(&servers, &next).await);

    ended(exchange(&second.client(), &first).await);
    tokio::time::sleep(COUNTS).await;
    assert!(none_opens(&servers, &next).await);
    assert!(none_opens(&servers, &first).await);
    ended(exchange(&client, &next).await);
    // Another session of the same person goes on.
    assert!(both_open(&servers, &other).await);
    exchange(&client, &other).await.unwrap();
    world.finish().await;
}

/// Without `replaced_at IS NULL` in `ReplaceRefreshToken`, all ten succeeded.
#[tokio::test(flavor = "multi_thread")]
async fn of_parallel_exchanges_one_succeeds() {
    let world = World::start().await;
    let asha = world.patient().await;
    let second = world.second_server().await;
    let tokens = asha.client.tokens().unwrap();
    let exchanges = (0..10).map(|number| {
        let client = if number % 2 == 0 { world.client() } else { second.client() };
        let tokens = tokens.clone();
        tokio::spawn(async move { exchange(&client, &tokens).await })
    });
    let answers: Vec<_> = join_all(exchanges).await.into_iter().map(Result::unwrap).collect();
    let (good, bad): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
    assert_eq!(good.len(), 1);
    bad.into_iter().for_each(ended);
    world.finish().await;
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
