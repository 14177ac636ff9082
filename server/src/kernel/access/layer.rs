//! The access layer: everything that happens to a call before its handler and after it.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::header::{ACCEPT_LANGUAGE, ALLOW, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use tokio::time::{Instant, timeout_at};
use tonic::body::Body;
use tonic::{Code, Status};
use tonic_types::StatusExt;
use tower::{Layer, Service};

use super::admitting::peer_address;
use super::rates::Rates;
use super::rules::Rule;
use super::{Actor, Caller, Sessions};
use crate::app::App;
use crate::kernel::audit;
use crate::kernel::error::{Error, Reason, Result, localized, name_of};
use crate::kernel::kinds::AccountId;
use crate::kernel::locale;
use crate::kernel::transport::Peer;
use crate::kernel::transport::deadline::Deadline;
use crate::kernel::transport::gates::{Gates, OpenStream, Place};
use crate::kernel::transport::outgoing::Outgoing;
use crate::kernel::transport::shares::Share;

/// Checks every call.
#[derive(Clone)]
pub struct AccessLayer {
    /// The application.
    pub app: App,
    /// The sessions.
    pub sessions: Sessions,
    /// The places for calls at work.
    pub gates: Arc<Gates>,
    /// How often a caller may call.
    pub rates: Arc<Rates>,
}

impl<S> Layer<S> for AccessLayer {
    type Service = Access<S>;

    fn layer(&self, inner: S) -> Access<S> {
        Access { gate: Arc::new(self.clone()), inner }
    }
}

/// A service behind the access layer.
#[derive(Clone)]
pub struct Access<S> {
    gate: Arc<AccessLayer>,
    inner: S,
}

impl<S> Service<Request<Body>> for Access<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let clone = self.inner.clone();
        let inner = std::mem::replace(&mut self.inner, clone);
        let gate = Arc::clone(&self.gate);
        let request_id = gate.app.ids.next();
        let language = locale::of_header(request.headers().get(ACCEPT_LANGUAGE));
        let rule = gate.app.rules.get(request.uri().path());
        let deadline = Deadline::of(request.headers());
        let span = tracing::info_span!("rpc", %request_id, method = rule.map(|rule| rule.method));
        // On the heap at once: the layers around it would each move the whole of it.
        let answer = gate.handle(rule, request, inner, deadline).boxed();
        let answer = locale::CURRENT.scope(language, answer);
        let answer = tracing::Instrument::instrument(answer, span);
        async move {
            let mut response = answer.await;
            if let Ok(value) = HeaderValue::from_str(&request_id.to_string()) {
                response.headers_mut().insert("x-request-id", value);
            }
            Ok(response)
        }
        .boxed()
    }
}

fn refuse(error: Error) -> Response<Body> {
    Status::from(error).into_http()
}

/// The answer to what is no gRPC call at all: a browser that looks around, a proxy set up wrong.
fn not_grpc(head: &Parts) -> Option<Response<Body>> {
    let mut response = Response::new(Body::empty());
    if head.method != Method::POST {
        *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
        return Some(response);
    }
    if head.headers.get(CONTENT_TYPE).is_some_and(is_grpc) {
        return None;
    }
    *response.status_mut() = StatusCode::UNSUPPORTED_MEDIA_TYPE;
    Some(response)
}

/// `application/grpc`, alone or with a codec or parameters. A layer further out has turned grpc-web
/// into this.
fn is_grpc(kind: &HeaderValue) -> bool {
    let rest = kind.as_bytes().strip_prefix(b"application/grpc");
    rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')))
}

impl AccessLayer {
    async fn handle<S>(
        self: Arc<Self>,
        rule: Option<&'static Rule>,
        request: Request<Body>,
        inner: S,
        deadline: Deadline,
    ) -> Response<Body>
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Send + 'static,
        S::Future: Send,
    {
        let (head, body) = request.into_parts();
        if let Some(answer) = not_grpc(&head) {
            return answer;
        }
        let Some(rule) = rule else { return refuse(Error::of(Reason::UnknownMethod)) };
        let started = std::time::Instant::now();
        let ends = deadline.answer;
        if Instant::now() >= ends {
            let late = refuse(Error::of(Reason::DeadlineExceeded));
            return self.finish(rule, None, late, started).await;
        }
        if let Err(error) = self.rates.before_work(rule, peer_address(&head.extensions)) {
            return refuse(error);
        }
        let (place, body) = match self.gates.enter(rule, body, ends).await {
            Ok(entered) => entered,
            // The gates count what they shed; a line in the log for each would be work.
            Err(status) => return mend(status.into_http()),
        };
        let request = Request::from_parts(head, body);
        let work = self.work(rule, request, inner, deadline, place, started).boxed();
        if !rule.runs_to_its_end() {
            return work.await;
        }
        // What changes something, or shows medical data after its audit entry, runs in a task of
        // its own: a client that goes away cannot leave it half done.
        let work = locale::CURRENT.scope(locale::current(), work);
        let work = tracing::Instrument::in_current_span(work);
        match timeout_at(ends, tokio::spawn(work)).await {
            Ok(Ok(response)) => response,
            Ok(Err(panic)) => refuse(Error::internal(panic)),
            // The client hears of it in time, even while the audit entry is being written.
            Err(_) => refuse(Error::of(Reason::DeadlineExceeded)),
        }
    }

    /// What is done for a call that has a place.
    async fn work<S>(
        self: Arc<Self>,
        rule: &'static Rule,
        request: Request<Body>,
        mut inner: S,
        deadline: Deadline,
        _place: Place,
        started: std::time::Instant,
    ) -> Response<Body>
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Send + 'static,
        S::Future: Send,
    {
        let (mut head, body) = request.into_parts();
        let ends = deadline.answer;
        let late = || Error::of(Reason::DeadlineExceeded);
        let admitted = timeout_at(ends, self.admit(rule, &head)).await.map_err(|_| late());
        let (caller, permission) = match admitted.flatten() {
            Ok(admitted) => admitted,
            Err(error) => return self.finish(rule, None, refuse(error), started).await,
        };
        // Counted, as what the gates shed; a line in the log for each would be work.
        if let Err(error) = self.rates.of_account(rule, caller.account()) {
            return refuse(error);
        }
        if let Err(error) = permission {
            return self.finish(rule, Some(&caller), refuse(error), started).await;
        }
        let share = match self.share(rule, &caller) {
            Ok(share) => share,
            Err(error) => return refuse(error),
        };
        let peer = head.extensions.get::<Peer>().cloned();
        head.extensions.insert(caller.clone());
        let request = Request::from_parts(head, body);
        let actor = caller.session.as_ref().map(|session| Actor {
            account: session.account,
            stand_in: rule.is_stand_in(&session.roles),
        });
        let answer = Actor::acting(actor, inner.call(request));
        let answer = AssertUnwindSafe(answer).catch_unwind();
        let response = if rule.standard || rule.runs_to_its_end() {
            answer.await.map_err(|_| Reason::Internal)
        } else {
            match timeout_at(ends, answer).await {
                Ok(answer) => answer.map_err(|_| Reason::Internal),
                Err(_) => Err(Reason::DeadlineExceeded),
            }
        };
        let response = match response {
            Ok(Ok(response)) => response,
            Err(Reason::Internal) => refuse(Error::internal("a handler panicked")),
            Err(reason) => refuse(Error::of(reason)),
        };
        let response = self.finish(rule, Some(&caller), response, started).await;
        match share {
            Open::Stream(open) if status_of(&response).is_none() => {
                response.map(|body| Outgoing::watch(body, open, deadline.stream, peer.as_ref()))
            }
            _ => response,
        }
    }

    /// Counts the call among those of its account.
    fn share(&self, rule: &'static Rule, caller: &Caller) -> Result<Open> {
        let account = caller.account();
        if rule.gives_stream {
            return self.gates.stream(rule, account).map(Open::Stream);
        }
        self.gates.call(account).map(Open::Call)
    }

    /// What every answer goes through: wrong codes of the transport are mended, a refused access
    /// to medical data is logged, and medical data without an audit entry is held back.
    async fn finish(
        &self,
        rule: &'static Rule,
        caller: Option<&Caller>,
        response: Response<Body>,
        started: std::time::Instant,
    ) -> Response<Body> {
        let mut response = mend(response);
        if let (true, Some(caller)) = (rule.medical, caller) {
            response = self.audited(caller, response).await;
        }
        let code = status_of(&response).unwrap_or(0);
        let elapsed = started.elapsed();
        let account = caller.and_then(Caller::account);
        let (account, micros) =
            (account.as_ref().map(tracing::field::display), elapsed.as_micros());
        if code == 0 && !rule.runs_to_its_end() {
            tracing::debug!(code, account, micros, "call");
        } else {
            tracing::info!(code, account, micros, "call");
        }
        rule.counts.count(rule.method, code, elapsed);
        response
    }

    async fn audited(&self, caller: &Caller, response: Response<Body>) -> Response<Body> {
        let reason = match status_of(&response) {
            None | Some(0) if caller.trail.is_recorded() => return response,
            None | Some(0) => {
                return refuse(Error::internal(
                    "medical data without an audit entry was held back",
                ));
            }
            Some(5 | 7) => reason_of(&response),
            Some(_) => return response,
        };
        match audit::record_refusal(&self.app, caller, reason).await {
            Ok(()) => response,
            Err(error) => refuse(Error::unavailable().caused_by(error)),
        }
    }
}

/// What is counted of an account while it is open.
enum Open {
    Stream(OpenStream),
    Call(#[expect(dead_code, reason = "given back when dropped")] Option<Share<AccountId>>),
}

/// `grpc-status` of an answer that consists of trailers only; `None` when a message follows.
fn status_of<B>(response: &Response<B>) -> Option<i32> {
    response.headers().get("grpc-status")?.to_str().ok()?.parse().ok()
}

/// The reason that a refusal gives in its details.
fn reason_of(response: &Response<Body>) -> &'static str {
    let reason = Status::from_header_map(response.headers())
        .and_then(|status| status.get_details_error_info())
        .and_then(|info| Reason::from_str_name(&format!("ERROR_REASON_{}", info.reason)));
    name_of(reason.unwrap_or(Reason::Unspecified))
}

/// Completes what was refused before a handler saw it. tonic's own refusals of a message carry no
/// details, those of the codec no text for the person.
fn mend(response: Response<Body>) -> Response<Body> {
    let Some(status) = Status::from_header_map(response.headers()) else { return response };
    match status.code() {
        Code::Ok => response,
        _ if !status.details().is_empty() => localized(status).into_http(),
        // Too long; the code is ours for stale feed tokens.
        Code::OutOfRange => refuse(
            Error::of(Reason::MessageTooLarge).with("limit_bytes", limit(&status).unwrap_or(0)),
        ),
        // Not protobuf, or not framed as gRPC demands.
        Code::Internal => refuse(Error::internal("the request cannot be decoded")),
        _ => response,
    }
}

/// The limit in bytes, which stands last in what tonic says about an oversized message.
fn limit(status: &Status) -> Option<u64> {
    status.message().split_whitespace().filter_map(|word| word.parse().ok()).next_back()
}
