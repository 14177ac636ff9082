//! The small HTTPS client of the message ports: one POST, one short answer, no redirects.
//!
//! It is hyper-util's client, which tonic brings along anyway, with hyper-rustls on aws-lc-rs:
//! one more package, where a larger client would be a dozen.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use super::{PortError, SEND_TIMEOUT, authorities};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Providers answer with a few hundred bytes.
const ANSWER_LIMIT: usize = 64 * 1024;

/// An HTTP client. Cheap to clone.
#[derive(Clone)]
pub(super) struct HttpClient {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

/// What a provider answered.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) retry_after: Option<Duration>,
    pub(super) body: Bytes,
}

impl HttpClient {
    /// A client that believes the authorities of this PEM file; those of the machine without one.
    pub(super) fn new(ca_certificate: Option<&Path>) -> Result<Self, PortError> {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
        let builder = HttpsConnectorBuilder::new();
        let tls = match ca_certificate {
            Some(file) => builder.with_tls_config(authorities::only(file)?),
            None => builder
                .with_provider_and_native_roots(rustls::crypto::aws_lc_rs::default_provider())
                .map_err(|_| PortError::Settings("this machine has no root certificates"))?,
        };
        let tls = tls.https_or_http().enable_http1().wrap_connector(tcp);
        let client = Client::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).build(tls);
        Ok(Self { client })
    }

    /// Sends a request and waits for the whole answer.
    pub(super) async fn send(&self, request: Request<Full<Bytes>>) -> Result<Answer, PortError> {
        let exchange = async {
            let unreachable = |_| PortError::temporary("the provider cannot be reached");
            let answer = self.client.request(request).await.map_err(unreachable)?;
            let (head, body) = answer.into_parts();
            let body = Limited::new(body, ANSWER_LIMIT)
                .collect()
                .await
                .map_err(|_| PortError::temporary("the provider's answer broke off"))?;
            let retry_after = head
                .headers
                .get(header::RETRY_AFTER)
                .and_then(|seconds| seconds.to_str().ok()?.parse().ok())
                .map(Duration::from_secs);
            Ok(Answer { status: head.status, retry_after, body: body.to_bytes() })
        };
        tokio::time::timeout(SEND_TIMEOUT, exchange)
            .await
            .unwrap_or(Err(PortError::temporary("the provider took too long")))
    }
}

impl Answer {
    /// A field of a JSON answer, by its JSON pointer.
    pub(super) fn field(&self, pointer: &str) -> Option<serde_json::Value> {
        let mut body: serde_json::Value = serde_json::from_slice(&self.body).ok()?;
        body.pointer_mut(pointer).map(serde_json::Value::take)
    }

    /// What an answer other than 2xx means. `code` is the provider's own number for it.
    pub(super) fn refusal(&self, code: Option<u32>) -> PortError {
        let code = code.or(Some(u32::from(self.status.as_u16())));
        let temporary = |what| PortError::Temporary { what, code, retry_after: self.retry_after };
        match self.status.as_u16() {
            // Our login, not the message: an operator mends it, and the message can still go.
            401 | 403 => temporary("the provider refused our login"),
            408 | 425 | 429 | 500.. => temporary("the provider is busy"),
            _ => PortError::Permanent { what: "the provider refused the message", code },
        }
    }
}

/// Checks the address of a provider: https, or this machine (a catcher, a test).
pub(super) fn base(address: &str) -> Result<String, PortError> {
    let refused = PortError::Settings("a provider's address begins with https://");
    let uri: Uri = address.parse().map_err(|_| refused.clone())?;
    let local = matches!(uri.host(), Some("127.0.0.1" | "localhost" | "[::1]"));
    match uri.scheme_str() {
        Some("https") => {}
        Some("http") if local => {}
        _ => return Err(refused),
    }
    Ok(address.trim_end_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_may_be_called_without_tls() {
        for good in ["https://api.example.org/", "http://127.0.0.1:8080", "http://[::1]:1/x"] {
            assert!(base(good).is_ok(), "{good}");
        }
        let bad = ["http://api.example.org", "http://127.0.0.1.example.org", "file:///x", "x", ""];
        for bad in bad {
            assert!(base(bad).is_err(), "{bad}");
        }
    }
}
