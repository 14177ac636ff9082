//! A partner or provider that is spoken to over HTTP: it keeps what it got and answers as told.
//!
//! ```ignore
//! let double = HttpDouble::start().await;
//! double.next([Answer::status(500), Answer::ok().after(Duration::from_secs(1))]); // then 200s
//! // … double.url …
//! double.got(2).await[1].header("webhook-id");
//! ```

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::expect::eventually;

/// One request, whole.
#[derive(Debug, Clone)]
pub struct Received {
    /// `POST` …
    pub method: String,
    /// Path and query.
    pub path: String,
    /// Names in lower case, in their order.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// When it had come.
    pub at: Instant,
}

impl Received {
    /// A header's value; empty when there is none.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map_or("", |(_, value)| value)
    }

    /// The body as JSON.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// What the double does with a request once it has read it.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// How long it takes its time.
    pub delay: Duration,
    /// Headers beside those of the connection.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// Ends the connection in the place of an answer.
    pub hang_up: bool,
}

impl Answer {
    /// This status and nothing else.
    #[must_use]
    pub fn status(status: u16) -> Self {
        let delay = Duration::ZERO;
        Self { status, delay, headers: Vec::new(), body: Vec::new(), hang_up: false }
    }

    /// All is well.
    #[must_use]
    pub fn ok() -> Self {
        Self::status(200)
    }

    /// No answer: the connection ends.
    #[must_use]
    pub fn hang_up() -> Self {
        Self { hang_up: true, ..Self::ok() }
    }

    /// The same, later.
    #[must_use]
    pub fn after(self, delay: Duration) -> Self {
        Self { delay, ..self }
    }

    /// The same with a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The same with a body.
    #[must_use]
    pub fn body(self, body: impl Into<Vec<u8>>) -> Self {
        Self { body: body.into(), ..self }
    }
}

type Rule = Box<dyn FnMut(&Received) -> Answer + Send>;

struct State {
    received: Vec<Received>,
    next: VecDeque<Answer>,
    rule: Rule,
    at_once: usize,
    most_at_once: usize,
}

/// An HTTP/1.1 server on the loopback, for as long as the test's runtime lives.
#[derive(Clone)]
pub struct HttpDouble {
    /// Where it listens, `http://127.0.0.1:…`.
    pub url: String,
    /// The same as an address.
    pub address: SocketAddr,
    state: Arc<Mutex<State>>,
}

impl HttpDouble {
    /// A double that answers everything with 200.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let rule: Rule = Box::new(|_| Answer::ok());
        let (received, next) = (Vec::new(), VecDeque::new());
        let state = State { received, next, rule, at_once: 0, most_at_once: 0 };
        let double =
            Self { url: format!("http://{address}"), address, state: Arc::new(Mutex::new(state)) };
        let server = double.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let server = server.clone();
                // Whoever hangs up in the middle is no concern of the double.
                tokio::spawn(async move { server.serve(stream).await });
            }
        });
        double
    }

    /// Answers the next requests so, one after the other; those after them by the rule.
    pub fn next(&self, answers: impl IntoIterator<Item = Answer>) {
        self.state.lock().unwrap().next.extend(answers);
    }

    /// Answers by this rule from now on.
    pub fn rule(&self, rule: impl FnMut(&Received) -> Answer + Send + 'static) {
        self.state.lock().unwrap().rule = Box::new(rule);
    }

    /// What has come so far, in order of arrival.
    #[must_use]
    pub fn received(&self) -> Vec<Received> {
        self.state.lock().unwrap().received.clone()
    }

    /// Waits for so many requests, and returns all that have come.
    pub async fn got(&self, count: usize) -> Vec<Received> {
        let what = format!("{count} requests");
        eventually(&what, async || self.state.lock().unwrap().received.len() >= count).await;
        self.received()
    }

    /// How many requests were unanswered at the same time, at most.
    #[must_use]
    pub fn most_at_once(&self) -> usize {
        self.state.lock().unwrap().most_at_once
    }

    async fn serve(&self, stream: TcpStream) -> Option<()> {
        let mut stream = BufReader::new(stream);
        loop {
            let request = read(&mut stream).await?;
            let answer = {
                let state = &mut *self.state.lock().unwrap();
                state.received.push(request.clone());
                state.at_once += 1;
                state.most_at_once = state.most_at_once.max(state.at_once);
                state.next.pop_front().unwrap_or_else(|| (state.rule)(&request))
            };
            tokio::time::sleep(answer.delay).await;
            self.state.lock().unwrap().at_once -= 1;
            if answer.hang_up {
                return None;
            }
            stream.write_all(&written(&answer)).await.ok()?;
        }
    }
}

fn written(answer: &Answer) -> Vec<u8> {
    let mut head = format!("HTTP/1.1 {} Answer\r\n", answer.status);
    for (name, value) in &answer.headers {
        write!(head, "{name}: {value}\r\n").unwrap();
    }
    if answer.status != 204 && answer.status != 304 {
        write!(head, "content-length: {}\r\n", answer.body.len()).unwrap();
    }
    head.push_str("\r\n");
    [head.as_bytes(), &answer.body].concat()
}

/// The next request of a connection; none when that ends.
async fn read(stream: &mut BufReader<TcpStream>) -> Option<Received> {
    let first = line(stream).await?;
    let mut words = first.split(' ').map(str::to_owned);
    let (method, path) = (words.next()?, words.next()?);
    let mut headers = Vec::new();
    loop {
        let line = line(stream).await?;
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':')?;
        headers.push((name.to_lowercase(), value.trim().to_owned()));
    }
    let at = Instant::now();
    let mut request = Received { method, path, headers, body: Vec::new(), at };
    if request.header("transfer-encoding").eq_ignore_ascii_case("chunked") {
        loop {
            let length = usize::from_str_radix(line(stream).await?.trim(), 16).ok()?;
            let mut chunk = vec![0; length + 2];
            stream.read_exact(&mut chunk).await.ok()?;
            request.body.extend_from_slice(&chunk[..length]);
            if length == 0 {
                break;
            }
        }
    } else {
        request.body.resize(request.header("content-length").parse().unwrap_or(0), 0);
        stream.read_exact(&mut request.body).await.ok()?;
    }
    Some(Received { at: Instant::now(), ..request })
}

async fn line(stream: &mut BufReader<TcpStream>) -> Option<String> {
    let mut line = String::new();
    let length = stream.read_line(&mut line).await.ok()?;
    (length > 0).then(|| line.trim_end_matches(['\r', '\n']).to_owned())
}
