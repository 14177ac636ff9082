//! The development form of the message ports: a folder with one file per message.

use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use uuid::Uuid;

use super::{PortError, disk};

/// One folder of messages.
#[derive(Clone)]
pub struct Outbox {
    folder: Arc<Path>,
}

impl Outbox {
    /// Opens `outbox`/`channel`, and makes it if need be.
    pub(super) fn open(outbox: &Path, channel: &str) -> Result<Self, PortError> {
        let folder = outbox.join(channel);
        disk::make_folder(&folder)?;
        Ok(Self { folder: folder.into() })
    }

    /// Writes a message, once: if one with this key is there, it stays as it is.
    pub(super) async fn write(
        &self,
        key: Uuid,
        extension: &str,
        bytes: Vec<u8>,
    ) -> Result<(), PortError> {
        let path = self.folder.join(format!("{}.{extension}", name(key)));
        disk::blocking(
            move || {
                if path.exists() { Ok(()) } else { Ok(disk::write_whole(&path, &bytes)?) }
            },
        )
        .await
    }
}

/// The time in the key and the key: sorts by time, reads well, and is the same for the same key.
fn name(key: Uuid) -> String {
    let time = key.get_timestamp().and_then(|time| {
        let (seconds, nanos) = time.to_unix();
        Timestamp::new(i64::try_from(seconds).ok()?, i32::try_from(nanos).ok()?).ok()
    });
    match time {
        Some(time) => format!("{}_{key}", time.strftime("%Y%m%dT%H%M%S.%3fZ")),
        None => key.to_string(),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::super::testing::{Folder, key};
    use super::*;

    #[tokio::test]
    async fn a_repeated_key_is_one_file_and_names_sort_by_time() {
        let folder = Folder::new();
        let outbox = Outbox::open(&folder.path, "sms").unwrap();
        outbox.write(key(2), "json", b"second".to_vec()).await.unwrap();
        outbox.write(key(1), "json", b"first".to_vec()).await.unwrap();
        outbox.write(key(1), "json", b"again".to_vec()).await.unwrap();
        let files = folder.files("sms");
        let texts: Vec<&[u8]> = files.iter().map(|(_, bytes)| bytes.as_slice()).collect();
        assert_eq!(texts, [b"first".as_slice(), b"second"]);
        assert!(files[0].0.starts_with("20261120T100001.000Z_"), "{}", files[0].0);
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn only_this_account_may_read() {
        use std::os::unix::fs::PermissionsExt;
        let folder = Folder::new();
        let outbox = Outbox::open(&folder.path, "mail").unwrap();
        outbox.write(key(1), "eml", b"token".to_vec()).await.unwrap();
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        let file = folder.path.join("mail").join(&folder.files("mail")[0].0);
        assert_eq!((mode(&folder.path.join("mail")), mode(&file)), (0o700, 0o600));
    }
}
