//! What clinicd sends to a partner's endpoint, see `clinicd.feed.v1.WebhookService`.
//!
//! ```
//! use clinicd_sdk::webhook::{Webhook, WebhookError};
//! use http::HeaderMap;
//!
//! /// Called by your web server with the headers and the raw bytes of the body.
//! fn receive(secret: &str, headers: &HeaderMap, body: &[u8]) -> Result<u16, WebhookError> {
//!     let event = Webhook::new(secret)?.verify(headers, body)?;
//!     // An event may come twice: keep `event.id`, and do nothing the second time. Answer within
//!     // 10 seconds: put the work into a queue of your own.
//!     println!("{} {}", event.event_type, event.resource_id);
//!     Ok(204)
//! }
//! # assert!(receive("whsec_AAAA", &HeaderMap::new(), b"").is_err());
//! ```

use std::str::FromStr as _;
use std::time::{Duration, SystemTime};

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use prost_types::Timestamp;
use serde::Deserialize;

use crate::proto::feed::v1::ResourceKind;

/// How far the time of a message may lie from that of its receiver.
pub const TOLERANCE: Duration = Duration::from_mins(5);

/// How every secret begins.
const PREFIX: &str = "whsec_";
/// How every signature of this kind begins.
const VERSION: &str = "v1,";

/// Why a message is not to be trusted. Answer 400 and do nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WebhookError {
    /// The secret is not one of clinicd: `whsec_` and base64.
    #[error("the secret does not begin with whsec_, or is no base64")]
    Secret,
    /// `webhook-id`, `webhook-timestamp` or `webhook-signature` is missing or unreadable.
    #[error("a header of the signature is missing or unreadable")]
    Headers,
    /// The message is older than [`TOLERANCE`], or as far ahead: somebody may have kept it.
    #[error("the time of the message is more than 5 minutes away")]
    Time,
    /// No signature fits: the message is not from clinicd, or was changed, or the secret is another.
    #[error("no signature fits")]
    Signature,
    /// It is signed, and is no event.
    #[error("the body is no event")]
    Body,
}

/// An event that clinicd has sent. It carries no content: read the resource.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct WebhookEvent {
    /// The id; the same each time that the event is sent.
    pub id: String,
    /// When it happened.
    pub create_time: Timestamp,
    /// What happened, such as `appointment.booked`.
    pub event_type: String,
    /// To what kind of resource; unspecified when it is younger than this SDK.
    pub resource_kind: ResourceKind,
    /// To which one.
    pub resource_id: String,
}

#[derive(Deserialize)]
struct Body {
    id: String,
    create_time: String,
    r#type: String,
    resource_kind: String,
    resource_id: String,
}

/// Tells messages of clinicd from others, by the secret of an endpoint.
#[derive(Clone)]
pub struct Webhook {
    key: hmac::Key,
}

impl std::fmt::Debug for Webhook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Webhook").finish_non_exhaustive()
    }
}

impl Webhook {
    /// The secret as `CreateEndpoint` and `RotateSecret` have shown it. After a rotation the old and
    /// the new one are both good for 24 hours.
    pub fn new(secret: &str) -> Result<Self, WebhookError> {
        let secret = secret.trim().strip_prefix(PREFIX).ok_or(WebhookError::Secret)?;
        let secret = STANDARD.decode(secret).map_err(|_| WebhookError::Secret)?;
        if secret.is_empty() {
            return Err(WebhookError::Secret);
        }
        Ok(Self { key: hmac::Key::new(hmac::HMAC_SHA256, &secret) })
    }

    /// The event, if clinicd has signed this very message within the last 5 minutes. `body` are the
    /// bytes as they came. Signatures are compared in constant time.
    #[expect(clippy::disallowed_methods, reason = "a receiver goes by its own clock")]
    pub fn verify(&self, headers: &HeaderMap, body: &[u8]) -> Result<WebhookEvent, WebhookError> {
        self.verify_at(headers, body, SystemTime::now())
    }

    /// The same at another time, for tests.
    pub fn verify_at(
        &self,
        headers: &HeaderMap,
        body: &[u8],
        now: SystemTime,
    ) -> Result<WebhookEvent, WebhookError> {
        let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let header = |name| header(name).ok_or(WebhookError::Headers);
        let (id, timestamp) = (header("webhook-id")?, header("webhook-timestamp")?);
        let seconds: u64 = timestamp.parse().map_err(|_| WebhookError::Headers)?;
        let sent = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds));
        let sent = sent.ok_or(WebhookError::Headers)?;
        let apart = now.duration_since(sent).unwrap_or_else(|ahead| ahead.duration());
        if apart > TOLERANCE {
            return Err(WebhookError::Time);
        }
        let signed = [format!("{id}.{timestamp}.").as_bytes(), body].concat();
        let fits = |signature: &str| {
            let tag = signature.strip_prefix(VERSION).and_then(|tag| STANDARD.decode(tag).ok());
            tag.is_some_and(|tag| hmac::verify(&self.key, &signed, &tag).is_ok())
        };
        if !header("webhook-signature")?.split(' ').any(fits) {
            return Err(WebhookError::Signature);
        }
        WebhookEvent::read(id, body).ok_or(WebhookError::Body)
    }
}

impl WebhookEvent {
    fn read(id: &str, body: &[u8]) -> Option<Self> {
        let body: Body = serde_json::from_slice(body).ok()?;
        let kind = format!("RESOURCE_KIND_{}", body.resource_kind.to_ascii_uppercase());
        let event = Self {
            id: body.id,
            create_time: Timestamp::from_str(&body.create_time).ok()?,
            event_type: body.r#type,
            resource_kind: ResourceKind::from_str_name(&kind).unwrap_or_default(),
            resource_id: body.resource_id,
        };
        (event.id == id).then_some(event)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    const BODY: &str = r#"{"id":"e1","create_time":"2026-11-18T11:06:40.5Z","type":"appointment.booked","resource_kind":"appointment","resource_id":"a1"}"#;
    const SENT: u64 = 1_795_000_000;

    fn secret(byte: u8) -> String {
        format!("{PREFIX}{}", STANDARD.encode([byte; 32]))
    }

    fn sign(byte: u8, id: &str, timestamp: &str, body: &str) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &[byte; 32]);
        let tag = hmac::sign(&key, format!("{id}.{timestamp}.{body}").as_bytes());
        format!("{VERSION}{}", STANDARD.encode(tag))
    }

    fn headers(id: &str, timestamp: &str, signature: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in
            [("webhook-id", id), ("webhook-timestamp", timestamp), ("webhook-signature", signature)]
        {
            headers.insert(name, value.parse().unwrap());
        }
        headers
    }

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn what_clinicd_has_signed_is_read() {
        let time = SENT.to_string();
        let good = headers("e1", &time, &sign(7, "e1", &time, BODY));
        let event = Webhook::new(&secret(7)).unwrap().verify_at(&good, BODY.as_bytes(), at(SENT));
        let event = event.unwrap();
        assert_eq!(event.event_type, "appointment.booked");
        assert_eq!((event.id.as_str(), event.resource_id.as_str()), ("e1", "a1"));
        assert_eq!(event.resource_kind, ResourceKind::Appointment);
        let (seconds, nanos) = (i64::try_from(SENT).unwrap(), 500_000_000);
        assert_eq!(event.create_time, Timestamp { seconds, nanos });
    }

    #[test]
    fn while_a_secret_is_rotated_both_are_good() {
        let time = SENT.to_string();
        let two = [sign(8, "e1", &time, BODY), sign(7, "e1", &time, BODY)].join(" ");
        let both = headers("e1", &time, &two);
        for byte in [7, 8] {
            let webhook = Webhook::new(&secret(byte)).unwrap();
            assert!(webhook.verify_at(&both, BODY.as_bytes(), at(SENT)).is_ok());
        }
        let webhook = Webhook::new(&secret(9)).unwrap();
        let refused = webhook.verify_at(&both, BODY.as_bytes(), at(SENT));
        assert_eq!(refused.unwrap_err(), WebhookError::Signature);
    }

    #[test]
    fn everything_else_is_refused() {
        let (webhook, time) = (Webhook::new(&secret(7)).unwrap(), SENT.to_string());
        let signature = sign(7, "e1", &time, BODY);
        let good = headers("e1", &time, &signature);
        let judge = |headers: &HeaderMap, body: &str, seconds| {
            webhook.verify_at(headers, body.as_bytes(), at(seconds)).err()
        };
        for (seconds, error) in [
            (SENT - 300, None),
            (SENT + 300, None),
            (SENT - 301, Some(WebhookError::Time)),
            (SENT + 301, Some(WebhookError::Time)),
        ] {
            assert_eq!(judge(&good, BODY, seconds), error, "{seconds}");
        }
        let changed = Some(WebhookError::Signature);
        assert_eq!(judge(&good, &BODY.replace("a1", "a2"), SENT), changed);
        assert_eq!(judge(&headers("e2", &time, &signature), BODY, SENT), changed);
        let later = (SENT + 1).to_string();
        assert_eq!(judge(&headers("e1", &later, &signature), BODY, SENT), changed);
        for wrong in ["", "v1,", "v1", "v2,x", &signature[3..], &signature[..20], "v1,!"] {
            assert_eq!(judge(&headers("e1", &time, wrong), BODY, SENT), changed, "{wrong}");
        }
        for name in ["webhook-id", "webhook-timestamp", "webhook-signature"] {
            let mut headers = good.clone();
            headers.remove(name);
            assert_eq!(judge(&headers, BODY, SENT), Some(WebhookError::Headers), "{name}");
        }
        let no_time = headers("e1", "now", &signature);
        assert_eq!(judge(&no_time, BODY, SENT), Some(WebhookError::Headers));
        for body in ["", "{}", &BODY.replace("e1", "e2")] {
            let signed = headers("e1", &time, &sign(7, "e1", &time, body));
            assert_eq!(judge(&signed, body, SENT), Some(WebhookError::Body), "{body}");
        }
        for secret in ["", "whsec_", "whsec_!", &secret(7)[1..]] {
            assert_eq!(Webhook::new(secret).err(), Some(WebhookError::Secret), "{secret}");
        }
    }
}
