//! G3: no lost event, followed the whole way through servers and SDK.

use std::time::Duration;

use clinicd_sdk::Client;
use clinicd_sdk::proto::feed::v1::{ListEventsRequest, WatchRequest};
use clinicd_sdk::proto::profiles::v1::{GetMyPatientRequest, UpdateMyPatientRequest};
use clinicd_sdk::proto::prost_types::Timestamp;
use clinicd_sdk::proto::r#type::v1::Date;
use clinicd_server::kernel::ids::Ids;
use clinicd_tests::people::PASSWORD;
use clinicd_tests::{Process, World, eventually, full};
use futures_util::TryStreamExt as _;
use tokio::time::{Instant, timeout_at};
use tokio_postgres::NoTls;

use super::{book, cancel, free_slots};
use crate::feed::web::WebFeed;

const WRITERS: usize = 16;
const ROUNDS: usize = 5;
/// A booking, its cancellation and a changed profile.
const CHANGES: usize = 3;
const EVENTS: usize = WRITERS * ROUNDS * CHANGES;
/// Longest time that a reader may take to see everything.
fn patience() -> Duration {
    Duration::from_secs(if full() { 600 } else { 30 })
}

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
async fn list(client: Client, mut token: String, events: usize) -> Vec<String> {
    let mut seen = Vec::new();
    let reading = async {
        while seen.len() < events {
            let request =
                ListEventsRequest { resume_token: token.clone(), max_events: 7, kinds: vec![] };
            let found = client.send(request).await.unwrap();
            token = found.resume_token;
            seen.extend(found.events.into_iter().map(|event| event.id));
        }
    };
    let ended = tokio::time::timeout(patience(), reading).await;
    assert!(ended.is_ok(), "after {} of {events} events nothing came", seen.len());
    seen
}

/// Watches; after every so many messages it drops the stream and goes on with the last token, here
/// or there.
async fn watch(
    clients: Vec<Client>,
    mut token: String,
    events: usize,
    messages: impl Fn() -> usize,
) -> Vec<String> {
    let mut seen = Vec::new();
    let ends = Instant::now() + patience();
    for client in clients.iter().cycle() {
        let request = WatchRequest { resume_token: token.clone(), ..Default::default() };
        let mut feed = client.watch(request);
        for _ in 0..messages() {
            if seen.len() >= events {
                return seen;
            }
            // Tokens keep coming while nothing happens.
            let message = timeout_at(ends, feed.try_next()).await;
            let message = message.unwrap_or_else(|_| panic!("{} of {events} came", seen.len()));
            let message = message.unwrap().unwrap();
            token = message.resume_token;
            seen.extend(message.event.map(|event| event.id));
        }
    }
    seen
}

/// From now on nobody is told anything: messages have events too, whose number depends on jobs.
async fn without_messages(world: &World) {
    world.settle().await;
    world
        .batch(
            "CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS \
                'BEGIN RETURN NULL; END'; \
             CREATE TRIGGER nothing BEFORE INSERT ON notifications \
                FOR EACH ROW EXECUTE FUNCTION nothing();",
        )
        .await;
}

/// Watches as a browser does, over grpc-web; after every so many messages it goes on with the last
/// token, here or there.
async fn browse(
    clients: Vec<(String, Client)>,
    mut token: String,
    events: usize,
    messages: impl Fn() -> usize,
) -> Vec<String> {
    let mut seen = Vec::new();
    let ends = Instant::now() + patience();
    for (url, client) in clients.iter().cycle() {
        let access = client.tokens().unwrap().access_token;
        let mut feed = WebFeed::open(url, &access, &token).await;
        for _ in 0..messages() {
            if seen.len() >= events {
                return seen;
            }
            let message = timeout_at(ends, feed.message()).await;
            let message = message.unwrap_or_else(|_| panic!("{} of {events} came", seen.len()));
            let message = message.unwrap();
            token = message.resume_token;
            seen.extend(message.event.map(|event| event.id));
        }
    }
    seen
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

/// Seen to fail without the bound of `EventsAfter` by the oldest transaction: readers waited for
/// events that had appeared behind them, or held tokens that no server took (`FEED_TOKEN_INVALID`).
#[tokio::test(flavor = "multi_thread")]
async fn all_readers_see_every_event_once_in_one_order() {
    let world = World::start().await;
    let second = world.second_server().await;
    let doctor = world.doctor().await;
    let admin = world.admin().await;
    let admin_there = second.client().sign_in(&admin.email, PASSWORD).await.unwrap();
    let crowd = world.crowd(WRITERS).await;
    let slots = free_slots(&world, &doctor.id, 2, 3).await;
    without_messages(&world).await;
    let (token, before) = end(&world, &admin.client).await;

    let readers = [
        tokio::spawn(list(admin_there.clone(), token.clone(), EVENTS)),
        tokio::spawn(watch(vec![admin.client.clone()], token.clone(), EVENTS, || usize::MAX)),
        tokio::spawn(watch(vec![admin_there], token, EVENTS, || 20)),
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

/// A number below `below`, that nobody can foresee.
fn random(ids: &Ids, below: u64) -> u64 {
    let [.., a, b] = *ids.next().as_bytes();
    u64::from(u16::from_be_bytes([a, b])) % below
}

/// Emits events by transactions of the server's role that take their time between the event and the
/// commit; some are rolled back.
async fn emit_slowly(database: String, ids: Ids, rounds: usize) {
    let (client, connection) = tokio_postgres::connect(&database, NoTls).await.unwrap();
    tokio::spawn(connection);
    client.batch_execute("SET ROLE clinicd_app").await.unwrap();
    for round in 0..rounds {
        let pause = random(&ids, 60);
        let emit = |id: uuid::Uuid| {
            format!(
                "INSERT INTO events (id, created_at, event_type, resource_kind, resource_id) \
                 VALUES ('{id}', now(), 'doctor.updated', 'doctor', '{id}'); \
                 SELECT pg_sleep({pause} / 1000.0);"
            )
        };
        let undone = format!("BEGIN; {} ROLLBACK", emit(ids.next()));
        if round.is_multiple_of(4) {
            client.batch_execute(&undone).await.unwrap();
        }
        let two = emit(ids.next()) + &emit(ids.next());
        client.batch_execute(&format!("BEGIN; {two} COMMIT")).await.unwrap();
    }
}

/// Seen to fail without the bound of `EventsAfter` by the oldest transaction, as the test above.
#[tokio::test(flavor = "multi_thread")]
async fn readers_that_come_and_go_miss_nothing_of_slow_writers() {
    let (slow, rounds) = if full() { (64, 50) } else { (64, 3) };
    let world = World::start_with(|config| config.database_connections = 10).await;
    let doctor = world.doctor().await;
    let admin = world.admin().await;
    let crowd = world.crowd(WRITERS).await;
    let slots = free_slots(&world, &doctor.id, 2, 3).await;
    let (one, other) = tokio::join!(Process::start(&world), Process::start(&world));
    let mut admins = Vec::new();
    for process in [&one, &other] {
        admins.push(process.client().sign_in(&admin.email, PASSWORD).await.unwrap());
    }
    without_messages(&world).await;
    let (token, before) = end(&world, &admin.client).await;
    let events = EVENTS + slow * rounds * 2;

    let mut readers = vec![
        tokio::spawn(list(admins[0].clone(), token.clone(), events)),
        tokio::spawn(list(admins[1].clone(), token.clone(), events)),
    ];
    for most in [3, 10, 40, 200] {
        let ids = world.app.ids.clone();
        let messages = move || usize::try_from(1 + random(&ids, most)).unwrap();
        readers.push(tokio::spawn(watch(admins.clone(), token.clone(), events, messages)));
    }
    for most in [20, 300] {
        let ids = world.app.ids.clone();
        let messages = move || usize::try_from(1 + random(&ids, most)).unwrap();
        let here = [&one, &other].into_iter().map(|process| process.url.clone());
        let clients = here.zip(admins.clone()).collect();
        readers.push(tokio::spawn(browse(clients, token.clone(), events, messages)));
    }
    let mut writers = Vec::new();
    for (number, (person, slot)) in crowd.into_iter().zip(slots).enumerate() {
        let process = if number.is_multiple_of(2) { &one } else { &other };
        let tokens = person.client.tokens().unwrap();
        let client = process.client().with_tokens(person.id, tokens).unwrap();
        writers.push(tokio::spawn(write(client, doctor.id.clone(), slot)));
    }
    for _ in 0..slow {
        let (url, ids) = (world.database_url().to_owned(), world.app.ids.clone());
        writers.push(tokio::spawn(emit_slowly(url, ids, rounds)));
    }
    for writer in writers {
        writer.await.unwrap();
    }
    let written = format!("SELECT id FROM events ORDER BY xid, seq OFFSET {before}");
    let written = world.sql(&written).await.concat();
    assert_eq!(written.len(), events);
    for reader in readers {
        assert!(reader.await.unwrap() == written, "a reader saw something else");
    }
    assert!(one.terminate().await.success() && other.terminate().await.success());
    world.finish().await;
}
