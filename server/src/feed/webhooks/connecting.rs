//! Connections to partners, and to nobody else (OWASP ASVS 5.0, 1.3.6 and 15.3.2).
//!
//! The name is resolved here, each of its addresses is judged, and one of these very addresses is
//! connected to: a name that leads somewhere else a moment later changes nothing. Addresses in a URL
//! go the same way. A name with one inner address among public ones is refused as a whole.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared, select_ok};
use http::Uri;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tower::{BoxError, Service};

use super::address;
use super::rules::{self, Host};
use crate::kernel::transport::Network;

/// How long a connection may take, TLS included.
const CONNECT: Duration = Duration::from_secs(5);
/// Names that are looked up at a time. A look-up cannot be broken off and holds a thread.
const LOOKUPS: usize = 64;
/// How long a name waits for its look-up to begin.
const BUSY: Duration = Duration::from_secs(2);
/// Addresses of one name that are tried, all at once.
const TRIED: usize = 4;

/// Why there is no connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    /// The name leads nowhere, or is none.
    #[error("the name leads nowhere")]
    Dns,
    /// It leads to an address that is not public.
    #[error("the address is refused")]
    Address,
    /// Nobody answers there.
    #[error("nobody answers")]
    Connect,
    /// It took too long.
    #[error("it took too long")]
    Timeout,
    /// Too much is going on here.
    #[error("too many names are looked up")]
    Busy,
}

/// Connects to judged addresses, without TLS.
#[derive(Clone)]
pub(super) struct Guarded {
    opened: Arc<[Network]>,
    lookups: Lookups,
}

/// Looks names up, each once at a time: a name whose servers are dead holds one thread, however much
/// is sent there.
#[derive(Clone)]
struct Lookups {
    places: Arc<Semaphore>,
    running: Arc<Mutex<HashMap<String, Lookup>>>,
}

type Lookup = Shared<BoxFuture<'static, Result<Vec<IpAddr>, Refusal>>>;

/// The same with TLS for https, in time.
#[derive(Clone)]
pub(super) struct Connector(HttpsConnector<Guarded>);

impl Connector {
    /// A connector that trusts the authorities of this machine; `opened` are networks of the
    /// operator. Without authorities there is no TLS.
    pub(super) fn new(opened: &[Network]) -> Result<Self, rustls::Error> {
        let mut authorities = RootCertStore::empty();
        authorities.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if authorities.is_empty() {
            tracing::warn!("this machine has no root certificates; webhooks over https will fail");
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(authorities)
            .with_no_client_auth();
        let guarded = Guarded { opened: opened.into(), lookups: Lookups::new(LOOKUPS) };
        let builder = HttpsConnectorBuilder::new().with_tls_config(config).https_or_http();
        Ok(Self(builder.enable_http1().wrap_connector(guarded)))
    }
}

impl Service<Uri> for Connector {
    type Response = MaybeHttpsStream<TokioIo<TcpStream>>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connection = tokio::time::timeout(CONNECT, self.0.call(uri));
        connection.map(|done| done.unwrap_or(Err(Refusal::Timeout.into()))).boxed()
    }
}

impl Service<Uri> for Guarded {
    type Response = TokioIo<TcpStream>;
    type Error = Refusal;
    type Future = BoxFuture<'static, Result<Self::Response, Refusal>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Refusal>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let guarded = self.clone();
        async move { guarded.connect(&uri).await }.boxed()
    }
}

impl Guarded {
    async fn connect(&self, uri: &Uri) -> Result<TokioIo<TcpStream>, Refusal> {
        let addresses = self.addresses(uri).await?;
        let https = uri.scheme_str() != Some("http");
        if !addresses.iter().all(|it| address::is_admitted(*it, https, &self.opened)) {
            return Err(Refusal::Address);
        }
        let tries = addresses.into_iter().take(TRIED).map(|it| TcpStream::connect(it).boxed());
        let (stream, _) = select_ok(tries).await.map_err(|_| Refusal::Connect)?;
        stream.set_nodelay(true).map_err(|_| Refusal::Connect)?;
        Ok(TokioIo::new(stream))
    }

    /// What a URL leads to: at least one address.
    async fn addresses(&self, uri: &Uri) -> Result<Vec<SocketAddr>, Refusal> {
        let port = rules::port(uri);
        let name = match rules::host(uri).ok_or(Refusal::Dns)? {
            Host::Address(address) => return Ok(vec![SocketAddr::new(address, port)]),
            Host::Name(name) => name,
        };
        let found = self.lookups.of(name).await?;
        Ok(found.into_iter().map(|address| SocketAddr::new(address, port)).collect())
    }
}

impl Lookups {
    fn new(places: usize) -> Self {
        Self { places: Arc::new(Semaphore::new(places)), running: Arc::default() }
    }

    /// The look-up of this name that runs, or a new one. It goes on when nobody waits any more.
    fn of(&self, name: String) -> Lookup {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lookup) = running.get(&name) {
            return lookup.clone();
        }
        let (lookups, of) = (self.clone(), name.clone());
        let lookup = tokio::spawn(async move {
            let found = lookups.look_up(of.clone()).await;
            lookups.running.lock().unwrap_or_else(PoisonError::into_inner).remove(&of);
            found
        });
        let lookup = lookup.map(|found| found.unwrap_or(Err(Refusal::Busy))).boxed().shared();
        running.insert(name, lookup.clone());
        lookup
    }

    async fn look_up(&self, name: String) -> Result<Vec<IpAddr>, Refusal> {
        let place = tokio::time::timeout(BUSY, Arc::clone(&self.places).acquire_owned()).await;
        let Ok(Ok(place)) = place else { return Err(Refusal::Busy) };
        let lookup = tokio::task::spawn_blocking(move || {
            let found = (name.as_str(), 0).to_socket_addrs();
            drop(place);
            found.map(|found| found.map(|address| address.ip()).collect::<Vec<_>>())
        });
        let found = lookup.await.map_err(|_| Refusal::Busy)?.map_err(|_| Refusal::Dns)?;
        if found.is_empty() { Err(Refusal::Dns) } else { Ok(found) }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    async fn refusal(uri: &str, opened: &[Network]) -> Option<Refusal> {
        let guarded = Guarded { opened: opened.into(), lookups: Lookups::new(LOOKUPS) };
        guarded.connect(&uri.parse().unwrap()).await.err()
    }

    #[tokio::test]
    async fn a_name_is_looked_up_once_at_a_time_and_who_finds_no_place_is_not_to_blame() {
        let lookups = Lookups::new(1);
        let place = Arc::clone(&lookups.places).acquire_owned().await.unwrap();
        let (one, same) = (lookups.of("localhost".into()), lookups.of("localhost".into()));
        assert!(one.ptr_eq(&same));
        assert_eq!(one.await, Err(Refusal::Busy));
        drop(place);
        assert!(lookups.of("localhost".into()).await.is_ok());
        assert!(lookups.running.lock().unwrap().is_empty());
        assert_eq!(lookups.places.available_permits(), 1);
    }

    /// `localhost` is a name that resolves to an inner address.
    #[tokio::test]
    async fn names_and_addresses_are_judged_at_the_connection() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        for host in ["localhost", "127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0"] {
            let uri = format!("https://{host}:{port}/");
            assert_eq!(refusal(&uri, &[]).await, Some(Refusal::Address), "{uri}");
        }
        for host in ["127.1", "0x7f.1", "2130706433"] {
            let uri = format!("https://{host}:{port}/");
            assert_eq!(refusal(&uri, &[]).await, Some(Refusal::Dns), "{uri}");
        }
        let opened: Vec<Network> = vec!["127.0.0.0/8".parse().unwrap(), "::1".parse().unwrap()];
        for host in ["localhost", "127.0.0.1"] {
            let uri = format!("http://{host}:{port}/");
            assert_eq!(refusal(&uri, &opened).await, None, "{uri}");
        }
        assert_eq!(refusal("http://localhost:1/", &opened).await, Some(Refusal::Connect));
        let other: Vec<Network> = vec!["10.0.0.0/8".parse().unwrap()];
        let uri = format!("http://localhost:{port}/");
        assert_eq!(refusal(&uri, &other).await, Some(Refusal::Address));
    }
}
