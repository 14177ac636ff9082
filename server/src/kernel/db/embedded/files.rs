//! The files of one cluster's directory, and the locks among them.
//!
//! | file | meaning |
//! | --- | --- |
//! | `users.lock` | held shared by every user; the supervisor ends when it can have it alone |
//! | `start.lock` | held by the one user that is starting a supervisor |
//! | `supervisor.lock` | held by the supervisor as long as it lives |
//! | `supervisor.pid` | the process id of the last supervisor |
//! | `ready` | socket directory and major version, once connections are accepted |
//! | `error` | why the last supervisor gave up |
//! | `supervisor.log` | what the supervisor and PostgreSQL print |
//! | `temporary` | marks a throw-away cluster, the only kind that is ever deleted |
//! | `location` | where the data lies, when it cannot lie here (see `account`) |
//! | `data/` | PostgreSQL's data directory |
//!
//! Locks are the kernel's, so a killed process frees its own. A lock file is never deleted: a
//! process waiting on a deleted file would hold a lock that nobody else sees.

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::error::{EmbeddedError, io_error};

/// How often a lock or a file is looked at again while waiting.
pub(super) const POLL: Duration = Duration::from_millis(20);

/// The name of PostgreSQL's socket, for the fixed port number that the launcher uses.
pub(super) const SOCKET: &str = ".s.PGSQL.5432";

/// What a running supervisor has announced.
pub(super) struct Ready {
    /// The directory of the socket.
    pub(super) socket_dir: PathBuf,
    /// PostgreSQL's major version.
    pub(super) major: u32,
}

/// The directory of one cluster.
#[derive(Debug, Clone)]
pub(super) struct Files {
    dir: PathBuf,
}

impl Files {
    /// `dir` exists and is canonical.
    pub(super) fn new(dir: PathBuf) -> Self {
        Self { dir }
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    pub(super) fn log(&self) -> PathBuf {
        self.file("supervisor.log")
    }

    /// PostgreSQL's data directory.
    pub(super) fn data(&self) -> PathBuf {
        match fs::read_to_string(self.file("location")) {
            Ok(path) => PathBuf::from(path.trim()),
            Err(_) => self.file("data"),
        }
    }

    /// The major version that made the data; `None` when there is no data yet.
    pub(super) fn data_major(&self) -> Option<u32> {
        let text = fs::read_to_string(self.data().join("PG_VERSION")).ok()?;
        text.trim().parse().ok()
    }

    /// Refuses the directory of a cluster of the other kind, so that a test can never delete,
    /// nor run without fsync, what somebody wants to keep.
    pub(super) fn check_kind(&self, temporary: bool) -> Result<(), EmbeddedError> {
        let is_temporary = self.file("temporary").exists();
        if self.data().join("PG_VERSION").exists() && is_temporary != temporary {
            let dir = self.dir.clone();
            return Err(EmbeddedError::WrongKind { dir, temporary: is_temporary });
        }
        Ok(())
    }

    /// What the running supervisor announced; `None` when none runs or its socket is shut.
    pub(super) fn running(&self) -> Result<Option<Ready>, EmbeddedError> {
        if !self.supervisor_lives()? {
            return Ok(None);
        }
        let Some(ready) = self.ready() else { return Ok(None) };
        let accepts = UnixStream::connect(ready.socket_dir.join(SOCKET)).is_ok();
        Ok(accepts.then_some(ready))
    }

    /// Whether a supervisor lives, be it ready or not.
    pub(super) fn supervisor_lives(&self) -> Result<bool, EmbeddedError> {
        let path = self.file("supervisor.lock");
        let file = open_lock(&path)?;
        // Shared, so that two lookers do not take each other for a supervisor.
        Ok(!try_shared(&file, &path)?)
    }

    fn ready(&self) -> Option<Ready> {
        let text = fs::read_to_string(self.file("ready")).ok()?;
        let mut lines = text.lines();
        let socket_dir = PathBuf::from(lines.next()?);
        let major = lines.next()?.parse().ok()?;
        Some(Ready { socket_dir, major })
    }

    /// Announces that connections are accepted.
    pub(super) fn write_ready(&self, ready: &Ready) -> Result<(), EmbeddedError> {
        self.write("ready", &format!("{}\n{}\n", ready.socket_dir.display(), ready.major))
    }

    /// Leaves the reason of a failure behind.
    pub(super) fn write_error(&self, error: &EmbeddedError) -> Result<(), EmbeddedError> {
        match error {
            // The reader wraps it in the same words again.
            EmbeddedError::Supervisor { message, .. } => self.write("error", message),
            error => self.write("error", &error.to_string()),
        }
    }

    /// The reason that the last supervisor left behind.
    pub(super) fn error(&self) -> Option<String> {
        fs::read_to_string(self.file("error")).ok()
    }

    /// Forgets what an earlier supervisor said.
    pub(super) fn forget(&self) -> Result<(), EmbeddedError> {
        remove_if_there(&self.file("ready"))?;
        remove_if_there(&self.file("error"))
    }

    /// Writes a file as a whole, so that no reader sees half of it.
    pub(super) fn write(&self, name: &str, text: &str) -> Result<(), EmbeddedError> {
        let (draft, path) = (self.file(&format!("{name}.new")), self.file(name));
        fs::write(&draft, text).map_err(io_error("write", &draft))?;
        fs::rename(&draft, &path).map_err(io_error("write", &path))
    }
}

/// Opens a lock file, which is created when missing.
pub(super) fn open_lock(path: &Path) -> Result<File, EmbeddedError> {
    File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
        .map_err(io_error("open", path))
}

/// Whether the shared lock was free; it is held when so.
pub(super) fn try_shared(file: &File, path: &Path) -> Result<bool, EmbeddedError> {
    taken(file.try_lock_shared(), path)
}

/// Whether the exclusive lock was free; it is held when so.
pub(super) fn try_exclusive(file: &File, path: &Path) -> Result<bool, EmbeddedError> {
    taken(file.try_lock(), path)
}

fn taken(result: Result<(), TryLockError>, path: &Path) -> Result<bool, EmbeddedError> {
    match result {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(source)) => Err(io_error("lock", path)(source)),
    }
}

/// Tries until `deadline`; whether the lock was had.
pub(super) fn until(
    deadline: Instant,
    mut attempt: impl FnMut() -> Result<bool, EmbeddedError>,
) -> Result<bool, EmbeddedError> {
    loop {
        if attempt()? {
            return Ok(true);
        }
        if Instant::now() >= deadline {
            return Ok(false);
        }
        std::thread::sleep(POLL);
    }
}

/// Removes a file; a missing one is as good.
pub(super) fn remove_if_there(path: &Path) -> Result<(), EmbeddedError> {
    not_there_is_fine(fs::remove_file(path), path)
}

/// Removes a directory with all it holds; a missing one is as good.
pub(super) fn remove_dir_if_there(path: &Path) -> Result<(), EmbeddedError> {
    not_there_is_fine(fs::remove_dir_all(path), path)
}

fn not_there_is_fine(result: io::Result<()>, path: &Path) -> Result<(), EmbeddedError> {
    match result {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(io_error("remove", path)(error))
        }
        _ => Ok(()),
    }
}
