//! Restores a backup.

use std::path::{Path, PathBuf};

use super::checks::{self, Checksums};
use super::{AUDIT, BackupError, DATABASE, FILES, Record, copy};
use crate::kernel::crypto::Keys;
use crate::kernel::db::embedded::{self, Options};
use crate::kernel::db::migrate;

/// Where a backup goes.
pub struct Target {
    /// The directory of the embedded cluster; none when the database is an outside one, which the
    /// operator restores.
    pub cluster: Option<PathBuf>,
    /// The folder of stored files.
    pub files: PathBuf,
    /// The folder of the audit heads.
    pub audit: PathBuf,
    /// The folder that the keys were read from, for messages.
    pub keys: PathBuf,
}

/// Checks the backup in `from` as a whole, and then lays it out. All targets have to be empty or
/// absent. Blocks.
pub fn restore(from: &Path, target: &Target, keys: &Keys) -> Result<Record, BackupError> {
    let record = Record::read(from)?;
    if !migrate::knows(&record.schema)? {
        let Record { clinicd, schema, .. } = record;
        return Err(BackupError::Newer { clinicd, schema });
    }
    check_keys(&record, target, keys)?;
    if target.cluster.is_some() && !record.embedded {
        return Err(BackupError::Outside);
    }
    let folders = [Some(&target.files), Some(&target.audit), target.cluster.as_ref()];
    for folder in folders.into_iter().flatten() {
        if !copy::is_empty(folder)? {
            return Err(BackupError::NotEmpty(folder.clone()));
        }
    }
    let sums = checks::verify(from, &record.checksums)?;
    checks::verify_database(from)?;
    lay_out(from, &sums, FILES, &target.files)?;
    lay_out(from, &sums, AUDIT, &target.audit)?;
    if let Some(cluster) = &target.cluster {
        let options = Options::durable(cluster.clone());
        embedded::adopt(&options, &from.join(DATABASE), record.postgres)?;
    }
    Ok(record)
}

fn check_keys(record: &Record, target: &Target, keys: &Keys) -> Result<(), BackupError> {
    let missing = keys.master.newest_version() < record.master_key;
    if missing || !record.is_genuine(&keys.macs) {
        let missing = missing.then_some(record.master_key);
        return Err(BackupError::WrongKeys { keys: target.keys.clone(), missing });
    }
    Ok(())
}

/// Copies one part of the backup to its place.
fn lay_out(from: &Path, sums: &Checksums, part: &str, to: &Path) -> Result<(), BackupError> {
    copy::folder(to)?;
    for (path, sum) in sums {
        let Some(name) = path.strip_prefix(part).and_then(|name| name.strip_prefix('/')) else {
            continue;
        };
        let copied = copy::copy(&from.join(path), &to.join(name))?;
        if copied.is_none_or(|copied| copied.sha256 != *sum) {
            return Err(BackupError::Damaged { path: path.clone(), what: "was changed" });
        }
    }
    copy::sync_tree(to)
}
