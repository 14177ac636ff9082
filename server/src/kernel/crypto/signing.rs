//! The keys that sign access tokens, and which of them signs when.
//!
//! A new key is published at once and signs [`RIPENS_SECONDS`] after its file was made, so that
//! every server and every partner knows it before they see it used. When a key was made is the time
//! of its file: a copy that does not keep times only makes the oldest key sign until the others
//! are that old again. The old key goes on verifying until its file goes.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::{Engine, engine::general_purpose::STANDARD};
use zeroize::Zeroizing;

use super::{CryptoError, digest_bytes, sha256};

/// Seconds from the making of a key to its first signature: twice as long as partners may keep the
/// published keys, and far longer than servers take to notice the file.
pub const RIPENS_SECONDS: i64 = 10 * 60;
/// Seconds by which servers may differ about when a key signs: clocks, and looks at the folder.
const MARGIN_SECONDS: i64 = 60;

const PEM_BEGIN: &str = "-----BEGIN PRIVATE KEY-----";
const PEM_END: &str = "-----END PRIVATE KEY-----";

/// One Ed25519 key that signs access tokens.
#[derive(Clone)]
pub struct SigningKey {
    /// Names the key in the head of a token: letters, digits, `-` and `_`.
    pub kid: String,
    /// The raw public key.
    pub public: [u8; 32],
    /// When its file was made, in seconds since 1970; 0 for a key without one.
    pub made_at: i64,
    pkcs8: Zeroizing<Vec<u8>>,
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut out = f.debug_struct("SigningKey");
        out.field("kid", &self.kid).field("made_at", &self.made_at).finish_non_exhaustive()
    }
}

impl SigningKey {
    /// A new random key; `number` makes its kid sort behind all lower ones.
    pub fn generate(number: u32) -> Result<Self, CryptoError> {
        let pair = Ed25519KeyPair::generate()?;
        // Version 1 of the format, so that operators can read the file with the OpenSSL command.
        let pkcs8 = Zeroizing::new(pair.to_pkcs8v1()?.as_ref().to_vec());
        let public = digest_bytes(pair.public_key().as_ref());
        let kid = format!("{number:06}-{}", hex::encode(&sha256(&public)[..4]));
        Ok(Self { kid, public, made_at: 0, pkcs8 })
    }

    /// The private key in PKCS#8 DER. Never leaves this crate.
    pub(crate) fn pkcs8(&self) -> &[u8] {
        &self.pkcs8
    }

    pub(super) fn from_pem(kid: &str, pem: &str, made_at: i64) -> Option<Self> {
        let body = pem.trim().strip_prefix(PEM_BEGIN)?.strip_suffix(PEM_END)?;
        let body = Zeroizing::new(body.split_whitespace().collect::<String>());
        let pkcs8 = Zeroizing::new(STANDARD.decode(body.as_bytes()).ok()?);
        let pair = Ed25519KeyPair::from_pkcs8(&pkcs8).ok()?;
        let public = digest_bytes(pair.public_key().as_ref());
        Some(Self { kid: kid.to_owned(), public, made_at, pkcs8 })
    }

    pub(super) fn to_pem(&self) -> Zeroizing<String> {
        let body = Zeroizing::new(STANDARD.encode(&*self.pkcs8));
        Zeroizing::new(format!("{PEM_BEGIN}\n{}\n{PEM_END}\n", *body))
    }

    /// When it may begin to sign.
    #[must_use]
    pub fn ripe_at(&self) -> i64 {
        self.made_at.saturating_add(RIPENS_SECONDS)
    }
}

/// Which of the keys (in order, with when each is ripe) signs at this second: the last ripe one,
/// or the first of all while none is.
pub fn signer<K>(keys: &[K], ripe_at: impl Fn(&K) -> i64, now: i64) -> Option<&K> {
    keys.iter().rev().find(|key| ripe_at(key) <= now).or(keys.first())
}

/// From when on no token of a key, of this many seconds of life, is valid any more; `None` while
/// no other key has followed it. `keys` in order.
#[must_use]
pub fn over_at(keys: &[SigningKey], kid: &str, token_seconds: i64) -> Option<i64> {
    let after = keys.iter().position(|key| key.kid == kid)? + 1;
    let followed = keys.get(after..)?.iter().map(SigningKey::ripe_at).min()?;
    Some(followed.saturating_add(token_seconds).saturating_add(MARGIN_SECONDS))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    const LIFE: i64 = 900;

    /// Keys made at these seconds.
    fn keys(made: &[i64]) -> Vec<SigningKey> {
        let key = |(number, made_at): (u32, &i64)| SigningKey {
            made_at: *made_at,
            ..SigningKey::generate(number).unwrap()
        };
        (1..).zip(made).map(key).collect()
    }

    fn signs(made: &[i64], now: i64) -> usize {
        let keys = keys(made);
        let signer = signer(&keys, SigningKey::ripe_at, now).unwrap();
        keys.iter().position(|key| key.kid == signer.kid).unwrap()
    }

    #[test]
    fn a_key_signs_when_it_was_shown_for_ten_minutes() {
        assert_eq!(signs(&[0, 10_000], 10_000 + RIPENS_SECONDS - 1), 0);
        assert_eq!(signs(&[0, 10_000], 10_000 + RIPENS_SECONDS), 1);
        assert_eq!(signs(&[0, 10_000, 10_100], 10_000 + RIPENS_SECONDS), 1);
        // A fresh folder, and a copy of one: somebody has to sign.
        assert_eq!(signs(&[10_000], 10_000), 0);
        assert_eq!(signs(&[10_000, 10_000], 10_000), 0);
        assert!(signer(&[], SigningKey::ripe_at, 0).is_none());
    }

    #[test]
    fn a_key_is_over_when_its_last_token_is() {
        let keys = keys(&[0, 10_000, 20_000]);
        let over = |number: usize| over_at(&keys, &keys[number].kid, LIFE);
        assert_eq!(over(0), Some(10_000 + RIPENS_SECONDS + LIFE + MARGIN_SECONDS));
        assert_eq!(over(1), Some(20_000 + RIPENS_SECONDS + LIFE + MARGIN_SECONDS));
        assert_eq!((over(2), over_at(&keys, "000009-none", LIFE)), (None, None));
    }
}
