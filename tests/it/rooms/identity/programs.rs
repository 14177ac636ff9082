//! Programs: what their keys open, and how long.

use std::time::{Duration, Instant};

use clinicd_sdk::proto::access::v1::Scope;
use clinicd_sdk::proto::feed::v1::{ListEventsRequest, ListEventsResponse, WatchRequest};
use clinicd_sdk::proto::identity::v1::{
    CreateApiKeyRequest, CreateApiKeyResponse, CreateServiceAccountRequest, ExchangeApiKeyRequest,
    ExchangeApiKeyResponse, IssueStreamTicketRequest, ListApiKeysRequest,
    ListServiceAccountsRequest, RevokeApiKeyRequest, ServiceAccount, TokenPair,
};
use clinicd_sdk::proto::prost_types::Timestamp;
use clinicd_sdk::{Client, Code, Error, RetryPolicy};
use clinicd_server::kernel::access::rules::Audience;
use clinicd_tests::{World, eventually, refused, wire};
use futures_util::future::join_all;
use jiff::SignedDuration;
use prost::Message as _;

use crate::access::rules;
use crate::rooms::{COUNTS, fields};

const DAY: i64 = 24 * 3_600;
/// By when a stream of the feed has ended: it looks at its session every second.
const STREAM_ENDS: Duration = Duration::from_secs(2);

/// A new service account.
async fn program(admin: &Client) -> String {
    let display_name = "Lab partner".to_owned();
    let request = CreateServiceAccountRequest { display_name, ..Default::default() };
    admin.send(request).await.unwrap().service_account.unwrap().id
}

/// What makes a key that ends in so many seconds, by the world's clock.
fn new_key(world: &World, account: &str, seconds: i64) -> CreateApiKeyRequest {
    CreateApiKeyRequest {
        service_account_id: account.to_owned(),
        display_name: "production".to_owned(),
        scopes: vec![Scope::FeedRead.into()],
        expire_time: Some(Timestamp::from(world.app.clock.now().plus_seconds(seconds))),
        ..Default::default()
    }
}

async fn key(world: &World, account: &str, seconds: i64) -> CreateApiKeyResponse {
    let admin = world.admin().await;
    admin.client.send(new_key(world, account, seconds)).await.unwrap()
}

async fn exchange(client: &Client, api_key: &str) -> Result<ExchangeApiKeyResponse, Error> {
    let request = ExchangeApiKeyRequest { api_key: api_key.to_owned(), ..Default::default() };
    client.send(request).await
}

async fn token(client: &Client, api_key: &str) -> String {
    exchange(client, api_key).await.unwrap().access_token
}

/// Reads the feed with this token.
async fn feed(url: &str, token: &str) -> Result<ListEventsResponse, Error> {
    let request = ListEventsRequest { max_events: 100, ..Default::default() };
    match wire::send(&wire::channel(url), Some(token), &request).await {
        Ok(bytes) => Ok(ListEventsResponse::decode(bytes.as_slice()).unwrap()),
        Err(refusal) => Err(refusal.into_error()),
    }
}

fn ended<T: std::fmt::Debug>(result: Result<T, Error>) {
    refused(result, Code::Unauthenticated, "UNAUTHENTICATED");
}

fn wrong<T: std::fmt::Debug>(result: Result<T, Error>) {
    refused(result, Code::Unauthenticated, "INVALID_CREDENTIALS");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_calls_what_its_key_names_and_nothing_else() {
    let world = World::start().await;
    let (admin, client) = (world.admin().await, world.client());
    let account = program(&admin.client).await;
    let made = key(&world, &account, DAY).await;
    let listed = made.key.unwrap();
    assert_eq!(made.api_key.len(), 8 + 32 + 1 + 43);
    assert!(made.api_key.starts_with(&format!("{}_", listed.prefix)));
    assert_eq!(listed.last_use_time, None);

    let answer = exchange(&client, &made.api_key).await.unwrap();
    assert_eq!(answer.account_id, account);
    let left = answer.expire_time.unwrap().seconds - Timestamp::from(world.app.clock.now()).seconds;
    assert!((895..=900).contains(&left), "{left}");
    let token = answer.access_token;
    feed(world.url(), &token).await.unwrap();
    // The feed shows them when no older transaction runs, those of other tests included.
    let events = async || {
        let all = admin.client.send(ListEventsRequest::default()).await.unwrap().events;
        let own = all.into_iter().filter(|event| event.resource_id == account);
        own.collect::<Vec<_>>()
    };
    eventually("the events of the key", async || events().await.len() >= 2).await;
    let events = events().await;
    let types: Vec<_> = events.iter().map(|event| event.r#type.as_str()).collect();
    assert_eq!(types, ["service_account.created", "api_key.created"]);
    assert!(events.iter().all(|event| event.actor_id == admin.id));

    let channel = wire::channel(world.url());
    for (path, rule) in rules() {
        if rule.audience == Audience::Public || rule.scope.is_some() {
            continue;
        }
        let answer = wire::call(&channel, &path, Some(&token), Vec::new()).await;
        let answer = answer.map_err(wire::Refusal::into_error);
        refused(answer, Code::PermissionDenied, "SCOPE_REQUIRED");
        // The key itself is no token.
        let raw = wire::call(&channel, &path, Some(&made.api_key), Vec::new()).await;
        ended(raw.map_err(wire::Refusal::into_error));
    }
    ended(feed(world.url(), &made.api_key).await);

    let list = ListApiKeysRequest { service_account_id: account.clone(), ..Default::default() };
    let keys = admin.client.send(list).await.unwrap().keys;
    assert!(keys.len() == 1 && keys[0].last_use_time.is_some(), "{keys:?}");
    let history = "SELECT account_id, success FROM sign_ins WHERE method = 'api_key'";
    assert_eq!(world.sql(history).await, [[account, "t".to_owned()]]);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_admins_make_they_find() {
    let world = World::start().await;
    let me = world.admin().await;
    let admin = &me.client;
    let first = program(admin).await;
    let mut accounts = vec![first.clone()];
    for _ in 0..6 {
        accounts.push(program(admin).await);
    }
    let list = ListServiceAccountsRequest { include_total: true, ..Default::default() };
    assert_eq!(admin.send(list.clone()).await.unwrap().total_size, Some(7));
    let found = admin.all(list.clone()).await.unwrap();
    let ids = |found: Vec<ServiceAccount>| -> Vec<String> {
        found.into_iter().map(|account| account.id).collect()
    };
    assert!(found.iter().all(|account| account.display_name == "Lab partner"));
    assert!(found.iter().all(|account| account.creator_id == me.id));
    assert_eq!(ids(found), accounts);
    let order_by = "id desc".to_owned();
    let found = admin.all(ListServiceAccountsRequest { order_by, ..list }).await.unwrap();
    accounts.reverse();
    assert_eq!(ids(found), accounts);

    let request_id = world.app.ids.next().to_string();
    let request = CreateApiKeyRequest { request_id, ..new_key(&world, &first, DAY) };
    let made = admin.send(request.clone()).await.unwrap();
    // Repeated, it is the same key.
    assert_eq!(admin.send(request).await.unwrap(), made);
    key(&world, &first, DAY).await;
    let list = ListApiKeysRequest { service_account_id: first.clone(), ..Default::default() };
    let found = admin.all(list.clone()).await.unwrap();
    assert_eq!((found.len(), &found[0]), (2, made.key.as_ref().unwrap()));
    let order_by = "id desc".to_owned();
    let down = admin.all(ListApiKeysRequest { order_by, ..list }).await.unwrap();
    assert_eq!(down.into_iter().rev().collect::<Vec<_>>(), found);

    // A person is no program.
    for account in [world.app.ids.next().to_string(), me.id.clone()] {
        let list = ListApiKeysRequest { service_account_id: account.clone(), ..Default::default() };
        refused(admin.send(list).await, Code::NotFound, "NOT_FOUND");
        let answer = admin.send(new_key(&world, &account, DAY)).await;
        refused(answer, Code::NotFound, "NOT_FOUND");
    }
    let api_key_id = world.app.ids.next().to_string();
    let revoke = RevokeApiKeyRequest { api_key_id, ..Default::default() };
    refused(admin.send(revoke).await, Code::NotFound, "NOT_FOUND");
    world.finish().await;
}

/// Without the lock of the account 23 were made.
#[tokio::test(flavor = "multi_thread")]
async fn keys_end_within_a_year_and_are_twenty_at_most() {
    let world = World::start().await;
    let (admin, client) = (world.admin().await.client, world.client());
    let account = program(&admin).await;
    for seconds in [-1, 0, 366 * DAY + 60] {
        let refusal = admin.send(new_key(&world, &account, seconds)).await;
        let refusal = refused(refusal, Code::InvalidArgument, "INVALID_FIELDS");
        assert_eq!(fields(&refusal), ["expire_time"]);
    }
    let short = key(&world, &account, 600).await.api_key;
    let long = key(&world, &account, 366 * DAY - 60).await.api_key;
    let answer = exchange(&client, &short).await.unwrap();
    let left = answer.expire_time.unwrap().seconds - Timestamp::from(world.app.clock.now()).seconds;
    assert!(left <= 600, "no longer than the key: {left}");
    world.advance(SignedDuration::from_secs(601));
    tokio::time::sleep(COUNTS).await;
    ended(feed(world.url(), &answer.access_token).await);
    wrong(exchange(&client, &short).await);
    let answer = token(&client, &long).await;
    feed(world.url(), &answer).await.unwrap();
    world.advance(SignedDuration::from_secs(901));
    tokio::time::sleep(COUNTS).await;
    ended(feed(world.url(), &answer).await);
    token(&client, &long).await;

    let account = program(&admin).await;
    let calls = join_all((0..25).map(|_| admin.send(new_key(&world, &account, DAY)))).await;
    let (made, refusals): (Vec<_>, Vec<_>) = calls.into_iter().partition(Result::is_ok);
    assert_eq!(made.len(), 20);
    for refusal in refusals {
        refused(refusal, Code::FailedPrecondition, "WRONG_STATE");
    }
    let api_key_id = made.into_iter().next().unwrap().unwrap().key.unwrap().id;
    admin.send(RevokeApiKeyRequest { api_key_id, ..Default::default() }).await.unwrap();
    key(&world, &account, DAY).await;
    world.finish().await;
}

/// The client of a program whose session is this.
fn acting(client: &Client, answer: ExchangeApiKeyResponse) -> Client {
    let tokens = TokenPair {
        access_token: answer.access_token,
        access_token_expire_time: answer.expire_time,
        ..Default::default()
    };
    client.with_tokens(answer.account_id, tokens).unwrap().with_retry(RetryPolicy::NONE)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_key_and_a_blocked_account_end_everywhere_within_a_second() {
    let world = World::start().await;
    let (admin, second) = (world.admin().await.client, world.second_server().await);
    for revoke in [true, false] {
        let account = program(&admin).await;
        let made = key(&world, &account, DAY).await;
        let other = key(&world, &account, DAY).await.api_key;
        let session = exchange(&world.client(), &made.api_key).await.unwrap();
        let others = token(&world.client(), &other).await;
        let there = acting(&second.client(), session.clone());
        let mut stream = there.stream(WatchRequest::default()).await.unwrap();
        stream.message().await.unwrap().unwrap();
        for url in [world.url(), &second.url] {
            feed(url, &session.access_token).await.unwrap();
        }
        if revoke {
            let api_key_id = made.key.unwrap().id;
            let request = RevokeApiKeyRequest { api_key_id, ..Default::default() };
            let key = admin.send(request.clone()).await.unwrap().key.unwrap();
            assert!(key.revoke_time.is_some());
            assert_eq!(admin.send(request).await.unwrap().key.unwrap(), key, "again");
        } else {
            let block = format!("UPDATE accounts SET state = 'blocked' WHERE id = '{account}'");
            world.sql(&block).await;
        }
        let since = Instant::now();
        tokio::time::sleep(COUNTS).await;
        for (url, client) in [(world.url(), world.client()), (&second.url, second.client())] {
            ended(feed(url, &session.access_token).await);
            wrong(exchange(&client, &made.api_key).await);
            if revoke {
                feed(url, &others).await.unwrap();
            } else {
                ended(feed(url, &others).await);
                wrong(exchange(&client, &other).await);
            }
        }
        // What it has still to say of the changes above, and then the end.
        let error = loop {
            match stream.message().await {
                Ok(message) => assert!(message.is_some()),
                Err(error) => break error,
            }
        };
        ended(Err::<(), _>(error));
        assert!(since.elapsed() < STREAM_ENDS, "{:?}", since.elapsed());
    }
    world.finish().await;
}

/// Counted by key, five guesses kept its owner out.
#[tokio::test(flavor = "multi_thread")]
async fn of_a_hundred_guesses_at_a_key_fifty_are_judged_and_the_address_alone_is_blocked() {
    let world = World::start().await;
    let (admin, second) = (world.admin().await.client, world.second_server().await);
    let account = program(&admin).await;
    let right = key(&world, &account, DAY).await.api_key;
    let guess = |number: usize| format!("{}{number:04}", &right[..right.len() - 4]);
    let clients = [world.client(), second.client()].map(|c| c.with_retry(RetryPolicy::NONE));
    let at_once = async |numbers: std::ops::Range<usize>, code, reason| {
        let guesses = numbers.map(|number| {
            let (client, guess) = (clients[number % 2].clone(), guess(number));
            tokio::spawn(async move { exchange(&client, &guess).await })
        });
        for answer in join_all(guesses).await {
            refused(answer.unwrap(), code, reason);
        }
    };
    at_once(0..49, Code::Unauthenticated, "INVALID_CREDENTIALS").await;
    // The owner of the key is not kept out, and takes nothing from the count of the address.
    token(&clients[0], &right).await;
    at_once(49..50, Code::Unauthenticated, "INVALID_CREDENTIALS").await;
    at_once(50..100, Code::ResourceExhausted, "TOO_MANY_ATTEMPTS").await;
    for client in &clients {
        let answer = exchange(client, &right).await;
        refused(answer, Code::ResourceExhausted, "TOO_MANY_ATTEMPTS");
    }
    let blocked = "SELECT count(*) FROM sign_in_failures";
    assert_eq!(world.sql(blocked).await, [["1"]], "the address");
    let history = "SELECT count(*) FROM sign_ins WHERE method = 'api_key' AND NOT success";
    assert_eq!(world.sql(history).await, [["102"]]);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_wrong_with_a_key_the_answer_is_the_same() {
    let world = World::start().await;
    let admin = world.admin().await.client;
    let account = program(&admin).await;
    let made = key(&world, &account, DAY).await;
    let unknown = format!("clinicd_{}_{}", world.app.ids.next().simple(), "A".repeat(43));
    let channel = wire::channel(world.url());
    let mut refusals = Vec::new();
    for api_key in [
        format!("{}x", made.api_key),
        made.api_key[..made.api_key.len() - 1].to_owned(),
        made.key.unwrap().prefix,
        unknown,
        "x".to_owned(),
        "clinicd_".to_owned(),
    ] {
        let request_id = world.app.ids.next().to_string();
        let request = ExchangeApiKeyRequest { request_id, api_key };
        refusals.push(wire::send(&channel, None, &request).await.unwrap_err());
    }
    assert!(refusals.iter().all(|refusal| *refusal == refusals[0]), "{refusals:#?}");
    wrong(Err::<(), _>(refusals.swap_remove(0).into_error()));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_of_a_program_stands_in_the_database() {
    let world = World::start().await;
    let admin = world.admin().await.client;
    let account = program(&admin).await;
    let made = key(&world, &account, DAY).await.api_key;
    let session = token(&world.client(), &made).await;
    let ticket = IssueStreamTicketRequest {
        method: "clinicd.feed.v1.FeedService/Watch".to_owned(),
        ..Default::default()
    };
    let ticket = admin.send(ticket).await.unwrap().ticket;
    let (_, secret) = made.split_at(8 + 32 + 1);
    let tables = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'";
    for table in world.sql(tables).await {
        for secret in [secret, &session, &ticket] {
            let bytes = hex::encode(secret);
            let find = format!(
                "SELECT count(*) FROM {table} t \
                 WHERE t::text LIKE '%{secret}%' OR t::text LIKE '%{bytes}%'",
                table = table[0]
            );
            assert_eq!(world.sql(&find).await, [["0"]], "{}", table[0]);
        }
    }
    let hashes = "SELECT length(secret_hash) FROM api_keys";
    assert_eq!(world.sql(hashes).await, [["32"]]);
    world.finish().await;
}
