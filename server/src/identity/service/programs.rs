//! `ServiceAccountService`.

use tonic::{Request, Response, Status};

use clinicd_proto::identity::v1 as pb;
use pb::service_account_service_server::ServiceAccountService;

use super::Service;
use crate::identity::programs::{api_keys, service_accounts as programs};
use crate::kernel::access::enter;

#[tonic::async_trait]
impl ServiceAccountService for Service {
    async fn create_service_account(
        &self,
        request: Request<pb::CreateServiceAccountRequest>,
    ) -> Result<Response<pb::CreateServiceAccountResponse>, Status> {
        let (caller, request) = enter(request)?;
        Ok(Response::new(programs::create(&self.app, &caller, request).await?))
    }

    async fn list_service_accounts(
        &self,
        request: Request<pb::ListServiceAccountsRequest>,
    ) -> Result<Response<pb::ListServiceAccountsResponse>, Status> {
        let (caller, request) = enter(request)?;
        Ok(Response::new(programs::list(&self.app, &caller, request).await?))
    }

    async fn create_api_key(
        &self,
        request: Request<pb::CreateApiKeyRequest>,
    ) -> Result<Response<pb::CreateApiKeyResponse>, Status> {
        let (caller, request) = enter(request)?;
        Ok(Response::new(api_keys::create(&self.app, &caller, request).await?))
    }

    async fn list_api_keys(
        &self,
        request: Request<pb::ListApiKeysRequest>,
    ) -> Result<Response<pb::ListApiKeysResponse>, Status> {
        let (caller, request) = enter(request)?;
        Ok(Response::new(api_keys::list(&self.app, &caller, request).await?))
    }

    async fn revoke_api_key(
        &self,
        request: Request<pb::RevokeApiKeyRequest>,
    ) -> Result<Response<pb::RevokeApiKeyResponse>, Status> {
        let (caller, request) = enter(request)?;
        Ok(Response::new(api_keys::revoke(&self.app, &caller, request).await?))
    }
}
