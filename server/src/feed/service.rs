//! The gRPC service.

use futures_util::stream::BoxStream;
use tonic::{Request, Response, Status};

use clinicd_proto::feed::v1 as pb;
use pb::feed_service_server::FeedService;

use super::hub::Hub;
use super::{listing, watching};
use crate::app::App;
use crate::kernel::access::{Sessions, enter};

/// `clinicd.feed.v1.FeedService`. One per process, so that its streams share one hub.
#[derive(Clone)]
pub struct Service {
    hub: Hub,
}

impl Service {
    /// The service; `sessions` are asked again and again while a stream lives.
    #[must_use]
    pub fn new(app: App, sessions: Sessions) -> Self {
        Self { hub: Hub::new(app, sessions) }
    }
}

#[tonic::async_trait]
impl FeedService for Service {
    async fn list_events(
        &self,
        request: Request<pb::ListEventsRequest>,
    ) -> Result<Response<pb::ListEventsResponse>, Status> {
        let (caller, request) = enter(request)?;
        Ok(Response::new(listing::list(&self.hub, &caller, request).await?))
    }

    type WatchStream = BoxStream<'static, Result<pb::WatchResponse, Status>>;

    async fn watch(
        &self,
        request: Request<pb::WatchRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let (caller, request) = enter(request)?;
        Ok(Response::new(watching::watch(self.hub.clone(), &caller, &request).await?))
    }
}
