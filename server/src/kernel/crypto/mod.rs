//! Keys, encryption, message authentication and randomness.
//!
//! | module | gives |
//! | --- | --- |
//! | [`keys`] | the key folder: the server's only secrets at rest outside the database |
//! | [`envelope`] | AES-256-GCM for stored values, data keys wrapped by a master key |
//! | [`signing`] | the keys of access tokens, and which of them signs when |
//! | [`mac`] | keyed hashes and sealing keys, one independent key per [`mac::Purpose`] |
//! | [`random`] | the operating system's random numbers |
//!
//! Nothing here touches the database, the clock or the log's payload, and no `Debug` output
//! shows key material.

pub mod envelope;
pub mod keys;
pub mod mac;
pub mod random;
pub mod signing;

pub use envelope::{Aad, CryptoError, DataKey, MasterKeys};
pub use keys::{KeyError, KeyFolder, Keys};
pub use mac::{Macs, Purpose, SHORT_TAG};
pub use random::Random;

/// SHA-256 of `bytes`. For values that are already unguessable (tokens) or public (files); a
/// guessable value such as a phone number needs [`Macs::sign`].
#[must_use]
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    digest_bytes(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes).as_ref())
}

/// Encodes a list of byte strings so that no two different lists give the same bytes: each part
/// follows its length (u64, big endian).
#[must_use]
pub fn framed(parts: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::with_capacity(parts.iter().map(|part| part.len() + 8).sum());
    for part in parts {
        out.extend_from_slice(&(part.len() as u64).to_be_bytes());
        out.extend_from_slice(part);
    }
    out
}

/// Copies a 32-byte digest out of the library's variable-length type.
fn digest_bytes(digest: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sha256_is_the_standard_one() {
        assert_eq!(
            hex::encode(sha256(b"abc")),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }

    #[test]
    fn framing_keeps_borders() {
        assert_ne!(framed(&[b"ab", b"c"]), framed(&[b"a", b"bc"]));
        assert_ne!(framed(&[b"a", b""]), framed(&[b"a"]));
    }
}
