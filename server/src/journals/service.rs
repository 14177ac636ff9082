//! `clinicd.journals.v1.VisitNoteService`.

use clinicd_proto::journals::v1 as pb;
use clinicd_proto::journals::v1::visit_note_service_server::VisitNoteService;
use tonic::{Request, Response, Status};

use super::{drafting, reading, signing};
use crate::app::App;
use crate::kernel::access::enter;

/// The service.
#[derive(Clone)]
pub struct Service {
    /// The application.
    pub app: App,
}

#[tonic::async_trait]
impl VisitNoteService for Service {
    async fn save_draft(
        &self,
        request: Request<pb::SaveDraftRequest>,
    ) -> Result<Response<pb::SaveDraftResponse>, Status> {
        let (caller, request) = enter(request)?;
        Ok(Response::new(drafting::save(&self.app, &caller, request).await?))
    }

    async fn sign_note(
        &self,
        request: Request<pb::SignNoteRequest>,
    ) -> Result<Response<pb::SignNoteResponse>, Status> {
        let (caller, request) = enter(request)?;
        Ok(Response::new(signing::sign(&self.app, &caller, request).await?))
    }

    async fn get_note(
        &self,
        request: Request<pb::GetNoteRequest>,
    ) -> Result<Response<pb::GetNoteResponse>, Status> {
        let (caller, request) = enter(request)?;
        Ok(Response::new(reading::get(&self.app, &caller, request).await?))
    }
}
