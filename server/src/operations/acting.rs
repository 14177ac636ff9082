//! Running a job again, and cancelling one.

use clinicd_proto::operations::v1 as pb;

use crate::app::App;
use crate::kernel::access::Caller;
use crate::kernel::db::Conn;
use crate::kernel::error::{Error, Reason, Result};
use crate::kernel::jobs::admin::{self, JobState};
use crate::kernel::kinds::uuid_from_wire;

/// `RetryJob`.
pub(super) async fn retry(
    app: &App,
    caller: &Caller,
    request: pb::RetryJobRequest,
) -> Result<pb::RetryJobResponse> {
    let id = uuid_from_wire("job_id", &request.job_id)?;
    app.once(caller, &request.request_id, &request, async |conn| {
        require_state(conn, id, &[JobState::Failed, JobState::Cancelled]).await?;
        let job = admin::retry(conn, id, app.clock.now()).await?;
        Ok(pb::RetryJobResponse { job: Some(job.into()) })
    })
    .await
}

/// `CancelJob`.
pub(super) async fn cancel(
    app: &App,
    caller: &Caller,
    request: pb::CancelJobRequest,
) -> Result<pb::CancelJobResponse> {
    let id = uuid_from_wire("job_id", &request.job_id)?;
    app.once(caller, &request.request_id, &request, async |conn| {
        require_state(conn, id, &[JobState::Ready]).await?;
        let job = admin::cancel(conn, id, app.clock.now()).await?;
        Ok(pb::CancelJobResponse { job: Some(job.into()) })
    })
    .await
}

/// Locks the job; refuses where it is in none of these states.
async fn require_state(conn: &mut Conn, id: uuid::Uuid, states: &[JobState]) -> Result<()> {
    let state = admin::lock(conn, id).await?.ok_or_else(|| Error::not_found("job"))?;
    if states.contains(&state) {
        return Ok(());
    }
    Err(Error::of(Reason::WrongState).with("state", state.as_str()))
}
