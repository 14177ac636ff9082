//! The gRPC faces of the room: the applicant's, and the reviewers'.

use clinicd_proto::onboarding::v1 as pb;
use clinicd_proto::onboarding::v1::moderation_service_server::ModerationService;
use clinicd_proto::onboarding::v1::onboarding_service_server::OnboardingService;
use tonic::{Request, Response, Status};

use super::{applying, documents, listing, reviewing, saving};
use crate::app::App;
use crate::kernel::access::enter;

/// Both services of the room.
#[derive(Clone)]
pub struct Service {
    /// The application.
    pub app: App,
}

#[tonic::async_trait]
impl OnboardingService for Service {
    async fn start_application(
        &self,
        request: Request<pb::StartApplicationRequest>,
    ) -> Result<Response<pb::StartApplicationResponse>, Status> {
        let (caller, request) = enter(request)?;
        Ok(Response::new(applying::start(&self.app, &caller, request).await?))
    }

    async fn get_my_application(
        &self,
        request: Request<pb::GetMyApplicationRequest>,
    ) -> Result<Response<pb::GetMyApplicationResponse>, Status> {
        let (caller, _) = enter(request)?;
        Ok(Response::new(applying::get_mine(&self.app, &caller).await?))
    }

    async fn save_application_step(
        &self,
        request: Request<pb::SaveApplicationStepRequest>,
    ) -> Result<Response<pb::SaveApplicationStepResponse>, Status> {
        let (caller, request) = enter(request)?;
        Ok(Response::new(saving::save(&self.app, &caller, request).await?))
    }

    async fn attach_document(
        &self,
        request: Request<pb::AttachDocumentRequest>,
    ) -> Result<Response<pb::AttachDocumentResponse>, Status> {
        let (caller, request) = enter(request)?;
        Ok(Response::new(documents::attach(&self.app, &caller, request).await?))
    }

    async fn submit_application(
        &self,
        request: Request<pb::SubmitApplicationRequest>,
    ) -> Result<Response<pb::SubmitApplicationResponse>, Status> {
        let (caller, request) = enter(request)?;
        Ok(Response::new(applying::submit(&self.app, &caller, request).await?))
    }
}

#[tonic::async_trait]
impl ModerationService for Service {
    async fn list_applications(
        &self,
        request: Request<pb::ListApplicationsRequest>,
    ) -> Result<Response<pb::ListApplicationsResponse>, Status> {
        let (caller, request) = enter(request)?;
        Ok(Response::new(listing::list(&self.app, &caller, &request).await?))
    }

    async fn get_application(
        &self,
        request: Request<pb::GetApplicationRequest>,
    ) -> Result<Response<pb::GetApplicationResponse>, Status> {
        let (_, request) = enter(request)?;
        Ok(Response::new(listing::get(&self.app, &request).await?))
    }

    async fn approve_application(
        &self,
        request: Request<pb::ApproveApplicationRequest>,
    ) -> Result<Response<pb::ApproveApplicationResponse>, Status> {
        let (caller, request) = enter(request)?;
        Ok(Response::new(reviewing::approve(&self.app, &caller, request).await?))
    }

    async fn request_changes(
        &self,
        request: Request<pb::RequestChangesRequest>,
    ) -> Result<Response<pb::RequestChangesResponse>, Status> {
        let (caller, request) = enter(request)?;
        Ok(Response::new(reviewing::request_changes(&self.app, &caller, request).await?))
    }

    async fn reject_application(
        &self,
        request: Request<pb::RejectApplicationRequest>,
    ) -> Result<Response<pb::RejectApplicationResponse>, Status> {
        let (caller, request) = enter(request)?;
        Ok(Response::new(reviewing::reject(&self.app, &caller, request).await?))
    }
}
