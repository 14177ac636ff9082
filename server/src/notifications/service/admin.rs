//! `NotificationAdminService`.

use tonic::{Request, Response, Status};

use clinicd_proto::notifications::v1 as pb;
use pb::notification_admin_service_server::NotificationAdminService;

use super::Service;
use crate::kernel::access::enter;
use crate::notifications::{deliveries, templates};

#[tonic::async_trait]
impl NotificationAdminService for Service {
    async fn list_templates(
        &self,
        _request: Request<pb::ListTemplatesRequest>,
    ) -> Result<Response<pb::ListTemplatesResponse>, Status> {
        Ok(Response::new(templates::list()?))
    }

    async fn preview_template(
        &self,
        request: Request<pb::PreviewTemplateRequest>,
    ) -> Result<Response<pb::PreviewTemplateResponse>, Status> {
        Ok(Response::new(templates::preview(request.get_ref())?))
    }

    async fn list_deliveries(
        &self,
        request: Request<pb::ListDeliveriesRequest>,
    ) -> Result<Response<pb::ListDeliveriesResponse>, Status> {
        let (caller, request) = enter(request)?;
        Ok(Response::new(deliveries::list(&self.app, &caller, request).await?))
    }

    async fn retry_delivery(
        &self,
        request: Request<pb::RetryDeliveryRequest>,
    ) -> Result<Response<pb::RetryDeliveryResponse>, Status> {
        let (caller, request) = enter(request)?;
        Ok(Response::new(deliveries::retry(&self.app, &caller, request).await?))
    }
}
