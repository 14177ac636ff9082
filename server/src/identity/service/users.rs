//! `UserAdminService`.

use tonic::{Request, Response, Status};

use clinicd_proto::identity::v1 as pb;
use pb::user_admin_service_server::UserAdminService;

use super::Service;
use crate::identity::administration::{admins, blocking, deleting, users};
use crate::identity::history::listing as history_list;
use crate::identity::sign_in::recovering;
use crate::kernel::access::enter;

#[tonic::async_trait]
impl UserAdminService for Service {
    async fn list_users(
        &self,
        request: Request<pb::ListUsersRequest>,
    ) -> Result<Response<pb::ListUsersResponse>, Status> {
        let (caller, request) = enter(request)?;
        Ok(Response::new(users::list(&self.app, &caller, request).await?))
    }

    async fn get_user(
        &self,
        request: Request<pb::GetUserRequest>,
    ) -> Result<Response<pb::GetUserResponse>, Status> {
        let (caller, request) = enter(request)?;
        Ok(Response::new(users::get(&self.app, &caller, request).await?))
    }

    async fn update_user(
        &self,
        request: Request<pb::UpdateUserRequest>,
    ) -> Result<Response<pb::UpdateUserResponse>, Status> {
        let (caller, request) = enter(request)?;
        Ok(Response::new(users::update(&self.app, &caller, request).await?))
    }

    async fn delete_user(
        &self,
        request: Request<pb::DeleteUserRequest>,
    ) -> Result<Response<pb::DeleteUserResponse>, Status> {
        let (caller, request) = enter(request)?;
        Ok(Response::new(deleting::delete_user(&self.app, &caller, request).await?))
    }

    async fn block_user(
        &self,
        request: Request<pb::BlockUserRequest>,
    ) -> Result<Response<pb::BlockUserResponse>, Status> {
        let (caller, request) = enter(request)?;
        Ok(Response::new(blocking::block(&self.app, &caller, request).await?))
    }

    async fn unblock_user(
        &self,
        request: Request<pb::UnblockUserRequest>,
    ) -> Result<Response<pb::UnblockUserResponse>, Status> {
        let (caller, request) = enter(request)?;
        Ok(Response::new(blocking::unblock(&self.app, &caller, request).await?))
    }

    async fn start_recovery_for(
        &self,
        request: Request<pb::StartRecoveryForRequest>,
    ) -> Result<Response<pb::StartRecoveryForResponse>, Status> {
        let (caller, request) = enter(request)?;
        Ok(Response::new(recovering::start_for(&self.app, &caller, request).await?))
    }

    async fn list_sign_ins(
        &self,
        request: Request<pb::ListSignInsRequest>,
    ) -> Result<Response<pb::ListSignInsResponse>, Status> {
        let (caller, request) = enter(request)?;
        Ok(Response::new(history_list::list(&self.app, &caller, request).await?))
    }

    async fn delete_sign_in(
        &self,
        request: Request<pb::DeleteSignInRequest>,
    ) -> Result<Response<pb::DeleteSignInResponse>, Status> {
        let (caller, request) = enter(request)?;
        Ok(Response::new(history_list::hide(&self.app, &caller, request).await?))
    }

    async fn grant_admin(
        &self,
        request: Request<pb::GrantAdminRequest>,
    ) -> Result<Response<pb::GrantAdminResponse>, Status> {
        let (caller, request) = enter(request)?;
        Ok(Response::new(admins::grant_admin(&self.app, &caller, request).await?))
    }

    async fn revoke_admin(
        &self,
        request: Request<pb::RevokeAdminRequest>,
    ) -> Result<Response<pb::RevokeAdminResponse>, Status> {
        let (caller, request) = enter(request)?;
        Ok(Response::new(admins::revoke_admin(&self.app, &caller, request).await?))
    }
}
