//! What the room does by the clock.

use diesel_async::RunQueryDsl;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::rows::{
    ForgetObjects, ForgetUploads, LapsedUploads, UnclaimedObjects, UploadId, parts_key,
};
use super::store_failed;
use crate::app::App;
use crate::kernel::db::statement::List;
use crate::kernel::error::Result;
use crate::kernel::jobs::{Job, JobError, NewJob};
use crate::kernel::kinds::Time;

/// How long after its end something is swept, in seconds: longer than any call runs, so that no
/// call is at work on it.
const GRACE_SECONDS: i64 = 3_600;
/// Rows per round.
const BATCH: i64 = 200;

/// Removes lapsed uploads with their parts, objects that belong to no file, and what was left half
/// written.
#[derive(Debug, Serialize, Deserialize)]
pub struct Sweep {}

impl Sweep {
    /// The job of a tick.
    #[must_use]
    pub fn tick() -> NewJob {
        NewJob::now(&Self {})
    }
}

impl Job for Sweep {
    const KIND: &'static str = "files.sweep";

    async fn run(self, app: App, _id: Uuid) -> Result<(), JobError> {
        let before = app.clock.now().plus_seconds(-GRACE_SECONDS);
        while sweep_uploads(&app, before).await? {}
        while sweep_objects(&app, before).await? {}
        app.ports.files.sweep(before).await.map_err(store_failed)?;
        Ok(())
    }
}

/// One round; false when nothing was left. First the bytes, then the row that knows of them.
async fn sweep_uploads(app: &App, before: Time) -> Result<bool> {
    let mut conn = app.db.read().await?;
    let lapsed = LapsedUploads { before, limit: BATCH };
    let lapsed: Vec<UploadId> = lapsed.get_results(&mut conn).await?;
    drop(conn);
    for upload in &lapsed {
        app.ports.files.delete(&parts_key(*upload)).await.map_err(store_failed)?;
    }
    if lapsed.is_empty() {
        return Ok(false);
    }
    let mut conn = app.db.read().await?;
    ForgetUploads { ids: List(lapsed) }.execute(&mut conn).await?;
    Ok(true)
}

async fn sweep_objects(app: &App, before: Time) -> Result<bool> {
    let mut conn = app.db.read().await?;
    let keys: Vec<String> =
        UnclaimedObjects { before, limit: BATCH }.get_results(&mut conn).await?;
    drop(conn);
    for key in &keys {
        app.ports.files.delete(key).await.map_err(store_failed)?;
    }
    if keys.is_empty() {
        return Ok(false);
    }
    let mut conn = app.db.read().await?;
    ForgetObjects { storage_keys: List(keys) }.execute(&mut conn).await?;
    Ok(true)
}
