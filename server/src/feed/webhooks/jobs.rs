//! What is removed: old deliveries, and those of deleted endpoints.

use diesel_async::RunQueryDsl;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::rows::EndpointId;
use crate::app::App;
use crate::kernel::error::Error;
use crate::kernel::jobs::{Job, JobError};
use crate::kernel::kinds::Time;
use crate::statement;

/// How long a delivery is kept after its end, in days.
const KEPT_DAYS: i64 = 30;
/// Deliveries that one statement removes, so that none takes long.
const BATCH: i64 = 5_000;

statement! {
    /// Removes some of what ended long ago.
    SweepEnded { before: Time, batch: i64 },
    "DELETE FROM webhook_deliveries WHERE ctid = ANY (ARRAY( \
        SELECT ctid FROM webhook_deliveries WHERE ended_at < $1 ORDER BY ended_at LIMIT $2))";

    /// Removes some of what a deleted endpoint had.
    RemoveSome { endpoint: EndpointId, batch: i64 },
    "DELETE FROM webhook_deliveries WHERE ctid = ANY (ARRAY( \
        SELECT ctid FROM webhook_deliveries WHERE endpoint_id = $1 LIMIT $2))";

    /// Removes a deleted endpoint that has nothing left.
    RemoveEndpoint { endpoint: EndpointId },
    "DELETE FROM webhook_endpoints WHERE id = $1 AND state = 'deleted'";
}

/// The daily job that forgets what ended 30 days ago.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Sweep {}

impl Job for Sweep {
    const KIND: &'static str = "feed.sweep_webhooks";

    async fn run(self, app: App, _id: Uuid) -> Result<(), JobError> {
        let before = app.clock.now().plus_seconds(-KEPT_DAYS * 24 * 3_600);
        let sweep = SweepEnded { before, batch: BATCH };
        while sweep.clone().execute(&mut *app.db.read().await?).await.map_err(Error::from)? > 0 {}
        Ok(())
    }
}

/// Removes a deleted endpoint with all that it had.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Remove {
    pub(super) endpoint: EndpointId,
}

impl Job for Remove {
    const KIND: &'static str = "feed.remove_endpoint";

    async fn run(self, app: App, _id: Uuid) -> Result<(), JobError> {
        let endpoint = self.endpoint;
        let some = RemoveSome { endpoint, batch: BATCH };
        while some.clone().execute(&mut *app.db.read().await?).await.map_err(Error::from)? > 0 {}
        let mut conn = app.db.read().await?;
        RemoveEndpoint { endpoint }.execute(&mut conn).await.map_err(Error::from)?;
        Ok(())
    }
}
