//! The store for the bytes of documents, by key.
//!
//! An object appears under its key as a whole and stays as it is until it is deleted or replaced
//! as a whole. What arrives in parts is gathered under a temporary key of the caller's choice and
//! moved to its place by [`Files::finish`].

use std::fs::File;
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use super::{PortError, disk};
use crate::kernel::kinds::Time;

/// The longest key, in bytes.
pub const KEY_LIMIT: usize = 200;
/// The largest object that [`Files::get`] loads as a whole, in bytes.
pub const GET_LIMIT: u64 = 64 * 1024 * 1024;
/// The most that one [`Files::read`] returns, in bytes.
pub const READ_LIMIT: u64 = 1024 * 1024;

/// Where documents lie. So far there is only the local form; a store with the S3 protocol is to
/// become the second. Cheap to clone.
///
/// Keys are made by the server, never by a person: parts of `[a-z0-9_-]` with `/` between them,
/// at most [`KEY_LIMIT`] bytes. Anything else is [`PortError::BadKey`]. Several calls for one key
/// at once are safe for the store; what they mean is the caller's affair.
#[derive(Clone)]
pub enum Files {
    /// A folder of this machine.
    Local(LocalFiles),
}

/// A folder, readable by this account only.
#[derive(Clone)]
pub struct LocalFiles {
    root: Arc<Path>,
}

impl Files {
    /// Documents in a folder of this machine; it is made if need be.
    pub fn local(root: &Path) -> Result<Self, PortError> {
        disk::make_folder(root)?;
        Ok(Self::Local(LocalFiles { root: root.into() }))
    }

    /// Stores an object, in place of one that is there. Lasting when it returns.
    pub async fn put(&self, key: &str, bytes: Bytes) -> Result<(), PortError> {
        let path = self.path(key)?;
        disk::blocking(move || Ok(disk::write_whole(&path, &bytes)?)).await
    }

    /// A whole object, up to [`GET_LIMIT`]; a larger one is refused for good.
    pub async fn get(&self, key: &str) -> Result<Bytes, PortError> {
        let path = self.path(key)?;
        disk::blocking(move || {
            let mut bytes = Vec::new();
            File::open(&path)?.take(GET_LIMIT + 1).read_to_end(&mut bytes)?;
            if bytes.len() as u64 > GET_LIMIT {
                return Err(PortError::permanent("the file is too large to load at once"));
            }
            Ok(bytes.into())
        })
        .await
    }

    /// Up to `len` bytes of an object from `offset`, never more than [`READ_LIMIT`]. Fewer mean
    /// that the object (or the limit) ends there; none, that `offset` is at or behind the end.
    pub async fn read(&self, key: &str, offset: u64, len: u64) -> Result<Bytes, PortError> {
        let path = self.path(key)?;
        disk::blocking(move || {
            let mut file = File::open(&path)?;
            let mut bytes = Vec::new();
            if offset < file.metadata()?.len() {
                file.seek(SeekFrom::Start(offset))?;
                file.take(len.min(READ_LIMIT)).read_to_end(&mut bytes)?;
            }
            Ok(bytes.into())
        })
        .await
    }

    /// Writes a part of a temporary object and returns the object's length after it.
    ///
    /// A part may begin at the end (offset 0 makes the object) or before it: then it overwrites,
    /// so that a part that was sent twice does no harm. Behind the end it is
    /// [`PortError::WrongOffset`], which tells the length. Parts last only from
    /// [`Files::finish`] on; after a crash ask [`Files::len`] where to go on.
    pub async fn append_part(
        &self,
        key: &str,
        offset: u64,
        bytes: Bytes,
    ) -> Result<u64, PortError> {
        let path = self.path(key)?;
        disk::blocking(move || {
            if offset == 0
                && let Some(folder) = path.parent()
            {
                disk::make_folder(folder)?;
            }
            let mut options = disk::private_file();
            let opened = options.write(true).create(offset == 0).truncate(false).open(&path);
            let mut file = match opened {
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    return Err(PortError::WrongOffset { len: 0 });
                }
                opened => opened?,
            };
            let len = file.metadata()?.len();
            if offset > len {
                return Err(PortError::WrongOffset { len });
            }
            file.seek(SeekFrom::Start(offset))?;
            file.write_all(&bytes)?;
            Ok(len.max(offset + bytes.len() as u64))
        })
        .await
    }

    /// Moves a temporary object to its place, in place of one that is there. Lasting when it
    /// returns. Repeated after it has succeeded, it succeeds.
    pub async fn finish(&self, temporary_key: &str, key: &str) -> Result<(), PortError> {
        let (from, to) = (self.path(temporary_key)?, self.path(key)?);
        disk::blocking(move || {
            match sync_file(&from) {
                Err(error) if error.kind() == ErrorKind::NotFound && to.is_file() => return Ok(()),
                synced => synced?,
            }
            let folders = [from.parent(), to.parent()];
            if let Some(folder) = folders[1] {
                disk::make_folder(folder)?;
            }
            std::fs::rename(&from, &to)?;
            // First where it has come to, so that a power failure cannot lose it.
            for folder in folders.into_iter().rev().flatten() {
                disk::sync_folder(folder)?;
            }
            Ok(())
        })
        .await
    }

    /// Deletes an object. It is no error if there is none.
    pub async fn delete(&self, key: &str) -> Result<(), PortError> {
        let path = self.path(key)?;
        disk::blocking(move || match std::fs::remove_file(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            removed => Ok(removed?),
        })
        .await
    }

    /// Removes what writers that were killed have left half written, if nothing was written to it
    /// since `before`. It has no key, and nobody reads it, but it may be a part of a document.
    pub async fn sweep(&self, before: Time) -> Result<(), PortError> {
        let Self::Local(local) = self;
        let root = local.root.clone();
        disk::blocking(move || Ok(disk::sweep_parts(&root, before.timestamp().into())?)).await
    }

    /// The length of an object in bytes; [`PortError::NotFound`] without one.
    pub async fn len(&self, key: &str) -> Result<u64, PortError> {
        let path = self.path(key)?;
        disk::blocking(move || Ok(std::fs::metadata(&path)?.len())).await
    }

    /// The file of a key. The ending keeps the object `a` and the folder of `a/b` apart, and a
    /// key, which has no dots, from any other file.
    fn path(&self, key: &str) -> Result<PathBuf, PortError> {
        let Self::Local(local) = self;
        let plain = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-');
        let good = |part: &str| !part.is_empty() && part.bytes().all(plain);
        if key.len() > KEY_LIMIT || !key.split('/').all(good) {
            return Err(PortError::BadKey);
        }
        Ok(local.root.join(format!("{key}.object")))
    }
}

/// Brings what was written to a file by other handles to the disk.
fn sync_file(path: &Path) -> io::Result<()> {
    disk::private_file().write(true).open(path)?.sync_all()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::super::testing::Folder;
    use super::*;

    fn files() -> (Folder, Files) {
        let folder = Folder::new();
        let files = Files::local(&folder.path).unwrap();
        (folder, files)
    }

    #[tokio::test]
    async fn keeps_what_it_is_given() {
        let (_folder, files) = files();
        files.put("a/b-1/c_2", Bytes::from_static(b"0123456789")).await.unwrap();
        files.put("a/b-1", Bytes::from_static(b"beside its folder")).await.unwrap();
        assert_eq!(files.get("a/b-1/c_2").await.unwrap(), "0123456789");
        assert_eq!(files.len("a/b-1/c_2").await.unwrap(), 10);
        assert_eq!(files.read("a/b-1/c_2", 3, 4).await.unwrap(), "3456");
        assert_eq!(files.read("a/b-1/c_2", 8, u64::MAX).await.unwrap(), "89");
        assert_eq!(files.read("a/b-1/c_2", 10, 1).await.unwrap(), "");
        assert_eq!(files.read("a/b-1/c_2", u64::MAX, 1).await.unwrap(), "");
        files.put("a/b-1/c_2", Bytes::from_static(b"other")).await.unwrap();
        assert_eq!(files.get("a/b-1/c_2").await.unwrap(), "other");
        files.delete("a/b-1/c_2").await.unwrap();
        files.delete("a/b-1/c_2").await.unwrap();
        assert_eq!(files.get("a/b-1/c_2").await, Err(PortError::NotFound));
        assert_eq!(files.len("a/b-1/c_2").await, Err(PortError::NotFound));
        assert_eq!(files.read("nothing", 0, 1).await, Err(PortError::NotFound));
    }

    #[tokio::test]
    async fn refuses_every_key_that_is_not_ours() {
        let (folder, files) = files();
        let long = "a".repeat(KEY_LIMIT + 1);
        for key in [
            "", "/", "/a", "a/", "a//b", ".", "..", "../a", "a/../b", "a.b", "A", "a b", "a\\b",
            "a\0", "ä", "a%2fb", "c:a", &long,
        ] {
            let put = files.put(key, Bytes::new()).await;
            assert_eq!(put, Err(PortError::BadKey), "{key}");
            assert_eq!(files.get(key).await, Err(PortError::BadKey), "{key}");
            assert_eq!(files.finish("a", key).await, Err(PortError::BadKey), "{key}");
        }
        assert!(folder.files("").is_empty());
    }

    #[tokio::test]
    async fn parts_may_repeat_but_leave_no_hole() {
        let (_folder, files) = files();
        let part = |bytes: &'static str| Bytes::from_static(bytes.as_bytes());
        let hole = files.append_part("up/1", 4, part("x")).await;
        assert_eq!(hole, Err(PortError::WrongOffset { len: 0 }));
        assert_eq!(files.append_part("up/1", 0, part("0123")).await, Ok(4));
        let hole = files.append_part("up/1", 5, part("x")).await;
        assert_eq!(hole, Err(PortError::WrongOffset { len: 4 }));
        assert_eq!(files.append_part("up/1", 4, part("4567")).await, Ok(8));
        assert_eq!(files.append_part("up/1", 4, part("4567")).await, Ok(8));
        assert_eq!(files.append_part("up/1", 0, part("0123")).await, Ok(8));
        assert_eq!(files.append_part("up/1", 6, part("6789")).await, Ok(10));
        assert_eq!(files.len("up/1").await, Ok(10));

        files.finish("up/1", "documents/1").await.unwrap();
        files.finish("up/1", "documents/1").await.unwrap();
        assert_eq!(files.get("documents/1").await.unwrap(), "0123456789");
        assert_eq!(files.len("up/1").await, Err(PortError::NotFound));
        assert_eq!(files.finish("up/1", "documents/2").await, Err(PortError::NotFound));
    }

    #[tokio::test]
    async fn what_a_killed_writer_left_is_swept() {
        let (folder, files) = files();
        files.put("a/b", Bytes::from_static(b"whole")).await.unwrap();
        let left = folder.path.join("a/.part-1-1");
        std::fs::write(&left, "ha").unwrap();
        let written = left.metadata().unwrap().modified().unwrap();
        let written = Time::from(jiff::Timestamp::try_from(written).unwrap());
        files.sweep(written.plus_seconds(-1)).await.unwrap();
        assert!(left.exists());
        files.sweep(written.plus_seconds(1)).await.unwrap();
        assert!(!left.exists());
        assert_eq!(files.get("a/b").await.unwrap(), "whole");
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn only_this_account_may_read() {
        use std::os::unix::fs::PermissionsExt;
        let (folder, files) = files();
        files.put("a/b", Bytes::new()).await.unwrap();
        files.append_part("up/1", 0, Bytes::new()).await.unwrap();
        let mode =
            |name: &str| folder.path.join(name).metadata().unwrap().permissions().mode() & 0o777;
        let modes = ["", "a", "up", "a/b.object", "up/1.object"].map(mode);
        assert_eq!(modes, [0o700, 0o700, 0o700, 0o600, 0o600]);
    }
}
