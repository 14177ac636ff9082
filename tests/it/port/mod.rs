//! The one port: native gRPC, grpc-web and a little HTTP, as clients see it that are not ours.

mod deadlines;
mod drain;
pub(crate) mod health;
mod limits;
mod listener;
mod overload;
mod peers;
mod rates;
mod tickets;
mod web;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use clinicd_proto::rpc::Rpc;
use clinicd_sdk::Error;
use http::{HeaderMap, HeaderName, HeaderValue, Request};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tonic::{Code, Status};

const GRPC: (&str, &str) = ("content-type", "application/grpc");
const WEB: (&str, &str) = ("content-type", "application/grpc-web+proto");
/// Flag of a frame that holds trailers, in grpc-web.
const TRAILERS: u8 = 0x80;

type Headers<'a> = &'a [(&'a str, &'a str)];

/// An answer, over any protocol.
#[derive(Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    headers: HeaderMap,
    /// What came after the body, or in its last frame.
    trailers: HeaderMap,
    body: Vec<u8>,
}

impl Answer {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// A header as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// How a gRPC call ended.
    fn outcome(&self) -> Status {
        assert_eq!(self.status, 200, "{self:?}");
        let status = [&self.trailers, &self.headers].into_iter().find_map(Status::from_header_map);
        status.unwrap_or_else(|| panic!("no status: {self:?}"))
    }

    /// The messages of a gRPC answer, or its refusal as the SDK shows it.
    fn messages<M: prost::Message + Default>(&self) -> Result<Vec<M>, Error> {
        let status = self.outcome();
        if status.code() != Code::Ok {
            return Err(status.into());
        }
        let data = frames(&self.body).into_iter().filter(|(flag, _)| flag & TRAILERS == 0);
        Ok(data.map(|(_, message)| M::decode(message.as_slice()).unwrap()).collect())
    }
}

/// A message as gRPC frames it.
fn frame(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    [&[0], &length[..], message].concat()
}

fn frames(mut body: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut frames = Vec::new();
    while let Some((head, rest)) = body.split_at_checked(5) {
        let length = u32::from_be_bytes(head[1..].try_into().unwrap());
        let (message, rest) = rest.split_at(usize::try_from(length).unwrap());
        frames.push((head[0], message.to_vec()));
        body = rest;
    }
    frames
}

fn headers_of(lines: &str) -> HeaderMap {
    let pairs = lines.lines().filter_map(|line| line.split_once(':'));
    let header = |(name, value): (&str, &str)| {
        let name = name.trim().parse::<HeaderName>().unwrap();
        (name, value.trim().parse::<HeaderValue>().unwrap())
    };
    pairs.map(header).collect()
}

/// A call over native gRPC, as the SDK would make it, but with these headers and these bytes.
async fn native(url: &str, path: &str, headers: Headers<'_>, body: Vec<u8>) -> Answer {
    native_with(url, "POST", path, headers, body).await
}

async fn native_with(
    url: &str,
    method: &str,
    path: &str,
    headers: Headers<'_>,
    body: Vec<u8>,
) -> Answer {
    let socket = TcpStream::connect(url.strip_prefix("http://").unwrap()).await.unwrap();
    native_on(socket, url, method, path, headers, body).await
}

/// The same on a connection that was made elsewhere.
async fn native_on(
    socket: TcpStream,
    url: &str,
    method: &str,
    path: &str,
    headers: Headers<'_>,
    body: Vec<u8>,
) -> Answer {
    let (client, connection) = h2::client::handshake(socket).await.unwrap();
    tokio::spawn(connection);
    let mut request = Request::builder().method(method).uri(format!("{url}{path}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut client = client.ready().await.unwrap();
    let (answer, mut stream) = client.send_request(request.body(()).unwrap(), false).unwrap();
    // A server that refuses the head need not take the body.
    let _ = stream.send_data(Bytes::from(body), true);
    let (head, mut body) = answer.await.unwrap().into_parts();
    let mut bytes = Vec::new();
    while let Some(data) = body.data().await {
        let data = data.unwrap();
        body.flow_control().release_capacity(data.len()).unwrap();
        bytes.extend(data);
    }
    let trailers = body.trailers().await.unwrap().unwrap_or_default();
    Answer { status: head.status.as_u16(), headers: head.headers, trailers, body: bytes }
}

/// A call of a browser: grpc-web over HTTP/1.1, in the encoding that `content-type` names.
async fn web<R: Rpc>(url: &str, request: &R, headers: Headers<'_>) -> Answer {
    web_bytes(url, R::PATH, headers, frame(&request.encode_to_vec())).await
}

async fn web_bytes(url: &str, path: &str, headers: Headers<'_>, body: Vec<u8>) -> Answer {
    let text = headers.iter().any(|(_, value)| value.starts_with("application/grpc-web-text"));
    let body = if text { STANDARD.encode(body).into_bytes() } else { body };
    let mut answer = plain(url, "POST", path, headers, &body).await;
    if text {
        // Pieces that were encoded one by one, each with its own padding.
        let pieces = answer.body.chunks(4).map(|piece| STANDARD.decode(piece).unwrap());
        answer.body = pieces.collect::<Vec<_>>().concat();
    }
    if answer.status == 200 {
        let last = frames(&answer.body).pop().filter(|(flag, _)| flag & TRAILERS != 0);
        let lines = last.map(|(_, lines)| String::from_utf8(lines).unwrap());
        answer.trailers = headers_of(&lines.unwrap_or_default());
    }
    answer
}

/// `GET` over HTTP/1.1.
pub async fn get(url: &str, path: &str) -> Answer {
    plain(url, "GET", path, &[], &[]).await
}

/// `POST` of a form over HTTP/1.1.
pub async fn post(url: &str, path: &str, form: &str) -> Answer {
    let kind = [("content-type", "application/x-www-form-urlencoded")];
    plain(url, "POST", path, &kind, form.as_bytes()).await
}

/// A request over HTTP/1.1 on a connection of its own.
async fn plain(url: &str, method: &str, path: &str, headers: Headers<'_>, body: &[u8]) -> Answer {
    let address = url.strip_prefix("http://").unwrap();
    let mut socket = TcpStream::connect(address).await.unwrap();
    let length = body.len().to_string();
    let own = [("host", address), ("connection", "close"), ("content-length", &length)];
    let lines = own.iter().chain(headers).map(|(name, value)| format!("{name}: {value}\r\n"));
    let head = format!("{method} {path} HTTP/1.1\r\n{}\r\n", lines.collect::<String>());
    socket.write_all(head.as_bytes()).await.unwrap();
    // A server that refuses the head need not take the body.
    let _ = socket.write_all(body).await;
    let mut bytes = Vec::new();
    socket.read_to_end(&mut bytes).await.unwrap();
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    let head = std::str::from_utf8(&bytes[..end]).unwrap();
    let (status, lines) = head.split_once("\r\n").unwrap();
    let status = status.split(' ').nth(1).unwrap().parse().unwrap();
    let headers = headers_of(lines);
    let body = &bytes[end + 4..];
    let chunked = headers.get("transfer-encoding").is_some_and(|value| value == "chunked");
    let body = if chunked { unchunked(body) } else { body.to_vec() };
    Answer { status, headers, trailers: HeaderMap::new(), body }
}

fn unchunked(mut body: &[u8]) -> Vec<u8> {
    let mut whole = Vec::new();
    while let Some(end) = body.windows(2).position(|two| two == b"\r\n") {
        let length = std::str::from_utf8(&body[..end]).unwrap();
        let length = usize::from_str_radix(length, 16).unwrap();
        if length == 0 {
            break;
        }
        whole.extend(&body[end + 2..end + 2 + length]);
        body = &body[end + 2 + length + 2..];
    }
    whole
}

/// Begins a transaction as the owner of the database, and holds what this takes until it is rolled
/// back or dropped.
pub async fn hold(database_url: &str, sql: &str) -> tokio_postgres::Client {
    let (client, connection) =
        tokio_postgres::connect(database_url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    client.batch_execute(&format!("BEGIN; {sql}")).await.unwrap();
    client
}
