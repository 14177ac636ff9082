//! `StaffService`.

use tonic::{Request, Response, Status};

use clinicd_proto::identity::v1 as pb;
use pb::staff_service_server::StaffService;

use super::Service;
use crate::identity::staff::{doctors as staff_doctors, members as staff};
use crate::kernel::access::enter;

#[tonic::async_trait]
impl StaffService for Service {
    async fn list_staff(
        &self,
        request: Request<pb::ListStaffRequest>,
    ) -> Result<Response<pb::ListStaffResponse>, Status> {
        let (caller, request) = enter(request)?;
        Ok(Response::new(staff::list(&self.app, &caller, request).await?))
    }

    async fn get_staff_member(
        &self,
        request: Request<pb::GetStaffMemberRequest>,
    ) -> Result<Response<pb::GetStaffMemberResponse>, Status> {
        let (caller, request) = enter(request)?;
        Ok(Response::new(staff::get(&self.app, &caller, request).await?))
    }

    async fn create_staff_member(
        &self,
        request: Request<pb::CreateStaffMemberRequest>,
    ) -> Result<Response<pb::CreateStaffMemberResponse>, Status> {
        let (caller, request) = enter(request)?;
        Ok(Response::new(staff::create(&self.app, &caller, request).await?))
    }

    async fn remove_staff_member(
        &self,
        request: Request<pb::RemoveStaffMemberRequest>,
    ) -> Result<Response<pb::RemoveStaffMemberResponse>, Status> {
        let (caller, request) = enter(request)?;
        Ok(Response::new(staff::remove(&self.app, &caller, request).await?))
    }

    async fn block_doctor(
        &self,
        request: Request<pb::BlockDoctorRequest>,
    ) -> Result<Response<pb::BlockDoctorResponse>, Status> {
        let (caller, request) = enter(request)?;
        Ok(Response::new(staff_doctors::block(&self.app, &caller, request).await?))
    }

    async fn unblock_doctor(
        &self,
        request: Request<pb::UnblockDoctorRequest>,
    ) -> Result<Response<pb::UnblockDoctorResponse>, Status> {
        let (caller, request) = enter(request)?;
        Ok(Response::new(staff_doctors::unblock(&self.app, &caller, request).await?))
    }
}
