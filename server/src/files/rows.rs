//! Uploads and files as they stand in the database.

use std::collections::HashMap;

use clinicd_proto::files::v1 as pb;
use diesel::prelude::*;
use diesel::sql_types::{self, Bool};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use crate::kernel::access::Caller;
use crate::kernel::db::Conn;
use crate::kernel::db::statement::List;
use crate::kernel::error::Result;
use crate::kernel::kinds::{AccountId, FileId, Time, ids};
use crate::schema::{files, uploads};
use crate::statement;

ids! {
    /// An upload.
    UploadId,
}

/// State of an upload that takes parts.
pub const OPEN: &str = "open";
/// State of an upload that has become a file.
pub const FINISHED: &str = "finished";
/// State of an upload that was given up.
pub const ABORTED: &str = "aborted";

/// Largest part of an upload, in bytes.
pub const CHUNK_LIMIT: i32 = 512 * 1024;

/// An upload.
#[derive(Debug, Clone, HasQuery)]
#[diesel(table_name = uploads)]
pub struct UploadRow {
    /// Its id.
    pub id: UploadId,
    /// Name that the uploader gave.
    pub file_name: String,
    /// Announced type.
    pub media_type: String,
    /// Announced length.
    pub size_bytes: i64,
    /// Bytes held.
    pub received_bytes: i64,
    /// [`OPEN`], [`FINISHED`] or [`ABORTED`].
    pub state: String,
    /// When it lapses.
    pub expires_at: Time,
    /// When it was announced.
    pub created_at: Time,
}

impl UploadRow {
    /// The caller's upload, in any state, unless it has lapsed.
    pub async fn find(
        conn: &mut Conn,
        caller: &Caller,
        id: UploadId,
        now: Time,
    ) -> Result<Option<Self>> {
        let owner = caller.require_account()?;
        let query = Self::query()
            .filter(uploads::id.eq(id))
            .filter(uploads::owner_id.eq(owner))
            .filter(uploads::expires_at.gt(now));
        Ok(query.first(conn).await.optional()?)
    }

    /// The same, held against every other change until the end of the transaction.
    pub async fn lock(
        conn: &mut Conn,
        caller: &Caller,
        id: UploadId,
        now: Time,
    ) -> Result<Option<Self>> {
        let owner = caller.require_account()?;
        let query = Self::query()
            .filter(uploads::id.eq(id))
            .filter(uploads::owner_id.eq(owner))
            .filter(uploads::expires_at.gt(now))
            .for_update();
        Ok(query.first(conn).await.optional()?)
    }

    /// Whether it takes parts.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.state == OPEN
    }
}

impl From<UploadRow> for pb::Upload {
    fn from(row: UploadRow) -> Self {
        Self {
            id: row.id.to_string(),
            create_time: Some(row.created_at.into()),
            expire_time: Some(row.expires_at.into()),
            size_bytes: row.size_bytes,
            received_bytes: row.received_bytes,
            max_chunk_bytes: CHUNK_LIMIT,
        }
    }
}

/// A stored file.
#[derive(Debug, Clone, HasQuery)]
#[diesel(table_name = files)]
pub struct FileRow {
    /// Its id.
    pub id: FileId,
    /// Name that the uploader gave: text only.
    pub file_name: String,
    /// Type, judged from the bytes.
    pub media_type: String,
    /// Length of the stored bytes.
    pub size_bytes: i64,
    /// SHA-256 of the stored bytes.
    pub sha256: Vec<u8>,
    /// Where they lie.
    pub storage_key: String,
    /// When it was finished.
    pub created_at: Time,
}

impl FileRow {
    /// A file that the caller may read: their own, or, for admins, one that is open for review.
    pub async fn find_visible(
        conn: &mut Conn,
        caller: &Caller,
        id: FileId,
    ) -> Result<Option<Self>> {
        let account = caller.require_account()?;
        let reviewer = caller.is_admin();
        let query = Self::query().filter(files::id.eq(id)).filter(
            files::owner_id.eq(account).or(files::for_review.and(reviewer.into_sql::<Bool>())),
        );
        Ok(query.first(conn).await.optional()?)
    }
}

impl From<FileRow> for pb::File {
    fn from(row: FileRow) -> Self {
        Self {
            id: row.id.to_string(),
            create_time: Some(row.created_at.into()),
            file_name: row.file_name,
            media_type: row.media_type,
            size_bytes: row.size_bytes,
            sha256: row.sha256,
        }
    }
}

statement! {
    /// Serialises the announcements of one account, so that the limit holds.
    LockOwner { owner: String }, "SELECT pg_advisory_xact_lock(hashtextextended($1, 500))";

    /// How many uploads of an account are open, and when the first of them lapses.
    CountOpen { owner: AccountId, now: Time }
        -> (sql_types::BigInt, sql_types::Nullable<sql_types::Timestamptz>),
    "SELECT count(*), min(expires_at) FROM uploads \
     WHERE owner_id = $1 AND state = 'open' AND expires_at > $2";

    /// Announces an upload.
    InsertUpload {
        id: UploadId, owner: AccountId, file_name: String, media_type: String, size: i64,
        expires_at: Time, now: Time,
    },
    "INSERT INTO uploads (id, owner_id, file_name, media_type, size_bytes, state, expires_at, \
        created_at) VALUES ($1, $2, $3, $4, $5, 'open', $6, $7)";

    /// Counts bytes that lie in the store, unless another call has counted as many.
    Advance { id: UploadId, held: i64, end: i64 },
    "UPDATE uploads SET received_bytes = $3 \
     WHERE id = $1 AND state = 'open' AND received_bytes >= $2 AND received_bytes < $3";

    /// Takes back bytes that the store lost in a crash.
    FallBack { id: UploadId, held: i64, there: i64 },
    "UPDATE uploads SET received_bytes = $3 \
     WHERE id = $1 AND state = 'open' AND received_bytes = $2 AND received_bytes > $3";

    /// Closes an open upload.
    CloseUpload { id: UploadId, state: &'static str },
    "UPDATE uploads SET state = $2 WHERE id = $1 AND state = 'open'";

    /// Notes an object that is about to be stored.
    NoteObject { storage_key: String, now: Time },
    "INSERT INTO unclaimed_objects (storage_key, created_at) VALUES ($1, $2)";

    /// The object belongs to a file now, or is gone.
    ForgetObjects { storage_keys: List<String> },
    "DELETE FROM unclaimed_objects WHERE storage_key = ANY ($1)";

    /// Makes the file of an object.
    InsertFile {
        id: FileId, owner: AccountId, file_name: String, media_type: String, size: i64,
        sha256: Vec<u8>, storage_key: String, now: Time,
    },
    "INSERT INTO files (id, owner_id, file_name, media_type, size_bytes, sha256, storage_key, \
        created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";

    /// Opens a file to admins.
    OpenForReview { id: FileId }, "UPDATE files SET for_review = true WHERE id = $1";

    /// Uploads that lapsed before a time.
    LapsedUploads { before: Time, limit: i64 } -> sql_types::Uuid,
    "SELECT id FROM uploads WHERE expires_at < $1 ORDER BY expires_at LIMIT $2";

    /// Forgets uploads whose parts are gone.
    ForgetUploads { ids: List<UploadId> }, "DELETE FROM uploads WHERE id = ANY ($1)";

    /// Objects noted before a time that no file has claimed.
    UnclaimedObjects { before: Time, limit: i64 } -> sql_types::Text,
    "SELECT storage_key FROM unclaimed_objects WHERE created_at < $1 \
     ORDER BY created_at LIMIT $2";

    /// Removes the files of an owner but for some; their bytes are swept.
    ForgetFiles { owner: AccountId, kept: List<FileId>, now: Time },
    "WITH gone AS (DELETE FROM files WHERE owner_id = $1 AND id <> ALL ($2) RETURNING storage_key) \
     INSERT INTO unclaimed_objects (storage_key, created_at) SELECT storage_key, $3 FROM gone \
     ON CONFLICT DO NOTHING";

    /// Lets the uploads of an owner lapse; their parts are swept.
    LapseUploads { owner: AccountId, now: Time },
    "UPDATE uploads SET file_name = '', expires_at = least(expires_at, $2) WHERE owner_id = $1";
}

/// Where the parts of an upload are gathered.
#[must_use]
pub fn parts_key(upload: UploadId) -> String {
    format!("uploads/{upload}")
}

/// Where the bytes of a file lie.
#[must_use]
pub fn storage_key(file: Uuid) -> String {
    format!("files/{file}")
}

/// A file of this owner, as it goes on the wire.
pub async fn owned(conn: &mut Conn, file: FileId, owner: AccountId) -> Result<Option<pb::File>> {
    let query = FileRow::query().filter(files::id.eq(file)).filter(files::owner_id.eq(owner));
    Ok(query.first(conn).await.optional()?.map(pb::File::from))
}

/// Lets admins read a file from the end of this transaction on.
pub async fn open_for_review(conn: &mut Conn, file: FileId) -> Result<()> {
    OpenForReview { id: file }.execute(conn).await?;
    Ok(())
}

/// Removes the files of an owner whose account is closed, but for some, and everything uploaded. Their
/// bytes go with the next sweeps.
pub async fn forget_all_but(
    conn: &mut Conn,
    owner: AccountId,
    kept: Vec<FileId>,
    now: Time,
) -> Result<()> {
    ForgetFiles { owner, kept: List(kept), now }.execute(conn).await?;
    LapseUploads { owner, now }.execute(conn).await?;
    Ok(())
}

/// What these files are. Ids without a file are left out. The caller has checked who may know.
pub async fn describe(conn: &mut Conn, files: &[FileId]) -> Result<HashMap<FileId, pb::File>> {
    if files.is_empty() {
        return Ok(HashMap::new());
    }
    let rows = FileRow::query().filter(files::id.eq_any(files)).load(conn).await?;
    Ok(rows.into_iter().map(|row| (row.id, row.into())).collect())
}
