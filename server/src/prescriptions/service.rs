//! `clinicd.prescriptions.v1.PrescriptionService`.

use clinicd_proto::prescriptions::v1 as pb;
use clinicd_proto::prescriptions::v1::prescription_service_server::PrescriptionService;
use tonic::{Request, Response, Status};

use super::{downloading, issuing, reading, verifying};
use crate::app::App;
use crate::kernel::access::enter;

/// The service.
#[derive(Clone)]
pub struct Service {
    /// The application.
    pub app: App,
}

#[tonic::async_trait]
impl PrescriptionService for Service {
    type DownloadPrescriptionPdfStream = downloading::Parts;

    async fn issue_prescription(
        &self,
        request: Request<pb::IssuePrescriptionRequest>,
    ) -> Result<Response<pb::IssuePrescriptionResponse>, Status> {
        let (caller, request) = enter(request)?;
        Ok(Response::new(issuing::issue(&self.app, &caller, request).await?))
    }

    async fn get_prescription(
        &self,
        request: Request<pb::GetPrescriptionRequest>,
    ) -> Result<Response<pb::GetPrescriptionResponse>, Status> {
        let (caller, request) = enter(request)?;
        Ok(Response::new(reading::get(&self.app, &caller, request).await?))
    }

    async fn list_prescriptions(
        &self,
        request: Request<pb::ListPrescriptionsRequest>,
    ) -> Result<Response<pb::ListPrescriptionsResponse>, Status> {
        let (caller, request) = enter(request)?;
        Ok(Response::new(reading::list(&self.app, &caller, request).await?))
    }

    async fn download_prescription_pdf(
        &self,
        request: Request<pb::DownloadPrescriptionPdfRequest>,
    ) -> Result<Response<downloading::Parts>, Status> {
        let (caller, request) = enter(request)?;
        Ok(Response::new(downloading::download(&self.app, &caller, request).await?))
    }

    async fn verify_prescription(
        &self,
        request: Request<pb::VerifyPrescriptionRequest>,
    ) -> Result<Response<pb::VerifyPrescriptionResponse>, Status> {
        let (_, request) = enter(request)?;
        Ok(Response::new(verifying::verify(&self.app, request).await?))
    }
}
