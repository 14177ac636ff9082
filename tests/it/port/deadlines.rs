//! Time limits of what is sent and of what is answered.

use std::time::{Duration, Instant};

use clinicd_proto::rpc::Rpc as _;
use clinicd_sdk::proto::directory::v1::SearchDoctorsRequest;
use clinicd_sdk::proto::feed::v1::{WatchRequest, WatchResponse};
use clinicd_sdk::proto::identity::v1::SignInRequest;
use clinicd_tests::{Code, World, wire};
use http::{HeaderMap, Request};
use tokio::io::AsyncReadExt as _;
use tonic::Status;
use tonic_types::StatusExt as _;

use super::peers::{Peer, is_served};
use super::{GRPC, WEB, frame, frames, native, web_bytes};

const SOON: Duration = Duration::from_secs(3);

/// Seen to fail while only the beginning of an answer had a deadline: the stream went on.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_at_its_deadline() {
    let app = "https://app.example.org";
    let world = World::start_with(|config| config.cors_origins = vec![app.to_owned()]).await;
    let asha = world.patient().await;
    let token = format!("Bearer {}", wire::access_token(&asha));
    let more = [("grpc-timeout", "600m"), ("origin", app), ("authorization", &*token)];
    let headers = |first| [&[first], &more[..]].concat();
    for web in [false, true] {
        let began = Instant::now();
        let answer = if web {
            web_bytes(world.url(), WatchRequest::PATH, &headers(WEB), frame(&[])).await
        } else {
            native(world.url(), WatchRequest::PATH, &headers(GRPC), frame(&[])).await
        };
        let took = began.elapsed();
        assert!((Duration::from_millis(500)..SOON).contains(&took), "{took:?}");
        assert!(!frames(&answer.body).is_empty(), "it had begun");
        let first = &frames(&answer.body)[0].1;
        let first = <WatchResponse as prost::Message>::decode(first.as_slice()).unwrap();
        assert!(!first.resume_token.is_empty());
        let status = answer.outcome();
        let info = status.get_details_error_info().unwrap();
        assert_eq!((status.code(), &*info.reason), (Code::DeadlineExceeded, "DEADLINE_EXCEEDED"));
        assert_eq!(answer.header("access-control-allow-origin"), Some(app));
    }
    world.finish().await;
}

/// Also of what would run to its end once begun. Seen to fail with places taken at the head: the
/// one place was held by a call that had not come.
#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_does_not_come_is_not_waited_for() {
    let world = World::start_with(|config| {
        config.limits.message_millis = 700;
        config.limits.work_calls = Some(1);
        config.limits.sign_in_calls = 1;
        config.limits.work_wait_millis = 100;
        config.limits.sign_in_wait_millis = 100;
    })
    .await;
    for path in [SearchDoctorsRequest::PATH, SignInRequest::PATH] {
        let (one, other) = tokio::join!(drip_native(&world, path), drip_web(&world, path));
        for (status, took) in [one, other] {
            assert_eq!(status.code(), Code::DeadlineExceeded, "{path}: {status:?}");
            assert!((Duration::from_millis(600)..SOON).contains(&took), "{took:?}");
        }
    }
    world.finish().await;
}

/// Sends half a message. Meanwhile another call is answered.
async fn drip_native(world: &World, path: &str) -> (Status, Duration) {
    let socket = Peer::connect(world.url()).await.0;
    let (client, connection) = h2::client::handshake(socket).await.unwrap();
    tokio::spawn(connection);
    let mut client = client.ready().await.unwrap();
    let request = Request::post(format!("{}{path}", world.url())).header(GRPC.0, GRPC.1);
    let (answer, mut body) = client.send_request(request.body(()).unwrap(), false).unwrap();
    let began = Instant::now();
    body.send_data(frame(&[0; 30])[..20].to_vec().into(), false).unwrap();
    is_served(&world.client(), SOON).await;
    let (head, _body) = answer.await.unwrap().into_parts();
    (Status::from_header_map(&head.headers).unwrap(), began.elapsed())
}

/// The same as a browser would.
async fn drip_web(world: &World, path: &str) -> (Status, Duration) {
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: clinic\r\n{}: {}\r\ncontent-length: 35\r\n\r\n",
        WEB.0, WEB.1
    );
    let began = Instant::now();
    let mut peer = Peer::saying(world.url(), head.as_bytes()).await;
    peer.say(&frame(&[0; 30])[..20]).await;
    let mut answer = Vec::new();
    while !answer.windows(4).any(|four| four == b"\r\n\r\n") {
        answer.push(peer.0.read_u8().await.unwrap());
    }
    let took = began.elapsed();
    let head = String::from_utf8(answer).unwrap();
    let headers: HeaderMap = super::headers_of(head.split_once("\r\n").unwrap().1);
    (Status::from_header_map(&headers).unwrap(), took)
}
