//! The end of a server, whatever its peers do.

use std::time::{Duration, Instant};

use clinicd_proto::rpc::Rpc as _;
use clinicd_sdk::proto::directory::v1::SearchDoctorsRequest;
use clinicd_sdk::proto::feed::v1::{ListEventsRequest, WatchRequest, WatchResponse};
use clinicd_sdk::proto::profiles::v1::{GetMyPatientRequest, UpdateMyPatientRequest};
use clinicd_sdk::proto::r#type::v1::PersonName;
use clinicd_sdk::{Client, Error};
use clinicd_tests::{Code, Person, Process, World, eventually, refused};
use futures_util::future::join_all;

use super::hold;
use super::peers::{END_HEADERS, HEADERS, PREFACE, Peer, frame, head};

/// The person at this process.
fn at(process: &Process, person: &Person) -> Client {
    let tokens = person.client.tokens().unwrap();
    process.client().with_tokens(person.id.clone(), tokens).unwrap()
}

/// The last message of a watched feed, and how it ended.
async fn to_its_end(client: Client) -> (WatchResponse, Error) {
    let mut feed = client.stream(WatchRequest::default()).await.unwrap();
    let mut last = None;
    loop {
        match feed.message().await {
            Ok(message) => last = message,
            Err(error) => return (last.unwrap(), error),
        }
    }
}

/// Peers of every bad kind.
async fn peers(url: &str) -> Vec<Peer> {
    let mut peers = Vec::new();
    for said in [b"".as_slice(), b"", &PREFACE[..20], b"POST / HTTP/1.1\r\nho", PREFACE, PREFACE] {
        peers.push(Peer::saying(url, said).await);
    }
    peers
}

/// Waits until so many searches wait for the lock.
async fn search_waits(world: &World) {
    let waiting = "SELECT FROM pg_locks WHERE NOT granted AND relation = 'doctors'::regclass";
    eventually("the search waits", async || !world.sql(waiting).await.is_empty()).await;
}

/// Seen to fail while connections without calls were waited for: it took the whole 25 s.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_ends_in_time_and_loses_nothing() {
    let world = World::start().await;
    let asha = world.patient().await;
    let process = Process::start(&world).await;
    let silent = peers(&process.url).await;
    let feeds: Vec<_> = (0..5).map(|_| tokio::spawn(to_its_end(at(&process, &asha)))).collect();
    let lock = hold(world.database_url(), "LOCK TABLE doctors").await;
    let client = process.client();
    let search = tokio::spawn(async move { client.send(SearchDoctorsRequest::default()).await });
    search_waits(&world).await;
    tokio::time::sleep(Duration::from_millis(300)).await;

    let (began, url) = (Instant::now(), process.url.clone());
    let ending = tokio::spawn(process.terminate());
    // The streams end while the call in flight is waited for.
    let ends: Vec<_> = join_all(feeds).await.into_iter().map(Result::unwrap).collect();
    assert!(!ending.is_finished() && !search.is_finished());
    assert!(tokio::net::TcpStream::connect(url.strip_prefix("http://").unwrap()).await.is_err());
    lock.batch_execute("ROLLBACK").await.unwrap();
    search.await.unwrap().unwrap();
    assert!(ending.await.unwrap().success());
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    for mut peer in silent {
        assert!(peer.is_closed_within(Duration::from_secs(1)).await);
    }

    // What happens meanwhile is found behind the last words of each.
    let patient = asha.client.send(GetMyPatientRequest {}).await.unwrap().patient.unwrap();
    let name = PersonName { given: "Asha".to_owned(), family: "Iyer".to_owned() };
    let change =
        UpdateMyPatientRequest { etag: patient.etag, name: Some(name), ..Default::default() };
    asha.client.send(change).await.unwrap();
    for (last, ended) in ends {
        refused(Err::<(), _>(ended), Code::Unavailable, "UNAVAILABLE");
        assert!(last.event.is_none());
        let request = ListEventsRequest { resume_token: last.resume_token, ..Default::default() };
        let found = async || asha.client.send(request.clone()).await.unwrap().events.len();
        eventually("the change is found", async || found().await == 1).await;
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn peers_that_never_end_are_cut() {
    let world = World::start().await;
    let process = Process::start_with(&world, |command| {
        command.env("CLINICD_LIMITS__DRAIN_MILLIS", "1500");
    })
    .await;
    let mut peers = peers(&process.url).await;
    let lock = hold(world.database_url(), "LOCK TABLE doctors").await;
    // A call whose message does not come, one that hangs, and one whose answer nobody reads.
    for body in [&b""[..], &super::frame(&[])] {
        let mut peer = Peer::saying(&process.url, PREFACE).await;
        peer.say(&frame(HEADERS, END_HEADERS, 1, &head(SearchDoctorsRequest::PATH))).await;
        peer.say(&frame(0, u8::from(!body.is_empty()), 1, body)).await;
        peers.push(peer);
    }
    let head = "POST /clinicd.directory.v1.DirectoryService/SearchDoctors HTTP/1.1\r\n\
                host: clinic\r\ncontent-type: application/grpc-web\r\ncontent-length: 9\r\n\r\n";
    peers.push(Peer::saying(&process.url, head.as_bytes()).await);
    search_waits(&world).await;
    let began = Instant::now();
    assert!(process.terminate().await.success());
    let took = began.elapsed();
    assert!((Duration::from_millis(1_400)..Duration::from_secs(6)).contains(&took), "{took:?}");
    for mut peer in peers {
        assert!(peer.is_closed_within(Duration::from_secs(1)).await);
    }
    lock.batch_execute("ROLLBACK").await.unwrap();
    world.finish().await;
}
