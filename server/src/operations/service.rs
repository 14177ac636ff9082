//! The gRPC service.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use clinicd_proto::operations::v1 as pb;
use pb::job_admin_service_server::JobAdminService;

use super::{acting, listing};
use crate::app::App;
use crate::kernel::access::enter;
use crate::kernel::jobs::Schedule;

/// `clinicd.operations.v1.JobAdminService`.
#[derive(Clone)]
pub struct Service {
    /// The application.
    pub app: App,
    /// Every schedule.
    pub schedules: Arc<[Schedule]>,
}

#[tonic::async_trait]
impl JobAdminService for Service {
    async fn list_jobs(
        &self,
        request: Request<pb::ListJobsRequest>,
    ) -> Result<Response<pb::ListJobsResponse>, Status> {
        let (caller, request) = enter(request)?;
        Ok(Response::new(listing::jobs(&self.app, &caller, request).await?))
    }

    async fn retry_job(
        &self,
        request: Request<pb::RetryJobRequest>,
    ) -> Result<Response<pb::RetryJobResponse>, Status> {
        let (caller, request) = enter(request)?;
        Ok(Response::new(acting::retry(&self.app, &caller, request).await?))
    }

    async fn cancel_job(
        &self,
        request: Request<pb::CancelJobRequest>,
    ) -> Result<Response<pb::CancelJobResponse>, Status> {
        let (caller, request) = enter(request)?;
        Ok(Response::new(acting::cancel(&self.app, &caller, request).await?))
    }

    async fn list_schedules(
        &self,
        _request: Request<pb::ListSchedulesRequest>,
    ) -> Result<Response<pb::ListSchedulesResponse>, Status> {
        Ok(Response::new(listing::schedules(&self.app, &self.schedules).await?))
    }
}
