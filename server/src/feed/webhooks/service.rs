//! The gRPC service.

use tonic::{Request, Response, Status};

use clinicd_proto::feed::v1 as pb;
use pb::webhook_service_server::WebhookService;

use super::{changing, endpoints, listing};
use crate::app::App;
use crate::kernel::access::enter;

/// `clinicd.feed.v1.WebhookService`.
#[derive(Clone)]
pub struct Service {
    /// The application.
    pub app: App,
}

#[tonic::async_trait]
impl WebhookService for Service {
    async fn create_endpoint(
        &self,
        request: Request<pb::CreateEndpointRequest>,
    ) -> Result<Response<pb::CreateEndpointResponse>, Status> {
        let (caller, request) = enter(request)?;
        Ok(Response::new(endpoints::create(&self.app, &caller, request).await?))
    }

    async fn update_endpoint(
        &self,
        request: Request<pb::UpdateEndpointRequest>,
    ) -> Result<Response<pb::UpdateEndpointResponse>, Status> {
        let (caller, request) = enter(request)?;
        Ok(Response::new(changing::update(&self.app, &caller, request).await?))
    }

    async fn delete_endpoint(
        &self,
        request: Request<pb::DeleteEndpointRequest>,
    ) -> Result<Response<pb::DeleteEndpointResponse>, Status> {
        let (caller, request) = enter(request)?;
        Ok(Response::new(endpoints::delete(&self.app, &caller, request).await?))
    }

    async fn list_endpoints(
        &self,
        request: Request<pb::ListEndpointsRequest>,
    ) -> Result<Response<pb::ListEndpointsResponse>, Status> {
        let (caller, request) = enter(request)?;
        Ok(Response::new(listing::endpoints(&self.app, &caller, request).await?))
    }

    async fn rotate_secret(
        &self,
        request: Request<pb::RotateSecretRequest>,
    ) -> Result<Response<pb::RotateSecretResponse>, Status> {
        let (caller, request) = enter(request)?;
        Ok(Response::new(endpoints::rotate(&self.app, &caller, request).await?))
    }

    async fn list_deliveries(
        &self,
        request: Request<pb::ListDeliveriesRequest>,
    ) -> Result<Response<pb::ListDeliveriesResponse>, Status> {
        let (caller, request) = enter(request)?;
        Ok(Response::new(listing::deliveries(&self.app, &caller, request).await?))
    }

    async fn replay_from(
        &self,
        request: Request<pb::ReplayFromRequest>,
    ) -> Result<Response<pb::ReplayFromResponse>, Status> {
        let (caller, request) = enter(request)?;
        Ok(Response::new(endpoints::replay(&self.app, &caller, request).await?))
    }
}
