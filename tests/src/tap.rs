//! What a server says to its database: it must prepare each statement once per connection.
//!
//! diesel prepares some kinds of statements anew on every call, which costs a round trip each time
//! and is easily overlooked. Every world's servers reach their database through a tap, and
//! [`World::finish`](crate::World::finish) fails when one prepared a statement only to throw it
//! away, or twice.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, copy};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio_postgres::Config;
use tokio_postgres::config::Host;

/// Statements that a connection runs once in its life, when it is opened.
const ONCE: [&str; 2] = ["LISTEN ", "SET "];

/// A listener in front of a database.
#[derive(Debug)]
pub struct Tap {
    /// The database through the tap.
    pub url: String,
    faults: Arc<Mutex<Vec<String>>>,
}

impl Tap {
    /// Listens in front of this database, in this process, for as long as its runtime lives.
    pub async fn open(url: &str) -> Self {
        let config: Config = url.parse().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let password = config.get_password().map(|word| String::from_utf8_lossy(word).into_owned());
        let url = format!(
            "postgresql://{}:{}@{address}/{}",
            config.get_user().unwrap(),
            password.unwrap_or_default(),
            config.get_dbname().unwrap(),
        );
        let faults = Arc::<Mutex<Vec<String>>>::default();
        let found = Arc::clone(&faults);
        tokio::spawn(async move {
            // It ends with the runtime. A connection that breaks is the business of its two ends.
            while let Ok((client, _)) = listener.accept().await {
                let (config, found) = (config.clone(), Arc::clone(&found));
                tokio::spawn(async move { relay(client, &config, &found).await });
            }
        });
        Self { url, faults }
    }

    /// The statements that were not kept.
    #[must_use]
    pub fn faults(&self) -> Vec<String> {
        self.faults.lock().unwrap().clone()
    }
}

async fn relay(client: TcpStream, config: &Config, found: &Mutex<Vec<String>>) {
    let port = config.get_ports().first().copied().unwrap_or(5432);
    client.set_nodelay(true).unwrap();
    match &config.get_hosts()[0] {
        Host::Tcp(host) => {
            let Ok(server) = TcpStream::connect((host.as_str(), port)).await else { return };
            server.set_nodelay(true).unwrap();
            let (from, to) = server.into_split();
            both_ways(client, from, to, found).await;
        }
        Host::Unix(folder) => {
            let socket = folder.join(format!(".s.PGSQL.{port}"));
            let Ok(server) = UnixStream::connect(socket).await else { return };
            let (from, to) = server.into_split();
            both_ways(client, from, to, found).await;
        }
    }
}

async fn both_ways(
    client: TcpStream,
    mut from_server: impl AsyncRead + Unpin,
    mut to_server: impl tokio::io::AsyncWrite + Unpin,
    found: &Mutex<Vec<String>>,
) {
    let (mut from_client, mut to_client) = client.into_split();
    let asked = async {
        let mut talk = Talk::default();
        let mut buffer = vec![0; 16 * 1024];
        loop {
            let length = from_client.read(&mut buffer).await.unwrap_or(0);
            if length == 0 || to_server.write_all(&buffer[..length]).await.is_err() {
                return;
            }
            talk.hear(&buffer[..length], found);
        }
    };
    let answered = async {
        // The end of either side ends both.
        let _ = copy(&mut from_server, &mut to_client).await;
    };
    tokio::select! {
        () = asked => {}
        () = answered => {}
    }
}

/// A statement. One that was never used belonged to a call that was broken off, and is no fault.
struct Prepared {
    sql: String,
    used: bool,
}

/// What one connection has said.
#[derive(Default)]
struct Talk {
    begun: bool,
    waiting: Vec<u8>,
    /// The statements that are prepared, by name.
    prepared: HashMap<Vec<u8>, Prepared>,
    /// Thrown away; a fault only if the connection goes on to do something else.
    closed: Vec<String>,
}

impl Talk {
    fn hear(&mut self, bytes: &[u8], found: &Mutex<Vec<String>>) {
        self.waiting.extend_from_slice(bytes);
        loop {
            // The first message has no letter.
            let letter = usize::from(self.begun);
            let Some(length) = self.waiting.get(letter..letter + 4) else { return };
            let length: [u8; 4] = length.try_into().unwrap();
            let end = letter + usize::try_from(u32::from_be_bytes(length)).unwrap();
            if self.waiting.len() < end {
                return;
            }
            let rest = self.waiting.split_off(end);
            let message = std::mem::replace(&mut self.waiting, rest);
            if self.begun {
                self.message(message[0], &message[5..], found);
            }
            self.begun = true;
        }
    }

    fn message(&mut self, letter: u8, body: &[u8], found: &Mutex<Vec<String>>) {
        let mut parts = body.split(|byte| *byte == 0);
        let mut part = || parts.next().unwrap_or_default().to_vec();
        match letter {
            b'P' => {
                let (name, sql) = (part(), String::from_utf8_lossy(&part()).into_owned());
                if self.prepared.values().any(|known| known.used && known.sql == sql) {
                    found.lock().unwrap().push(format!("prepared twice: {sql}"));
                }
                self.prepared.insert(name, Prepared { sql, used: false });
            }
            b'C' if body.first() == Some(&b'S') => {
                let closed = self.prepared.remove(&part()[1..]);
                let kept = |sql: &String| !ONCE.iter().any(|once| sql.starts_with(once));
                let closed = closed.filter(|closed| closed.used).map(|closed| closed.sql);
                self.closed.extend(closed.filter(kept));
            }
            b'B' => {
                let (_portal, name) = (part(), part());
                if let Some(statement) = self.prepared.get_mut(&name) {
                    statement.used = true;
                }
                let thrown = self.closed.drain(..).map(|sql| format!("thrown away: {sql}"));
                found.lock().unwrap().extend(thrown);
            }
            _ => {}
        }
    }
}
