//! Streaming a file.

use clinicd_proto::files::v1::{self as pb, download_file_response::Part};
use futures_util::stream::{self, BoxStream, StreamExt};
use tonic::Status;

use super::rows::FileRow;
use super::store_failed;
use crate::app::App;
use crate::kernel::access::Caller;
use crate::kernel::error::{Error, Result};
use crate::kernel::kinds::FileId;

/// Bytes per message.
const PART_BYTES: u64 = 256 * 1024;

/// The messages of a download.
pub type Download = BoxStream<'static, Result<pb::DownloadFileResponse, Status>>;

/// What comes next.
enum Next {
    Head,
    Bytes(u64),
}

/// Begins a download. A part is read when the transport asks for it, so a slow client holds one
/// part in memory and no file open.
pub(super) async fn download(
    app: &App,
    caller: &Caller,
    request: &pb::DownloadFileRequest,
) -> Result<Download> {
    let id = FileId::from_wire("file_id", &request.file_id)?;
    let mut conn = app.db.read().await?;
    let file = FileRow::find_visible(&mut conn, caller, id)
        .await?
        .ok_or_else(|| Error::not_found("file"))?;
    drop(conn);
    let store = app.ports.files.clone();
    let parts = stream::try_unfold(Next::Head, move |next| {
        let (store, file) = (store.clone(), file.clone());
        async move {
            let size = u64::try_from(file.size_bytes).map_err(Error::internal)?;
            let (part, next) = match next {
                Next::Head => (Part::File(file.into()), Next::Bytes(0)),
                Next::Bytes(offset) if offset >= size => return Ok(None),
                Next::Bytes(offset) => {
                    let length = PART_BYTES.min(size - offset);
                    let bytes = store.read(&file.storage_key, offset, length).await;
                    let bytes = bytes.map_err(store_failed)?;
                    if bytes.len() as u64 != length {
                        return Err(Error::internal("a stored file is shorter than its row").into());
                    }
                    (Part::Data(bytes.into()), Next::Bytes(offset + length))
                }
            };
            Ok(Some((pb::DownloadFileResponse { part: Some(part) }, next)))
        }
    });
    Ok(parts.boxed())
}
