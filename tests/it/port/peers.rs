//! Peers that are no clients: they speak in single bytes and frames, or not at all.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use clinicd_sdk::Client;
use clinicd_sdk::proto::directory::v1::SearchDoctorsRequest;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

/// What HTTP/2 begins with, and settings that change nothing.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
/// Kinds of frames.
pub const HEADERS: u8 = 1;
pub const RESET: u8 = 3;
/// Flags of [`HEADERS`]: the head is whole.
pub const END_HEADERS: u8 = 4;

/// A peer.
pub struct Peer(pub TcpStream);

impl Peer {
    /// Connects and says nothing.
    pub async fn connect(url: &str) -> Self {
        Self(TcpStream::connect(address(url)).await.unwrap())
    }

    /// The same from another address of this machine.
    pub async fn connect_from(url: &str, from: [u8; 4]) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((from, 0).into()).unwrap();
        Self(socket.connect(address(url)).await.unwrap())
    }

    /// Connects and says this.
    pub async fn saying(url: &str, bytes: &[u8]) -> Self {
        let mut peer = Self::connect(url).await;
        peer.say(bytes).await;
        peer
    }

    /// A server that has closed the connection need not hear it.
    pub async fn say(&mut self, bytes: &[u8]) {
        let _ = self.0.write_all(bytes).await;
    }

    /// Whether the server closes the connection within this time.
    pub async fn is_closed_within(&mut self, time: Duration) -> bool {
        let ends = Instant::now() + time;
        let mut bytes = [0; 4096];
        while let Some(left) = ends.checked_duration_since(Instant::now()) {
            match timeout(left, self.0.read(&mut bytes)).await {
                Ok(Ok(0)) | Err(_) => return Instant::now() < ends,
                Ok(Ok(_)) => {}
                Ok(Err(error)) => {
                    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
                    return true;
                }
            }
        }
        false
    }

    /// The kind, flags, stream and contents of the next frame; none when the connection has ended.
    pub async fn frame(&mut self) -> Option<(u8, u8, u32, Vec<u8>)> {
        let mut head = [0; 9];
        self.0.read_exact(&mut head).await.ok()?;
        let [a, b, c, kind, flags, stream @ ..] = head;
        let mut contents = vec![0; u32::from_be_bytes([0, a, b, c]).try_into().unwrap()];
        self.0.read_exact(&mut contents).await.ok()?;
        Some((kind, flags, u32::from_be_bytes(stream), contents))
    }
}

fn address(url: &str) -> SocketAddr {
    url.strip_prefix("http://").unwrap().parse().unwrap()
}

/// A frame.
pub fn frame(kind: u8, flags: u8, stream: u32, contents: &[u8]) -> Vec<u8> {
    let length = u32::try_from(contents.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), contents].concat()
}

/// The head of a gRPC call.
pub fn head(path: &str) -> Vec<u8> {
    // Of the static table: POST, http, and the names of path, authority and content type.
    let mut head = vec![0x83, 0x86];
    for (name, value) in
        [(&[0x04][..], path), (&[0x01], "clinic"), (&[0x0f, 0x10], "application/grpc")]
    {
        head.extend_from_slice(name);
        head.push(u8::try_from(value.len()).unwrap());
        head.extend_from_slice(value.as_bytes());
    }
    head
}

/// A call that anybody may make is answered at once.
pub async fn is_served(client: &Client, within: Duration) {
    let began = Instant::now();
    client.send(SearchDoctorsRequest::default()).await.unwrap();
    assert!(began.elapsed() < within, "{:?}", began.elapsed());
}
