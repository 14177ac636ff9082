//! G3: no lost event. That readers miss nothing while transactions commit out of order is tested
//! with delays beside the kernel; here the whole way through servers and SDK is followed.

use std::time::Duration;

use clinicd_sdk::proto::feed::v1::{Event, ListEventsRequest, WatchRequest};
use clinicd_sdk::proto::profiles::v1::{GetMyPatientRequest, UpdateMyPatientRequest};
use clinicd_sdk::proto::prost_types::Timestamp;
use clinicd_sdk::proto::r#type::v1::Date;
use clinicd_sdk::{Changes, Client};
use clinicd_tests::expect::SOON;
use clinicd_tests::people::PASSWORD;
use clinicd_tests::{World, eventually};
use futures_util::TryStreamExt as _;

use super::{book, cancel, free_slots};

const WRITERS: usize = 16;
const ROUNDS: usize = 5;
/// A booking, its cancellation and a changed profile.
const CHANGES: usize = 3;
const EVENTS: usize = WRITERS * ROUNDS * CHANGES;

/// Makes changes in a row; each is one event.
async fn write(client: Client, doctor: String, slot: Timestamp) {
    let patient = client.send(GetMyPatientRequest {}).await.unwrap().patient.unwrap();
    let mut etag = patient.etag;
    for round in 0..ROUNDS {
        let booked = client.send(book(&doctor, slot)).await.unwrap().appointment.unwrap();
        let year = 1980 + i32::try_from(round).unwrap();
        let change = UpdateMyPatientRequest {
            etag,
            birth_date: Some(Date { year, month: 5, day: 17 }),
            ..Default::default()
        };
        etag = client.send(change).await.unwrap().patient.unwrap().etag;
        client.send(cancel(&booked)).await.unwrap();
    }
}

/// Reads on by single calls, a few events at a time.
async fn list(client: Client, mut token: String) -> Vec<String> {
    let mut seen = Vec::new();
    let reading = async {
        while seen.len() < EVENTS {
            let request =
                ListEventsRequest { resume_token: token.clone(), max_events: 7, kinds: vec![] };
            let found = client.send(request).await.unwrap();
            token = found.resume_token;
            seen.extend(found.events.into_iter().map(|event| event.id));
        }
    };
    let ended = tokio::time::timeout(3 * SOON, reading).await;
    assert!(ended.is_ok(), "after {} of {EVENTS} events nothing came", seen.len());
    seen
}

/// Watches; after every so many messages it drops the stream and goes on with the last token.
async fn watch(client: Client, mut token: String, messages: usize) -> Vec<String> {
    let mut seen = Vec::new();
    while seen.len() < EVENTS {
        let request = WatchRequest { resume_token: token.clone(), kinds: vec![] };
        let mut feed = client.watch(request);
        for _ in 0..messages {
            let (event, resume) = next(&mut feed, seen.len()).await;
            token = resume;
            seen.extend(event.map(|event| event.id));
            if seen.len() == EVENTS {
                break;
            }
        }
    }
    seen
}

async fn next(feed: &mut Changes, seen: usize) -> (Option<Event>, String) {
    let message = tokio::time::timeout(3 * SOON, feed.try_next()).await;
    let message =
        message.unwrap_or_else(|_| panic!("after {seen} of {EVENTS} events nothing came"));
    let message = message.unwrap().unwrap();
    (message.event, message.resume_token)
}

/// The token of the feed's end, when all its events can be read, and their number.
async fn end(world: &World, admin: &Client) -> (String, usize) {
    let mut known = (String::new(), 0);
    eventually("the whole feed can be read", async || {
        let request = ListEventsRequest {
            resume_token: known.0.clone(),
            max_events: 1_000,
            ..Default::default()
        };
        let found = admin.send(request).await.unwrap();
        known = (found.resume_token, known.1 + found.events.len());
        world.sql("SELECT id FROM events").await.len() == known.1
    })
    .await;
    known
}

#[tokio::test(flavor = "multi_thread")]
async fn all_readers_see_every_event_once_in_one_order() {
    let world = World::start().await;
    let second = world.second_server().await;
    let doctor = world.doctor().await;
    let admin = world.admin().await;
    let admin_there = second.client().sign_in(&admin.email, PASSWORD).await.unwrap();
    let crowd = world.crowd(WRITERS).await;
    let slots = free_slots(&world, &doctor.id, 2, 3).await;
    let (token, before) = end(&world, &admin.client).await;

    let readers = [
        tokio::spawn(list(admin_there.clone(), token.clone())),
        tokio::spawn(watch(admin.client.clone(), token.clone(), usize::MAX)),
        tokio::spawn(watch(admin_there, token, 20)),
    ];
    let writers = crowd.into_iter().zip(slots).enumerate().map(|(number, (person, slot))| {
        let client = if number.is_multiple_of(2) {
            person.client
        } else {
            let tokens = person.client.tokens().unwrap();
            second.client().with_tokens(person.id, tokens).unwrap()
        };
        tokio::spawn(write(client, doctor.id.clone(), slot))
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    let written = format!("SELECT id FROM events ORDER BY xid, seq OFFSET {before}");
    let written = world.sql(&written).await.concat();
    assert_eq!(written.len(), EVENTS);
    for reader in readers {
        assert_eq!(reader.await.unwrap(), written);
    }
    // Nothing comes twice afterwards.
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(end(&world, &admin.client).await.1, before + EVENTS);
    world.finish().await;
}
