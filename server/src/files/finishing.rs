//! An upload becomes a file.
//!
//! The bytes are checked and stored first, under a key of this attempt alone; then one
//! transaction makes the file and closes the upload. Of several attempts one commits; the objects
//! of the others are deleted, at the latest by the sweep.

use std::sync::Arc;
use std::thread;

use bytes::Bytes;
use clinicd_proto::files::v1 as pb;
use diesel_async::RunQueryDsl;
use tokio::sync::Semaphore;

use super::inspect::{Inspected, inspect};
use super::rows::{
    CloseUpload, FINISHED, FileRow, ForgetObjects, InsertFile, NoteObject, UploadId, UploadRow,
    parts_key, storage_key,
};
use super::{store_failed, uploading};
use crate::app::App;
use crate::kernel::access::Caller;
use crate::kernel::crypto::sha256;
use crate::kernel::db::Conn;
use crate::kernel::db::statement::List;
use crate::kernel::error::{Error, Reason, Result};
use crate::kernel::kinds::FileId;
use crate::kernel::ports::PortError;

/// Checks that wait per one that runs; more are told to come back.
const WAITING_PER_CORE: usize = 4;

/// Bounds the checks that run and wait in this process: each takes a core, and memory for what an
/// image unpacks to.
#[derive(Debug, Clone)]
pub struct Checks {
    running: Arc<Semaphore>,
    places: Arc<Semaphore>,
}

impl Default for Checks {
    fn default() -> Self {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        Self {
            running: Arc::new(Semaphore::new(cores)),
            places: Arc::new(Semaphore::new(cores * (1 + WAITING_PER_CORE))),
        }
    }
}

/// Bytes that have passed the checks and lie in the store.
struct Stored {
    id: FileId,
    media_type: &'static str,
    size: i64,
    sha256: [u8; 32],
    key: String,
}

/// Makes the file of an upload.
pub(super) async fn finish(
    app: &App,
    checks: &Checks,
    caller: &Caller,
    request: pb::FinishUploadRequest,
) -> Result<pb::FinishUploadResponse> {
    let id = UploadId::from_wire("upload_id", &request.upload_id)?;
    let stored = &store(app, checks, caller, id, &request.sha256).await?;
    let result = app
        .once(caller, &request.request_id, &request, async |conn| {
            let file = make(app, conn, caller, id, stored.as_ref()).await?;
            Ok(pb::FinishUploadResponse { file: Some(file.into()) })
        })
        .await;
    let ours = |stored: &Stored| match &result {
        Ok(pb::FinishUploadResponse { file: Some(file) }) => file.id == stored.id.to_string(),
        _ => false,
    };
    if let Some(stored) = stored.as_ref().filter(|stored| !ours(stored)) {
        discard(app, &stored.key, &result).await;
    }
    if result.is_ok() {
        uploading::discard_parts(app, id).await;
    }
    result
}

/// Checks and stores the bytes of an open upload. None when there is no open upload any more:
/// whether that is a repeated call is for the transaction to find out.
async fn store(
    app: &App,
    checks: &Checks,
    caller: &Caller,
    id: UploadId,
    expected: &[u8],
) -> Result<Option<Stored>> {
    let upload = match uploading::find(app, caller, id).await {
        Ok(upload) if upload.is_open() => upload,
        Ok(_) => return Ok(None),
        Err(error) if error.reason == Reason::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let received = upload.received_bytes;
    if received < upload.size_bytes {
        return Err(Error::of(Reason::UploadIncomplete).with("received_bytes", received));
    }
    let place = Arc::clone(&checks.places).try_acquire_owned().map_err(|_| Error::unavailable())?;
    let permit = Arc::clone(&checks.running).acquire_owned().await.map_err(Error::internal)?;
    let bytes = match app.ports.files.get(&parts_key(id)).await {
        Ok(bytes) => bytes,
        Err(PortError::NotFound) => return missing(app, caller, id).await,
        Err(error) => return Err(store_failed(error)),
    };
    let there = bytes.len() as u64;
    if there < u64::try_from(received).unwrap_or(0) {
        uploading::fall_back(app, id, received, there).await?;
        return Err(Error::of(Reason::UploadIncomplete).with("received_bytes", there));
    }
    let expected = expected.to_vec();
    let checked = tokio::task::spawn_blocking(move || {
        let checked = check(&upload, bytes, &expected);
        drop((permit, place));
        checked
    });
    // A panic in a parser of a hostile file is a refusal of that file.
    let (inspected, digest) = checked
        .await
        .unwrap_or_else(|_| Err(Error::of(Reason::FileRefused).with("check", "NOT_DECODABLE")))?;
    keep(app, inspected, digest).await.map(Some)
}

/// The parts of an upload that was open a moment ago are not there.
async fn missing(app: &App, caller: &Caller, id: UploadId) -> Result<Option<Stored>> {
    let upload = uploading::find(app, caller, id).await?;
    if !upload.is_open() {
        return Ok(None);
    }
    uploading::fall_back(app, id, upload.received_bytes, 0).await?;
    Err(Error::of(Reason::UploadIncomplete).with("received_bytes", 0))
}

fn check(upload: &UploadRow, bytes: Bytes, expected: &[u8]) -> Result<(Inspected, [u8; 32])> {
    if sha256(&bytes) != expected {
        return Err(Error::of(Reason::UploadHashMismatch));
    }
    let inspected = inspect(&upload.media_type, &upload.file_name, bytes.into())
        .map_err(|refusal| Error::of(Reason::FileRefused).with("check", refusal.check()))?;
    let digest = sha256(&inspected.bytes);
    Ok((inspected, digest))
}

/// Notes the key, then stores the bytes under it.
async fn keep(app: &App, inspected: Inspected, sha256: [u8; 32]) -> Result<Stored> {
    let id = app.ids.next();
    let key = storage_key(id);
    let mut conn = app.db.read().await?;
    NoteObject { storage_key: key.clone(), now: app.clock.now() }.execute(&mut conn).await?;
    drop(conn);
    let size = i64::try_from(inspected.bytes.len()).map_err(Error::internal)?;
    app.ports.files.put(&key, inspected.bytes.into()).await.map_err(store_failed)?;
    Ok(Stored { id: FileId(id), media_type: inspected.kind.media_type(), size, sha256, key })
}

/// Makes the file and closes the upload.
async fn make(
    app: &App,
    conn: &mut Conn,
    caller: &Caller,
    id: UploadId,
    stored: Option<&Stored>,
) -> Result<FileRow> {
    let now = app.clock.now();
    let upload =
        UploadRow::lock(conn, caller, id, now).await?.ok_or_else(|| Error::not_found("upload"))?;
    if !upload.is_open() {
        return Err(Error::of(Reason::WrongState).with("state", upload.state));
    }
    let stored = stored.ok_or_else(Error::unavailable)?;
    CloseUpload { id, state: FINISHED }.execute(conn).await?;
    let claimed = ForgetObjects { storage_keys: List(vec![stored.key.clone()]) };
    if claimed.execute(conn).await? != 1 {
        // The sweep took this attempt for an abandoned one.
        return Err(Error::unavailable());
    }
    let file = FileRow {
        id: stored.id,
        file_name: upload.file_name,
        media_type: stored.media_type.to_owned(),
        size_bytes: stored.size,
        sha256: stored.sha256.to_vec(),
        storage_key: stored.key.clone(),
        created_at: now,
    };
    let insert = InsertFile {
        id: file.id,
        owner: caller.require_account()?,
        file_name: file.file_name.clone(),
        media_type: file.media_type.clone(),
        size: file.size_bytes,
        sha256: file.sha256.clone(),
        storage_key: file.storage_key.clone(),
        now,
    };
    insert.execute(conn).await?;
    Ok(file)
}

/// Deletes the object of an attempt that made no file.
///
/// Only where that is sure: the answer was refused or is another attempt's. When the database
/// failed, the commit may have gone through after all; then the sweep decides by what is there.
async fn discard(app: &App, key: &str, result: &Result<pb::FinishUploadResponse>) {
    let unsure = |error: &Error| matches!(error.reason, Reason::Unavailable | Reason::Internal);
    if result.as_ref().is_err_and(unsure) {
        return;
    }
    if let Err(error) = app.ports.files.delete(key).await {
        tracing::warn!(error = %error, "an unclaimed object is left to the sweep");
    }
}
