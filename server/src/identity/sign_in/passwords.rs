//! Passwords: what a good one is, and Argon2id hashing that cannot starve the server.
//!
//! A password is any text: it is normalised to NFC (so that two keyboards give the same bytes)
//! and neither trimmed, folded nor cut. Hashing runs on blocking threads, at most
//! [`PasswordParams::permits`] at a time; a short queue waits, and what exceeds it is refused at
//! once. An account that does not exist costs the same as one that does.

use std::sync::{Arc, Mutex, PoisonError};

use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Block, Params, Version};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use unicode_normalization::UnicodeNormalization;
use zeroize::Zeroizing;

use crate::kernel::crypto::Random;
use crate::kernel::error::{Error, Reason};

/// Fewest code points of a password beside a second factor (NIST SP 800-63B).
pub const MIN_LENGTH: usize = 8;
/// Fewest code points where the password alone signs in.
pub const MIN_LENGTH_ALONE: usize = 12;
/// Most code points of a password.
pub const MAX_LENGTH: usize = 128;
/// Most bytes that are looked at at all, before normalisation: any password of [`MAX_LENGTH`]
/// code points fits twice.
pub const MAX_BYTES: usize = 1_024;
/// Shortest part of a name or address that a password may not hold, in characters.
const MIN_PERSONAL_PART: usize = 4;
/// Digits in a row of one's own phone number that a password may not hold.
const PHONE_RUN: usize = 6;
/// Fewest digits that make a personal value a phone number.
const PHONE_DIGITS: usize = 7;
/// Names of the product, which a password may not hold.
const PRODUCT: [&str; 1] = ["clinicd"];
/// Passwords that everybody tries first; lower case, one per line.
const COMMON: &str = include_str!("common_passwords.txt");
/// Bytes of salt and of hash.
const SALT: usize = 16;
const HASH: usize = 32;

/// Cost and concurrency of hashing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PasswordParams {
    /// Memory of one hash, in KiB.
    pub memory_kib: u32,
    /// Passes over the memory.
    pub iterations: u32,
    /// Lanes.
    pub parallelism: u32,
    /// Hashes at a time; as many as there are cores.
    pub permits: usize,
    /// Hashes that may wait for a permit. One takes about 70 ms, so `permits * 8` keeps a wait
    /// below a second.
    pub queue: usize,
}

impl PasswordParams {
    /// The least cost that OWASP names for Argon2id: 19 MiB, two passes, one lane. Production
    /// refuses less.
    pub const OWASP_MINIMUM: Self =
        Self { memory_kib: 19 * 1_024, iterations: 2, parallelism: 1, permits: 2, queue: 16 };

    /// Whether each cost reaches [`OWASP_MINIMUM`](Self::OWASP_MINIMUM).
    #[must_use]
    pub fn is_strong(&self) -> bool {
        self.memory_kib >= Self::OWASP_MINIMUM.memory_kib
            && self.iterations >= Self::OWASP_MINIMUM.iterations
            && self.parallelism >= Self::OWASP_MINIMUM.parallelism
    }
}

impl Default for PasswordParams {
    fn default() -> Self {
        let permits = std::thread::available_parallelism().map_or(1, usize::from);
        Self { permits, queue: permits * 8, ..Self::OWASP_MINIMUM }
    }
}

/// Why a password is refused or could not be handled. Never holds the password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// Fewer code points than the given number.
    #[error("password shorter than {0} characters")]
    TooShort(usize),
    /// More than [`MAX_LENGTH`] code points, or more than [`MAX_BYTES`].
    #[error("password too long")]
    TooLong,
    /// Common, or made of the person's own data or the product's name.
    #[error("password too easy to guess")]
    WeakPassword,
    /// Too many hashes at once: safe to try again soon.
    #[error("too many sign-ins at once")]
    Busy,
    /// The stored hash cannot be read: a fault of the data.
    #[error("stored password hash is unreadable")]
    BadHash,
    /// The configured costs are not possible, or the hashing task died: a fault of the server.
    #[error("password hashing failed")]
    Failed,
}

impl From<PasswordError> for Error {
    fn from(error: PasswordError) -> Self {
        match error {
            PasswordError::TooShort(least) => Self::of(Reason::WeakPassword)
                .and_field("password", format!("must have at least {least} characters"))
                .caused_by(error),
            PasswordError::TooLong => Self::of(Reason::WeakPassword)
                .and_field("password", format!("must have at most {MAX_LENGTH} characters"))
                .caused_by(error),
            PasswordError::WeakPassword => Self::of(Reason::WeakPassword).caused_by(error),
            PasswordError::Busy => Self::unavailable(),
            PasswordError::BadHash | PasswordError::Failed => Self::internal(error),
        }
    }
}

/// What a check of a password found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verified {
    /// Whether the password is right. Never true for an account without a password.
    pub ok: bool,
    /// Whether the right password is stored at less than today's cost: hash and store it anew.
    pub needs_rehash: bool,
}

/// What a password is worth in a sign-in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PasswordUse {
    /// It alone signs in: at least [`MIN_LENGTH_ALONE`].
    Alone,
    /// A second factor is always asked for: at least [`MIN_LENGTH`].
    BesideSecondFactor,
}

/// Hashes and verifies passwords. One for the whole server; cheap to clone.
#[derive(Debug, Clone)]
pub struct Passwords {
    costs: Params,
    /// Stands in for the hash of accounts that do not exist; no password matches it.
    dummy: Arc<str>,
    memory: Memory,
    permits: Arc<Semaphore>,
    places: Arc<Semaphore>,
}

/// Memory of earlier hashes, one block list per permit at most. Blocks of this size that are freed
/// and allocated again by changing threads stay with the allocator, hundreds of MiB in a storm of
/// sign-ins.
#[derive(Debug, Clone, Default)]
struct Memory(Arc<Mutex<Vec<Vec<Block>>>>);

impl Memory {
    /// The Argon2id hash, as long as the parameters say.
    fn hash(&self, costs: &Params, password: &[u8], salt: &[u8]) -> Result<Vec<u8>, PasswordError> {
        let mut blocks = self.lists().pop().unwrap_or_default();
        blocks.resize(costs.block_count(), Block::new());
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, costs.clone());
        let mut hash = vec![0; costs.output_len().unwrap_or(HASH)];
        let done = argon2.hash_password_into_with_memory(password, salt, &mut hash, &mut blocks);
        self.lists().push(blocks);
        done.map(|()| hash).map_err(|_| PasswordError::Failed)
    }

    fn lists(&self) -> std::sync::MutexGuard<'_, Vec<Vec<Block>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Passwords {
    /// Fails when Argon2 does not know such parameters or no permit is given.
    pub fn new(params: PasswordParams) -> Result<Self, PasswordError> {
        let PasswordParams { memory_kib, iterations, parallelism, permits, queue } = params;
        let costs = Params::new(memory_kib, iterations, parallelism, Some(HASH));
        let costs = costs.map_err(|_| PasswordError::Failed)?;
        let places = permits.saturating_add(queue);
        if permits == 0 || places > Semaphore::MAX_PERMITS {
            return Err(PasswordError::Failed);
        }
        let dummy = phc(&costs, &Random.bytes::<SALT>(), &Random.bytes::<HASH>());
        Ok(Self {
            costs,
            dummy: dummy.into(),
            memory: Memory::default(),
            permits: Arc::new(Semaphore::new(permits)),
            places: Arc::new(Semaphore::new(places)),
        })
    }

    /// The hash to store, as a PHC string with a salt of its own. Checks the lengths; call
    /// [`check_strength`] first.
    pub async fn hash(&self, password: &str) -> Result<String, PasswordError> {
        let password = normalised(password)?;
        check_length(&password, MIN_LENGTH)?;
        let (costs, memory) = (self.costs.clone(), self.memory.clone());
        self.run(move || {
            let salt = Random.bytes::<SALT>();
            Ok(phc(&costs, &salt, &memory.hash(&costs, password.as_bytes(), &salt)?))
        })
        .await
    }

    /// Whether `password` is the one that was stored. Give `None` for an account that does not
    /// exist or has no password: it costs the same and is never right. An empty or too short
    /// password is hashed like any other, so that it does not answer faster.
    pub async fn verify(
        &self,
        password: &str,
        stored: Option<&str>,
    ) -> Result<Verified, PasswordError> {
        let password = normalised(password)?;
        let exists = stored.is_some();
        let hash = PasswordHash::new(stored.unwrap_or(&self.dummy));
        let hash = hash.map_err(|_| PasswordError::BadHash)?;
        let costs = Params::try_from(&hash).map_err(|_| PasswordError::BadHash)?;
        let ours = hash.algorithm == Algorithm::Argon2id.ident()
            && hash.version == Some(Version::V0x13.into());
        let (Some(salt), Some(wanted), true) = (hash.salt, hash.hash, ours) else {
            return Err(PasswordError::BadHash);
        };
        let weaker = costs.m_cost() < self.costs.m_cost() || costs.t_cost() < self.costs.t_cost();
        let memory = self.memory.clone();
        let right = self
            .run(move || {
                let found = memory.hash(&costs, password.as_bytes(), salt.as_ref())?;
                Ok(verify_slices_are_equal(&found, wanted.as_bytes()).is_ok())
            })
            .await?;
        let ok = right && exists;
        Ok(Verified { ok, needs_rehash: ok && weaker })
    }

    /// Runs `work` on a blocking thread, once there is room. Both permits go with it: a caller
    /// who gives up does not make room while the work goes on.
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, PasswordError> + Send + 'static,
    ) -> Result<T, PasswordError> {
        let place =
            Arc::clone(&self.places).try_acquire_owned().map_err(|_| PasswordError::Busy)?;
        let permit = Arc::clone(&self.permits).acquire_owned().await;
        let held: (OwnedSemaphorePermit, _) = (place, permit.map_err(|_| PasswordError::Busy)?);
        let work = move || {
            let result = work();
            drop(held);
            result
        };
        tokio::task::spawn_blocking(work).await.map_err(|_| PasswordError::Failed)?
    }
}

/// A hash as it is stored.
fn phc(costs: &Params, salt: &[u8], hash: &[u8]) -> String {
    format!(
        "$argon2id$v=19$m={},t={},p={}${}${}",
        costs.m_cost(),
        costs.t_cost(),
        costs.p_cost(),
        STANDARD_NO_PAD.encode(salt),
        STANDARD_NO_PAD.encode(hash),
    )
}

/// Refuses a password that is too short for its use, too long, common, or made of the person's
/// own data (`personal`: names, mail addresses, phone numbers) or the product's name.
pub fn check_strength(
    password: &str,
    personal: &[&str],
    used: PasswordUse,
) -> Result<(), PasswordError> {
    let password = normalised(password)?;
    check_length(
        &password,
        match used {
            PasswordUse::Alone => MIN_LENGTH_ALONE,
            PasswordUse::BesideSecondFactor => MIN_LENGTH,
        },
    )?;
    let folded = folded(&password);
    let weak = is_common(&folded)
        || PRODUCT.iter().any(|name| folded.contains(name))
        || personal.iter().any(|value| holds_personal(&folded, value));
    if weak { Err(PasswordError::WeakPassword) } else { Ok(()) }
}

/// Whether a password is too short to sign in without a second factor.
#[must_use]
pub fn is_short(password: &str) -> bool {
    password.nfc().count() < MIN_LENGTH_ALONE
}

fn normalised(password: &str) -> Result<Zeroizing<String>, PasswordError> {
    if password.len() > MAX_BYTES {
        return Err(PasswordError::TooLong);
    }
    Ok(Zeroizing::new(password.nfc().collect()))
}

fn check_length(password: &str, least: usize) -> Result<(), PasswordError> {
    match password.chars().count() {
        length if length < least => Err(PasswordError::TooShort(least)),
        length if length > MAX_LENGTH => Err(PasswordError::TooLong),
        _ => Ok(()),
    }
}

/// For comparing: without case and without full-width and other look-alike forms.
fn folded(text: &str) -> Zeroizing<String> {
    Zeroizing::new(text.nfkc().flat_map(char::to_lowercase).collect())
}

/// A common password as it is, or with digits and signs around it (`Password2026!`).
fn is_common(folded: &str) -> bool {
    let core = folded.trim_matches(|c: char| !c.is_alphabetic());
    COMMON.lines().any(|common| common == folded || (!core.is_empty() && common == core))
}

fn holds_personal(folded_password: &str, value: &str) -> bool {
    let value = folded(value);
    let digits: Vec<char> = value.chars().filter(char::is_ascii_digit).collect();
    if digits.len() >= PHONE_DIGITS && !value.chars().any(char::is_alphabetic) {
        let run_of = |run: &[char]| run.iter().collect::<String>();
        return digits.windows(PHONE_RUN).any(|run| folded_password.contains(&run_of(run)));
    }
    value
        .split(|c: char| !c.is_alphanumeric())
        .filter(|part| part.chars().count() >= MIN_PERSONAL_PART)
        .any(|part| folded_password.contains(part))
}

#[cfg(test)]
#[path = "passwords_tests.rs"]
mod tests;
