//! Encrypted values: AES-256-GCM under a data key, data keys wrapped under a master key.
//!
//! Every encrypted value is one self-describing envelope:
//!
//! | offset | bytes | meaning |
//! | --- | --- | --- |
//! | 0 | 1 | version of this layout: 1 |
//! | 1 | 1 | algorithm: 1 = AES-256-GCM, 96-bit random nonce, 128-bit tag |
//! | 2 | 4 | version of the key that seals it (u32, big endian) |
//! | 6 | 12 | nonce |
//! | 18 | n + 16 | ciphertext and tag |
//!
//! The tag covers the first six bytes and the caller's associated data as well, so an envelope
//! moved to another row, column or patient, or edited in any bit, does not open.
//!
//! A wrapped data key is an envelope whose key version names the master key and whose content is
//! the data key's own version (u32) and its 32 bytes. Random nonces are safe for 2^32 uses of one
//! key; data keys are per patient, which keeps every key far below that.

use aws_lc_rs::aead::{AES_256_GCM, Aad as GcmAad, LessSafeKey, Nonce, UnboundKey};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{framed, keys::MasterKey, random::Random};

const LAYOUT: u8 = 1;
const ALGORITHM: u8 = 1;
const HEADER: usize = 6;
const NONCE: usize = 12;
const TAG: usize = 16;
/// Bytes that an envelope adds to its content.
pub const OVERHEAD: usize = HEADER + NONCE + TAG;

/// Why a value could not be sealed or opened. Names no content and no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CryptoError {
    /// Not an envelope of a layout and algorithm that this server knows.
    #[error("not a readable envelope")]
    Malformed,
    /// Sealed under a key version that is absent or retired.
    #[error("no usable key of version {0}")]
    UnknownKey(u32),
    /// Edited, moved from where it was sealed, or sealed under another key.
    #[error("the value does not open: edited, moved or of another key")]
    Tampered,
    /// The cryptographic library refused an operation that it always accepts.
    #[error("the cryptographic library failed")]
    Library,
}

impl From<aws_lc_rs::error::Unspecified> for CryptoError {
    fn from(_: aws_lc_rs::error::Unspecified) -> Self {
        Self::Library
    }
}

/// The version of the key that sealed `envelope`, to find the key that opens it.
pub fn key_version(envelope: &[u8]) -> Result<u32, CryptoError> {
    match envelope {
        [LAYOUT, ALGORITHM, a, b, c, d, rest @ ..] if rest.len() >= NONCE + TAG => {
            Ok(u32::from_be_bytes([*a, *b, *c, *d]))
        }
        _ => Err(CryptoError::Malformed),
    }
}

/// Where an encrypted value lives. Sealed with the value: it opens only in the same place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Aad<'a> {
    /// Table that holds the value.
    pub table: &'a str,
    /// Column that holds the value.
    pub column: &'a str,
    /// Id of the row.
    pub row: Uuid,
    /// Version of the row's content, so that an older ciphertext cannot be put back; 0 where rows
    /// have none.
    pub version: i64,
    /// Patient whom the value is about, if any.
    pub patient: Option<Uuid>,
    /// Doctor who wrote it, if any.
    pub doctor: Option<Uuid>,
}

impl Aad<'_> {
    /// The associated data for [`DataKey::seal`] and [`DataKey::open`]: a different place always
    /// gives different bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        fn bytes(id: Option<&Uuid>) -> &[u8] {
            id.map_or(&[], |id| id.as_bytes())
        }
        framed(&[
            b"row",
            self.table.as_bytes(),
            self.column.as_bytes(),
            self.row.as_bytes(),
            &self.version.to_be_bytes(),
            bytes(self.patient.as_ref()),
            bytes(self.doctor.as_ref()),
        ])
    }
}

/// A key that encrypts values, for example all those of one patient. Wiped from memory when
/// dropped.
#[derive(Clone)]
pub struct DataKey {
    version: u32,
    secret: Zeroizing<[u8; 32]>,
}

impl std::fmt::Debug for DataKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DataKey").field("version", &self.version).finish_non_exhaustive()
    }
}

impl DataKey {
    /// A fresh random key; `version` counts the keys of the same owner, from 1.
    #[must_use]
    pub fn generate(version: u32, random: Random) -> Self {
        Self::new(version, Zeroizing::new(random.bytes()))
    }

    /// A key of known bytes.
    pub(super) fn new(version: u32, secret: Zeroizing<[u8; 32]>) -> Self {
        Self { version, secret }
    }

    /// Which of its owner's keys this is.
    #[must_use]
    pub fn version(&self) -> u32 {
        self.version
    }

    /// Encrypts `plaintext` for the place that `aad` names.
    pub fn seal(&self, plaintext: &[u8], aad: &[u8]) -> Result<Vec<u8>, CryptoError> {
        let nonce = Random.bytes::<NONCE>();
        let mut out = Vec::with_capacity(plaintext.len() + OVERHEAD);
        out.extend_from_slice(&[LAYOUT, ALGORITHM]);
        out.extend_from_slice(&self.version.to_be_bytes());
        let aad = covered(&out, aad);
        out.extend_from_slice(&nonce);
        out.extend_from_slice(plaintext);
        let tag = self.cipher()?.seal_in_place_separate_tag(
            Nonce::assume_unique_for_key(nonce),
            aad,
            &mut out[HEADER + NONCE..],
        )?;
        out.extend_from_slice(tag.as_ref());
        Ok(out)
    }

    /// Decrypts what [`seal`](Self::seal) made with the same key and the same `aad`.
    pub fn open(&self, envelope: &[u8], aad: &[u8]) -> Result<Vec<u8>, CryptoError> {
        let version = key_version(envelope)?;
        if version != self.version {
            return Err(CryptoError::UnknownKey(version));
        }
        let (header, rest) = envelope.split_at(HEADER);
        let (nonce, sealed) = rest.split_at(NONCE);
        let nonce = Nonce::try_assume_unique_for_key(nonce)?;
        let mut content = sealed.to_vec();
        let length = self
            .cipher()?
            .open_in_place(nonce, covered(header, aad), &mut content)
            .map_err(|_| CryptoError::Tampered)?
            .len();
        content.truncate(length);
        Ok(content)
    }

    fn cipher(&self) -> Result<LessSafeKey, CryptoError> {
        Ok(LessSafeKey::new(UnboundKey::new(&AES_256_GCM, self.secret.as_ref())?))
    }
}

/// What the tag covers beside the content: the fixed-length header, then the caller's data.
fn covered(header: &[u8], aad: &[u8]) -> GcmAad<Vec<u8>> {
    GcmAad::from([header, aad].concat())
}

/// The master keys as wrappers of data keys: the newest wraps, all that are not retired unwrap.
#[derive(Debug, Clone)]
pub struct MasterKeys {
    newest: DataKey,
    older: Vec<DataKey>,
}

impl MasterKeys {
    /// Derives the wrapping keys. Fails with `UnknownKey(0)` when every master key is retired.
    pub fn new(masters: &[MasterKey]) -> Result<Self, CryptoError> {
        let mut older = Vec::new();
        for master in masters.iter().filter(|master| !master.retired) {
            older.push(DataKey::new(master.version, master.derive("wrap")?));
        }
        older.sort_by_key(DataKey::version);
        let newest = older.pop().ok_or(CryptoError::UnknownKey(0))?;
        Ok(Self { newest, older })
    }

    /// Version of the master key that wraps now; rows below it are due for [`rewrap`](Self::rewrap).
    #[must_use]
    pub fn newest_version(&self) -> u32 {
        self.newest.version
    }

    /// Encrypts a data key for storage. `context` names its owner (for example the patient's id)
    /// and must be given again to unwrap it.
    pub fn wrap(&self, data_key: &DataKey, context: &[u8]) -> Result<Vec<u8>, CryptoError> {
        let mut plain = Zeroizing::new(Vec::with_capacity(4 + 32));
        plain.extend_from_slice(&data_key.version.to_be_bytes());
        plain.extend_from_slice(data_key.secret.as_ref());
        self.newest.seal(&plain, context)
    }

    /// Decrypts a stored data key.
    pub fn unwrap(&self, wrapped: &[u8], context: &[u8]) -> Result<DataKey, CryptoError> {
        let version = key_version(wrapped)?;
        let master = std::iter::once(&self.newest)
            .chain(&self.older)
            .find(|key| key.version == version)
            .ok_or(CryptoError::UnknownKey(version))?;
        let plain = Zeroizing::new(master.open(wrapped, context)?);
        let (version, secret) = plain.split_first_chunk::<4>().ok_or(CryptoError::Malformed)?;
        let secret = <[u8; 32]>::try_from(secret).map_err(|_| CryptoError::Malformed)?;
        Ok(DataKey::new(u32::from_be_bytes(*version), Zeroizing::new(secret)))
    }

    /// The same data key wrapped under the newest master key, or `None` when it is already.
    pub fn rewrap(&self, wrapped: &[u8], context: &[u8]) -> Result<Option<Vec<u8>>, CryptoError> {
        if key_version(wrapped)? == self.newest.version {
            return Ok(None);
        }
        self.wrap(&self.unwrap(wrapped, context)?, context).map(Some)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn place() -> Aad<'static> {
        Aad {
            table: "journal_entries",
            column: "body",
            row: Uuid::from_u128(1),
            version: 3,
            patient: Some(Uuid::from_u128(2)),
            doctor: None,
        }
    }

    #[test]
    fn opens_only_in_its_place() {
        let key = DataKey::generate(7, Random);
        let sealed = key.seal(b"note", &place().encode()).unwrap();
        assert_eq!(sealed.len(), 4 + OVERHEAD);
        assert_eq!(key_version(&sealed), Ok(7));
        assert_eq!(key.open(&sealed, &place().encode()).unwrap(), b"note");

        let id = Uuid::from_u128(9);
        let elsewhere = [
            Aad { table: "messages", ..place() },
            Aad { column: "title", ..place() },
            Aad { row: id, ..place() },
            Aad { version: 2, ..place() },
            Aad { patient: Some(id), ..place() },
            Aad { patient: None, doctor: place().patient, ..place() },
            Aad { table: "journal_entriesb", column: "ody", ..place() },
        ];
        for aad in elsewhere {
            assert_eq!(key.open(&sealed, &aad.encode()), Err(CryptoError::Tampered), "{aad:?}");
        }
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_found() {
        let key = DataKey::generate(1, Random);
        let sealed = key.seal(b"10 mg twice a day", b"here").unwrap();
        for bit in 0..sealed.len() * 8 {
            let mut edited = sealed.clone();
            edited[bit / 8] ^= 1 << (bit % 8);
            assert!(key.open(&edited, b"here").is_err(), "bit {bit}");
        }
        for length in 0..sealed.len() {
            assert!(key.open(&sealed[..length], b"here").is_err(), "cut to {length}");
        }
    }

    #[test]
    fn swapped_ciphertexts_and_foreign_keys_do_not_open() {
        let key = DataKey::generate(1, Random);
        let (a, b) = (key.seal(b"a", b"row a").unwrap(), key.seal(b"b", b"row b").unwrap());
        assert_eq!(key.open(&a, b"row b"), Err(CryptoError::Tampered));
        assert_eq!(key.open(&b, b"row a"), Err(CryptoError::Tampered));
        let other = DataKey::generate(1, Random);
        assert_eq!(other.open(&a, b"row a"), Err(CryptoError::Tampered));
        let newer = DataKey::generate(2, Random);
        assert_eq!(newer.open(&a, b"row a"), Err(CryptoError::UnknownKey(1)));
    }

    #[test]
    fn equal_values_look_different() {
        let key = DataKey::generate(1, Random);
        assert_ne!(key.seal(b"same", b"").unwrap(), key.seal(b"same", b"").unwrap());
    }

    #[test]
    fn wrapping_survives_rotation_and_ends_with_retirement() {
        let mut masters = vec![MasterKey::new(1, Random.bytes())];
        let before = MasterKeys::new(&masters).unwrap();
        let key = DataKey::generate(4, Random);
        let sealed = key.seal(b"note", b"here").unwrap();
        let old = before.wrap(&key, b"patient 1").unwrap();
        assert_eq!(before.rewrap(&old, b"patient 1"), Ok(None));

        masters.push(MasterKey::new(2, Random.bytes()));
        let after = MasterKeys::new(&masters).unwrap();
        let new = after.rewrap(&old, b"patient 1").unwrap().unwrap();
        assert_eq!((key_version(&old), key_version(&new)), (Ok(1), Ok(2)));
        for wrapped in [&old, &new] {
            let back = after.unwrap(wrapped, b"patient 1").unwrap();
            assert_eq!(back.open(&sealed, b"here").unwrap(), b"note");
            let stolen = after.unwrap(wrapped, b"patient 2");
            assert_eq!(stolen.unwrap_err(), CryptoError::Tampered);
        }

        masters[0].retired = true;
        let retired = MasterKeys::new(&masters).unwrap();
        let refused = retired.unwrap(&old, b"patient 1");
        assert_eq!(refused.unwrap_err(), CryptoError::UnknownKey(1));
        assert!(retired.unwrap(&new, b"patient 1").is_ok());
    }

    #[test]
    fn debug_shows_no_key() {
        let key = DataKey::new(5, Zeroizing::new([0xAB; 32]));
        assert_eq!(format!("{key:?}"), "DataKey { version: 5, .. }");
    }
}
