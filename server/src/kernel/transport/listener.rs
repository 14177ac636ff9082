//! Accepts connections. Metrics: `clinicd_connections` (open), and
//! `clinicd_connections_refused_total{cause}` with the causes `process`, `address` (no place),
//! `descriptors` (the process may open no more files) and those of `connection`.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::connection::{self, Builders};
use super::proxies::is_proxy;
use super::shares::{Full, Share, Shares};
use super::{Limits, Network, network};

/// Pause after a failure that the next try would only repeat: no files left, no memory.
const EXHAUSTED: Duration = Duration::from_millis(100);
/// How often such a failure is logged at most.
const LOGGED: Duration = Duration::from_secs(5);
/// How long connections may take to end after the last of their patience.
const LAST_MOMENT: Duration = Duration::from_secs(2);

/// The port and all that its connections share.
pub struct Port {
    /// Who answers.
    pub router: Router,
    /// Speaks TLS, if so configured.
    pub tls: Option<TlsAcceptor>,
    /// How many, how long.
    pub limits: Limits,
    /// Proxies whose `x-forwarded-for` counts.
    pub proxies: Vec<Network>,
    /// Told when the server stops.
    pub stop: CancellationToken,
}

/// What a connection needs of the port.
pub(super) struct Shared {
    pub(super) port: Port,
    pub(super) builders: Builders,
    /// Told when connections have had time enough to end.
    pub(super) cut: CancellationToken,
}

/// Accepts connections until the server is told to stop, and returns when all have ended: after
/// [`Limits::drain`] and a moment at the latest, whatever peers do.
pub async fn serve(listener: TcpListener, port: Port) {
    let places = Shares::new(port.limits.connections, port.limits.connections_per_address);
    let (stop, drain) = (port.stop.clone(), port.limits.drain());
    let builders = Builders::new(&port.limits);
    let shared = Arc::new(Shared { port, builders, cut: CancellationToken::new() });
    let connections = TaskTracker::new();
    let mut trouble = Trouble::default();
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => accept(&shared, &connections, &places, stream, peer.ip()),
            // One peer went away again; the next is not touched by it.
            Err(error) if is_of_the_peer(&error) => {}
            Err(error) => {
                trouble.tell(&error);
                sleep(EXHAUSTED).await;
            }
        }
    }
    // Nobody else is let in, so that others are asked.
    drop(listener);
    connections.close();
    if timeout(drain, connections.wait()).await.is_err() {
        shared.cut.cancel();
        let _ = timeout(LAST_MOMENT, connections.wait()).await;
    }
}

fn accept(
    shared: &Arc<Shared>,
    connections: &TaskTracker,
    places: &Arc<Shares<IpAddr>>,
    stream: TcpStream,
    peer: IpAddr,
) {
    let peer = peer.to_canonical();
    let owner = (!is_proxy(&shared.port.proxies, peer)).then(|| network(peer));
    match places.take(owner) {
        Ok(place) => {
            let open = Open::new(place);
            let shared = Arc::clone(shared);
            connections.spawn(async move {
                connection::serve(&shared, stream, peer).await;
                drop(open);
            });
        }
        Err(full) => refused(match full {
            Full::Total => "process",
            Full::Owner => "address",
        }),
    }
}

/// Counts a connection that was refused or cut.
pub(super) fn refused(cause: &'static str) {
    metrics::counter!("clinicd_connections_refused_total", "cause" => cause).increment(1);
}

/// An open connection, counted as long as it lives.
struct Open {
    _place: Share<IpAddr>,
}

impl Open {
    fn new(place: Share<IpAddr>) -> Self {
        metrics::gauge!("clinicd_connections").increment(1);
        Self { _place: place }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        metrics::gauge!("clinicd_connections").decrement(1);
    }
}

fn is_of_the_peer(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

/// Speaks of failures to accept, but seldom.
#[derive(Default)]
struct Trouble {
    told: Option<Instant>,
}

impl Trouble {
    fn tell(&mut self, error: &io::Error) {
        refused("descriptors");
        if self.told.is_none_or(|told| told.elapsed() >= LOGGED) {
            self.told = Some(Instant::now());
            tracing::warn!(error = %error, "no connection can be accepted; trying again");
        }
    }
}
