//! Clients that read slower than things happen, or not at all.

use std::time::Duration;

use clinicd_sdk::Error;
use clinicd_sdk::proto::feed::v1::feed_service_client::FeedServiceClient;
use clinicd_sdk::proto::feed::v1::{ResourceKind, WatchRequest, WatchResponse};
use clinicd_tests::wire::access_token;
use clinicd_tests::{Code, Person, World, refused};
use futures_util::TryStreamExt as _;
use jiff::SignedDuration;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status, Streaming};

use super::{emit, number, told};

/// What a client of these tests takes unasked, on each stream: a few messages.
const WINDOW: u32 = 1_024;

/// A connection whose streams are held up as soon as their client stops reading.
async fn narrow(world: &World) -> Channel {
    let endpoint = Endpoint::from_shared(world.url().to_owned()).unwrap();
    endpoint.initial_stream_window_size(WINDOW).connect().await.unwrap()
}

async fn open(channel: &Channel, person: &Person, token: &str) -> Streaming<WatchResponse> {
    let message = WatchRequest { resume_token: token.to_owned(), ..Default::default() };
    let mut request = Request::new(message);
    let bearer = format!("Bearer {}", access_token(person)).parse().unwrap();
    request.metadata_mut().insert("authorization", bearer);
    let mut client = FeedServiceClient::new(channel.clone());
    let mut feed = client.watch(request).await.unwrap().into_inner();
    assert!(feed.message().await.unwrap().unwrap().event.is_none());
    feed
}

/// Reads on up to this event; each must be the one behind the last. The token of the last message.
async fn read(
    feed: &mut Streaming<WatchResponse>,
    next: &mut usize,
    last: usize,
) -> Result<String, (String, Status)> {
    let mut token = String::new();
    while *next <= last {
        let message = tokio::time::timeout(Duration::from_secs(20), feed.message()).await;
        let message = match message.unwrap() {
            Ok(message) => message.unwrap(),
            Err(status) => return Err((token, status)),
        };
        if let Some(event) = told(&message) {
            assert_eq!(number(event), *next);
            *next += 1;
        }
        token = message.resume_token;
    }
    Ok(token)
}

/// Seen to fail when a full queue loses its newest event instead of falling behind.
#[tokio::test(flavor = "multi_thread")]
async fn who_falls_behind_reads_on_without_loss() {
    let world = World::start().await;
    let asha = world.patient().await;
    let channel = narrow(&world).await;
    let mut slow = open(&channel, &asha, "").await;
    let mut lively = open(&channel, &asha, "").await;
    let (mut at, mut slow_at) = (1, 1);
    for round in 0..4 {
        // Several times what the queue, the window and the encoder hold together.
        let (first, last) = (round * 1_000 + 1, (round + 1) * 1_000);
        emit(&world, &asha.id, first, last).await;
        read(&mut lively, &mut at, last).await.unwrap();
        // It takes a little now and then, and catches up in the middle.
        let up_to = if round == 1 { last } else { slow_at + 50 };
        read(&mut slow, &mut slow_at, up_to).await.unwrap();
    }
    read(&mut slow, &mut slow_at, 4_000).await.unwrap();
    emit(&world, &asha.id, 4_001, 4_003).await;
    read(&mut slow, &mut slow_at, 4_003).await.unwrap();
    read(&mut lively, &mut at, 4_003).await.unwrap();
    world.finish().await;
}

/// Seen to fail while the stream itself read from the database: those who had stopped reading in the
/// middle of that kept all connections that streams may use, and were never given up.
#[tokio::test(flavor = "multi_thread")]
async fn readers_that_stall_are_given_up_and_nobody_else() {
    const STALLED: usize = 6;
    let world = World::start().await;
    let asha = world.patient().await;
    let channel = narrow(&world).await;
    let mut lively = open(&channel, &asha, "").await;
    let mut stalled = Vec::new();
    for _ in 0..STALLED {
        stalled.push(open(&channel, &asha, "").await);
    }
    let mut at = 1;
    emit(&world, &asha.id, 1, 1).await;
    let begin = read(&mut lively, &mut at, 1).await.unwrap();
    emit(&world, &asha.id, 2, 1_000).await;
    read(&mut lively, &mut at, 1_000).await.unwrap();
    let mut late = open(&channel, &asha, &begin).await;
    read(&mut late, &mut 2, 1_000).await.unwrap();
    world.advance(SignedDuration::from_secs(61));
    tokio::time::sleep(Duration::from_millis(400)).await;
    emit(&world, &asha.id, 1_001, 1_010).await;
    read(&mut lively, &mut at, 1_010).await.unwrap();
    read(&mut late, &mut 1_001, 1_010).await.unwrap();

    for mut feed in stalled {
        // What was on its way arrives, and then the reason.
        let mut at = 1;
        let (token, status) = read(&mut feed, &mut at, 1_010).await.unwrap_err();
        refused(Err::<(), _>(Error::from(status)), Code::Aborted, "FEED_READER_STALLED");
        assert!((100..900).contains(&at), "{at}");
        let mut again = open(&channel, &asha, &token).await;
        read(&mut again, &mut at, 1_010).await.unwrap();
    }
    emit(&world, &asha.id, 1_011, 1_011).await;
    read(&mut lively, &mut at, 1_011).await.unwrap();
    world.finish().await;
}

/// With the deadline of calls it would be cut off, and a checkpoint would come with each stream that is
/// opened anew.
#[tokio::test(flavor = "multi_thread")]
async fn a_watched_feed_outlives_the_deadline_of_calls() {
    let world = World::start().await;
    let asha = world.patient().await;
    let hasty = asha.client.with_deadline(Duration::from_millis(500));
    let mut feed = hasty
        .watch(WatchRequest { kinds: vec![ResourceKind::Account.into()], ..Default::default() });
    assert!(feed.try_next().await.unwrap().unwrap().event.is_none());
    let more = tokio::time::timeout(Duration::from_secs(2), feed.try_next()).await;
    assert!(more.is_err(), "{more:?}");
    emit(&world, &asha.id, 1, 1).await;
    assert_eq!(number(&feed.try_next().await.unwrap().unwrap().event.unwrap()), 1);
    world.finish().await;
}
