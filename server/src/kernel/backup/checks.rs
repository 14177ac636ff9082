//! Whether a backup is as it was made: by PostgreSQL's own manifest, whose checksums the server
//! has computed, and by our list of everything beside it.

use std::collections::BTreeMap;
use std::path::{Component, Path};

use serde::Deserialize;

use super::copy::{self, Sum};
use super::{BackupError, CHECKSUMS, DATABASE, io_at};

/// The manifest in the base backup.
const MANIFEST: &str = "backup_manifest";
/// Its write-ahead log, which the manifest does not list.
const LOG: &str = "pg_wal";

/// Checksums by the path in the backup, SHA-256 in hex.
pub(super) type Checksums = BTreeMap<String, String>;

/// Adds what belongs to the base backup and is not in its manifest, and the manifest itself.
pub(super) fn add_database(folder: &Path, sums: &mut Checksums) -> Result<(), BackupError> {
    let base = folder.join(DATABASE);
    let log = copy::names(&base.join(LOG))?;
    let names = log.iter().map(|name| format!("{LOG}/{name}")).chain([MANIFEST.to_owned()]);
    for name in names {
        let path = format!("{DATABASE}/{name}");
        let sum = copy::sum(&base.join(name))?;
        let missing = || BackupError::Damaged { path: path.clone(), what: "is missing" };
        let sum = sum.ok_or_else(missing)?;
        sums.insert(path, sum.sha256);
    }
    Ok(())
}

/// Writes the list, in the form that `sha256sum -c` reads; its own checksum.
pub(super) fn write(folder: &Path, sums: &Checksums) -> Result<String, BackupError> {
    let mut text = String::new();
    for (path, sum) in sums {
        text.extend([sum, "  ", path, "\n"]);
    }
    let path = folder.join(CHECKSUMS);
    copy::write(&path, text.as_bytes())?;
    let sum = copy::sum(&path)?;
    sum.map(|sum| sum.sha256).ok_or_else(|| damaged(CHECKSUMS, "is missing"))
}

/// Reads the list, which must have this checksum, and checks every file in it.
pub(super) fn verify(folder: &Path, expected: &str) -> Result<Checksums, BackupError> {
    compare(folder, CHECKSUMS, expected, None)?;
    let path = folder.join(CHECKSUMS);
    let text = std::fs::read_to_string(&path).map_err(io_at(&path))?;
    let mut sums = Checksums::new();
    for line in text.lines() {
        let (sum, name) =
            line.split_once("  ").ok_or_else(|| damaged(CHECKSUMS, "has a line without a name"))?;
        check_name(name)?;
        compare(folder, name, sum, None)?;
        sums.insert(name.to_owned(), sum.to_owned());
    }
    Ok(sums)
}

/// The manifest as `pg_basebackup` writes it.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Manifest {
    files: Vec<Listed>,
}

#[derive(Deserialize)]
struct Listed {
    #[serde(rename = "Path")]
    path: Option<String>,
    /// A name that is not UTF-8, hex.
    #[serde(rename = "Encoded-Path")]
    encoded_path: Option<String>,
    #[serde(rename = "Size")]
    size: u64,
    #[serde(rename = "Checksum")]
    checksum: String,
}

/// Checks every file of the base backup against the manifest.
pub(super) fn verify_database(folder: &Path) -> Result<(), BackupError> {
    let name = format!("{DATABASE}/{MANIFEST}");
    let path = folder.join(&name);
    let text = std::fs::read(&path).map_err(|_| damaged(&name, "is missing"))?;
    let manifest: Manifest =
        serde_json::from_slice(&text).map_err(|_| damaged(&name, "cannot be read"))?;
    for file in manifest.files {
        let decoded = || {
            let bytes = hex::decode(file.encoded_path.as_ref()?).ok()?;
            String::from_utf8(bytes).ok()
        };
        let path = file.path.clone().or_else(decoded);
        let path = path.ok_or_else(|| damaged(&name, "names a file that is not ours"))?;
        check_name(&path)?;
        compare(folder, &format!("{DATABASE}/{path}"), &file.checksum, Some(file.size))?;
    }
    Ok(())
}

fn compare(folder: &Path, name: &str, sha256: &str, bytes: Option<u64>) -> Result<(), BackupError> {
    match copy::sum(&folder.join(name))? {
        None => Err(damaged(name, "is missing")),
        Some(Sum { bytes: found, .. }) if bytes.is_some_and(|bytes| bytes != found) => {
            Err(damaged(name, "has another length than it had"))
        }
        Some(sum) if sum.sha256 != sha256 => Err(damaged(name, "was changed")),
        Some(_) => Ok(()),
    }
}

/// Refuses names that lead out of the backup.
fn check_name(name: &str) -> Result<(), BackupError> {
    if Path::new(name).components().all(|part| matches!(part, Component::Normal(_))) {
        Ok(())
    } else {
        Err(damaged(name, "leads out of the backup"))
    }
}

fn damaged(path: &str, what: &'static str) -> BackupError {
    BackupError::Damaged { path: path.to_owned(), what }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn names_do_not_lead_out() {
        for name in ["../x", "/etc/passwd", "files/../../x"] {
            assert!(check_name(name).is_err(), "{name}");
        }
        assert!(check_name("files/files/a.object").is_ok());
    }

    #[test]
    fn a_manifest_of_postgres_is_read() {
        let text = r#"{ "PostgreSQL-Backup-Manifest-Version": 1,
            "Files": [
            { "Path": "backup_label", "Size": 227, "Last-Modified": "2026-11-21 03:00:00 GMT",
              "Checksum-Algorithm": "SHA256", "Checksum": "ab" },
            { "Encoded-Path": "62", "Size": 0, "Last-Modified": "2026-11-21 03:00:00 GMT",
              "Checksum-Algorithm": "SHA256", "Checksum": "cd" }
            ],
            "WAL-Ranges": [{ "Timeline": 1, "Start-LSN": "0/2000028", "End-LSN": "0/2000100" }],
            "Manifest-Checksum": "ef"}"#;
        let manifest: Manifest = serde_json::from_str(text).unwrap();
        assert_eq!(manifest.files[0].path.as_deref(), Some("backup_label"));
        assert_eq!(manifest.files[1].encoded_path.as_deref(), Some("62"));
        assert_eq!((manifest.files[0].size, &*manifest.files[0].checksum), (227, "ab"));
    }
}
