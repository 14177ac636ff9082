//! The gRPC service.

use tonic::{Request, Response, Status};

use clinicd_proto::audit::v1 as pb;
use pb::audit_service_server::AuditService;

use super::{reading, verifying};
use crate::app::App;
use crate::kernel::access::enter;

/// `clinicd.audit.v1.AuditService`.
#[derive(Clone)]
pub struct Service {
    /// The application.
    pub app: App,
}

#[tonic::async_trait]
impl AuditService for Service {
    async fn list_my_access_log(
        &self,
        request: Request<pb::ListMyAccessLogRequest>,
    ) -> Result<Response<pb::ListMyAccessLogResponse>, Status> {
        let (caller, request) = enter(request)?;
        Ok(Response::new(reading::list_mine(&self.app, &caller, request).await?))
    }

    async fn search_audit_log(
        &self,
        request: Request<pb::SearchAuditLogRequest>,
    ) -> Result<Response<pb::SearchAuditLogResponse>, Status> {
        let (caller, request) = enter(request)?;
        Ok(Response::new(reading::search(&self.app, &caller, request).await?))
    }

    async fn verify_audit_chain(
        &self,
        _request: Request<pb::VerifyAuditChainRequest>,
    ) -> Result<Response<pb::VerifyAuditChainResponse>, Status> {
        Ok(Response::new(verifying::verify(&self.app).await?))
    }
}
