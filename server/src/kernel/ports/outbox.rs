//! The development form of the message ports: a folder with one file per message, and a way to read
//! what lies in it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use serde::Deserialize;
use uuid::Uuid;

use super::{PortError, disk};

/// Files that one reading opens at most: a filter that matches nothing ends there.
const READ_LIMIT: usize = 5_000;

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

/// A message that was not sent but written to a file.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Kept {
    /// The key of the message.
    pub key: Uuid,
    /// When it was written.
    pub at: Timestamp,
    /// Mail address, number in E.164, or token of the device.
    #[serde(alias = "device")]
    pub to: String,
    /// Subject of a mail or title of a push message; empty for text messages.
    #[serde(default, alias = "title")]
    pub subject: String,
    /// The text; of a mail the plain one.
    #[serde(alias = "body")]
    pub text: String,
}

/// What a reading asks for.
#[derive(Debug, Clone)]
pub struct Search {
    /// Folders of the outbox, by channel: `mail`, `sms`, `push`.
    pub channels: Vec<&'static str>,
    /// Only to this recipient, exactly as written.
    pub recipient: Option<String>,
    /// Messages at most.
    pub limit: usize,
}

/// The messages in the folder `outbox`, newest first, each with its channel. A folder that does not
/// exist holds none; files that are no messages are passed over.
pub async fn read(outbox: &Path, search: Search) -> Result<Vec<(&'static str, Kept)>, PortError> {
    let outbox = outbox.to_owned();
    disk::blocking(move || {
        let mut files = Vec::new();
        for channel in &search.channels {
            files.extend(messages(&outbox.join(channel)).into_iter().map(|path| (*channel, path)));
        }
        // Names begin with the time of the key.
        files.sort_by(|(_, one), (_, other)| other.file_name().cmp(&one.file_name()));
        let kept = files.into_iter().take(READ_LIMIT).filter_map(|(channel, path)| {
            let kept: Kept = serde_json::from_slice(&std::fs::read(path).ok()?).ok()?;
            let wanted = search.recipient.as_ref().is_none_or(|recipient| *recipient == kept.to);
            wanted.then_some((channel, kept))
        });
        Ok(kept.take(search.limit).collect())
    })
    .await
}

/// The files of a channel that tell a message.
fn messages(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    paths.filter(|path| path.extension().is_some_and(|extension| extension == "json")).collect()
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

    #[tokio::test]
    async fn what_was_written_is_read_newest_first() {
        let folder = Folder::new();
        let message = |second: i64, body: &str| {
            let (key, at) = (key(second), super::super::testing::at(second));
            format!("{{\"key\": \"{key}\", \"at\": \"{at}\", {body}}}").into_bytes()
        };
        let search = |recipient: Option<&str>, limit| {
            let recipient = recipient.map(str::to_owned);
            read(&folder.path, Search { channels: vec!["sms", "push"], recipient, limit })
        };
        assert_eq!(search(None, 9).await.unwrap(), []);
        let sms = Outbox::open(&folder.path, "sms").unwrap();
        let push = Outbox::open(&folder.path, "push").unwrap();
        let text = |second| message(second, r#""to": "+91", "text": "one""#);
        sms.write(key(1), "json", text(1)).await.unwrap();
        sms.write(key(3), "json", text(3)).await.unwrap();
        sms.write(key(4), "json", b"not a message".to_vec()).await.unwrap();
        let pushed = message(2, r#""device": "tok", "title": "Hello", "body": "two", "data": {}"#);
        push.write(key(2), "json", pushed).await.unwrap();
        let keys = |found: Vec<(&str, Kept)>| {
            found.into_iter().map(|(_, kept)| kept.key).collect::<Vec<_>>()
        };
        assert_eq!(keys(search(None, 9).await.unwrap()), [key(3), key(2), key(1)]);
        assert_eq!(keys(search(None, 2).await.unwrap()), [key(3), key(2)]);
        assert_eq!(keys(search(Some("+91"), 9).await.unwrap()), [key(3), key(1)]);
        let (channel, kept) = search(Some("tok"), 9).await.unwrap().remove(0);
        assert_eq!((channel, &*kept.subject, &*kept.text), ("push", "Hello", "two"));
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
