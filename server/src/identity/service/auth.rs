//! `AuthService`.

use tonic::{Request, Response, Status};

use clinicd_proto::identity::v1 as pb;
use pb::auth_service_server::AuthService;

use super::Service;
use crate::identity::programs::api_keys;
use crate::identity::registration::{activating, registering};
use crate::identity::sessions::{living as sessions, refreshing, tickets};
use crate::identity::sign_in::{changing_password, otp, recovering, second_factor, signing_in};
use crate::kernel::access::enter;

#[tonic::async_trait]
impl AuthService for Service {
    async fn register_account(
        &self,
        request: Request<pb::RegisterAccountRequest>,
    ) -> Result<Response<pb::RegisterAccountResponse>, Status> {
        let (caller, request) = enter(request)?;
        Ok(Response::new(registering::register(&self.app, &caller, request).await?))
    }

    async fn confirm_activation(
        &self,
        request: Request<pb::ConfirmActivationRequest>,
    ) -> Result<Response<pb::ConfirmActivationResponse>, Status> {
        let (caller, request) = enter(request)?;
        Ok(Response::new(activating::confirm(&self.app, &caller, request).await?))
    }

    async fn resend_activation(
        &self,
        request: Request<pb::ResendActivationRequest>,
    ) -> Result<Response<pb::ResendActivationResponse>, Status> {
        let (caller, request) = enter(request)?;
        Ok(Response::new(activating::resend(&self.app, &caller, request).await?))
    }

    async fn send_otp(
        &self,
        request: Request<pb::SendOtpRequest>,
    ) -> Result<Response<pb::SendOtpResponse>, Status> {
        let (caller, request) = enter(request)?;
        Ok(Response::new(otp::send(&self.app, &caller, request).await?))
    }

    async fn verify_otp(
        &self,
        request: Request<pb::VerifyOtpRequest>,
    ) -> Result<Response<pb::VerifyOtpResponse>, Status> {
        let (caller, request) = enter(request)?;
        Ok(Response::new(otp::verify(&self.app, &caller, request).await?))
    }

    async fn sign_in(
        &self,
        request: Request<pb::SignInRequest>,
    ) -> Result<Response<pb::SignInResponse>, Status> {
        let (caller, request) = enter(request)?;
        Ok(Response::new(signing_in::sign_in(&self.app, &caller, request).await?))
    }

    async fn complete_second_factor(
        &self,
        request: Request<pb::CompleteSecondFactorRequest>,
    ) -> Result<Response<pb::CompleteSecondFactorResponse>, Status> {
        let (caller, request) = enter(request)?;
        Ok(Response::new(second_factor::complete(&self.app, &caller, request).await?))
    }

    async fn refresh_token(
        &self,
        request: Request<pb::RefreshTokenRequest>,
    ) -> Result<Response<pb::RefreshTokenResponse>, Status> {
        let (caller, request) = enter(request)?;
        Ok(Response::new(refreshing::refresh(&self.app, &caller, request).await?))
    }

    async fn sign_out(
        &self,
        request: Request<pb::SignOutRequest>,
    ) -> Result<Response<pb::SignOutResponse>, Status> {
        let (caller, request) = enter(request)?;
        Ok(Response::new(sessions::sign_out(&self.app, &caller, request).await?))
    }

    async fn change_password(
        &self,
        request: Request<pb::ChangePasswordRequest>,
    ) -> Result<Response<pb::ChangePasswordResponse>, Status> {
        let (caller, request) = enter(request)?;
        Ok(Response::new(changing_password::change(&self.app, &caller, request).await?))
    }

    async fn request_recovery(
        &self,
        request: Request<pb::RequestRecoveryRequest>,
    ) -> Result<Response<pb::RequestRecoveryResponse>, Status> {
        let (caller, request) = enter(request)?;
        Ok(Response::new(recovering::request(&self.app, &caller, request).await?))
    }

    async fn confirm_recovery(
        &self,
        request: Request<pb::ConfirmRecoveryRequest>,
    ) -> Result<Response<pb::ConfirmRecoveryResponse>, Status> {
        let (caller, request) = enter(request)?;
        Ok(Response::new(recovering::confirm(&self.app, &caller, request).await?))
    }

    async fn exchange_api_key(
        &self,
        request: Request<pb::ExchangeApiKeyRequest>,
    ) -> Result<Response<pb::ExchangeApiKeyResponse>, Status> {
        let (caller, request) = enter(request)?;
        Ok(Response::new(api_keys::exchange(&self.app, &caller, request).await?))
    }

    async fn issue_stream_ticket(
        &self,
        request: Request<pb::IssueStreamTicketRequest>,
    ) -> Result<Response<pb::IssueStreamTicketResponse>, Status> {
        let (caller, request) = enter(request)?;
        Ok(Response::new(tickets::issue(&self.app, &caller, request).await?))
    }
}
