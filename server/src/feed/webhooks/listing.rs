//! Lists of endpoints, and of what was sent to one.

use diesel_async::RunQueryDsl;
use uuid::Uuid;

use clinicd_proto::feed::v1 as pb;

use super::query::{
    DeliveryCount, DeliveryPage, DeliveryRow, DeliveryState, EndpointCount, EndpointPage, Filter,
    Owner,
};
use super::rows::{EndpointRow, HasEndpoint, id_from, not_found, owner, shown};
use crate::app::App;
use crate::kernel::access::Caller;
use crate::kernel::error::Result;
use crate::kernel::page::{PageRequest, Place, newest_first, order_by_id};

/// `ListEndpoints`.
pub(super) async fn endpoints(
    app: &App,
    caller: &Caller,
    request: pb::ListEndpointsRequest,
) -> Result<pb::ListEndpointsResponse> {
    let (owner, direction) = (owner(caller)?, order_by_id(&request.order_by)?);
    let page = app.pages.open::<Uuid>(&PageRequest {
        list: "feed.webhook_endpoints",
        page_size: request.page_size,
        page_token: &request.page_token,
        bound_to: &[
            caller.require_account()?.0.as_bytes(),
            format!("{owner:?} {direction:?}").as_bytes(),
        ],
    })?;
    let after = page.after.unwrap_or(direction.before_all());
    let place = Place { direction, after, limit: page.limit + 1 };
    let query = EndpointPage(Owner(owner), place);
    let mut conn = app.db.read().await?;
    let rows: Vec<EndpointRow> = query.get_results(&mut conn).await?;
    let mut total_size = None;
    if request.include_total {
        total_size = Some(EndpointCount(Owner(owner)).get_result(&mut conn).await?);
    }
    let (rows, next_page_token) = page.close(rows, |row| row.id.0)?;
    let endpoints = shown(app, &mut conn, rows).await?;
    Ok(pb::ListEndpointsResponse { endpoints, next_page_token, total_size })
}

/// `ListDeliveries`.
pub(super) async fn deliveries(
    app: &App,
    caller: &Caller,
    request: pb::ListDeliveriesRequest,
) -> Result<pb::ListDeliveriesResponse> {
    let endpoint = id_from(&request.endpoint_id)?;
    let direction = newest_first(&request.order_by)?;
    let filter = Filter { endpoint, state: DeliveryState::from_wire(request.state) };
    let page = app.pages.open::<Uuid>(&PageRequest {
        list: "feed.webhook_deliveries",
        page_size: request.page_size,
        page_token: &request.page_token,
        bound_to: &[
            caller.require_account()?.0.as_bytes(),
            format!("{filter:?} {direction:?}").as_bytes(),
        ],
    })?;
    let after = page.after.unwrap_or(direction.before_all());
    let mut conn = app.db.read().await?;
    let seen = HasEndpoint { id: endpoint, owner: owner(caller)? };
    if !seen.get_result::<bool>(&mut conn).await? {
        return Err(not_found());
    }
    let query = DeliveryPage(filter, Place { direction, after, limit: page.limit + 1 });
    let rows: Vec<DeliveryRow> = query.get_results(&mut conn).await?;
    let mut total_size = None;
    if request.include_total {
        total_size = Some(DeliveryCount(filter).get_result(&mut conn).await?);
    }
    let (rows, next_page_token) = page.close(rows, |row| row.id)?;
    let deliveries = rows.into_iter().map(Into::into).collect();
    Ok(pb::ListDeliveriesResponse { deliveries, next_page_token, total_size })
}
