//! The way to one PostgreSQL server: a pool of connections, and the pulse that says whether it is
//! there.

use std::sync::Arc;
use std::time::Duration;

use diesel_async::pooled_connection::PoolableConnection as _;
use tokio_util::sync::CancellationToken;

use super::pulse::Pulse;
use super::{Conn, Pooled, tls};
use crate::kernel::error::{Error, Result};

/// How long a call waits for a connection before it is told to come back.
const POOL_WAIT: Duration = Duration::from_secs(1);
/// How long a new connection may take.
const CONNECT: Duration = Duration::from_secs(3);

/// Makes and judges the connections of a pool.
pub struct Manager {
    url: String,
    options: String,
    pulse: Arc<Pulse>,
}

impl bb8::ManageConnection for Manager {
    type Connection = Conn;
    type Error = Error;

    async fn connect(&self) -> Result<Conn> {
        let life: CancellationToken = self.pulse.life()?;
        let connecting = tls::connect_for(&life, &self.url, &self.options);
        tokio::select! {
            () = life.cancelled() => Err(Error::unavailable()),
            connected = tokio::time::timeout(CONNECT, connecting) => match connected {
                Ok(connected) => connected.map_err(|source| Error::unavailable().caused_by(source)),
                Err(late) => Err(Error::unavailable().caused_by(late)),
            }
        }
    }

    /// Looked at on checkout, without asking the server, which would cost a third of the throughput.
    async fn is_valid(&self, conn: &mut Conn) -> Result<()> {
        if conn.is_broken() { Err(Error::unavailable()) } else { Ok(()) }
    }

    fn has_broken(&self, conn: &mut Conn) -> bool {
        conn.is_broken()
    }
}

/// A server and the connections to it. Clones share them.
#[derive(Clone)]
pub(super) struct Link {
    pool: bb8::Pool<Manager>,
    pulse: Arc<Pulse>,
}

impl Link {
    /// Up to `connections` connections, none of which is opened yet.
    pub(super) fn new(url: &str, options: String, connections: u32, pulse: Arc<Pulse>) -> Self {
        let manager = Manager { url: url.to_owned(), options, pulse: pulse.clone() };
        let pool = bb8::Pool::builder()
            .max_size(connections)
            .min_idle(1)
            .test_on_check_out(true)
            .connection_timeout(POOL_WAIT)
            .build_unchecked(manager);
        Self { pool, pulse }
    }

    /// A connection. Refused at once while the server is away, and after a second when all are
    /// in use.
    pub(super) async fn get(&self) -> Result<Pooled<'_>> {
        let life = self.pulse.life()?;
        tokio::select! {
            biased;
            got = self.pool.get() => {
                got.map_err(|source| Error::unavailable().caused_by(source))
            }
            () = life.cancelled() => Err(Error::unavailable()),
        }
    }

    /// How the pool stands.
    pub(super) fn pool_state(&self) -> bb8::State {
        self.pool.state()
    }

    /// Whether the server answers.
    pub(super) fn is_there(&self) -> bool {
        self.pulse.life().is_ok()
    }
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Link({:?}, is there: {})", self.pool.state(), self.is_there())
    }
}
