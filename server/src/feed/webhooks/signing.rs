//! Secrets, and signatures as Standard Webhooks says.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use uuid::Uuid;

use super::rows::EndpointId;
use crate::app::App;
use crate::kernel::crypto::Purpose;
use crate::kernel::error::{Error, Result};

/// How every secret begins.
const PREFIX: &str = "whsec_";
/// Bytes of a secret.
const LENGTH: usize = 32;

/// A secret as it is made: what its owner is shown, and what is stored.
pub(super) struct NewSecret {
    pub(super) shown: String,
    pub(super) sealed: Vec<u8>,
}

/// A new secret of an endpoint.
pub(super) fn make(app: &App, endpoint: EndpointId) -> Result<NewSecret> {
    let secret = app.random.bytes::<LENGTH>();
    let sealed = app.keys.macs.seal(Purpose::WebhookSecret, &secret, endpoint.0.as_bytes());
    let shown = format!("{PREFIX}{}", STANDARD.encode(secret));
    Ok(NewSecret { shown, sealed: sealed.map_err(Error::internal)? })
}

/// The key in a stored secret.
pub(super) fn open(app: &App, endpoint: EndpointId, sealed: &[u8]) -> Result<hmac::Key> {
    let secret = app.keys.macs.open(Purpose::WebhookSecret, sealed, endpoint.0.as_bytes());
    Ok(hmac::Key::new(hmac::HMAC_SHA256, &secret.map_err(Error::internal)?))
}

/// The value of `webhook-signature`: one signature per key.
pub(super) fn signature(keys: &[hmac::Key], id: Uuid, timestamp: i64, body: &[u8]) -> String {
    let signed = [format!("{id}.{timestamp}.").as_bytes(), body].concat();
    let one = |key| format!("v1,{}", STANDARD.encode(hmac::sign(key, &signed)));
    keys.iter().map(one).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Worked out with `openssl dgst -sha256 -mac HMAC` over the same bytes.
    #[test]
    fn the_signature_is_that_of_the_standard() {
        let key = || hmac::Key::new(hmac::HMAC_SHA256, &[7; LENGTH]);
        let id = Uuid::from_u128(1);
        let one = signature(&[key()], id, 1_795_000_000, b"{}");
        assert_eq!(one, "v1,C0QR0WOkc3DIWI8pC6qJxYW1FMploFibsp0KTPtceqk=");
        assert_eq!(signature(&[key(), key()], id, 1_795_000_000, b"{}"), format!("{one} {one}"));
    }
}
