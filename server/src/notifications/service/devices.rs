//! `DeviceService`.

use tonic::{Request, Response, Status};

use clinicd_proto::notifications::v1 as pb;
use pb::device_service_server::DeviceService;

use super::Service;
use crate::kernel::access::enter;
use crate::notifications::devices;

#[tonic::async_trait]
impl DeviceService for Service {
    async fn register_device(
        &self,
        request: Request<pb::RegisterDeviceRequest>,
    ) -> Result<Response<pb::RegisterDeviceResponse>, Status> {
        let (caller, request) = enter(request)?;
        Ok(Response::new(devices::register(&self.app, &caller, request).await?))
    }

    async fn remove_device(
        &self,
        request: Request<pb::RemoveDeviceRequest>,
    ) -> Result<Response<pb::RemoveDeviceResponse>, Status> {
        let (caller, request) = enter(request)?;
        Ok(Response::new(devices::remove(&self.app, &caller, request).await?))
    }
}
