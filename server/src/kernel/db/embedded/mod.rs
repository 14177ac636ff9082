//! PostgreSQL for those who have set up none: a real cluster in a private folder, started by
//! whoever needs it first and stopped when the last one is gone, however it went.
//!
//! Guarantees:
//! - it is reached through a Unix socket in a directory of mode 0700 only, never through TCP;
//! - a killed user leaves no PostgreSQL behind; when the supervisor is killed as well, the next
//!   start puts things right;
//! - committed data survives all of that in a durable cluster; only a throw-away cluster is
//!   ever deleted;
//! - data made by another major version is refused and left alone.
//!
//! A process that needs the cluster calls [`ensure`]. That starts this same program with the
//! hidden subcommand [`SUBCOMMAND`], whose body is [`supervise`]. Unix only.

mod account;
mod adopting;
mod binaries;
mod error;
mod fetch;
mod files;
mod launch;
mod postgres;
mod supervisor;

use std::fs::{self, File};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use aws_lc_rs::digest;

pub use self::adopting::{adopt, client_program, run};
pub use self::error::EmbeddedError;
pub use self::launch::{Launch, SUBCOMMAND};
pub use self::supervisor::supervise;

use self::binaries::Search;
use self::error::io_error;
use self::files::{Files, POLL, Ready, open_lock, try_exclusive, try_shared, until};
use crate::kernel::data_dir::create_private;

/// How long a start may take. Initialising alone can take ten seconds on a busy machine.
const START_PATIENCE: Duration = Duration::from_mins(2);

/// A log longer than this many bytes is set aside at the next start.
const LOG_LIMIT: u64 = 10 * 1024 * 1024;

/// The variable that names the directory of PostgreSQL's programs.
pub const BINARIES_VARIABLE: &str = "CLINICD_PG_BIN";

/// How the cluster is run.
#[derive(Debug, Clone)]
pub struct Options {
    /// The cluster's directory; created when missing.
    pub dir: PathBuf,
    /// `false` for tests: no fsync, begins empty, deleted in the end. A directory serves one
    /// kind of cluster only.
    pub durable: bool,
    /// How long the cluster outlives its last user.
    pub grace: Duration,
    /// The program that knows the hidden subcommand; this very program when `None`.
    pub executable: Option<PathBuf>,
    /// The only directory to look for PostgreSQL's programs in. When `None`, they are looked for
    /// in the usual places, and fetched if there are none.
    pub binaries: Option<PathBuf>,
}

impl Options {
    /// A cluster whose data lasts; `CLINICD_PG_BIN` counts.
    #[must_use]
    pub fn durable(dir: PathBuf) -> Self {
        let binaries = std::env::var_os(BINARIES_VARIABLE).map(PathBuf::from);
        let grace = Duration::from_millis(300);
        Self { dir, durable: true, grace, executable: None, binaries }
    }

    /// A cluster for one run of tests; `CLINICD_PG_BIN` counts.
    #[must_use]
    pub fn temporary(dir: PathBuf) -> Self {
        Self { durable: false, grace: Duration::from_millis(1_500), ..Self::durable(dir) }
    }
}

/// A running cluster, which is kept running by this value. Hold it for as long as there are
/// connections.
#[derive(Debug)]
pub struct Cluster {
    files: Files,
    socket_dir: PathBuf,
    major: u32,
    _users: File,
}

impl Cluster {
    /// The cluster's directory, absolute.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.files.dir()
    }

    /// PostgreSQL's major version.
    #[must_use]
    pub fn major(&self) -> u32 {
        self.major
    }

    /// The address of `database` for `user`. The superuser is `postgres`; nobody has a password.
    #[must_use]
    pub fn url(&self, database: &str, user: &str) -> String {
        let socket_dir = percent_encoded(&self.socket_dir.to_string_lossy());
        format!("postgresql://{}@{socket_dir}/{}", percent_encoded(user), percent_encoded(database))
    }

    /// Why the cluster no longer runs; `None` while it does. Cheap: one look at a lock. A server
    /// asks now and then, and when there is an answer it calls [`ensure`] again: that starts the
    /// cluster anew under the same address, and the old value can go.
    #[must_use]
    pub fn failure(&self) -> Option<EmbeddedError> {
        match self.files.supervisor_lives() {
            Ok(true) => None,
            Ok(false) => Some(ended(&self.files)),
            Err(error) => Some(error),
        }
    }
}

/// Makes sure that a cluster runs in `options.dir`: joins the one that runs, or starts one.
/// Blocks for up to two minutes, so async callers use `spawn_blocking`.
pub fn ensure(options: &Options) -> Result<Cluster, EmbeddedError> {
    create_private(&options.dir).map_err(io_error("create", &options.dir))?;
    let dir = options.dir.canonicalize().map_err(io_error("find", &options.dir))?;
    let files = Files::new(dir);
    let deadline = Instant::now() + START_PATIENCE;
    let too_late =
        || EmbeddedError::StartTimedOut { seconds: START_PATIENCE.as_secs(), log: files.log() };

    // Not to be had while a supervisor is stopping its cluster.
    let path = files.file("users.lock");
    let users = open_lock(&path)?;
    if !until(deadline, || try_shared(&users, &path))? {
        return Err(too_late());
    }
    files.check_kind(!options.durable)?;
    let ready = match files.running()? {
        Some(ready) => ready,
        None => start(options, &files, deadline)?.ok_or_else(too_late)?,
    };
    let Ready { socket_dir, major } = ready;
    Ok(Cluster { files, socket_dir, major, _users: users })
}

/// Starts a supervisor, one user at a time. `None` when it took too long.
fn start(
    options: &Options,
    files: &Files,
    deadline: Instant,
) -> Result<Option<Ready>, EmbeddedError> {
    let path = files.file("start.lock");
    let lock = open_lock(&path)?;
    if !until(deadline, || try_exclusive(&lock, &path))? {
        return Ok(None);
    }
    // A supervisor may be under way whose starter is gone.
    while files.supervisor_lives()? {
        if let Some(ready) = files.running()? {
            return Ok(Some(ready));
        }
        if Instant::now() >= deadline {
            return Ok(None);
        }
        std::thread::sleep(POLL);
    }
    files.forget()?;
    let mut supervisor = spawn(options, files)?;
    loop {
        if let Some(ready) = files.running()? {
            return Ok(Some(ready));
        }
        if supervisor.try_wait().map_err(io_error("watch", files.dir()))?.is_some() {
            return Err(ended(files));
        }
        if Instant::now() >= deadline {
            return Ok(None);
        }
        std::thread::sleep(POLL);
    }
}

fn spawn(options: &Options, files: &Files) -> Result<Child, EmbeddedError> {
    // A throw-away cluster begins empty, whatever a killed run left.
    let made_by = files.data_major().filter(|_| options.durable);
    let search = Search::of_this_machine(options.binaries.clone());
    let binaries = search.locate(made_by, &files.data())?;
    if made_by.is_none() {
        tracing::info!(dir = %files.dir().display(), "initialising an embedded database");
    }
    let executable = match &options.executable {
        Some(path) => path.clone(),
        None => std::env::current_exe().map_err(io_error("find", Path::new("this program")))?,
    };
    let launch = Launch {
        dir: files.dir().to_path_buf(),
        binaries,
        durable: options.durable,
        grace: options.grace,
    };
    let log_path = files.log();
    if fs::metadata(&log_path).is_ok_and(|log| log.len() > LOG_LIMIT) {
        let old = files.file("supervisor.log.old");
        fs::rename(&log_path, old).map_err(io_error("rename", &log_path))?;
    }
    let log = || {
        let file = File::options().create(true).append(true).open(&log_path);
        file.map(Stdio::from).map_err(io_error("open", &log_path))
    };
    // Nothing of the starter's may stay open in it: neither its terminal (Ctrl-C is for the
    // starter alone), nor its directory, nor the pipes of a test runner.
    Command::new(&executable)
        .args(launch.arguments())
        .current_dir("/")
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(log()?)
        .stderr(log()?)
        .spawn()
        .map_err(io_error("run", &executable))
}

/// The error of a supervisor that is gone.
fn ended(files: &Files) -> EmbeddedError {
    let message = files.error().unwrap_or_else(|| "its supervisor was killed".to_owned());
    EmbeddedError::Supervisor { message, log: files.log() }
}

/// A name for what belongs to `dir` but lies elsewhere: the same for the same path, always.
fn name_of(dir: &Path) -> String {
    const BYTES: usize = 8;
    let hash = digest::digest(&digest::SHA256, dir.as_os_str().as_encoded_bytes());
    format!("clinicd-{}", hex::encode(hash.as_ref().get(..BYTES).unwrap_or_default()))
}

/// The directory of the socket for the cluster in `dir`.
fn socket_dir(dir: &Path) -> PathBuf {
    Path::new("/tmp").join(name_of(dir))
}

/// `text` with everything that means something in a URL written as `%xx`.
fn percent_encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push('%');
            encoded.push_str(&hex::encode_upper([byte]));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn socket_paths_are_short_and_stable() {
        let dir = socket_dir(Path::new("/some/very/long/path/that/no/socket/could/have"));
        assert_eq!(dir, socket_dir(Path::new("/some/very/long/path/that/no/socket/could/have")));
        assert_ne!(dir, socket_dir(Path::new("/other")));
        assert!(dir.join(files::SOCKET).as_os_str().len() < 100);
    }

    #[test]
    fn urls_are_encoded() {
        assert_eq!(percent_encoded("/tmp/a b-c"), "%2Ftmp%2Fa%20b-c");
    }
}
