//! `backup.json`.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{BackupError, RECORD, copy};
use crate::kernel::crypto::{Macs, Purpose, framed};

/// The form of backups that this version writes and reads.
pub(super) const FORMAT: u32 = 1;

/// What a backup is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Form of the backup.
    pub format: u32,
    /// Version of clinicd that made it.
    pub clinicd: String,
    /// The last migration of its database.
    pub schema: String,
    /// PostgreSQL's major version, which is the only one that can open `database/`.
    pub postgres: u32,
    /// Whether the database was the embedded one.
    pub embedded: bool,
    /// When it was begun, by the database's clock, UTC.
    pub begun_at: String,
    /// Number of stored files.
    pub files: u64,
    /// Their length together, in bytes.
    pub file_bytes: u64,
    /// SHA-256 of `checksums.txt`, hex.
    pub checksums: String,
    /// The newest master key when it was made.
    pub master_key: u32,
    /// MAC over the above by the keys of the installation, hex.
    pub signature: String,
}

impl Record {
    /// Signs it.
    pub(super) fn sign(&mut self, macs: &Macs) {
        self.signature = hex::encode(macs.sign(Purpose::Backup, &self.bytes()));
    }

    /// Whether these keys signed it.
    pub(super) fn is_genuine(&self, macs: &Macs) -> bool {
        hex::decode(&self.signature)
            .is_ok_and(|tag| macs.verify(Purpose::Backup, &self.bytes(), &tag))
    }

    fn bytes(&self) -> Vec<u8> {
        framed(&[
            &self.format.to_be_bytes(),
            self.clinicd.as_bytes(),
            self.schema.as_bytes(),
            &self.postgres.to_be_bytes(),
            &[u8::from(self.embedded)],
            self.begun_at.as_bytes(),
            &self.files.to_be_bytes(),
            &self.file_bytes.to_be_bytes(),
            self.checksums.as_bytes(),
            &self.master_key.to_be_bytes(),
        ])
    }

    /// Writes it into the folder of the backup, as a whole and lasting.
    pub(super) fn write(&self, folder: &Path) -> Result<(), BackupError> {
        let text = serde_json::to_string_pretty(self).unwrap_or_default() + "\n";
        copy::write(&folder.join(RECORD), text.as_bytes())
    }

    /// Reads it from the folder of a backup.
    pub(super) fn read(folder: &Path) -> Result<Self, BackupError> {
        #[derive(Deserialize)]
        struct Format {
            format: u32,
        }
        let incomplete = || BackupError::Incomplete(folder.to_path_buf());
        let text = std::fs::read(folder.join(RECORD)).map_err(|_| incomplete())?;
        // Before the rest, which may look different in another format.
        let Format { format } = serde_json::from_slice(&text).map_err(|_| incomplete())?;
        if format != FORMAT {
            return Err(BackupError::OtherFormat { found: format, known: FORMAT });
        }
        serde_json::from_slice(&text).map_err(|_| incomplete())
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::kernel::crypto::keys::MasterKey;

    fn record() -> Record {
        Record {
            format: FORMAT,
            clinicd: "0.1.0".to_owned(),
            schema: "20261120".to_owned(),
            postgres: 15,
            embedded: true,
            begun_at: "2026-11-21T03:00:00Z".to_owned(),
            files: 2,
            file_bytes: 10,
            checksums: "ab".to_owned(),
            master_key: 1,
            signature: String::new(),
        }
    }

    #[test]
    fn every_field_is_signed() {
        type Change = fn(&mut Record);
        let macs = Macs::new(&[MasterKey::new(1, [7; 32])]).unwrap();
        let mut signed = record();
        signed.sign(&macs);
        assert!(signed.is_genuine(&macs));
        let changes: [Change; 10] = [
            |r| r.format += 1,
            |r| r.clinicd.push('1'),
            |r| r.schema.push('1'),
            |r| r.postgres += 1,
            |r| r.embedded = false,
            |r| r.begun_at.push('1'),
            |r| r.files += 1,
            |r| r.file_bytes += 1,
            |r| r.checksums.push('1'),
            |r| r.master_key += 1,
        ];
        for change in changes {
            let mut changed = signed.clone();
            change(&mut changed);
            assert!(!changed.is_genuine(&macs), "{changed:?}");
        }
        let others = Macs::new(&[MasterKey::new(1, [8; 32])]).unwrap();
        assert!(!signed.is_genuine(&others));
    }
}
