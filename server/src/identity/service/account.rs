//! `AccountService`.

use tonic::{Request, Response, Status};

use clinicd_proto::identity::v1 as pb;
use pb::account_service_server::AccountService;

use super::Service;
use crate::identity::accounts;
use crate::identity::administration::deleting;
use crate::identity::history::listing as history_list;
use crate::identity::registration::contacts;
use crate::identity::sessions::listing as session_list;
use crate::identity::sign_in::second_factor;
use crate::kernel::access::enter;

#[tonic::async_trait]
impl AccountService for Service {
    async fn get_my_account(
        &self,
        request: Request<pb::GetMyAccountRequest>,
    ) -> Result<Response<pb::GetMyAccountResponse>, Status> {
        let (caller, request) = enter(request)?;
        Ok(Response::new(accounts::get_mine(&self.app, &caller, request).await?))
    }

    async fn update_my_account(
        &self,
        request: Request<pb::UpdateMyAccountRequest>,
    ) -> Result<Response<pb::UpdateMyAccountResponse>, Status> {
        let (caller, request) = enter(request)?;
        Ok(Response::new(accounts::update_mine(&self.app, &caller, request).await?))
    }

    async fn delete_my_account(
        &self,
        request: Request<pb::DeleteMyAccountRequest>,
    ) -> Result<Response<pb::DeleteMyAccountResponse>, Status> {
        let (caller, request) = enter(request)?;
        Ok(Response::new(deleting::delete_mine(&self.app, &caller, request).await?))
    }

    async fn get_my_roles(
        &self,
        request: Request<pb::GetMyRolesRequest>,
    ) -> Result<Response<pb::GetMyRolesResponse>, Status> {
        let (caller, request) = enter(request)?;
        Ok(Response::new(accounts::my_roles(&self.app, &caller, request).await?))
    }

    async fn change_email(
        &self,
        request: Request<pb::ChangeEmailRequest>,
    ) -> Result<Response<pb::ChangeEmailResponse>, Status> {
        let (caller, request) = enter(request)?;
        Ok(Response::new(contacts::change_email(&self.app, &caller, request).await?))
    }

    async fn change_phone(
        &self,
        request: Request<pb::ChangePhoneRequest>,
    ) -> Result<Response<pb::ChangePhoneResponse>, Status> {
        let (caller, request) = enter(request)?;
        Ok(Response::new(contacts::change_phone(&self.app, &caller, request).await?))
    }

    async fn confirm_contact_change(
        &self,
        request: Request<pb::ConfirmContactChangeRequest>,
    ) -> Result<Response<pb::ConfirmContactChangeResponse>, Status> {
        let (caller, request) = enter(request)?;
        Ok(Response::new(contacts::confirm(&self.app, &caller, request).await?))
    }

    async fn list_my_sessions(
        &self,
        request: Request<pb::ListMySessionsRequest>,
    ) -> Result<Response<pb::ListMySessionsResponse>, Status> {
        let (caller, request) = enter(request)?;
        Ok(Response::new(session_list::list(&self.app, &caller, request).await?))
    }

    async fn revoke_session(
        &self,
        request: Request<pb::RevokeSessionRequest>,
    ) -> Result<Response<pb::RevokeSessionResponse>, Status> {
        let (caller, request) = enter(request)?;
        Ok(Response::new(session_list::revoke(&self.app, &caller, request).await?))
    }

    async fn revoke_other_sessions(
        &self,
        request: Request<pb::RevokeOtherSessionsRequest>,
    ) -> Result<Response<pb::RevokeOtherSessionsResponse>, Status> {
        let (caller, request) = enter(request)?;
        Ok(Response::new(session_list::revoke_others(&self.app, &caller, request).await?))
    }

    async fn list_my_sign_ins(
        &self,
        request: Request<pb::ListMySignInsRequest>,
    ) -> Result<Response<pb::ListMySignInsResponse>, Status> {
        let (caller, request) = enter(request)?;
        Ok(Response::new(history_list::list_mine(&self.app, &caller, request).await?))
    }

    async fn enroll_second_factor(
        &self,
        request: Request<pb::EnrollSecondFactorRequest>,
    ) -> Result<Response<pb::EnrollSecondFactorResponse>, Status> {
        let (caller, request) = enter(request)?;
        Ok(Response::new(second_factor::enroll(&self.app, &caller, request).await?))
    }

    async fn confirm_second_factor(
        &self,
        request: Request<pb::ConfirmSecondFactorRequest>,
    ) -> Result<Response<pb::ConfirmSecondFactorResponse>, Status> {
        let (caller, request) = enter(request)?;
        Ok(Response::new(second_factor::confirm(&self.app, &caller, request).await?))
    }

    async fn remove_second_factor(
        &self,
        request: Request<pb::RemoveSecondFactorRequest>,
    ) -> Result<Response<pb::RemoveSecondFactorResponse>, Status> {
        let (caller, request) = enter(request)?;
        Ok(Response::new(second_factor::remove(&self.app, &caller, request).await?))
    }

    async fn regenerate_recovery_codes(
        &self,
        request: Request<pb::RegenerateRecoveryCodesRequest>,
    ) -> Result<Response<pb::RegenerateRecoveryCodesResponse>, Status> {
        let (caller, request) = enter(request)?;
        Ok(Response::new(second_factor::regenerate(&self.app, &caller, request).await?))
    }
}
