//! One PostgreSQL: its data directory, its start and its stop.

use std::fs::{self, File};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::account::Account;
use super::binaries::run;
use super::error::{EmbeddedError, io_error};
use super::files::{Files, SOCKET, remove_dir_if_there, remove_if_there};
use super::launch::Launch;

/// How long PostgreSQL may take to stop in good order, in seconds.
const STOP_SECONDS: &str = "60";

/// How often a start is tried. Right after a killed postmaster its last children may still hold
/// the shared memory for a moment.
const START_ATTEMPTS: u32 = 5;

/// The pause between two attempts to start.
const PAUSE: Duration = Duration::from_millis(500);

/// The permission bits of a file's mode.
const ACCESS: u32 = 0o777;

/// A directory that nobody but its owner can enter.
const OWNER_ONLY: u32 = 0o700;

/// Libc's plain UTF-8 order, which is the same in every PostgreSQL build. macOS may lack it.
const LOCALE: &str = if cfg!(target_os = "macos") { "en_US.UTF-8" } else { "C.UTF-8" };

/// The settings of every cluster. No TCP; the log gets no statement and no detail of an error,
/// for they hold personal data.
const SETTINGS: [&str; 12] = [
    "listen_addresses=",
    "port=5432",
    "unix_socket_permissions=0700",
    "max_connections=200",
    "shared_buffers=128MB",
    "jit=off",
    "timezone=UTC",
    "log_timezone=UTC",
    "log_checkpoints=off",
    "log_min_messages=log",
    "log_min_error_statement=panic",
    "log_error_verbosity=terse",
];

/// What a throw-away cluster adds: nothing needs to survive a power cut.
const TEMPORARY_SETTINGS: [&str; 8] = [
    "fsync=off",
    "synchronous_commit=off",
    "full_page_writes=off",
    "wal_level=minimal",
    "max_wal_senders=0",
    "max_wal_size=4GB",
    "checkpoint_timeout=1d",
    "autovacuum=off",
];

/// A cluster that may or may not run.
pub(super) struct Postgres<'a> {
    pub(super) files: &'a Files,
    pub(super) launch: &'a Launch,
    pub(super) account: Account,
    pub(super) data: PathBuf,
    pub(super) socket_dir: PathBuf,
}

impl Postgres<'_> {
    /// Makes the private directory of the socket. It lies in `/tmp` because a socket's path may
    /// have about 100 bytes only; somebody else's directory of that name is refused.
    pub(super) fn make_socket_dir(&self) -> Result<(), EmbeddedError> {
        let path = &self.socket_dir;
        if let Ok(found) = fs::symlink_metadata(path) {
            let private = found.permissions().mode() & ACCESS == OWNER_ONLY;
            if found.is_dir() && found.uid() == self.account.owner() && private {
                return Ok(());
            }
            // Root may have been served by another account before, and may remove anything.
            if matches!(self.account, Account::Own { .. }) || !found.is_dir() {
                return Err(EmbeddedError::SocketDirectory { path: path.clone() });
            }
            remove_dir_if_there(path)?;
        }
        let created = fs::DirBuilder::new().mode(OWNER_ONLY).create(path);
        created.map_err(io_error("create", path))?;
        self.account.give(path)
    }

    /// Stops the PostgreSQL that a killed supervisor left behind.
    pub(super) fn stop_orphan(&self) -> Result<(), EmbeddedError> {
        let Some(pid) = self.pid_file().and_then(|lines| lines.first()?.parse::<u32>().ok()) else {
            return Ok(());
        };
        let answers = UnixStream::connect(self.socket_dir.join(SOCKET)).is_ok();
        match program_of(pid) {
            Some(program) if answers || program.contains("postgres") => {
                eprintln!("stopping the PostgreSQL (process {pid}) that was left behind");
                self.stop_with("fast").or_else(|_| self.stop_with("immediate"))
            }
            // The number belongs to somebody else by now; PostgreSQL would refuse to start.
            Some(_) => remove_if_there(&self.data.join("postmaster.pid")),
            None => Ok(()),
        }
    }

    /// Makes the data directory. It gets its name when it is whole: `initdb` may be killed.
    pub(super) fn init(&self) -> Result<(), EmbeddedError> {
        eprintln!("initialising a database in {}", self.data.display());
        let draft = self.data.with_extension("new");
        remove_dir_if_there(&draft)?;
        fs::create_dir(&draft).map_err(io_error("create", &draft))?;
        self.account.give(&draft)?;
        let mut initdb = self.program("initdb");
        initdb.arg("-D").arg(&draft);
        initdb.args(["-U", "postgres", "-E", "UTF8", "-A", "trust", "--locale", LOCALE]);
        if self.launch.durable {
            initdb.arg("--data-checksums");
        } else {
            initdb.args(["--no-sync", "--wal-segsize=1"]);
        }
        run(&mut initdb)?;
        fs::rename(&draft, &self.data).map_err(io_error("create", &self.data))
    }

    /// Starts PostgreSQL and waits, up to `patience`, until it accepts connections.
    pub(super) fn start(&self, patience: Duration) -> Result<Child, EmbeddedError> {
        let deadline = Instant::now() + patience;
        let mut attempts = 0;
        loop {
            attempts += 1;
            let mut child = self.spawn()?;
            match self.wait_until_ready(&mut child, deadline) {
                Ok(()) => return Ok(child),
                Err(EmbeddedError::Supervisor { .. }) if attempts < START_ATTEMPTS => {
                    std::thread::sleep(PAUSE);
                }
                Err(error) => {
                    // Nobody would stop it later. A failure here says that it is gone already.
                    let _ = child.kill().and_then(|()| child.wait());
                    return Err(error);
                }
            }
        }
    }

    /// Stops PostgreSQL in good order, or by force when it does not obey.
    pub(super) fn stop(&self, child: &mut Child) -> Result<(), EmbeddedError> {
        let mode = if self.launch.durable { "fast" } else { "immediate" };
        if self.stop_with(mode).or_else(|_| self.stop_with("immediate")).is_err() {
            child.kill().map_err(io_error("stop PostgreSQL in", &self.data))?;
        }
        child.wait().map(|_| ()).map_err(io_error("stop PostgreSQL in", &self.data))
    }

    /// The error that says that PostgreSQL is gone.
    pub(super) fn gone(&self, message: &str) -> EmbeddedError {
        EmbeddedError::Supervisor { message: message.to_owned(), log: self.files.log() }
    }

    fn spawn(&self) -> Result<Child, EmbeddedError> {
        let log_path = self.files.log();
        let log = || {
            let file = File::options().create(true).append(true).open(&log_path);
            file.map(Stdio::from).map_err(io_error("open", &log_path))
        };
        let mut postgres = self.program("postgres");
        postgres.arg("-D").arg(&self.data).stdout(log()?).stderr(log()?);
        let socket = format!("unix_socket_directories={}", self.socket_dir.display());
        postgres.arg("-c").arg(socket);
        for setting in SETTINGS {
            postgres.args(["-c", setting]);
        }
        for setting in TEMPORARY_SETTINGS.iter().filter(|_| !self.launch.durable) {
            postgres.args(["-c", setting]);
        }
        postgres.spawn().map_err(io_error("run postgres in", &self.launch.binaries))
    }

    fn wait_until_ready(&self, child: &mut Child, deadline: Instant) -> Result<(), EmbeddedError> {
        const STATUS: usize = 7;
        let pid = child.id().to_string();
        loop {
            if let Some(status) = child.try_wait().map_err(io_error("watch", &self.data))? {
                return Err(self.gone(&format!("it ended while starting ({status})")));
            }
            // After a crash the file still holds the last run's `ready`, with its process id.
            let lines = self.pid_file().unwrap_or_default();
            if lines.first() == Some(&pid)
                && lines.get(STATUS).is_some_and(|status| status.trim() == "ready")
            {
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(EmbeddedError::StartTimedOut {
                    seconds: super::START_PATIENCE.as_secs(),
                    log: self.files.log(),
                });
            }
            std::thread::sleep(super::files::POLL);
        }
    }

    fn stop_with(&self, mode: &str) -> Result<(), EmbeddedError> {
        let mut pg_ctl = self.program("pg_ctl");
        pg_ctl.arg("stop").arg("-D").arg(&self.data).args(["-w", "-t", STOP_SECONDS, "-m", mode]);
        run(&mut pg_ctl).map(|_| ())
    }

    fn program(&self, name: &str) -> Command {
        self.account.command(&self.launch.binaries.join(name))
    }

    fn pid_file(&self) -> Option<Vec<String>> {
        let text = fs::read_to_string(self.data.join("postmaster.pid")).ok()?;
        Some(text.lines().map(str::to_owned).collect())
    }
}

/// The name of the program that process `pid` runs; `None` when there is no such process.
fn program_of(pid: u32) -> Option<String> {
    if Path::new("/proc/self/comm").exists() {
        return fs::read_to_string(format!("/proc/{pid}/comm")).ok();
    }
    run(Command::new("ps").args(["-o", "comm=", "-p", &pid.to_string()])).ok()
}
