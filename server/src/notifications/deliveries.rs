//! What became of messages, for admins: the list of deliveries, and another try.

mod query;

use diesel::{OptionalExtension, sql_types};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use clinicd_proto::notifications::v1 as pb;

use self::query::{Count, DeliveryRow, DeliverySql, Filter, Page, delivery_columns};
use super::outbox::delivering::Deliver;
use super::outbox::pacing;
use super::outbox::rows::DeliveryState;
use super::plan::Channel;
use crate::app::App;
use crate::kernel::access::Caller;
use crate::kernel::error::{Error, Reason, Result};
use crate::kernel::events::{Event, ResourceKind};
use crate::kernel::jobs::admin::{self, JobState};
use crate::kernel::jobs::{self, NewJob};
use crate::kernel::kinds::{AccountId, Time, uuid_from_wire};
use crate::kernel::page::{PageRequest, Place, newest_first};
use crate::statement;

statement! {
    /// One delivery. Locked.
    LockDelivery { id: Uuid }
        -> (sql_types::Text, sql_types::Text, sql_types::Uuid, sql_types::Bool),
    "SELECT d.state, d.channel, d.job_id, n.urgent \
     FROM deliveries d JOIN notifications n ON n.id = d.notification_id \
     WHERE d.id = $1 FOR UPDATE OF d";

    /// A delivery that was given up waits again, as if it were new, for this job.
    ReviveDelivery { id: Uuid, send_at: Time, job: Uuid } -> DeliverySql,
    concat!(
        "UPDATE deliveries SET state = 'pending', attempts = 0, reason = '', provider_code = 0, \
            ended_at = NULL, send_at = $2, job_id = $3 \
         WHERE id = $1 RETURNING ",
        delivery_columns!()
    );
}

/// `ListDeliveries`.
pub(super) async fn list(
    app: &App,
    caller: &Caller,
    request: pb::ListDeliveriesRequest,
) -> Result<pb::ListDeliveriesResponse> {
    let account = Some(request.account_id.as_str()).filter(|id| !id.is_empty());
    let filter = Filter {
        state: DeliveryState::from_wire(request.state),
        channel: Channel::from_wire(request.channel),
        account: account.map(|id| AccountId::from_wire("account_id", id)).transpose()?,
        kind: Some(request.kind).filter(|kind| !kind.is_empty()),
    };
    let direction = newest_first(&request.order_by)?;
    let page = app.pages.open::<Uuid>(&PageRequest {
        list: "notifications.deliveries",
        page_size: request.page_size,
        page_token: &request.page_token,
        bound_to: &[
            caller.require_account()?.0.as_bytes(),
            format!("{filter:?} {direction:?}").as_bytes(),
        ],
    })?;
    let after = page.after.unwrap_or_else(|| direction.before_all());
    let mut conn = app.db.read().await?;
    let query =
        Page { filter: filter.clone(), place: Place { direction, after, limit: page.limit + 1 } };
    let rows: Vec<DeliveryRow> = query.get_results(&mut conn).await?;
    let mut total_size = None;
    if request.include_total {
        total_size = Some(Count(filter).get_result(&mut conn).await?);
    }
    let (rows, next_page_token) = page.close(rows, |row| row.id)?;
    let deliveries = rows.into_iter().map(Into::into).collect();
    Ok(pb::ListDeliveriesResponse { deliveries, next_page_token, total_size })
}

/// `RetryDelivery`: what was given up waits again, for its slot and not for quiet hours that may
/// have begun: those the job looks at when it runs. So does what waits for a job that will not run:
/// one that was cancelled or given up itself.
pub(super) async fn retry(
    app: &App,
    caller: &Caller,
    request: pb::RetryDeliveryRequest,
) -> Result<pb::RetryDeliveryResponse> {
    let id = uuid_from_wire("delivery_id", &request.delivery_id)?;
    app.once(caller, &request.request_id, &request, async |conn| {
        let found: Option<(DeliveryState, Channel, Uuid, bool)> =
            LockDelivery { id }.get_result(conn).await.optional()?;
        let (state, channel, job, urgent) = found.ok_or_else(|| Error::not_found("delivery"))?;
        let is_over = match state {
            DeliveryState::Failed => true,
            DeliveryState::Pending => !is_alive(admin::lock(conn, job).await?),
            DeliveryState::Sent | DeliveryState::Skipped => false,
        };
        if !is_over {
            return Err(Error::of(Reason::WrongState).with("state", state.as_str()));
        }
        let (now, job) = (app.clock.now(), app.ids.next());
        let slots = if urgent { vec![] } else { pacing::slots(app, conn, channel, 1).await? };
        let send_at = slots.as_slice().first().copied().unwrap_or(now);
        let row: DeliveryRow = ReviveDelivery { id, send_at, job }.get_result(conn).await?;
        app.events.emit(conn, retried(row.notification)).await?;
        let deliver = NewJob::now(&Deliver { delivery: id, paced: true }).at(send_at);
        jobs::enqueue(conn, job, now, deliver).await?;
        Ok(pb::RetryDeliveryResponse { delivery: Some(row.into()) })
    })
    .await
}

/// Whether a job in this state (none: it is forgotten) still runs by itself.
fn is_alive(job: Option<JobState>) -> bool {
    matches!(job, Some(JobState::Ready | JobState::Running))
}

/// For those who run the platform alone: to the recipient nothing has happened.
fn retried(notification: Uuid) -> Event {
    Event {
        event_type: "notification.retried",
        kind: ResourceKind::Notification,
        resource: notification,
        account: None,
        patient: None,
        doctor: None,
    }
}
