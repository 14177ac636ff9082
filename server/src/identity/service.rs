//! The gRPC services of this room.

use tonic::{Request, Response, Status};

use clinicd_proto::identity::v1 as pb;
use pb::account_service_server::AccountService;
use pb::auth_service_server::AuthService;
use pb::staff_service_server::StaffService;
use pb::user_admin_service_server::UserAdminService;

use super::attempts::Lanes;
use super::{activating, admins, registering, sessions, signing_in, staff};
use crate::app::App;
use crate::kernel::access::enter;

/// `AuthService`.
#[derive(Clone)]
pub struct Auth {
    app: App,
    lanes: Lanes,
}

impl Auth {
    /// The service.
    #[must_use]
    pub fn new(app: App) -> Self {
        Self { app, lanes: Lanes::default() }
    }
}

#[tonic::async_trait]
impl AuthService for Auth {
    async fn register_account(
        &self,
        request: Request<pb::RegisterAccountRequest>,
    ) -> Result<Response<pb::RegisterAccountResponse>, Status> {
        let (caller, request) = enter(request)?;
        let answer = registering::register(&self.app, &self.lanes, &caller, request).await?;
        Ok(Response::new(answer))
    }

    async fn confirm_activation(
        &self,
        request: Request<pb::ConfirmActivationRequest>,
    ) -> Result<Response<pb::ConfirmActivationResponse>, Status> {
        let (caller, request) = enter(request)?;
        let answer = activating::confirm(&self.app, &self.lanes, &caller, request).await?;
        Ok(Response::new(answer))
    }

    async fn sign_in(
        &self,
        request: Request<pb::SignInRequest>,
    ) -> Result<Response<pb::SignInResponse>, Status> {
        let (caller, request) = enter(request)?;
        let answer = signing_in::sign_in(&self.app, &self.lanes, &caller, request).await?;
        Ok(Response::new(answer))
    }

    async fn refresh_token(
        &self,
        request: Request<pb::RefreshTokenRequest>,
    ) -> Result<Response<pb::RefreshTokenResponse>, Status> {
        let (caller, request) = enter(request)?;
        Ok(Response::new(sessions::refresh(&self.app, &caller, request).await?))
    }

    async fn sign_out(
        &self,
        request: Request<pb::SignOutRequest>,
    ) -> Result<Response<pb::SignOutResponse>, Status> {
        let (caller, request) = enter(request)?;
        Ok(Response::new(sessions::sign_out(&self.app, &caller, request).await?))
    }
}

/// `AccountService`, `UserAdminService` and `StaffService`.
#[derive(Clone)]
pub struct Service {
    /// The application.
    pub app: App,
}

#[tonic::async_trait]
impl AccountService for Service {
    async fn get_my_account(
        &self,
        request: Request<pb::GetMyAccountRequest>,
    ) -> Result<Response<pb::GetMyAccountResponse>, Status> {
        let (caller, _) = enter(request)?;
        Ok(Response::new(admins::get_mine(&self.app, &caller).await?))
    }
}

#[tonic::async_trait]
impl UserAdminService for Service {
    async fn list_users(
        &self,
        request: Request<pb::ListUsersRequest>,
    ) -> Result<Response<pb::ListUsersResponse>, Status> {
        let (caller, request) = enter(request)?;
        Ok(Response::new(admins::list(&self.app, &caller, request).await?))
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

#[tonic::async_trait]
impl StaffService for Service {
    async fn create_staff_member(
        &self,
        request: Request<pb::CreateStaffMemberRequest>,
    ) -> Result<Response<pb::CreateStaffMemberResponse>, Status> {
        let (caller, request) = enter(request)?;
        Ok(Response::new(staff::create(&self.app, &caller, request).await?))
    }
}
