//! What the tests of the ports share: a folder that goes away, keys, and servers to talk to.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use jiff::Timestamp;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use uuid::Uuid;

/// A folder of its own for one test.
pub(crate) struct Folder {
    pub(crate) path: PathBuf,
}

impl Folder {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("clinicd-ports-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let _ = std::fs::remove_dir_all(&path);
        Self { path }
    }

    /// Name and content of what a folder below holds, by name.
    pub(crate) fn files(&self, below: &str) -> Vec<(String, Vec<u8>)> {
        let entries = std::fs::read_dir(self.path.join(below)).unwrap();
        let mut files: Vec<_> = entries
            .map(|entry| entry.unwrap())
            .map(|entry| {
                let name = entry.file_name().into_string().unwrap();
                (name, std::fs::read(entry.path()).unwrap())
            })
            .collect();
        files.sort();
        files
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

/// A point in time: some seconds after ten o'clock.
pub(crate) fn at(second: i64) -> Timestamp {
    let ten: Timestamp = "2026-11-20T10:00:00Z".parse().unwrap();
    Timestamp::from_second(ten.as_second() + second).unwrap()
}

/// The key of a message made at [`at`]`(second)`.
pub(crate) fn key(second: i64) -> Uuid {
    let millis = u64::try_from(at(second).as_millisecond()).unwrap();
    uuid::Builder::from_unix_timestamp_millis(millis, &[7; 10]).into_uuid()
}

/// An HTTP server that gives one answer after the other (status, headers, body), one per
/// connection, and returns the requests.
pub(crate) async fn http_server(
    answers: Vec<(u16, &'static str, String)>,
) -> (String, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let served = tokio::spawn(async move {
        let mut requests = Vec::new();
        for (status, headers, body) in answers {
            let (stream, _) = listener.accept().await.unwrap();
            let mut stream = BufReader::new(stream);
            let mut request = String::new();
            while !request.ends_with("\r\n\r\n") {
                assert_ne!(stream.read_line(&mut request).await.unwrap(), 0);
            }
            let length = request
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "))
                .map_or(0, |length| length.parse().unwrap());
            let mut sent = vec![0; length];
            stream.read_exact(&mut sent).await.unwrap();
            request.push_str(std::str::from_utf8(&sent).unwrap());
            requests.push(request);
            let answer = format!(
                "HTTP/1.1 {status} x\r\n{headers}connection: close\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            );
            stream.write_all(answer.as_bytes()).await.unwrap();
            stream.shutdown().await.unwrap();
        }
        requests
    });
    (base, served)
}

/// An SMTP server for one message that answers RCPT with `rcpt`; returns what it was told.
pub(crate) async fn smtp_server(rcpt: &'static str) -> (u16, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let served = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut stream = BufReader::new(stream);
        let mut told = String::new();
        let mut in_message = false;
        stream.write_all(b"220 test\r\n").await.unwrap();
        loop {
            let mut line = String::new();
            // A peer that gives up closes; that is an end like any other.
            if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
                return told;
            }
            told.push_str(&line);
            let answer = match line.get(..4).unwrap_or_default() {
                _ if in_message && line != ".\r\n" => continue,
                "EHLO" => "250-test\r\n250 8BITMIME",
                "RCPT" => rcpt,
                "DATA" => "354 go on",
                "QUIT" => "221 bye",
                _ => "250 ok",
            };
            in_message = line.starts_with("DATA");
            if stream.write_all(format!("{answer}\r\n").as_bytes()).await.is_err() {
                return told;
            }
        }
    });
    (port, served)
}
