//! Jobs that are done or cancelled are kept for a while, to be looked at, and then forgotten.

use diesel_async::RunQueryDsl;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Job, JobError};
use crate::app::App;
use crate::kernel::kinds::Time;
use crate::statement;

/// How long a job that is done or cancelled is kept, in days. Failed ones are kept until somebody acts.
pub const KEPT_DAYS: i64 = 30;

statement! {
    /// Forgets jobs that ended long ago.
    ForgetDone { before: Time },
    "DELETE FROM jobs WHERE state IN ('done', 'cancelled') AND finished_at < $1";
}

/// The daily job that forgets those.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ForgetJobs {}

impl Job for ForgetJobs {
    const KIND: &'static str = "kernel.forget_jobs";

    async fn run(self, app: App, _id: Uuid) -> Result<(), JobError> {
        let mut conn = app.db.read().await?;
        let before = app.clock.now().plus_seconds(-KEPT_DAYS * 24 * 3_600);
        ForgetDone { before }
            .execute(&mut conn)
            .await
            .map_err(crate::kernel::error::Error::from)?;
        Ok(())
    }
}
