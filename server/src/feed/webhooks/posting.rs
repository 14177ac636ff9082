//! One POST. What the partner answers beside its status is thrown away.

use std::error::Error as StdError;
use std::time::Duration;

use aws_lc_rs::hmac;
use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use serde::Serialize;
use uuid::Uuid;

use super::connecting::{Connector, Refusal};
use super::rules::{Attempt, INTERNAL};
use super::signing;
use crate::kernel::error::{Error, Result};
use crate::kernel::events::ResourceKind;
use crate::kernel::kinds::Time;
use crate::kernel::transport::Network;

/// How long an answer may take, from the first step of the connection on.
const ANSWER: Duration = Duration::from_secs(10);
/// Bytes of an answer that are read, so that the connection can be used again.
const BODY_LIMIT: usize = 64 * 1024;
/// How long an unused connection is kept.
const IDLE: Duration = Duration::from_secs(20);
/// Unused connections to one host.
const IDLE_CONNECTIONS: usize = 8;
const USER_AGENT: &str = concat!("clinicd-webhooks/", env!("CARGO_PKG_VERSION"));

/// Sends events.
pub(super) struct Poster {
    client: Client<Connector, Full<Bytes>>,
}

/// An event to be sent.
#[derive(Debug, Clone)]
pub(super) struct Message {
    pub(super) id: Uuid,
    pub(super) event_type: String,
    pub(super) kind: ResourceKind,
    pub(super) resource: Uuid,
    pub(super) create_time: Time,
}

/// The body. The same event has the same bytes, however often it is sent.
#[derive(Serialize)]
struct Body<'a> {
    id: Uuid,
    create_time: jiff::Timestamp,
    r#type: &'a str,
    resource_kind: &'static str,
    resource_id: Uuid,
}

impl Message {
    fn body(&self) -> Result<Vec<u8>> {
        let body = Body {
            id: self.id,
            create_time: self.create_time.timestamp(),
            r#type: &self.event_type,
            resource_kind: self.kind.as_str(),
            resource_id: self.resource,
        };
        serde_json::to_vec(&body).map_err(Error::internal)
    }
}

impl Poster {
    /// A client that follows no redirect and knows no proxy.
    pub(super) fn new(opened: &[Network]) -> Result<Self> {
        let connector = Connector::new(opened).map_err(Error::internal)?;
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(IDLE_CONNECTIONS)
            .build(connector);
        Ok(Self { client })
    }

    /// Sends an event, signed with each of these keys at this time.
    pub(super) async fn post(
        &self,
        url: &str,
        keys: &[hmac::Key],
        message: &Message,
        now: Time,
    ) -> Result<Attempt> {
        let (body, timestamp) = (message.body()?, now.timestamp().as_second());
        let request = Request::post(url)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::USER_AGENT, USER_AGENT)
            .header("webhook-id", message.id.to_string())
            .header("webhook-timestamp", timestamp)
            .header("webhook-signature", signing::signature(keys, message.id, timestamp, &body))
            .body(Full::from(body))
            .map_err(Error::internal)?;
        Ok(self.exchange(request).await)
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Attempt {
        let ends = tokio::time::Instant::now() + ANSWER;
        let failed = |reason| Attempt { status: 0, reason, retry_after: None };
        let answer = match tokio::time::timeout_at(ends, self.client.request(request)).await {
            Err(_) => return failed("TIMEOUT"),
            Ok(Err(error)) => return failed(reason_of(&error)),
            Ok(Ok(answer)) => answer,
        };
        let (head, body) = answer.into_parts();
        // The head says it all; one that goes on for too long loses its connection.
        let _ = tokio::time::timeout_at(ends, Limited::new(body, BODY_LIMIT).collect()).await;
        let seconds = head.headers.get(header::RETRY_AFTER);
        Attempt {
            status: head.status.as_u16(),
            reason: judged(head.status),
            retry_after: seconds.and_then(|seconds| seconds.to_str().ok()?.trim().parse().ok()),
        }
    }
}

/// Why an answer does not take the event; empty when it does.
fn judged(status: StatusCode) -> &'static str {
    match status {
        status if status.is_success() => "",
        status if status.is_redirection() => "REDIRECT",
        _ => "STATUS",
    }
}

/// Why there was no answer.
fn reason_of(error: &hyper_util::client::legacy::Error) -> &'static str {
    let mut cause: Option<&(dyn StdError + 'static)> = error.source();
    while let Some(inner) = cause {
        if let Some(refusal) = inner.downcast_ref::<Refusal>() {
            return match refusal {
                Refusal::Dns => "DNS",
                Refusal::Address => "ADDRESS_REFUSED",
                Refusal::Connect => "CONNECT",
                Refusal::Timeout => "TIMEOUT",
                Refusal::Busy => INTERNAL,
            };
        }
        if is_tls(inner) {
            return "TLS";
        }
        cause = inner.source();
    }
    if error.is_connect() { "CONNECT" } else { "BROKEN_OFF" }
}

/// Whether TLS failed. Its error lies inside of others, which do not name it as their cause.
fn is_tls(error: &(dyn StdError + 'static)) -> bool {
    let inner = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    error.is::<rustls::Error>() || inner.is_some_and(|inner| is_tls(inner))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn the_body_names_the_event_and_no_content() {
        let message = Message {
            id: Uuid::from_u128(1),
            event_type: "appointment.booked".to_owned(),
            kind: ResourceKind::Appointment,
            resource: Uuid::from_u128(2),
            create_time: Time::from_unix_micros(1_795_000_000_123_456).unwrap(),
        };
        assert_eq!(
            String::from_utf8(message.body().unwrap()).unwrap(),
            "{\"id\":\"00000000-0000-0000-0000-000000000001\",\
             \"create_time\":\"2026-11-18T11:06:40.123456Z\",\"type\":\"appointment.booked\",\
             \"resource_kind\":\"appointment\",\
             \"resource_id\":\"00000000-0000-0000-0000-000000000002\"}"
        );
    }
}
