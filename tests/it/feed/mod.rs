//! The feed as apps read it: what holds for every stream, whatever happens to it.

mod coming;
mod rights;
mod slow;
mod snapshots;
mod tokens;
pub(crate) mod web;

use std::time::Duration;

use clinicd_sdk::Client;
use clinicd_sdk::proto::feed::v1::{Event, WatchRequest, WatchResponse};
use clinicd_tests::World;

/// The feed's messages as the server sends them.
type Feed = clinicd_sdk::Messages<WatchResponse>;

/// Opens a stream from now on, and takes its first message.
async fn open(client: &Client) -> Feed {
    open_with(client, WatchRequest::default()).await
}

async fn open_with(client: &Client, request: WatchRequest) -> Feed {
    let client = client.with_deadline(Duration::from_mins(2));
    let mut feed = client.stream(request).await.unwrap();
    assert!(feed.message().await.unwrap().unwrap().event.is_none());
    feed
}

/// What a message tells of, where a test has written it: whatever else happens (the welcome of a new
/// account, say) comes at any time.
fn told(message: &WatchResponse) -> Option<&Event> {
    message.event.as_ref().filter(|event| event.resource_id.starts_with("00000000-"))
}

/// The next event.
async fn next(feed: &mut Feed) -> Event {
    loop {
        let message = tokio::time::timeout(Duration::from_secs(20), feed.message());
        if let Some(event) = told(&message.await.unwrap().unwrap().unwrap()) {
            return event.clone();
        }
    }
}

/// SQL that writes events about an account in one transaction, numbered from `first` to `last`, and
/// as old as this.
fn events(account: &str, first: usize, last: usize, age: &str) -> String {
    format!(
        "INSERT INTO events (id, created_at, event_type, resource_kind, resource_id, account_id) \
         SELECT gen_random_uuid(), now() - interval '{age}', 'account.updated', 'account', \
            ('00000000-0000-0000-0000-' || lpad(n::text, 12, '0'))::uuid, '{account}' \
         FROM generate_series({first}, {last}) n;"
    )
}

/// Writes them.
async fn emit(world: &World, account: &str, first: usize, last: usize) {
    world.batch(&events(account, first, last, "0 s")).await;
}

/// The number of an event that was written so.
fn number(event: &Event) -> usize {
    event.resource_id.rsplit('-').next().unwrap().parse().unwrap()
}
