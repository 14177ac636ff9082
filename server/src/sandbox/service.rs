//! `SandboxService`.

use tonic::{Request, Response, Status};

use clinicd_proto::sandbox::v1 as pb;
use pb::sandbox_service_server::SandboxService;

use super::listing;
use crate::app::App;
use crate::kernel::access::enter;

/// The service of the room.
#[derive(Clone)]
pub struct Service {
    /// The application.
    pub app: App,
}

#[tonic::async_trait]
impl SandboxService for Service {
    async fn list_outbox(
        &self,
        request: Request<pb::ListOutboxRequest>,
    ) -> Result<Response<pb::ListOutboxResponse>, Status> {
        let (_, request) = enter(request)?;
        Ok(Response::new(listing::list_outbox(&self.app, request).await?))
    }
}
