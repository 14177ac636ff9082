//! The folder in which a server keeps what must survive it: the embedded database, keys, files.
//!
//! Guarantees: the folder exists and is writable, or the caller is told what to do about it; and
//! at most one server serves from it at a time.

use std::fs::{self, DirBuilder, File, Permissions, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// The name of the lock file that a serving process holds.
const SERVER_LOCK: &str = "server.lock";

/// Why a data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// It does not exist and cannot be created.
    #[error(
        "the data directory `{path}` cannot be created: {source}. Create it and give this account \
         the right to write there, or choose another one with `CLINICD_DATA_DIR`"
    )]
    CannotCreate {
        /// The directory that was asked for.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// It exists, but this account cannot write there.
    #[error(
        "the data directory `{path}` is not writable: {source}. Give this account the right to \
         write there, or choose another one with `CLINICD_DATA_DIR`"
    )]
    NotWritable {
        /// The directory that was asked for.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// Another process serves from it.
    #[error(
        "another clinicd{} already serves from the data directory `{path}`. Stop that one, or \
         give this one a directory of its own with `CLINICD_DATA_DIR`",
        pid.map(|pid| format!(" (process {pid})")).unwrap_or_default()
    )]
    AlreadyServing {
        /// The directory that was asked for.
        path: PathBuf,
        /// The process that holds it, where known.
        pid: Option<u32>,
    },
    /// The lock file cannot be locked, as on some network file systems.
    #[error(
        "`{path}` cannot be locked: {source}. Choose a data directory on a local disk with \
         `CLINICD_DATA_DIR`"
    )]
    CannotLock {
        /// The lock file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}

/// A data directory that exists and is writable.
#[derive(Debug, Clone)]
pub struct DataDir {
    path: PathBuf,
}

/// The right to serve from a data directory. Ends with the value, and with the process.
#[derive(Debug)]
pub struct ServingLock {
    _file: File,
}

impl DataDir {
    /// Opens `path`, which is created when missing: mode 0700, as root 0711, because PostgreSQL
    /// refuses to run as root and its own account must be able to pass through. Whoever writes a
    /// secret there gives the file itself mode 0600.
    pub fn open(path: &Path) -> Result<Self, DataDirError> {
        let cannot_create =
            |source| DataDirError::CannotCreate { path: path.to_path_buf(), source };
        create_private(path).map_err(cannot_create)?;
        let path = path.canonicalize().map_err(cannot_create)?;
        let probe = path.join(format!(".write-test-{}", std::process::id()));
        let written = File::create(&probe).and_then(|mut file| file.write_all(b"clinicd"));
        let removed = fs::remove_file(&probe);
        match written.and(removed) {
            Ok(()) => Ok(Self { path }),
            Err(source) => Err(DataDirError::NotWritable { path, source }),
        }
    }

    /// The absolute path, free of symbolic links.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Takes the exclusive right to serve from this directory. Commands that end by themselves
    /// do not need it.
    pub fn lock_for_serving(&self) -> Result<ServingLock, DataDirError> {
        let path = self.path.join(SERVER_LOCK);
        let cannot_lock = |source| DataDirError::CannotLock { path: path.clone(), source };
        let mut file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(cannot_lock)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let pid = fs::read_to_string(&path).ok().and_then(|text| text.trim().parse().ok());
                return Err(DataDirError::AlreadyServing { path: self.path.clone(), pid });
            }
            Err(TryLockError::Error(source)) => return Err(cannot_lock(source)),
        }
        // The number is only a help for whoever is refused; the lock itself is the kernel's.
        file.set_len(0).map_err(cannot_lock)?;
        writeln!(file, "{}", std::process::id()).map_err(cannot_lock)?;
        Ok(ServingLock { _file: file })
    }
}

/// Creates `path` for this account alone; see [`DataDir::open`] for root. A directory that
/// exists is left as it is.
pub(crate) fn create_private(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => {}
        // Another process was faster.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {
            return Ok(());
        }
        Err(error) => return Err(error),
    }
    if fs::metadata(path)?.uid() == 0 {
        fs::set_permissions(path, Permissions::from_mode(0o711))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn scratch(name: &str) -> PathBuf {
        let dir = std::env::temp_dir().join(format!("clinicd-data-{name}-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        dir
    }

    #[test]
    fn the_directory_is_created_for_this_account_alone() {
        let above = scratch("created");
        let dir = DataDir::open(&above.join("new/data")).unwrap();
        let found = fs::metadata(dir.path()).unwrap();
        let readable_by_others = found.mode() & 0o066;
        assert!(readable_by_others == 0, "mode {:o}", found.mode());
        assert!(DataDir::open(dir.path()).is_ok(), "a directory that exists will do");
        fs::remove_dir_all(above).unwrap();
    }

    #[test]
    fn a_directory_that_cannot_be_written_is_refused_by_name() {
        let above = scratch("refused");
        let file = above.join("file");
        fs::write(&file, "").unwrap();
        for path in [file.join("data"), file, PathBuf::from("/proc/clinicd")] {
            let error = DataDir::open(&path).unwrap_err();
            assert!(matches!(error, DataDirError::CannotCreate { .. }), "{error}");
            assert!(error.to_string().contains(&path.display().to_string()), "{error}");
        }
        let error = DataDir::open(Path::new("/proc/self")).unwrap_err();
        assert!(matches!(error, DataDirError::NotWritable { .. }), "{error}");
        fs::remove_dir_all(above).unwrap();
    }

    #[test]
    fn only_one_serves_at_a_time() {
        let above = scratch("serving");
        let dir = DataDir::open(&above).unwrap();
        let lock = dir.lock_for_serving().unwrap();
        let error = DataDir::open(&above).unwrap().lock_for_serving().unwrap_err();
        let DataDirError::AlreadyServing { pid, .. } = &error else { panic!("{error}") };
        assert_eq!(*pid, Some(std::process::id()));
        drop(lock);
        assert!(dir.lock_for_serving().is_ok());
        fs::remove_dir_all(above).unwrap();
    }
}
