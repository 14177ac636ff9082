//! The directory service. Public: no caller is needed.

use tonic::{Request, Response, Status};

use clinicd_proto::directory::v1 as pb;
use clinicd_proto::directory::v1::directory_service_server::DirectoryService;

use super::{searching, specialties};
use crate::app::App;
use crate::kernel::access::enter;

/// Serves the directory.
#[derive(Clone)]
pub struct Service {
    /// The application.
    pub app: App,
}

#[tonic::async_trait]
impl DirectoryService for Service {
    async fn search_doctors(
        &self,
        request: Request<pb::SearchDoctorsRequest>,
    ) -> Result<Response<pb::SearchDoctorsResponse>, Status> {
        let (_, request) = enter(request)?;
        Ok(Response::new(searching::search(&self.app, request).await?))
    }

    async fn get_public_doctor(
        &self,
        request: Request<pb::GetPublicDoctorRequest>,
    ) -> Result<Response<pb::GetPublicDoctorResponse>, Status> {
        let (_, request) = enter(request)?;
        Ok(Response::new(searching::get(&self.app, &request).await?))
    }

    async fn list_specialties(
        &self,
        request: Request<pb::ListSpecialtiesRequest>,
    ) -> Result<Response<pb::ListSpecialtiesResponse>, Status> {
        let (_, request) = enter(request)?;
        Ok(Response::new(specialties::list(&self.app, request).await?))
    }
}
