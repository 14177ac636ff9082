//! The feed in a browser: grpc-web, which is HTTP/1.1 without flow control per stream.

use std::time::Duration;

use clinicd_proto::rpc::Rpc as _;
use clinicd_sdk::Error;
use clinicd_sdk::proto::feed::v1::{WatchRequest, WatchResponse};
use clinicd_tests::wire::access_token;
use clinicd_tests::{Code, World, refused};
use http::{HeaderMap, HeaderName, HeaderValue};
use prost::Message as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tonic::Status;

use super::{emit, number, told};

/// Flag of a frame that holds trailers.
const TRAILERS: u8 = 0x80;

/// A stream as a browser reads it.
pub(crate) struct WebFeed {
    socket: TcpStream,
    /// What came, chunked.
    raw: Vec<u8>,
    /// What it holds.
    body: Vec<u8>,
}

impl WebFeed {
    /// Opens a stream with this access token, behind this resume token.
    pub(crate) async fn open(url: &str, access: &str, token: &str) -> Self {
        let address = url.strip_prefix("http://").unwrap();
        let mut socket = TcpStream::connect(address).await.unwrap();
        let request = WatchRequest { resume_token: token.to_owned(), ..Default::default() };
        let message = request.encode_to_vec();
        let length = u32::try_from(message.len()).unwrap().to_be_bytes();
        let body = [&[0], &length[..], &message].concat();
        let head = format!(
            "POST {} HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/grpc-web+proto\r\n\
             authorization: Bearer {access}\r\ncontent-length: {}\r\n\r\n",
            WatchRequest::PATH,
            body.len(),
        );
        socket.write_all(&[head.as_bytes(), &body].concat()).await.unwrap();
        let mut feed = Self { socket, raw: Vec::new(), body: Vec::new() };
        let head = loop {
            if let Some(end) = feed.raw.windows(4).position(|four| four == b"\r\n\r\n") {
                break feed.raw.drain(..end + 4).collect::<Vec<_>>();
            }
            feed.receive().await;
        };
        let head = String::from_utf8(head).unwrap().to_lowercase();
        assert!(head.starts_with("http/1.1 200") && head.contains("chunked"), "{head}");
        assert!(feed.message().await.unwrap().event.is_none());
        feed
    }

    async fn receive(&mut self) {
        let reading = self.socket.read_buf(&mut self.raw);
        let read = tokio::time::timeout(Duration::from_secs(20), reading).await.unwrap().unwrap();
        assert_ne!(read, 0, "the connection ended");
    }

    /// Takes whole chunks out of what came.
    fn unchunk(&mut self) {
        while let Some(end) = self.raw.windows(2).position(|two| two == b"\r\n") {
            let length = std::str::from_utf8(&self.raw[..end]).unwrap();
            let length = usize::from_str_radix(length, 16).unwrap();
            if self.raw.len() < end + 2 + length + 2 {
                return;
            }
            self.body.extend_from_slice(&self.raw[end + 2..end + 2 + length]);
            self.raw.drain(..end + 2 + length + 2);
        }
    }

    /// The next message, or how it ended.
    pub(crate) async fn message(&mut self) -> Result<WatchResponse, Error> {
        loop {
            if let Some((head, rest)) = self.body.split_at_checked(5) {
                let length = u32::from_be_bytes(head[1..].try_into().unwrap());
                let (flag, length) = (head[0], usize::try_from(length).unwrap());
                if rest.len() >= length {
                    let content = rest[..length].to_vec();
                    self.body.drain(..5 + length);
                    if flag & TRAILERS == 0 {
                        return Ok(WatchResponse::decode(content.as_slice()).unwrap());
                    }
                    let trailers = trailers(std::str::from_utf8(&content).unwrap());
                    return Err(Status::from_header_map(&trailers).unwrap().into());
                }
            }
            self.receive().await;
            self.unchunk();
        }
    }
}

fn trailers(lines: &str) -> HeaderMap {
    let pairs = lines.lines().filter_map(|line| line.split_once(':'));
    let header = |(name, value): (&str, &str)| {
        let name = name.trim().parse::<HeaderName>().unwrap();
        (name, value.trim().parse::<HeaderValue>().unwrap())
    };
    pairs.map(header).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_that_comes_and_goes_misses_nothing() {
    const EVENTS: usize = 400;
    let world = World::start().await;
    let asha = world.patient().await;
    let access = access_token(&asha);
    let mut feed = WebFeed::open(world.url(), &access, "").await;
    let writing = async {
        for event in 1..=EVENTS {
            emit(&world, &asha.id, event, event).await;
        }
    };
    let reading = async {
        let (mut expected, mut messages) = (1, 0);
        while expected <= EVENTS {
            let message = feed.message().await.unwrap();
            messages += 1;
            if let Some(event) = told(&message) {
                assert_eq!(number(event), expected);
                expected += 1;
            }
            if messages % 7 == 0 {
                feed = WebFeed::open(world.url(), &access, &message.resume_token).await;
            }
        }
    };
    tokio::join!(writing, reading);
    let end = format!("UPDATE sessions SET ended_at = now() WHERE account_id = '{}'", asha.id);
    world.sql(&end).await;
    let ended = feed.message().await;
    refused(ended, Code::Unauthenticated, "UNAUTHENTICATED");
    world.finish().await;
}
