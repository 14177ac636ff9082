//! Backups: the database, the stored files and the signed audit heads in one folder.
//!
//! | in the folder | what |
//! | --- | --- |
//! | `database/` | a base backup by `pg_basebackup`, with the log that makes it whole |
//! | `files/` | stored files |
//! | `audit/heads.ndjson` | signed heads of the audit chain |
//! | `checksums.txt` | SHA-256 of everything that PostgreSQL's own manifest does not cover |
//! | `backup.json` | what the backup is; written last, so without it there is no backup |
//!
//! Guarantees: all that was committed before the backup began is in it, and it is whole: every
//! stored file that a row names, and no signed head that runs ahead of the audit chain. So the
//! heads are copied first, the database second, the files last; an object never changes once a
//! row names it. The copy is physical, because the feed and the audit chain order by numbers of
//! transactions, which belong to the cluster. Keys are never in it: a backup beside its keys
//! would be plaintext. It is signed by them, which tells a restore whether it has the right ones.

mod base;
mod checks;
mod copy;
mod making;
mod record;
mod restoring;

use std::io;
use std::path::{Path, PathBuf};

pub use base::DatabaseAddress;
pub use making::{Source, make};
pub use record::Record;
pub use restoring::{Target, restore};

use super::crypto::KeyError;
use super::db::embedded::EmbeddedError;
use super::db::migrate::MigrateError;

/// The folder of the base backup.
const DATABASE: &str = "database";
/// The folder of stored files.
const FILES: &str = "files";
/// The folder of the audit heads.
const AUDIT: &str = "audit";
/// The list of checksums.
const CHECKSUMS: &str = "checksums.txt";
/// The record.
const RECORD: &str = "backup.json";

/// Why there is no backup, or why one cannot be restored. Each message names the remedy.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// A folder that has to be empty is not.
    #[error("`{0}` is not empty; name an empty folder, or empty it if nobody needs what it holds")]
    NotEmpty(PathBuf),
    /// A file or folder cannot be read or written.
    #[error("`{path}`: {source}")]
    Io {
        /// Which.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// No program to make a base backup with.
    #[error(
        "pg_basebackup of PostgreSQL {major} or later was not found. Install it (Debian, Ubuntu: \
         apt-get install -y --no-install-recommends postgresql-client-{major}), or name the \
         directory of PostgreSQL's programs in CLINICD_PG_BIN"
    )]
    NoProgram {
        /// The server's major version.
        major: u32,
    },
    /// The database cannot be reached.
    #[error("cannot connect to the database: {0}; does it run, and is DATABASE_URL right?")]
    Connect(#[from] diesel::ConnectionError),
    /// It is not one of ours.
    #[error("the database holds no clinicd yet, so there is nothing to back up: {0}")]
    NoSchema(diesel::result::Error),
    /// The user may not make a base backup.
    #[error(
        "the database user `{user}` may not make a base backup. Run `ALTER ROLE \"{user}\" \
         REPLICATION` and allow `replication` connections for it in pg_hba.conf, or name such a \
         user in CLINICD_MIGRATION_DATABASE_URL"
    )]
    NoReplication {
        /// The user.
        user: String,
    },
    /// A URL that `pg_basebackup` cannot be given.
    #[error("the URL of the database must name a host and a user")]
    Address,
    /// `pg_basebackup` or the embedded database failed.
    #[error(transparent)]
    Embedded(#[from] EmbeddedError),
    /// The folder holds no backup, or one that was broken off.
    #[error(
        "`{0}` holds no complete backup: backup.json, which is written last, is missing or cannot \
         be read"
    )]
    Incomplete(PathBuf),
    /// Made by a version with another form of backups.
    #[error("the backup has format {found}; this clinicd reads format {known}")]
    OtherFormat {
        /// Its format.
        found: u32,
        /// Ours.
        known: u32,
    },
    /// The schema is newer than this program.
    #[error(
        "the backup was made by clinicd {clinicd}, whose schema ({schema}) this version does not \
         know: restore it with that version or a later one"
    )]
    Newer {
        /// The version that made it.
        clinicd: String,
        /// Its last migration.
        schema: String,
    },
    /// Something in it is not as it was.
    #[error("the backup is damaged: `{path}` {what}")]
    Damaged {
        /// Which file, relative to the backup.
        path: String,
        /// What is wrong.
        what: &'static str,
    },
    /// The keys cannot be read.
    #[error(
        "{0}. Keys are not part of a backup: put the folder of keys in its place first \
         (CLINICD_KEYS_DIR, or `keys` in the data directory)"
    )]
    Keys(#[from] KeyError),
    /// They are keys, but not those.
    #[error(
        "the keys in `{keys}` do not fit this backup{}: put the keys of its installation there. \
         Nothing was restored",
        missing.map(|version| format!(" (master key {version} is missing)")).unwrap_or_default()
    )]
    WrongKeys {
        /// The folder.
        keys: PathBuf,
        /// The master key that is known to be missing.
        missing: Option<u32>,
    },
    /// Made of an outside PostgreSQL, to be restored into the embedded one.
    #[error(
        "the backup was made of an outside PostgreSQL: set DATABASE_URL, and put the base backup \
         in place as docs/operations.md says"
    )]
    Outside,
    /// The program's own migrations cannot be read.
    #[error(transparent)]
    Migrations(#[from] MigrateError),
    /// A task ended abnormally.
    #[error(transparent)]
    Task(#[from] tokio::task::JoinError),
}

/// Makes a [`BackupError::Io`] of an I/O error; for `map_err`.
fn io_at(path: &Path) -> impl FnOnce(io::Error) -> BackupError {
    move |source| BackupError::Io { path: path.to_path_buf(), source }
}
