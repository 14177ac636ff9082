//! Reading jobs and schedules.

use std::collections::HashMap;

use prost::Message;
use uuid::Uuid;

use clinicd_proto::operations::v1 as pb;

use crate::app::App;
use crate::kernel::access::Caller;
use crate::kernel::error::Result;
use crate::kernel::jobs::Schedule;
use crate::kernel::jobs::admin::{self, Count, Filter, JobRow, JobState, Page};
use crate::kernel::kinds::Time;
use crate::kernel::page::{Direction, PageRequest, newest_first};

/// `ListJobs`; the newest first unless asked otherwise.
pub(super) async fn jobs(
    app: &App,
    caller: &Caller,
    request: pb::ListJobsRequest,
) -> Result<pb::ListJobsResponse> {
    let direction = newest_first(&request.order_by)?;
    let kind = Some(request.kind.clone()).filter(|kind| !kind.is_empty());
    let filter = Filter { state: JobState::from_wire(request.state), kind };
    let bound = pb::ListJobsRequest {
        page_size: 0,
        page_token: String::new(),
        include_total: false,
        ..request.clone()
    };
    let page = app.pages.open::<Uuid>(&PageRequest {
        list: "operations.jobs",
        page_size: request.page_size,
        page_token: &request.page_token,
        bound_to: &[&bound.encode_to_vec(), caller.require_account()?.0.as_bytes()],
    })?;
    let mut conn = app.db.read().await?;
    let (above, below) = match direction {
        Direction::Ascending => (page.after.unwrap_or(Uuid::nil()), Uuid::max()),
        Direction::Descending => (Uuid::nil(), page.after.unwrap_or(Uuid::max())),
    };
    let query = Page { filter: filter.clone(), direction, above, below, limit: page.limit + 1 };
    let found = query.load(&mut conn).await?;
    let mut total_size = None;
    if request.include_total {
        total_size = Some(Count(filter).load(&mut conn).await?);
    }
    let lag_seconds = admin::lag_seconds(&mut conn, app.clock.now()).await?;
    let (found, next_page_token) = page.close(found, |row| row.id)?;
    let jobs = found.into_iter().map(Into::into).collect();
    Ok(pb::ListJobsResponse { jobs, next_page_token, total_size, lag_seconds })
}

/// `ListSchedules`.
pub(super) async fn schedules(
    app: &App,
    schedules: &[Schedule],
) -> Result<pb::ListSchedulesResponse> {
    let now = app.clock.now();
    let mut conn = app.db.read().await?;
    let last: HashMap<String, Time> = admin::last_ticks(&mut conn).await?.into_iter().collect();
    drop(conn);
    let listed = schedules.iter().map(|schedule| {
        Ok(pb::Schedule {
            name: schedule.name.to_owned(),
            cron: schedule.cron.to_owned(),
            time_zone: schedule.zone.to_owned(),
            last_tick_time: last.get(schedule.name).map(|tick| (*tick).into()),
            next_tick_time: schedule.next_tick(now)?.map(Into::into),
        })
    });
    let mut listed = listed.collect::<Result<Vec<_>>>()?;
    listed.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(pb::ListSchedulesResponse { schedules: listed })
}

impl From<JobRow> for pb::Job {
    fn from(row: JobRow) -> Self {
        Self {
            id: row.id.to_string(),
            create_time: Some(row.created_at.into()),
            kind: row.kind,
            state: row.state.into(),
            attempts: row.attempts,
            run_time: Some(row.run_at.into()),
            end_time: row.finished_at.map(Into::into),
            last_error: row.last_error.unwrap_or_default(),
        }
    }
}
