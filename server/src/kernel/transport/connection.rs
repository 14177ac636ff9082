//! The life of one connection. Causes in `clinicd_connections_refused_total`: `tls` (no handshake),
//! `silent` (no first bytes or no header in time), `no_call` (HTTP/2 without a call in time). Of
//! those that end by age: `clinicd_connections_aged_total`.

use std::convert::Infallible;
use std::future::pending;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use http::{Request, Response};
use http_body::{Frame, SizeHint};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tower::{BoxError, Service, service_fn};

use super::first_bytes::{Protocol, Replay};
use super::listener::{Shared, refused};
use super::{Limits, Peer, proxies};
use crate::kernel::crypto::Random;

/// Calls in flight that one connection may have.
const STREAMS: u32 = 100;
/// How often an HTTP/2 peer is asked whether it is still there, and how long it may take to say so.
const ASK: Duration = Duration::from_secs(30);
const ANSWER: Duration = Duration::from_secs(10);
/// Largest head of a request, in bytes.
const HEAD: u32 = 16 * 1024;
/// What HTTP/2 keeps of one answer that the peer does not read yet, in bytes.
const UNREAD: usize = 64 * 1024;
/// Buffer of an HTTP/1 connection, in bytes.
const BUFFER: usize = 64 * 1024;
/// A connection without a call for this long has said its farewell.
const IDLE: Duration = Duration::from_millis(500);
/// How long streams have to tell their clients that they end.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// How the two protocols are spoken.
pub(super) struct Builders {
    http1: auto::Builder<TokioExecutor>,
    http2: auto::Builder<TokioExecutor>,
}

impl Builders {
    pub(super) fn new(limits: &Limits) -> Self {
        let mut http1 = auto::Builder::new(TokioExecutor::new()).http1_only();
        http1
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.first_bytes())
            .max_buf_size(BUFFER);
        let mut http2 = auto::Builder::new(TokioExecutor::new()).http2_only();
        http2
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(STREAMS)
            .max_header_list_size(HEAD)
            .max_send_buf_size(UNREAD)
            .keep_alive_interval(ASK)
            .keep_alive_timeout(ANSWER);
        Self { http1, http2 }
    }
}

/// Serves one connection to its end.
pub(super) async fn serve(shared: &Shared, stream: TcpStream, peer: IpAddr) {
    let first = Instant::now() + shared.port.limits.first_bytes();
    // Answers are small and are waited for.
    let _ = stream.set_nodelay(true);
    let Some(tls) = &shared.port.tls else { return begin(shared, stream, peer, first).await };
    let shaken = tokio::select! {
        () = shared.port.stop.cancelled() => return,
        shaken = timeout_at(first, tls.accept(stream)) => shaken,
    };
    match shaken {
        Ok(Ok(stream)) => begin(shared, stream, peer, first).await,
        Ok(Err(_)) | Err(_) => refused("tls"),
    }
}

async fn begin<I>(shared: &Shared, io: I, peer: IpAddr, first: Instant)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let begun = tokio::select! {
        () = shared.port.stop.cancelled() => return,
        begun = timeout_at(first, Replay::read(io)) => begun,
    };
    match begun {
        Ok(Ok((protocol, io))) => talk(shared, io, protocol, peer, first).await,
        // It went away.
        Ok(Err(_)) => {}
        Err(_) => refused("silent"),
    }
}

/// Why a connection ends before its peer ends it.
enum End {
    Stop,
    Age,
    Silent(&'static str),
}

async fn talk<I>(shared: &Shared, io: Replay<I>, protocol: Protocol, peer: IpAddr, first: Instant)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (port, limits) = (&shared.port, &shared.port.limits);
    let chance = u16::from_ne_bytes(Random.bytes());
    let age = Instant::now() + limits.connection_age(chance);
    let calls = Arc::new(Calls::default());
    let over = CancellationToken::new();
    let service = service(port.router.clone(), &port.proxies, peer, &calls, &over);
    let (builder, first_call, cause) = match protocol {
        Protocol::Http1 => (&shared.builders.http1, first, "silent"),
        Protocol::Http2 => {
            (&shared.builders.http2, first - limits.first_bytes() + limits.first_call(), "no_call")
        }
    };
    let service = TowerToHyperService::new(service);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(io), service));
    let end = tokio::select! {
        biased;
        // Errors are of the peer: it went away, or broke the rules of its protocol.
        _ = connection.as_mut() => return,
        () = port.stop.cancelled() => End::Stop,
        () = calls.missing_at(first_call) => End::Silent(cause),
        () = sleep_until(age) => End::Age,
    };
    let grace = match end {
        End::Stop => limits.drain(),
        End::Age => {
            metrics::counter!("clinicd_connections_aged_total").increment(1);
            limits.connection_grace()
        }
        End::Silent(cause) => return refused(cause),
    };
    // Calls in flight go on, new ones go elsewhere.
    connection.as_mut().graceful_shutdown();
    let patience = async {
        tokio::select! {
            () = sleep(grace) => {}
            () = shared.cut.cancelled() => {}
            () = async { port.stop.cancelled().await; calls.idle().await } => {}
        }
    };
    tokio::select! {
        _ = connection.as_mut() => return,
        () = patience => {}
    }
    if calls.open() > 0 {
        over.cancel();
        let _ = timeout(LAST_WORDS, connection).await;
    }
}

/// The calls of one connection.
#[derive(Default)]
struct Calls {
    begun: AtomicUsize,
    ended: AtomicUsize,
    any: AtomicBool,
}

impl Calls {
    fn open(&self) -> usize {
        let ended = self.ended.load(Ordering::Acquire);
        self.begun.load(Ordering::Acquire).wrapping_sub(ended)
    }

    /// Ends at this time if there has been no call until then.
    async fn missing_at(&self, time: Instant) {
        sleep_until(time).await;
        if self.any.load(Ordering::Acquire) {
            pending::<()>().await;
        }
    }

    /// Ends when no call was open for a while.
    async fn idle(&self) {
        loop {
            let begun = self.begun.load(Ordering::Acquire);
            sleep(IDLE).await;
            if self.open() == 0 && self.begun.load(Ordering::Acquire) == begun {
                return;
            }
        }
    }
}

/// A call in flight, up to the last byte of its answer.
struct Call(Arc<Calls>);

impl Call {
    fn begin(calls: &Arc<Calls>) -> Self {
        calls.begun.fetch_add(1, Ordering::AcqRel);
        calls.any.store(true, Ordering::Release);
        Self(Arc::clone(calls))
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.0.ended.fetch_add(1, Ordering::AcqRel);
    }
}

/// The router, told whom it answers.
fn service<B>(
    router: Router,
    proxies: &[super::Network],
    peer: IpAddr,
    calls: &Arc<Calls>,
    over: &CancellationToken,
) -> impl Service<
    Request<B>,
    Response = Response<Answer>,
    Error = Infallible,
    Future = impl Future<Output = Result<Response<Answer>, Infallible>> + Send + 'static + use<B>,
>
+ Clone
+ Send
+ 'static
+ use<B>
where
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let proxied = proxies::is_proxy(proxies, peer);
    let proxies: Arc<[super::Network]> = if proxied { proxies.into() } else { Arc::default() };
    let (calls, over) = (Arc::clone(calls), over.clone());
    service_fn(move |mut request: Request<B>| {
        let call = Call::begin(&calls);
        let address = proxies::client(&proxies, peer, request.headers());
        request.extensions_mut().insert(Peer { address, over: over.clone() });
        let mut router = router.clone();
        let answer = Service::call(&mut router, request);
        async move { answer.await.map(|answer| answer.map(|body| Answer { body, _call: call })) }
    })
}

/// The body of an answer, which ends its call.
struct Answer {
    body: Body,
    _call: Call,
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
