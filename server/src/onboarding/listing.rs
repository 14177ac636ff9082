//! The reviewers' queue.

use clinicd_proto::onboarding::v1 as pb;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::rows::{self, ApplicationId, ApplicationRow};
use super::rules::Status;
use crate::app::App;
use crate::kernel::access::Caller;
use crate::kernel::db::Conn;
use crate::kernel::error::{Error, Reason, Result};
use crate::kernel::kinds::Time;
use crate::kernel::page::PageRequest;
use crate::schema::applications;

/// The key of a row in the queue: microseconds since 1970 at which it began to wait, and its id.
type Key = (i64, Uuid);

/// One page, longest waiting first.
pub(super) async fn list(
    app: &App,
    caller: &Caller,
    request: &pb::ListApplicationsRequest,
) -> Result<pb::ListApplicationsResponse> {
    let status = match request.status {
        None => None,
        Some(number) => Some(
            Status::from_wire(number).ok_or_else(|| Error::field("status", "must be a status"))?,
        ),
    };
    let filter = status.map_or("", Status::as_str);
    let account = caller.require_account()?;
    let page = app.pages.open::<Key>(&PageRequest {
        list: "applications",
        page_size: request.page_size,
        page_token: &request.page_token,
        bound_to: &[filter.as_bytes(), account.0.as_bytes()],
    })?;
    let (after, limit, include_total) = (page.after, page.limit + 1, request.include_total);
    let (loaded, total_size) = app
        .db
        .transaction(async |conn| {
            let rows = load(conn, status, after, limit).await?;
            let total = if include_total { Some(count(conn, status).await?) } else { None };
            Ok((rows, total))
        })
        .await?;
    let (loaded, next_page_token) =
        page.close(loaded, |row| (row.waiting_since.unix_micros(), row.id.0))?;
    let mut conn = app.db.read().await?;
    let applications = rows::to_wire(&mut conn, loaded).await?;
    Ok(pb::ListApplicationsResponse { applications, next_page_token, total_size })
}

/// One application.
pub(super) async fn get(
    app: &App,
    request: &pb::GetApplicationRequest,
) -> Result<pb::GetApplicationResponse> {
    let id = ApplicationId::from_wire("application_id", &request.application_id)?;
    app.db
        .transaction(async |conn| {
            let application = Some(rows::reload(conn, id).await?);
            Ok(pb::GetApplicationResponse { application })
        })
        .await
}

async fn load(
    conn: &mut Conn,
    status: Option<Status>,
    after: Option<Key>,
    limit: i64,
) -> Result<Vec<ApplicationRow>> {
    let mut query = ApplicationRow::query()
        .order((applications::waiting_since, applications::id))
        .limit(limit)
        .into_boxed();
    if let Some(status) = status {
        query = query.filter(applications::status.eq(status));
    }
    if let Some((since, id)) = after {
        let since =
            Time::from_unix_micros(since).ok_or_else(|| Error::of(Reason::PageTokenInvalid))?;
        let id = ApplicationId(id);
        query = query
            .filter(applications::waiting_since.ge(since))
            .filter(applications::waiting_since.gt(since).or(applications::id.gt(id)));
    }
    Ok(query.load(conn).await?)
}

async fn count(conn: &mut Conn, status: Option<Status>) -> Result<i64> {
    let mut query = applications::table.count().into_boxed();
    if let Some(status) = status {
        query = query.filter(applications::status.eq(status));
    }
    Ok(query.get_result(conn).await?)
}
