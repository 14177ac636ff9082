//! Connections: how many there may be, how long they may do nothing, how they end.

use std::process::Command;
use std::time::{Duration, Instant};

use clinicd_proto::rpc::Rpc as _;
use clinicd_sdk::Client;
use clinicd_sdk::proto::directory::v1::{SearchDoctorsRequest, SearchDoctorsResponse};
use clinicd_sdk::proto::feed::v1::WatchRequest;
use clinicd_tests::{Code, Process, World, eventually, refused};
use futures_util::StreamExt as _;
use futures_util::future::join_all;
use http::Request;
use tokio::net::TcpStream;
use tokio::time::sleep;

use super::health::certificate;
use super::peers::{END_HEADERS, HEADERS, PREFACE, Peer, RESET, frame, head, is_served};
use super::{Answer, GRPC, hold};

const SOON: Duration = Duration::from_secs(3);
const SEARCH: &str = SearchDoctorsRequest::PATH;

/// Seen to fail with more patience: each of them stayed.
#[tokio::test(flavor = "multi_thread")]
async fn peers_that_do_not_begin_are_let_go() {
    let world = World::start_with(|config| {
        config.limits.first_bytes_millis = 400;
        config.limits.first_call_millis = 800;
    })
    .await;
    let mut peers = Vec::new();
    for said in [
        b"".as_slice(),
        b"P",
        &PREFACE[..23],
        b"POST / HTTP/1.1\r\nhost: clinic\r\ncontent-le",
        // Whole prefaces, and never a call.
        &PREFACE[..24],
        PREFACE,
        // Something else.
        b"\x16\x03\x01\x02\x00",
        b"SSH-2.0-peer\r\n",
    ] {
        peers.push((said, Peer::saying(world.url(), said).await));
    }
    // One byte now and then does not help.
    let mut dripping = Peer::connect(world.url()).await;
    for byte in b"POST / HTTP/1" {
        dripping.say(&[*byte]).await;
        sleep(Duration::from_millis(50)).await;
    }
    assert!(dripping.is_closed_within(SOON).await);
    for (said, mut peer) in peers {
        let said = String::from_utf8_lossy(said);
        assert!(peer.is_closed_within(SOON).await, "{said:?}");
    }
    // Who has made a call may wait with the next.
    let client = world.client();
    is_served(&client, SOON).await;
    sleep(Duration::from_secs(1)).await;
    is_served(&client, SOON).await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handshake_that_stalls_is_broken_off() {
    let dir = std::env::temp_dir().join(format!("clinicd-stall-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    if certificate(&dir).is_none() {
        eprintln!("SKIPPED: there is no openssl that could make a certificate");
        return;
    }
    let world = World::start_with(|config| {
        config.tls_certificate = Some(dir.join("certificate.pem"));
        config.tls_key = Some(dir.join("key.pem"));
        config.limits.first_bytes_millis = 400;
    })
    .await;
    for said in [b"".as_slice(), b"\x16\x03\x01", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"] {
        let mut peer = Peer::saying(world.url(), said).await;
        assert!(peer.is_closed_within(SOON).await, "{said:?}");
    }
    let pem = std::fs::read_to_string(dir.join("certificate.pem")).unwrap();
    let url = world.url().replace("http://", "https://");
    is_served(&Client::builder(&url).trust(&pem).connect_lazy().unwrap(), SOON).await;
    std::fs::remove_dir_all(dir).unwrap();
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_has_at_most_a_hundred_streams() {
    let world = World::start().await;
    let lock = hold(world.database_url(), "LOCK TABLE doctors").await;
    let mut peer = Peer::saying(world.url(), PREFACE).await;
    let (kind, _, _, settings) = peer.frame().await.unwrap();
    assert_eq!(kind, 4, "settings");
    let limit = settings.chunks(6).find(|setting| setting[..2] == [0, 3]).unwrap();
    assert_eq!(limit[2..], 100_u32.to_be_bytes());
    // A peer that does not care.
    let head = head(SEARCH);
    for number in 0..150 {
        peer.say(&frame(HEADERS, END_HEADERS, 2 * number + 1, &head)).await;
    }
    let mut refused = 0;
    while refused < 50 {
        let (kind, _, _, contents) = peer.frame().await.unwrap();
        if kind == RESET {
            assert_eq!(contents, 7_u32.to_be_bytes(), "REFUSED_STREAM");
            refused += 1;
        }
    }
    lock.batch_execute("ROLLBACK").await.unwrap();
    is_served(&world.client(), SOON).await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_and_the_process_have_so_many_connections() {
    let world = World::start_with(|config| {
        config.limits.connections = 5;
        config.limits.connections_per_address = 3;
    })
    .await;
    let mut mine = Vec::new();
    for _ in 0..3 {
        mine.push(Peer::saying(world.url(), PREFACE).await);
        assert!(mine.last_mut().unwrap().frame().await.is_some());
    }
    assert!(Peer::connect(world.url()).await.is_closed_within(SOON).await);
    let mut others = Vec::new();
    for _ in 0..2 {
        let mut other = Peer::connect_from(world.url(), [127, 0, 0, 2]).await;
        other.say(PREFACE).await;
        assert!(other.frame().await.is_some(), "another address has places of its own");
        others.push(other);
    }
    let mut third = Peer::connect_from(world.url(), [127, 0, 0, 3]).await;
    assert!(third.is_closed_within(SOON).await, "the process is full");
    drop((mine, others));
    eventually("there is room again", async || {
        world.client().send(SearchDoctorsRequest::default()).await.is_ok()
    })
    .await;
    world.finish().await;
}

/// Ticks of a hundredth of a second that a process has worked.
fn worked(process: &Process) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{}/stat", process.id())).unwrap();
    let fields: Vec<&str> = text.rsplit_once(')').unwrap().1.split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

/// The same command, with so many files that it may open.
fn with_files(command: &mut Command, files: u32) {
    let mut limited = Command::new("sh");
    limited.args(["-c", &format!("ulimit -n {files}; exec \"$0\" \"$@\"")]);
    limited.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        limited.env(name, value.unwrap());
    }
    limited.stdin(std::process::Stdio::null()).stdout(std::process::Stdio::piped());
    *command = limited;
}

/// Seen to fail without the pause: most of a core was busy.
#[tokio::test(flavor = "multi_thread")]
async fn a_process_without_files_waits_for_some() {
    let world = World::start().await;
    let process = Process::start_with(&world, |command| with_files(command, 80)).await;
    let peers = join_all((0..200).map(|_| Peer::connect(&process.url))).await;
    sleep(Duration::from_millis(500)).await;
    let (before, time) = (worked(&process), Duration::from_secs(2));
    sleep(time).await;
    let ticks = worked(&process) - before;
    assert!(ticks <= 40, "more than a fifth of a core: {ticks} ticks in {time:?}");
    drop(peers);
    let released = Instant::now();
    eventually("it serves again", async || {
        process.client().send(SearchDoctorsRequest::default()).await.is_ok()
    })
    .await;
    assert!(released.elapsed() < Duration::from_secs(2), "{:?}", released.elapsed());
    drop(process);
    world.finish().await;
}

/// Seen to fail without the farewell: it took calls for as long as anybody made some.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_of_age_ends_its_calls_and_takes_no_more() {
    let world = World::start_with(|config| {
        config.limits.connection_age_millis = 700;
        config.limits.connection_grace_millis = 2_000;
    })
    .await;
    let lock = hold(world.database_url(), "LOCK TABLE doctors").await;
    let socket = TcpStream::connect(world.url().strip_prefix("http://").unwrap()).await.unwrap();
    let (client, connection) = h2::client::handshake(socket).await.unwrap();
    let connection = tokio::spawn(connection);
    let mut client = client.ready().await.unwrap();
    let request = Request::post(format!("{}{SEARCH}", world.url())).header(GRPC.0, GRPC.1);
    let (answer, mut body) = client.send_request(request.body(()).unwrap(), false).unwrap();
    body.send_data(super::frame(&[]).into(), true).unwrap();
    let began = Instant::now();
    let mut ended = client.clone();
    while futures_util::future::poll_fn(|cx| ended.poll_ready(cx)).await.is_ok() {
        assert!(began.elapsed() < SOON, "no GOAWAY");
        sleep(Duration::from_millis(20)).await;
    }
    assert!(began.elapsed() > Duration::from_millis(500), "{:?}", began.elapsed());
    lock.batch_execute("ROLLBACK").await.unwrap();
    let (head, mut body) = answer.await.unwrap().into_parts();
    let mut bytes = Vec::new();
    while let Some(data) = body.data().await {
        bytes.extend(data.unwrap());
    }
    let trailers = body.trailers().await.unwrap().unwrap();
    let answer =
        Answer { status: head.status.as_u16(), headers: head.headers, trailers, body: bytes };
    answer.messages::<SearchDoctorsResponse>().unwrap();
    drop(client);
    connection.await.unwrap().unwrap();
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_on_a_connection_of_age_is_told_and_goes_on_elsewhere() {
    let world = World::start_with(|config| {
        config.limits.connection_age_millis = 700;
        config.limits.connection_grace_millis = 300;
    })
    .await;
    let asha = world.patient().await;
    let mut feed = asha.client.stream(WatchRequest::default()).await.unwrap();
    let mut token = String::new();
    let ended = loop {
        match feed.message().await {
            Ok(message) => token = message.unwrap().resume_token,
            Err(error) => break error,
        }
    };
    refused(Err::<(), _>(ended), Code::Unavailable, "UNAVAILABLE");
    // The SDK goes on by itself, over several connections.
    let mut watched = asha.client.watch(WatchRequest { resume_token: token, ..Default::default() });
    watched.next().await.unwrap().unwrap();
    for _ in 0..2 {
        watched.next().await.unwrap().unwrap();
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_resets_ends_its_own_connection() {
    let world = World::start().await;
    let mut peer = Peer::saying(world.url(), PREFACE).await;
    let head = head(SEARCH);
    let cancelled = 8_u32.to_be_bytes();
    let flood = tokio::spawn(async move {
        for batch in 0..500 {
            let calls = (0..100).map(|call| 2 * (100 * batch + call) + 1);
            let frames = calls.flat_map(|stream| {
                let call = frame(HEADERS, END_HEADERS, stream, &head);
                [call, frame(RESET, 0, stream, &cancelled)].concat()
            });
            peer.say(&frames.collect::<Vec<u8>>()).await;
        }
        peer.is_closed_within(SOON).await
    });
    let client = world.client();
    while !flood.is_finished() {
        is_served(&client, Duration::from_secs(1)).await;
    }
    assert!(flood.await.unwrap());
    world.finish().await;
}
