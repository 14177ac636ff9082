//! The gRPC face of the room.

use clinicd_proto::files::v1 as pb;
use clinicd_proto::files::v1::file_service_server::FileService;
use tonic::{Request, Response, Status};

use super::downloading::{self, Download};
use super::finishing::{self, Checks};
use super::uploading;
use crate::app::App;
use crate::kernel::access::enter;

/// Uploads and downloads.
#[derive(Clone)]
pub struct Service {
    /// The application.
    pub app: App,
    /// The checks that run in this process.
    pub checks: Checks,
}

impl Service {
    /// The service of this process.
    #[must_use]
    pub fn new(app: App) -> Self {
        Self { app, checks: Checks::default() }
    }
}

#[tonic::async_trait]
impl FileService for Service {
    type DownloadFileStream = Download;

    async fn start_upload(
        &self,
        request: Request<pb::StartUploadRequest>,
    ) -> Result<Response<pb::StartUploadResponse>, Status> {
        let (caller, request) = enter(request)?;
        Ok(Response::new(uploading::start(&self.app, &caller, request).await?))
    }

    async fn upload_chunk(
        &self,
        request: Request<pb::UploadChunkRequest>,
    ) -> Result<Response<pb::UploadChunkResponse>, Status> {
        let (caller, request) = enter(request)?;
        Ok(Response::new(uploading::add_chunk(&self.app, &caller, request).await?))
    }

    async fn get_upload(
        &self,
        request: Request<pb::GetUploadRequest>,
    ) -> Result<Response<pb::GetUploadResponse>, Status> {
        let (caller, request) = enter(request)?;
        Ok(Response::new(uploading::get(&self.app, &caller, &request).await?))
    }

    async fn finish_upload(
        &self,
        request: Request<pb::FinishUploadRequest>,
    ) -> Result<Response<pb::FinishUploadResponse>, Status> {
        let (caller, request) = enter(request)?;
        let finished = finishing::finish(&self.app, &self.checks, &caller, request).await?;
        Ok(Response::new(finished))
    }

    async fn abort_upload(
        &self,
        request: Request<pb::AbortUploadRequest>,
    ) -> Result<Response<pb::AbortUploadResponse>, Status> {
        let (caller, request) = enter(request)?;
        Ok(Response::new(uploading::abort(&self.app, &caller, request).await?))
    }

    async fn download_file(
        &self,
        request: Request<pb::DownloadFileRequest>,
    ) -> Result<Response<Download>, Status> {
        let (caller, request) = enter(request)?;
        Ok(Response::new(downloading::download(&self.app, &caller, &request).await?))
    }
}
