//! The profile services.

use tonic::{Request, Response, Status};

use clinicd_proto::profiles::v1 as pb;
use clinicd_proto::profiles::v1::doctor_profile_service_server::DoctorProfileService;
use clinicd_proto::profiles::v1::patient_service_server::PatientService;

use super::{doctors, patients};
use crate::app::App;
use crate::kernel::access::enter;

/// Serves both profile services.
#[derive(Clone)]
pub struct Service {
    /// The application.
    pub app: App,
}

#[tonic::async_trait]
impl DoctorProfileService for Service {
    async fn get_my_doctor_profile(
        &self,
        request: Request<pb::GetMyDoctorProfileRequest>,
    ) -> Result<Response<pb::GetMyDoctorProfileResponse>, Status> {
        let (caller, _) = enter(request)?;
        Ok(Response::new(doctors::editing::get_mine(&self.app, &caller).await?))
    }

    async fn update_my_doctor_profile(
        &self,
        request: Request<pb::UpdateMyDoctorProfileRequest>,
    ) -> Result<Response<pb::UpdateMyDoctorProfileResponse>, Status> {
        let (caller, request) = enter(request)?;
        Ok(Response::new(doctors::editing::update_mine(&self.app, &caller, request).await?))
    }

    async fn list_doctors(
        &self,
        request: Request<pb::ListDoctorsRequest>,
    ) -> Result<Response<pb::ListDoctorsResponse>, Status> {
        let (caller, request) = enter(request)?;
        Ok(Response::new(doctors::listing::list(&self.app, &caller, request).await?))
    }

    async fn get_doctor(
        &self,
        request: Request<pb::GetDoctorRequest>,
    ) -> Result<Response<pb::GetDoctorResponse>, Status> {
        let (_, request) = enter(request)?;
        Ok(Response::new(doctors::listing::get(&self.app, request).await?))
    }
}

#[tonic::async_trait]
impl PatientService for Service {
    async fn get_my_patient(
        &self,
        request: Request<pb::GetMyPatientRequest>,
    ) -> Result<Response<pb::GetMyPatientResponse>, Status> {
        let (caller, _) = enter(request)?;
        Ok(Response::new(patients::editing::get_mine(&self.app, &caller).await?))
    }

    async fn update_my_patient(
        &self,
        request: Request<pb::UpdateMyPatientRequest>,
    ) -> Result<Response<pb::UpdateMyPatientResponse>, Status> {
        let (caller, request) = enter(request)?;
        Ok(Response::new(patients::editing::update_mine(&self.app, &caller, request).await?))
    }
}
