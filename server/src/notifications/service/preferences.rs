//! `PreferenceService`.

use tonic::{Request, Response, Status};

use clinicd_proto::notifications::v1 as pb;
use pb::preference_service_server::PreferenceService;

use super::Service;
use crate::kernel::access::enter;
use crate::notifications::preferences;

#[tonic::async_trait]
impl PreferenceService for Service {
    async fn get_preferences(
        &self,
        request: Request<pb::GetPreferencesRequest>,
    ) -> Result<Response<pb::GetPreferencesResponse>, Status> {
        let (caller, _) = enter(request)?;
        Ok(Response::new(preferences::get(&self.app, &caller).await?))
    }

    async fn update_preferences(
        &self,
        request: Request<pb::UpdatePreferencesRequest>,
    ) -> Result<Response<pb::UpdatePreferencesResponse>, Status> {
        let (caller, request) = enter(request)?;
        Ok(Response::new(preferences::update(&self.app, &caller, request).await?))
    }
}
