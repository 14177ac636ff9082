//! The key folder: the only secrets that live outside the database.
//!
//! | file | content |
//! | --- | --- |
//! | `master-<version>.key` | 32 random bytes in hex; the highest version encrypts, all decrypt |
//! | `master-<version>.retired.key` | no longer opens data keys; still verifies what it once signed |
//! | `signing-<kid>.pem` | Ed25519 in PKCS#8 for access tokens: all verify, one signs (see [`super::signing`]) |
//! | `.lock` | held while a process creates files |
//!
//! Files are made for the owner alone (mode 0600 in a folder of mode 0700) and appear complete or
//! not at all. Back the folder up apart from the database: without it no record can be read.
//! Version 1 of the master key must always stay, retired or not (see [`super::mac`]).

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

use std::sync::Arc;

use aws_lc_rs::hkdf;
use zeroize::Zeroizing;

pub use super::signing::SigningKey;

use super::signing::over_at;
use super::{CryptoError, Macs, MasterKeys, Random};

/// Why the key folder could not be used. Names files, never their content.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// A file or the folder could not be read or written.
    #[error("key folder: {path}: {source}")]
    Io {
        /// What was touched.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file has the name of a key and not the content of one.
    #[error("key folder: {0} is not a valid key file")]
    Malformed(PathBuf),
    /// Keys are missing and may not be made: creation is off, or other key files exist, so that
    /// the folder is damaged rather than new.
    #[error("key folder: {0} is missing; restore it from the backup of the key folder")]
    Missing(PathBuf),
    /// The named master key cannot be retired: it does not exist or is the newest.
    #[error("key folder: master key {0} cannot be retired")]
    NotRetirable(u32),
    /// There is no signing key of this name.
    #[error("key folder: there is no signing key {0}; `clinicd keys list` shows those there are")]
    NoSigningKey(String),
    /// The named signing key signs, or is about to.
    #[error("signing key {0} is the newest: rotate first, and retire it when its time is over")]
    NewestSigningKey(String),
    /// Tokens of the named signing key may still be valid.
    #[error("tokens of signing key {kid} may be valid for another {minutes} minutes")]
    StillValid {
        /// The key.
        kid: String,
        /// How long, rounded up.
        minutes: i64,
    },
    /// The cryptographic library refused.
    #[error(transparent)]
    Crypto(#[from] CryptoError),
}

/// One master key, from which all others are derived.
#[derive(Clone)]
pub struct MasterKey {
    /// Counts from [`MasterKey::FIRST`].
    pub version: u32,
    /// Whether it may no longer open data keys.
    pub retired: bool,
    secret: Zeroizing<[u8; 32]>,
}

impl std::fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut out = f.debug_struct("MasterKey");
        out.field("version", &self.version).field("retired", &self.retired).finish_non_exhaustive()
    }
}

impl MasterKey {
    /// The version of the first master key.
    pub const FIRST: u32 = 1;

    /// A master key in use.
    #[must_use]
    pub fn new(version: u32, secret: [u8; 32]) -> Self {
        Self { version, retired: false, secret: Zeroizing::new(secret) }
    }

    /// A key of its own for `label`, by HKDF-SHA-256.
    pub(super) fn derive(&self, label: &str) -> Result<Zeroizing<[u8; 32]>, CryptoError> {
        let mut out = Zeroizing::new([0; 32]);
        hkdf::Salt::new(hkdf::HKDF_SHA256, b"clinicd")
            .extract(self.secret.as_ref())
            .expand(&[b"clinicd/1/", label.as_bytes()], hkdf::HKDF_SHA256)?
            .fill(out.as_mut())?;
        Ok(out)
    }
}

/// Everything that the key folder gives.
#[derive(Debug)]
pub struct Keys {
    /// Wraps and unwraps the data keys.
    pub master: MasterKeys,
    /// Signs and seals the server's own values.
    pub macs: Arc<Macs>,
    /// Token keys in order. Never empty.
    pub signing: Vec<SigningKey>,
}

/// Operations on the key folder. They block; call them at start and from commands.
#[derive(Debug)]
pub struct KeyFolder;

impl KeyFolder {
    /// Reads the folder. With `create`, an empty or absent folder gets its first keys; processes
    /// that start at once on one folder agree on the same. A folder that lost some of its keys is
    /// refused instead of filled up, because new keys would make the stored records unreadable.
    pub fn open_or_create(path: &Path, create: bool) -> Result<Keys, KeyError> {
        let mut found = Found::read(path)?;
        if create && (found.masters.is_empty() || found.signing.is_empty()) {
            let _lock = lock(path)?;
            found = Found::read(path)?;
            // The master key is made first, so a signing key alone is never a half-made folder.
            if found.masters.is_empty() && found.signing.is_empty() {
                write_master(path, MasterKey::FIRST)?;
            }
            if found.signing.is_empty() {
                write_signing(path, 1)?;
            }
            found = Found::read(path)?;
        }
        found.into_keys(path)
    }

    /// Adds a master key and returns its version. Every process picks it up at its next start, and
    /// one that has not yet reads nothing that another has sealed since: stop all before. Stored
    /// data keys move over by [`MasterKeys::rewrap`].
    pub fn rotate_master(path: &Path) -> Result<u32, KeyError> {
        let _lock = lock(path)?;
        let version = Found::read(path)?.newest_master().map_or(MasterKey::FIRST, |v| v + 1);
        write_master(path, version)?;
        Ok(version)
    }

    /// Stops an old master key from opening data keys, once all of them are rewrapped.
    pub fn retire_master(path: &Path, version: u32) -> Result<(), KeyError> {
        let _lock = lock(path)?;
        let found = Found::read(path)?;
        let active = found.masters.iter().any(|key| key.version == version && !key.retired);
        if !active || found.newest_master() == Some(version) {
            return Err(KeyError::NotRetirable(version));
        }
        let from = path.join(format!("master-{version}.key"));
        let to = path.join(format!("master-{version}.retired.key"));
        fs::rename(&from, &to).map_err(io_at(&from))?;
        sync_folder(path)
    }

    /// The signing keys that lie in the folder now, in order.
    pub fn signing(path: &Path) -> Result<Vec<SigningKey>, KeyError> {
        Ok(Found::read(path)?.signing)
    }

    /// The master keys that lie in the folder now, in order.
    pub fn masters(path: &Path) -> Result<Vec<MasterKey>, KeyError> {
        Ok(Found::read(path)?.masters)
    }

    /// Adds a signing key and returns its kid. Running servers pick it up by themselves.
    pub fn rotate_signing(path: &Path) -> Result<String, KeyError> {
        let _lock = lock(path)?;
        let newest = Found::read(path)?.signing.pop().ok_or_else(|| no_signing(path))?;
        let number = newest.kid.split('-').next().and_then(|number| number.parse::<u32>().ok());
        write_signing(path, number.unwrap_or(0) + 1)
    }

    /// Removes a signing key of which no token is valid any more. `now` in seconds since 1970;
    /// `token_seconds`: the life of a token.
    pub fn retire_signing(
        path: &Path,
        kid: &str,
        now: i64,
        token_seconds: i64,
    ) -> Result<(), KeyError> {
        let _lock = lock(path)?;
        let keys = Found::read(path)?.signing;
        if !keys.iter().any(|key| key.kid == kid) {
            return Err(KeyError::NoSigningKey(kid.to_owned()));
        }
        let over = over_at(&keys, kid, token_seconds);
        let over = over.ok_or_else(|| KeyError::NewestSigningKey(kid.to_owned()))?;
        if over > now {
            let minutes = (over - now + 59) / 60;
            return Err(KeyError::StillValid { kid: kid.to_owned(), minutes });
        }
        let file = path.join(format!("signing-{kid}.pem"));
        fs::remove_file(&file).map_err(io_at(&file))?;
        sync_folder(path)
    }
}

fn no_signing(path: &Path) -> KeyError {
    KeyError::Missing(path.join("signing-<kid>.pem"))
}

/// What the folder holds, in order of version and name.
#[derive(Default)]
struct Found {
    masters: Vec<MasterKey>,
    signing: Vec<SigningKey>,
}

impl Found {
    fn read(path: &Path) -> Result<Self, KeyError> {
        let mut found = Self::default();
        let entries = match fs::read_dir(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(found),
            entries => entries.map_err(io_at(path))?,
        };
        for entry in entries {
            let file = entry.map_err(io_at(path))?.path();
            let Some(name) = file.file_name().and_then(|name| name.to_str()) else { continue };
            let malformed = || KeyError::Malformed(file.clone());
            if let Some(rest) = strip(name, "master-", ".key") {
                let (version, retired) =
                    rest.strip_suffix(".retired").map_or((rest, false), |v| (v, true));
                let version = version.parse().ok().filter(|v| *v >= MasterKey::FIRST);
                let version = version.ok_or_else(malformed)?;
                let mut key = MasterKey::new(version, [0; 32]);
                key.retired = retired;
                hex::decode_to_slice(read(&file)?.trim(), key.secret.as_mut())
                    .map_err(|_| malformed())?;
                found.masters.push(key);
            } else if let Some(kid) = strip(name, "signing-", ".pem") {
                let fits = kid.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
                let made_at = made_at(&file)?;
                let key = SigningKey::from_pem(kid, &read(&file)?, made_at).filter(|_| fits);
                found.signing.push(key.ok_or_else(malformed)?);
            }
        }
        found.masters.sort_by_key(|key| key.version);
        found.signing.sort_by(|a, b| a.kid.cmp(&b.kid));
        // "1" and "01", or a key that is both retired and in use: nobody can tell which counts.
        let doubled = found.masters.windows(2).find(|pair| pair[0].version == pair[1].version);
        match doubled {
            Some(pair) => {
                Err(KeyError::Malformed(path.join(format!("master-{}.key", pair[0].version))))
            }
            None => Ok(found),
        }
    }

    fn newest_master(&self) -> Option<u32> {
        self.masters.last().map(|key| key.version)
    }

    fn into_keys(self, path: &Path) -> Result<Keys, KeyError> {
        if self.masters.first().is_none_or(|key| key.version != MasterKey::FIRST) {
            return Err(KeyError::Missing(path.join(format!("master-{}.key", MasterKey::FIRST))));
        }
        if self.signing.is_empty() {
            return Err(no_signing(path));
        }
        let (master, macs) = (MasterKeys::new(&self.masters)?, Arc::new(Macs::new(&self.masters)?));
        Ok(Keys { master, macs, signing: self.signing })
    }
}

fn strip<'a>(name: &'a str, prefix: &str, suffix: &str) -> Option<&'a str> {
    name.strip_prefix(prefix)?.strip_suffix(suffix)
}

fn io_at(path: &Path) -> impl FnOnce(io::Error) -> KeyError {
    move |source| KeyError::Io { path: path.to_owned(), source }
}

fn read(file: &Path) -> Result<Zeroizing<String>, KeyError> {
    fs::read_to_string(file).map(Zeroizing::new).map_err(io_at(file))
}

/// When a file was written, in seconds since 1970.
fn made_at(file: &Path) -> Result<i64, KeyError> {
    let modified = fs::metadata(file).and_then(|meta| meta.modified()).map_err(io_at(file))?;
    let since = modified.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Ok(i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}

fn write_master(path: &Path, version: u32) -> Result<(), KeyError> {
    let secret = Zeroizing::new(Random.bytes::<32>());
    let text = Zeroizing::new(format!("{}\n", *Zeroizing::new(hex::encode(*secret))));
    write_new(path, &format!("master-{version}.key"), text.as_bytes())
}

fn write_signing(path: &Path, number: u32) -> Result<String, KeyError> {
    let key = SigningKey::generate(number)?;
    write_new(path, &format!("signing-{}.pem", key.kid), key.to_pem().as_bytes())?;
    Ok(key.kid)
}

/// One creator at a time per folder; freed by the system when the process ends in any way.
fn lock(path: &Path) -> Result<File, KeyError> {
    let mut folder = fs::DirBuilder::new();
    folder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut folder, 0o700);
    folder.create(path).map_err(io_at(path))?;
    let file = path.join(".lock");
    let lock =
        private(File::options().create(true).write(true)).open(&file).map_err(io_at(&file))?;
    lock.lock().map_err(io_at(&file))?;
    Ok(lock)
}

/// Writes a file that did not exist, complete or not at all, also over a power cut. The caller
/// holds the lock, so nobody can have made it between the look and the rename.
fn write_new(path: &Path, name: &str, content: &[u8]) -> Result<(), KeyError> {
    let target = path.join(name);
    if target.exists() {
        return Err(KeyError::Io { path: target, source: io::ErrorKind::AlreadyExists.into() });
    }
    let draft = path.join(format!(".{name}.{}", hex::encode(Random.bytes::<8>())));
    let write = || {
        let mut file = private(File::options().create_new(true).write(true)).open(&draft)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&draft, &target)
    };
    write().map_err(io_at(&target))?;
    sync_folder(path)
}

fn private(options: &mut fs::OpenOptions) -> &mut fs::OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options
}

/// Makes new names in the folder durable. Other systems have no such call and need none.
fn sync_folder(path: &Path) -> Result<(), KeyError> {
    if cfg!(unix) {
        File::open(path).and_then(|folder| folder.sync_all()).map_err(io_at(path))?;
    }
    Ok(())
}

#[cfg(test)]
#[path = "keys_tests.rs"]
mod tests;
