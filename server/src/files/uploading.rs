//! Announcing an upload, sending its parts, giving it up.

use std::time::Duration;

use bytes::Bytes;
use clinicd_proto::files::v1 as pb;
use diesel_async::RunQueryDsl;

use super::rows::{
    ABORTED, Advance, CloseUpload, CountOpen, FINISHED, FallBack, InsertUpload, LockOwner,
    UploadId, UploadRow, parts_key,
};
use super::store_failed;
use crate::app::App;
use crate::kernel::access::Caller;
use crate::kernel::error::{Error, Reason, Result};
use crate::kernel::kinds::Time;
use crate::kernel::ports::PortError;
use crate::kernel::text;

/// Largest document, in bytes.
pub const SIZE_LIMIT: i64 = 10 * 1024 * 1024;
/// Most open uploads of one account.
pub const OPEN_LIMIT: i64 = 20;
/// How long an upload stays open, in seconds.
pub const OPEN_SECONDS: i64 = 24 * 3_600;

/// Announces an upload.
pub(super) async fn start(
    app: &App,
    caller: &Caller,
    request: pb::StartUploadRequest,
) -> Result<pb::StartUploadResponse> {
    let file_name = &text::required_line("file_name", &request.file_name)?;
    if request.size_bytes > SIZE_LIMIT {
        return Err(Error::of(Reason::UploadTooLarge).with("limit_bytes", SIZE_LIMIT));
    }
    let owner = caller.require_account()?;
    app.once(caller, &request.request_id, &request, async |conn| {
        let now = app.clock.now();
        LockOwner { owner: owner.to_string() }.execute(conn).await?;
        let (open, first_lapse): (i64, Option<Time>) =
            CountOpen { owner, now }.get_result(conn).await?;
        if open >= OPEN_LIMIT {
            let wait = first_lapse.map_or(OPEN_SECONDS * 1_000_000, |lapse| {
                lapse.unix_micros().saturating_sub(now.unix_micros())
            });
            let wait = Duration::from_micros(u64::try_from(wait).unwrap_or(0));
            return Err(Error::of(Reason::RateLimited).retry_after(wait));
        }
        let upload = UploadRow {
            id: UploadId(app.ids.next()),
            file_name: file_name.clone(),
            media_type: request.media_type.clone(),
            size_bytes: request.size_bytes,
            received_bytes: 0,
            state: super::rows::OPEN.to_owned(),
            expires_at: now.plus_seconds(OPEN_SECONDS),
            created_at: now,
        };
        let insert = InsertUpload {
            id: upload.id,
            owner,
            file_name: upload.file_name.clone(),
            media_type: upload.media_type.clone(),
            size: upload.size_bytes,
            expires_at: upload.expires_at,
            now,
        };
        insert.execute(conn).await?;
        Ok(pb::StartUploadResponse { upload: Some(upload.into()) })
    })
    .await
}

/// How far an upload has come. One that was given up is gone.
pub(super) async fn get(
    app: &App,
    caller: &Caller,
    request: &pb::GetUploadRequest,
) -> Result<pb::GetUploadResponse> {
    let id = UploadId::from_wire("upload_id", &request.upload_id)?;
    let upload = find(app, caller, id).await?;
    if upload.state == ABORTED {
        return Err(Error::not_found("upload"));
    }
    Ok(pb::GetUploadResponse { upload: Some(upload.into()) })
}

/// Stores a part, then counts it.
///
/// Bytes count only when they lie in the store, so a crash between the two loses nothing that was
/// confirmed. Two calls that send the same part write the same bytes to the same place, and one
/// of them counts. Two that send different bytes for one place can only spoil the upload as a
/// whole: its hash will not match.
pub(super) async fn add_chunk(
    app: &App,
    caller: &Caller,
    request: pb::UploadChunkRequest,
) -> Result<pb::UploadChunkResponse> {
    let id = UploadId::from_wire("upload_id", &request.upload_id)?;
    let upload = find(app, caller, id).await?;
    check_open(&upload)?;
    let held = upload.received_bytes;
    let Some(part) = unseen(&upload, request.offset, &request.data.into())? else {
        return Ok(pb::UploadChunkResponse { received_bytes: held });
    };
    let end = held.saturating_add(i64::try_from(part.len()).unwrap_or(i64::MAX));
    let key = parts_key(id);
    match app.ports.files.append_part(&key, u64::try_from(held).unwrap_or(0), part).await {
        Ok(_) => {}
        Err(PortError::WrongOffset { len }) => {
            fall_back(app, id, held, len).await?;
            let upload = find(app, caller, id).await?;
            check_open(&upload)?;
            return Err(gap(&upload));
        }
        Err(error) => return Err(store_failed(error)),
    }
    let mut conn = app.db.read().await?;
    let counted = Advance { id, held, end }.execute(&mut conn).await?;
    if counted == 1 {
        return Ok(pb::UploadChunkResponse { received_bytes: end });
    }
    drop(conn);
    // Another call was faster: it sent as much or more, or it closed the upload.
    let upload = find(app, caller, id).await?;
    if !upload.is_open() {
        app.ports.files.delete(&key).await.map_err(store_failed)?;
    }
    check_open(&upload)?;
    Ok(pb::UploadChunkResponse { received_bytes: upload.received_bytes })
}

/// Gives an upload up.
pub(super) async fn abort(
    app: &App,
    caller: &Caller,
    request: pb::AbortUploadRequest,
) -> Result<pb::AbortUploadResponse> {
    let id = UploadId::from_wire("upload_id", &request.upload_id)?;
    let answer = app
        .once(caller, &request.request_id, &request, async |conn| {
            let upload = UploadRow::lock(conn, caller, id, app.clock.now())
                .await?
                .ok_or_else(|| Error::not_found("upload"))?;
            if upload.state == FINISHED {
                return Err(Error::of(Reason::WrongState).with("state", upload.state));
            }
            CloseUpload { id, state: ABORTED }.execute(conn).await?;
            Ok(pb::AbortUploadResponse {})
        })
        .await?;
    discard_parts(app, id).await;
    Ok(answer)
}

/// Deletes the parts of a closed upload; if that fails, the sweep does it.
pub(super) async fn discard_parts(app: &App, id: UploadId) {
    if let Err(error) = app.ports.files.delete(&parts_key(id)).await {
        tracing::warn!(upload = %id, error = %error, "parts of a closed upload are left to the sweep");
    }
}

pub(super) async fn find(app: &App, caller: &Caller, id: UploadId) -> Result<UploadRow> {
    let mut conn = app.db.read().await?;
    let upload = UploadRow::find(&mut conn, caller, id, app.clock.now()).await?;
    upload.ok_or_else(|| Error::not_found("upload"))
}

/// The store has less than was counted, which a power failure can do: the upload falls back to
/// what is there, and the client goes on from there.
pub(super) async fn fall_back(app: &App, id: UploadId, held: i64, there: u64) -> Result<()> {
    let there = i64::try_from(there).unwrap_or(i64::MAX);
    let mut conn = app.db.read().await?;
    FallBack { id, held, there }.execute(&mut conn).await?;
    Ok(())
}

fn gap(upload: &UploadRow) -> Error {
    Error::of(Reason::UploadOffset).with("received_bytes", upload.received_bytes)
}

fn check_open(upload: &UploadRow) -> Result<()> {
    if upload.is_open() {
        Ok(())
    } else {
        Err(Error::of(Reason::WrongState).with("state", &upload.state))
    }
}

/// What of a part the upload does not hold yet; none when it holds all of it.
fn unseen(upload: &UploadRow, offset: i64, data: &Bytes) -> Result<Option<Bytes>> {
    let (held, size) = (upload.received_bytes, upload.size_bytes);
    if offset > held {
        return Err(gap(upload));
    }
    let length = i64::try_from(data.len()).unwrap_or(i64::MAX);
    if offset.saturating_add(length) > size {
        return Err(Error::of(Reason::UploadTooLarge).with("limit_bytes", size));
    }
    let seen = usize::try_from(held - offset).unwrap_or(usize::MAX);
    Ok((seen < data.len()).then(|| data.slice(seen..)))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn upload(received_bytes: i64) -> UploadRow {
        let now = Time::from_unix_micros(0).unwrap();
        UploadRow {
            id: UploadId(uuid::Uuid::nil()),
            file_name: "a.pdf".to_owned(),
            media_type: "application/pdf".to_owned(),
            size_bytes: 10,
            received_bytes,
            state: super::super::rows::OPEN.to_owned(),
            expires_at: now,
            created_at: now,
        }
    }

    #[test]
    fn only_new_bytes_count() {
        let part = |offset, data: &'static [u8]| unseen(&upload(4), offset, &data.into());
        assert_eq!(part(4, b"ef").unwrap().unwrap(), "ef");
        assert_eq!(part(2, b"cdef").unwrap().unwrap(), "ef");
        assert_eq!(part(0, b"abcd").unwrap(), None);
        assert_eq!(part(1, b"b").unwrap(), None);
        assert_eq!(part(4, b"efghij").unwrap().unwrap().len(), 6);
    }

    #[test]
    fn no_gap_and_no_more_than_announced() {
        let part = |offset, data: &'static [u8]| unseen(&upload(4), offset, &data.into());
        assert_eq!(part(5, b"f").unwrap_err().reason, Reason::UploadOffset);
        assert_eq!(part(i64::MAX, b"f").unwrap_err().reason, Reason::UploadOffset);
        assert_eq!(part(4, b"efghijk").unwrap_err().reason, Reason::UploadTooLarge);
        assert_eq!(part(0, b"abcdefghijk").unwrap_err().reason, Reason::UploadTooLarge);
    }
}
