//! `InboxService`.

use http::header::ACCEPT_LANGUAGE;
use tonic::{Request, Response, Status};

use clinicd_proto::notifications::v1 as pb;
use pb::inbox_service_server::InboxService;

use super::Service;
use crate::kernel::access::enter;
use crate::kernel::locale;
use crate::notifications::inbox;

#[tonic::async_trait]
impl InboxService for Service {
    async fn list_notifications(
        &self,
        request: Request<pb::ListNotificationsRequest>,
    ) -> Result<Response<pb::ListNotificationsResponse>, Status> {
        let asked = request.metadata().contains_key(ACCEPT_LANGUAGE.as_str());
        let language = asked.then(locale::current);
        let (caller, request) = enter(request)?;
        Ok(Response::new(inbox::list(&self.app, &caller, request, language).await?))
    }

    async fn count_unread(
        &self,
        request: Request<pb::CountUnreadRequest>,
    ) -> Result<Response<pb::CountUnreadResponse>, Status> {
        let (caller, _) = enter(request)?;
        Ok(Response::new(inbox::count_unread(&self.app, &caller).await?))
    }

    async fn mark_read(
        &self,
        request: Request<pb::MarkReadRequest>,
    ) -> Result<Response<pb::MarkReadResponse>, Status> {
        let (caller, request) = enter(request)?;
        Ok(Response::new(inbox::mark_read(&self.app, &caller, request).await?))
    }
}
