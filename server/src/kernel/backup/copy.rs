//! Private copies that last, and their checksums.

use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use aws_lc_rs::digest;

use super::{BackupError, io_at};

/// Bytes that are read at a time.
const PIECE: usize = 256 * 1024;

/// What a file holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sum {
    /// Length in bytes.
    pub(super) bytes: u64,
    /// SHA-256, hex.
    pub(super) sha256: String,
}

/// Makes `path` a folder for this account alone. One that exists has to be empty.
pub(super) fn empty_folder(path: &Path) -> Result<(), BackupError> {
    if !is_empty(path)? {
        return Err(BackupError::NotEmpty(path.to_path_buf()));
    }
    folder(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o700)).map_err(io_at(path))
}

/// Whether nothing is there, or an empty folder.
pub(super) fn is_empty(path: &Path) -> Result<bool, BackupError> {
    match fs::read_dir(path) {
        Ok(mut entries) => Ok(entries.next().is_none()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(true),
        Err(error) => Err(io_at(path)(error)),
    }
}

/// Makes a folder and those above it; one that exists is left as it is.
pub(super) fn folder(path: &Path) -> Result<(), BackupError> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(io_at(path))
}

/// Copies a file, to the disk; `None` when there is none.
pub(super) fn copy(from: &Path, to: &Path) -> Result<Option<Sum>, BackupError> {
    let mut source = match File::open(from) {
        Ok(source) => source,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io_at(from)(error)),
    };
    if let Some(above) = to.parent() {
        folder(above)?;
    }
    let mut target = create(to)?;
    let sum = read_all(&mut source, from, |piece| target.write_all(piece).map_err(io_at(to)))?;
    target.sync_all().map_err(io_at(to))?;
    Ok(Some(sum))
}

/// The checksum of a file; `None` when there is none.
pub(super) fn sum(path: &Path) -> Result<Option<Sum>, BackupError> {
    match File::open(path) {
        Ok(mut file) => read_all(&mut file, path, |_| Ok(())).map(Some),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(io_at(path)(error)),
    }
}

/// Writes a small file as a whole: it is there and lasts, or it is not there.
pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<(), BackupError> {
    let draft = path.with_extension("new");
    let mut file = create(&draft)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(io_at(&draft))?;
    fs::rename(&draft, path).map_err(io_at(path))?;
    path.parent().map_or(Ok(()), sync_folder)
}

/// Makes the names in a folder last.
pub(super) fn sync_folder(path: &Path) -> Result<(), BackupError> {
    File::open(path).and_then(|folder| folder.sync_all()).map_err(io_at(path))
}

/// Makes the names in a folder and in all below it last.
pub(super) fn sync_tree(path: &Path) -> Result<(), BackupError> {
    for entry in fs::read_dir(path).map_err(io_at(path))? {
        let entry = entry.map_err(io_at(path))?;
        if entry.file_type().map_err(io_at(path))?.is_dir() {
            sync_tree(&entry.path())?;
        }
    }
    sync_folder(path)
}

/// Names of all files below a folder, relative to it with `/` between the parts, in order.
pub(super) fn names(root: &Path) -> Result<Vec<String>, BackupError> {
    let mut names = Vec::new();
    let mut open = vec![String::new()];
    while let Some(prefix) = open.pop() {
        let folder = root.join(&prefix);
        let entries = match fs::read_dir(&folder) {
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            entries => entries.map_err(io_at(&folder))?,
        };
        for entry in entries {
            let entry = entry.map_err(io_at(&folder))?;
            let name = entry.file_name();
            // Names of ours are plain; anything else is not ours.
            let Some(name) = name.to_str() else { continue };
            let kind = entry.file_type().map_err(io_at(&folder))?;
            if kind.is_dir() {
                open.push(format!("{prefix}{name}/"));
            } else if kind.is_file() {
                names.push(format!("{prefix}{name}"));
            }
        }
    }
    names.sort();
    Ok(names)
}

fn create(path: &Path) -> Result<File, BackupError> {
    let mut options = File::options();
    options.write(true).create(true).truncate(true).mode(0o600).open(path).map_err(io_at(path))
}

fn read_all(
    file: &mut File,
    path: &Path,
    mut each: impl FnMut(&[u8]) -> Result<(), BackupError>,
) -> Result<Sum, BackupError> {
    let mut digest = digest::Context::new(&digest::SHA256);
    let mut buffer = vec![0; PIECE];
    let mut bytes = 0;
    loop {
        let count = file.read(&mut buffer).map_err(io_at(path))?;
        if count == 0 {
            return Ok(Sum { bytes, sha256: hex::encode(digest.finish()) });
        }
        let piece = buffer.get(..count).unwrap_or_default();
        digest.update(piece);
        bytes += count as u64;
        each(piece)?;
    }
}
