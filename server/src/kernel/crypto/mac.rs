//! Keyed hashes and sealing keys for the server's own values.
//!
//! Each [`Purpose`] has its own key, derived from the master key by HKDF-SHA-256, so that a value
//! made for one purpose is worth nothing for another.
//!
//! Rotation of the master key: most values are short-lived and only ever verified, so the newest
//! key signs and every key, retired ones included, verifies. Values by which rows are *found*
//! must never change; their purposes ([`Purpose::is_fixed`]) use master key 1 for ever, which is
//! why the key folder must always hold it, retired or not.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;

use super::{
    digest_bytes,
    envelope::{CryptoError, DataKey, key_version},
    keys::MasterKey,
};

/// Bytes of a short tag: 128 bits, which nobody guesses.
pub const SHORT_TAG: usize = 16;

/// What a derived key is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// Page tokens of lists.
    PageToken,
    /// Fingerprint of a request body under a `request_id`. Fixed.
    RequestFingerprint,
    /// Answers kept for repeated requests; a sealing key.
    StoredAnswer,
    /// Lookup of phone numbers and mail addresses without storing them readable. Fixed.
    BlindIndex,
    /// One-time codes at rest: six digits would not survive a plain hash.
    OneTimeCode,
    /// Tickets that open a stream once.
    StreamTicket,
    /// Links mailed for activation, recovery and invitations.
    VerificationLink,
    /// Signed heads of the audit chain.
    AuditHead,
    /// Resume positions of the change feed.
    FeedPosition,
    /// Signed links to stored files.
    FileLink,
    /// A constant kept in the database, which tells at start that the key folder belongs to it.
    /// Fixed.
    KeyCheck,
    /// Codes printed on prescriptions. Fixed: the same prescription prints the same code for ever.
    PrescriptionCode,
    /// What a backup says of itself.
    Backup,
    /// The refresh token that follows another one. Fixed: a lost answer can be asked for again
    /// after a rotation too.
    RefreshToken,
    /// Secrets of authenticator apps; a sealing key.
    SecondFactor,
    /// Recovery codes at rest. Fixed.
    RecoveryCode,
    /// What a message to the owner of a closed account needs; a sealing key.
    LastMessage,
    /// Links that switch off a class of messages.
    Unsubscribe,
    /// Secrets with which webhooks are signed; a sealing key.
    WebhookSecret,
}

impl Purpose {
    /// Every purpose, in the order of declaration.
    const ALL: [Self; 19] = [
        Self::PageToken,
        Self::RequestFingerprint,
        Self::StoredAnswer,
        Self::BlindIndex,
        Self::OneTimeCode,
        Self::StreamTicket,
        Self::VerificationLink,
        Self::AuditHead,
        Self::FeedPosition,
        Self::FileLink,
        Self::KeyCheck,
        Self::PrescriptionCode,
        Self::Backup,
        Self::RefreshToken,
        Self::SecondFactor,
        Self::RecoveryCode,
        Self::LastMessage,
        Self::Unsubscribe,
        Self::WebhookSecret,
    ];

    /// Input of the derivation. Never change one: values in the database depend on it.
    fn label(self) -> &'static str {
        match self {
            Self::PageToken => "page-token",
            Self::RequestFingerprint => "request-fingerprint",
            Self::StoredAnswer => "stored-answer",
            Self::BlindIndex => "blind-index",
            Self::OneTimeCode => "one-time-code",
            Self::StreamTicket => "stream-ticket",
            Self::VerificationLink => "verification-link",
            Self::AuditHead => "audit-head",
            Self::FeedPosition => "feed-position",
            Self::FileLink => "file-link",
            Self::KeyCheck => "key-check",
            Self::PrescriptionCode => "prescription-code",
            Self::Backup => "backup",
            Self::RefreshToken => "refresh-token",
            Self::SecondFactor => "second-factor",
            Self::RecoveryCode => "recovery-code",
            Self::LastMessage => "last-message",
            Self::Unsubscribe => "unsubscribe",
            Self::WebhookSecret => "webhook-secret",
        }
    }

    /// Whether values of this purpose stay the same over all rotations of the master key.
    #[must_use]
    pub fn is_fixed(self) -> bool {
        matches!(
            self,
            Self::RequestFingerprint
                | Self::BlindIndex
                | Self::KeyCheck
                | Self::PrescriptionCode
                | Self::RefreshToken
                | Self::RecoveryCode
        )
    }
}

/// The keys derived from one master key, indexed by purpose.
#[derive(Debug)]
struct Derived {
    version: u32,
    macs: Vec<hmac::Key>,
    sealing: Vec<DataKey>,
}

impl Derived {
    fn new(master: &MasterKey) -> Result<Self, CryptoError> {
        let mut macs = Vec::with_capacity(Purpose::ALL.len());
        let mut sealing = Vec::with_capacity(Purpose::ALL.len());
        for purpose in Purpose::ALL {
            let label = purpose.label();
            let mac = master.derive(&format!("mac/{label}"))?;
            macs.push(hmac::Key::new(hmac::HMAC_SHA256, mac.as_ref()));
            sealing.push(DataKey::new(master.version, master.derive(&format!("seal/{label}"))?));
        }
        Ok(Self { version: master.version, macs, sealing })
    }
}

/// Signs and seals the server's own values. See the module's text on rotation.
#[derive(Debug)]
pub struct Macs {
    first: Derived,
    /// Ascending by version.
    later: Vec<Derived>,
}

impl Macs {
    /// Derives all keys. Fails with `UnknownKey(1)` when master key 1 is missing.
    pub fn new(masters: &[MasterKey]) -> Result<Self, CryptoError> {
        let mut masters: Vec<&MasterKey> = masters.iter().collect();
        masters.sort_by_key(|master| master.version);
        match masters.as_slice() {
            [first, later @ ..] if first.version == MasterKey::FIRST => Ok(Self {
                first: Derived::new(first)?,
                later: later.iter().map(|master| Derived::new(master)).collect::<Result<_, _>>()?,
            }),
            _ => Err(CryptoError::UnknownKey(MasterKey::FIRST)),
        }
    }

    /// HMAC-SHA-256 of `bytes` under the key of `purpose`. Frame several values with
    /// [`framed`](super::framed).
    #[must_use]
    pub fn sign(&self, purpose: Purpose, bytes: &[u8]) -> [u8; 32] {
        let tag = hmac::sign(&self.current(purpose).macs[purpose as usize], bytes);
        digest_bytes(tag.as_ref())
    }

    /// Whether `tag` was made by [`sign`](Self::sign) for the same purpose and bytes, under any
    /// master key that the folder still holds. Each comparison takes constant time.
    #[must_use]
    pub fn verify(&self, purpose: Purpose, bytes: &[u8], tag: &[u8]) -> bool {
        self.usable(purpose)
            .any(|keys| hmac::verify(&keys.macs[purpose as usize], bytes, tag).is_ok())
    }

    /// The first [`SHORT_TAG`] bytes of [`sign`](Self::sign), for what people scan or type.
    #[must_use]
    pub fn sign_short(&self, purpose: Purpose, bytes: &[u8]) -> [u8; SHORT_TAG] {
        let mut short = [0; SHORT_TAG];
        short.copy_from_slice(&self.sign(purpose, bytes)[..SHORT_TAG]);
        short
    }

    /// Whether `tag` was made by [`sign_short`](Self::sign_short), under any master key that the
    /// folder still holds. Each comparison takes constant time.
    #[must_use]
    pub fn verify_short(&self, purpose: Purpose, bytes: &[u8], tag: &[u8]) -> bool {
        self.usable(purpose).any(|keys| {
            let whole = hmac::sign(&keys.macs[purpose as usize], bytes);
            verify_slices_are_equal(&whole.as_ref()[..SHORT_TAG], tag).is_ok()
        })
    }

    /// The newest sealing key of `purpose`. To read what an older one sealed, use
    /// [`open`](Self::open).
    #[must_use]
    pub fn sealing_key(&self, purpose: Purpose) -> DataKey {
        self.current(purpose).sealing[purpose as usize].clone()
    }

    /// Encrypts a value of the server's own under the newest sealing key of `purpose`.
    pub fn seal(&self, purpose: Purpose, text: &[u8], aad: &[u8]) -> Result<Vec<u8>, CryptoError> {
        self.current(purpose).sealing[purpose as usize].seal(text, aad)
    }

    /// Decrypts what [`seal`](Self::seal) made, under whichever key version it names.
    pub fn open(
        &self,
        purpose: Purpose,
        sealed: &[u8],
        aad: &[u8],
    ) -> Result<Vec<u8>, CryptoError> {
        let version = key_version(sealed)?;
        self.usable(purpose)
            .find(|keys| keys.version == version)
            .ok_or(CryptoError::UnknownKey(version))?
            .sealing[purpose as usize]
            .open(sealed, aad)
    }

    fn current(&self, purpose: Purpose) -> &Derived {
        if purpose.is_fixed() { &self.first } else { self.later.last().unwrap_or(&self.first) }
    }

    /// Newest first, because most values are young.
    fn usable(&self, purpose: Purpose) -> impl Iterator<Item = &Derived> {
        let later = if purpose.is_fixed() { &[][..] } else { &self.later };
        later.iter().rev().chain(std::iter::once(&self.first))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::kernel::crypto::Random;
    use std::collections::HashSet;

    fn masters() -> [MasterKey; 2] {
        [MasterKey::new(1, [1; 32]), MasterKey::new(2, [2; 32])]
    }

    #[test]
    fn purposes_are_separate_and_indexed_in_order() {
        let macs = Macs::new(&masters()).unwrap();
        let tags: HashSet<_> = Purpose::ALL.map(|purpose| macs.sign(purpose, b"x")).into();
        assert_eq!(tags.len(), Purpose::ALL.len());
        for (at, purpose) in Purpose::ALL.into_iter().enumerate() {
            assert_eq!(purpose as usize, at);
            assert!(macs.verify(purpose, b"x", &macs.sign(purpose, b"x")));
            assert!(!macs.verify(purpose, b"y", &macs.sign(purpose, b"x")));
            assert!(!macs.verify(purpose, b"x", &macs.sign(purpose, b"x")[..31]));
            let short = macs.sign_short(purpose, b"x");
            assert!(macs.verify_short(purpose, b"x", &short));
            assert!(!macs.verify_short(purpose, b"y", &short));
            assert!(!macs.verify_short(purpose, b"x", &short[..15]));
        }
        assert!(!macs.verify(Purpose::FileLink, b"x", &macs.sign(Purpose::PageToken, b"x")));
    }

    #[test]
    fn derivation_never_changes() {
        // Computed apart from this code, by RFC 5869 and RFC 2104.
        let macs = Macs::new(&masters()[..1]).unwrap();
        assert_eq!(
            hex::encode(macs.sign(Purpose::BlindIndex, b"+911234567890")),
            "c382df9130351dfa7f18e443e2ddd429bf0895c5999766ae4e3aa0b63f4a01f8"
        );
    }

    #[test]
    fn rotation_keeps_old_signatures_and_fixed_values() {
        let before = Macs::new(&masters()[..1]).unwrap();
        let after = Macs::new(&masters()).unwrap();
        let old = before.sign(Purpose::PageToken, b"x");
        assert_ne!(after.sign(Purpose::PageToken, b"x"), old);
        assert!(after.verify(Purpose::PageToken, b"x", &old));
        for purpose in Purpose::ALL.into_iter().filter(|purpose| purpose.is_fixed()) {
            assert_eq!(before.sign(purpose, b"x"), after.sign(purpose, b"x"));
        }

        // A fixed purpose does not accept the second key's tag at all.
        let second = MasterKey::new(1, [2; 32]);
        let foreign = Macs::new(&[second]).unwrap().sign(Purpose::BlindIndex, b"x");
        assert!(!after.verify(Purpose::BlindIndex, b"x", &foreign));
    }

    #[test]
    fn sealed_answers_outlive_a_rotation() {
        let before = Macs::new(&masters()[..1]).unwrap();
        let after = Macs::new(&masters()).unwrap();
        let old = before.seal(Purpose::StoredAnswer, b"answer", b"request 1").unwrap();
        assert_eq!(after.open(Purpose::StoredAnswer, &old, b"request 1").unwrap(), b"answer");
        assert!(after.open(Purpose::StoredAnswer, &old, b"request 2").is_err());
        assert!(after.open(Purpose::PageToken, &old, b"request 1").is_err());
        let new = after.sealing_key(Purpose::StoredAnswer).seal(b"b", b"").unwrap();
        assert_eq!(after.open(Purpose::StoredAnswer, &new, b"").unwrap(), b"b");
        assert_eq!(before.open(Purpose::StoredAnswer, &new, b""), Err(CryptoError::UnknownKey(2)));
    }

    #[test]
    fn master_key_1_is_required() {
        let second = [MasterKey::new(2, Random.bytes())];
        assert_eq!(Macs::new(&second).unwrap_err(), CryptoError::UnknownKey(1));
        assert_eq!(Macs::new(&[]).unwrap_err(), CryptoError::UnknownKey(1));
    }

    #[test]
    fn debug_shows_no_key() {
        let text = format!("{:?}", Macs::new(&masters()[..1]).unwrap());
        assert!(!text.contains("[1, 1") && !text.contains("0101"), "{text}");
    }
}
