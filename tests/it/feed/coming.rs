//! Streams that come when the last one has just gone.

use std::time::Duration;

use clinicd_sdk::proto::feed::v1::WatchRequest;
use clinicd_tests::World;

use super::{emit, next, number, open, open_with};

/// The hub ends its work when no stream is left. Whoever comes at that moment must find it at work.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_comes_as_the_last_one_goes_gets_its_events() {
    let world = World::start().await;
    let asha = world.patient().await;
    for round in 1..=40 {
        let feed = open(&asha.client).await;
        // All through the hub's period of a tenth of a second.
        let pause = u64::try_from(round * 37 % 110).unwrap();
        tokio::time::sleep(Duration::from_millis(pause)).await;
        drop(feed);
        tokio::time::sleep(Duration::from_millis(pause * 7 % 110)).await;
        let mut feed = open_with(&asha.client, WatchRequest::default()).await;
        emit(&world, &asha.id, round, round).await;
        assert_eq!(number(&next(&mut feed).await), round);
    }
    world.finish().await;
}
