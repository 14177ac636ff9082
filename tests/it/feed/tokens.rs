//! How far back the feed reaches.

use clinicd_sdk::proto::feed::v1::{ListEventsRequest, ListEventsResponse, WatchRequest};
use clinicd_sdk::{Client, Error};
use clinicd_server::feed::jobs::Sweep;
use clinicd_server::kernel::jobs::Job as _;
use clinicd_tests::{Code, World, eventually, refused};
use uuid::Uuid;

use super::{events, number};

async fn list(client: &Client, token: &str, max_events: i32) -> Result<ListEventsResponse, Error> {
    let resume_token = token.to_owned();
    client.send(ListEventsRequest { resume_token, max_events, ..Default::default() }).await
}

/// Makes all events so far old.
async fn age(world: &World, days: u32) {
    let age = format!("UPDATE events SET created_at = created_at - interval '{days} days'");
    world.sql(&age).await;
}

/// Sweeps until so many events are left. Transactions of other tests hold the sweep up.
async fn sweep(world: &World, left: usize) {
    eventually("all is swept", async || {
        Sweep {}.run(world.app.clone(), Uuid::nil()).await.unwrap();
        world.sql("SELECT id FROM events").await.len() == left
    })
    .await;
}

/// Reads events about numbers up to this one; the last token.
async fn read_to(client: &Client, token: &str, last: usize) -> (Vec<usize>, String) {
    let (mut numbers, mut token) = (Vec::new(), token.to_owned());
    eventually("the event can be read", async || {
        let found = list(client, &token, 1_000).await.unwrap();
        token = found.resume_token;
        let numbered = found.events.iter().filter(|event| event.resource_id.starts_with("0000"));
        numbers.extend(numbered.map(number));
        numbers.last() == Some(&last)
    })
    .await;
    (numbers, token)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_from_before_the_beginning_is_refused_and_one_at_it_is_not() {
    let world = World::start().await;
    let asha = world.patient().await;
    world.settle().await;
    let before = list(&asha.client, "", 1).await.unwrap();
    world.batch(&events(&asha.id, 1, 7_000, "0 s")).await;
    let (numbers, at_end) = read_to(&asha.client, &before.resume_token, 7_000).await;
    assert_eq!(numbers.len(), 7_000);
    age(&world, 31).await;
    world.batch(&events(&asha.id, 7_001, 7_003, "29 days")).await;
    // Older ones behind the first that is kept are kept too.
    world.batch(&events(&asha.id, 7_004, 7_004, "40 days")).await;
    sweep(&world, 4).await;

    let old = list(&asha.client, &before.resume_token, 1).await;
    refused(old, Code::OutOfRange, "FEED_TOKEN_TOO_OLD");
    let request = WatchRequest { resume_token: before.resume_token, ..Default::default() };
    let opened = async { asha.client.stream(request).await?.message().await };
    refused(opened.await, Code::OutOfRange, "FEED_TOKEN_TOO_OLD");
    for token in ["", &at_end] {
        let (numbers, _) = read_to(&asha.client, token, 7_004).await;
        assert_eq!(numbers, [7_001, 7_002, 7_003, 7_004]);
    }
    let request = WatchRequest { resume_token: at_end, ..Default::default() };
    let mut feed = super::open_with(&asha.client, request).await;
    assert_eq!(number(&super::next(&mut feed).await), 7_001);

    // A feed that was swept to its end has an end all the same.
    age(&world, 31).await;
    sweep(&world, 0).await;
    let empty = list(&asha.client, "", 1).await.unwrap();
    assert!(empty.events.is_empty());
    assert!(list(&asha.client, &empty.resume_token, 1).await.unwrap().events.is_empty());
    let mut feed = super::open(&asha.client).await;
    world.batch(&events(&asha.id, 1, 1, "0 s")).await;
    assert_eq!(number(&super::next(&mut feed).await), 1);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_younger_than_a_week_is_swept_and_only_so() {
    let world = World::start().await;
    let asha = world.patient().await;
    world.settle().await;
    world.batch(&events(&asha.id, 1, 2, "8 days")).await;
    let left = async || world.sql("SELECT id FROM events").await.len();
    let sweep = async || {
        let swept = world.sql_as_server("SELECT sweep_events(now() + interval '1 year', 3)").await;
        swept.unwrap().concat().remove(0)
    };
    let all = left().await;
    read_to(&asha.client, "", 2).await;
    assert_eq!(sweep().await, "0", "the first one is young");
    age(&world, 8).await;
    eventually("some are swept", async || sweep().await != "0").await;
    assert!((all - 3..all).contains(&left().await), "no more than was asked for");
    for forbidden in ["DELETE FROM events", "UPDATE feed_horizon SET xid = 0"] {
        assert!(world.sql_as_server(forbidden).await.is_err(), "{forbidden}");
    }
    world.finish().await;
}

/// Seen to fail without the look at the horizon behind each read: the stream went on with the first
/// event that was left.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_the_sweep_overtakes_is_told() {
    let world = World::start().await;
    let asha = world.patient().await;
    let begin = list(&asha.client, "", 1_000).await.unwrap().resume_token;
    world.batch(&events(&asha.id, 1, 30_000, "31 days")).await;
    let request = WatchRequest { resume_token: begin, ..Default::default() };
    let mut feed = super::open_with(&asha.client, request).await;
    // Its client takes no more than its window for now.
    assert_eq!(number(&super::next(&mut feed).await), 1);
    tokio::time::sleep(std::time::Duration::from_millis(1_500)).await;
    age(&world, 31).await;
    world.batch(&events(&asha.id, 30_001, 30_001, "0 s")).await;
    sweep(&world, 1).await;
    let mut expected = 2;
    let ended = loop {
        match feed.message().await {
            Ok(message) => {
                let message = message.unwrap();
                let Some(event) = super::told(&message) else { continue };
                assert_eq!(number(event), expected, "no gap");
                expected += 1;
            }
            Err(error) => break Err::<(), _>(error),
        }
    };
    refused(ended, Code::OutOfRange, "FEED_TOKEN_TOO_OLD");
    assert!(expected < 30_000);
    world.finish().await;
}
