//! Jobs of the feed.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::app::App;
use crate::kernel::events;
use crate::kernel::jobs::{Job, JobError};

/// How far back the feed reaches, in days.
const KEPT_DAYS: i64 = 30;
/// Events of one transaction, which holds the feed up while it lasts.
const BATCH: i32 = 5_000;

/// The daily job that sweeps events which nobody needs any more.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Sweep {}

impl Job for Sweep {
    const KIND: &'static str = "feed.sweep";

    async fn run(self, app: App, _id: Uuid) -> Result<(), JobError> {
        let before = app.clock.now().plus_seconds(-KEPT_DAYS * 24 * 3_600);
        loop {
            let mut conn = app.db.read().await?;
            if events::sweep(&mut conn, before, BATCH).await? == 0 {
                return Ok(());
            }
        }
    }
}
