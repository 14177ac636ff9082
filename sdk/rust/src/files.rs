//! Uploads in resumable parts, and downloads.

use clinicd_proto::files::v1::download_file_response::Part;
use clinicd_proto::files::v1::{
    DownloadFileRequest, DownloadFileResponse, File, FinishUploadRequest, GetUploadRequest,
    StartUploadRequest, Upload, UploadChunkRequest,
};
use clinicd_proto::prescriptions::v1::DownloadPrescriptionPdfRequest;
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncSeek, AsyncSeekExt as _, SeekFrom};

use crate::call::Messages;
use crate::client::Client;
use crate::error::{Error, Result};

/// Bytes per part if the server names no limit.
const DEFAULT_PART: u64 = 256 * 1024;

/// How far an upload has come, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Bytes that the server holds.
    pub sent: u64,
    /// Bytes in all.
    pub total: u64,
}

impl Client {
    /// Uploads bytes: "application/pdf", "image/jpeg" or "image/png", up to 10 MiB.
    pub async fn upload(&self, name: &str, media_type: &str, bytes: &[u8]) -> Result<File> {
        self.upload_from(name, media_type, std::io::Cursor::new(bytes), |_| {}).await
    }

    /// Uploads what a reader holds, such as an open file, and tells how far it has come.
    ///
    /// To survive the end of the process, send a [`StartUploadRequest`] yourself, keep the id and
    /// [`resume_upload`](Self::resume_upload).
    pub async fn upload_from(
        &self,
        name: &str,
        media_type: &str,
        mut content: impl AsyncRead + AsyncSeek + Unpin,
        progress: impl FnMut(Progress),
    ) -> Result<File> {
        let size = content.seek(SeekFrom::End(0)).await.map_err(|error| Error::io(&error))?;
        let request = StartUploadRequest {
            request_id: String::new(),
            file_name: name.to_owned(),
            media_type: media_type.to_owned(),
            size_bytes: i64::try_from(size).unwrap_or(i64::MAX),
        };
        let upload = self.send(request).await?.upload.unwrap_or_default();
        self.go_on(upload, content, progress).await
    }

    /// Goes on with an upload that was broken off, from where the server stands.
    pub async fn resume_upload(
        &self,
        upload_id: &str,
        content: impl AsyncRead + AsyncSeek + Unpin,
        progress: impl FnMut(Progress),
    ) -> Result<File> {
        let request = GetUploadRequest { upload_id: upload_id.to_owned() };
        let upload = self.send(request).await?.upload.unwrap_or_default();
        self.go_on(upload, content, progress).await
    }

    async fn go_on(
        &self,
        upload: Upload,
        mut content: impl AsyncRead + AsyncSeek + Unpin,
        mut progress: impl FnMut(Progress),
    ) -> Result<File> {
        let sha256 = hash(&mut content).await?;
        let limit = u64::try_from(upload.max_chunk_bytes).unwrap_or_default();
        let part = if limit == 0 { DEFAULT_PART } else { limit };
        let total = u64::try_from(upload.size_bytes).unwrap_or_default();
        let mut sent = u64::try_from(upload.received_bytes).unwrap_or_default();
        while sent < total {
            let data = read_part(&mut content, sent, part).await?;
            if data.is_empty() {
                return Err(Error::Io("the content is shorter than it was".to_owned()));
            }
            let (upload_id, offset) = (upload.id.clone(), i64::try_from(sent).unwrap_or(i64::MAX));
            let held = match self.send(UploadChunkRequest { upload_id, offset, data }).await {
                Ok(answer) => u64::try_from(answer.received_bytes).ok(),
                Err(error) => Some(held_instead(&error).ok_or(error)?),
            };
            // A server that does not move on would keep us here for ever.
            let held = held.filter(|held| *held != sent);
            sent = held.ok_or(Error::Damaged("the server does not take the bytes"))?;
            progress(Progress { sent, total });
        }
        let upload_id = upload.id;
        let request = FinishUploadRequest { request_id: String::new(), upload_id, sha256 };
        Ok(self.send(request).await?.file.unwrap_or_default())
    }

    /// Opens a stored file.
    pub async fn download(&self, file_id: &str) -> Result<Download> {
        let request = DownloadFileRequest { file_id: file_id.to_owned() };
        let mut messages = self.stream(request).await?;
        match messages.message().await?.and_then(|message| message.part) {
            Some(Part::File(file)) => Ok(Download { file, messages }),
            _ => Err(Error::Damaged("it does not begin with the file's description")),
        }
    }

    /// Downloads a prescription as PDF.
    pub async fn download_prescription(&self, prescription_id: &str) -> Result<Vec<u8>> {
        let prescription_id = prescription_id.to_owned();
        let mut messages = self.stream(DownloadPrescriptionPdfRequest { prescription_id }).await?;
        let mut bytes = Vec::new();
        while let Some(message) = messages.message().await? {
            bytes.extend(message.data);
        }
        Ok(bytes)
    }
}

/// Where the server stands, when it refused a part because of that.
fn held_instead(error: &Error) -> Option<u64> {
    let api = error.api().filter(|api| api.reason == "UPLOAD_OFFSET")?;
    api.metadata.get("received_bytes")?.parse().ok()
}

async fn hash(content: &mut (impl AsyncRead + AsyncSeek + Unpin)) -> Result<Vec<u8>> {
    let mut hash = Sha256::new();
    let mut offset = 0;
    loop {
        let part = read_part(content, offset, DEFAULT_PART).await?;
        if part.is_empty() {
            return Ok(hash.finalize().to_vec());
        }
        hash.update(&part);
        offset += part.len() as u64;
    }
}

async fn read_part(
    content: &mut (impl AsyncRead + AsyncSeek + Unpin),
    offset: u64,
    length: u64,
) -> Result<Vec<u8>> {
    let io = |error| Error::io(&error);
    let mut part = Vec::new();
    content.seek(SeekFrom::Start(offset)).await.map_err(io)?;
    content.take(length).read_to_end(&mut part).await.map_err(io)?;
    Ok(part)
}

/// A stored file that is being downloaded.
#[derive(Debug)]
pub struct Download {
    /// What it is.
    pub file: File,
    messages: Messages<DownloadFileResponse>,
}

impl Download {
    /// The next bytes; none at the end.
    pub async fn part(&mut self) -> Result<Option<Vec<u8>>> {
        loop {
            return match self.messages.message().await?.map(|message| message.part) {
                None => Ok(None),
                Some(Some(Part::Data(data))) => Ok(Some(data)),
                Some(_) => continue,
            };
        }
    }

    /// All bytes, compared with the hash that the server announced.
    pub async fn bytes(mut self) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        while let Some(part) = self.part().await? {
            bytes.extend(part);
        }
        if Sha256::digest(&bytes).as_slice() == self.file.sha256 {
            Ok(bytes)
        } else {
            Err(Error::Damaged("its hash is another one"))
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[tokio::test]
    async fn content_is_hashed_and_read_in_parts() {
        let bytes: Vec<u8> = (0..=255).cycle().take(600_000).collect();
        let mut content = std::io::Cursor::new(bytes.clone());
        assert_eq!(hash(&mut content).await.unwrap(), Sha256::digest(&bytes).to_vec());
        let part = read_part(&mut content, 599_990, 100).await.unwrap();
        assert_eq!(part, bytes[599_990..]);
    }
}
