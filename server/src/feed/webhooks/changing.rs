//! `UpdateEndpoint`: another address, name or kinds; paused, or opened again.

use diesel_async::RunQueryDsl;

use clinicd_proto::feed::v1 as pb;

use super::rows::{
    ChangeEndpoint, DropOtherKinds, EndpointRow, EndpointState, WakeWaiting, id_from, lock,
    shown_one,
};
use super::{rules, taking_over};
use crate::app::App;
use crate::feed::rules as feed_rules;
use crate::kernel::access::Caller;
use crate::kernel::db::statement::List;
use crate::kernel::error::{Error, Faults, Reason, Result};
use crate::kernel::events::ResourceKind;
use crate::kernel::text;

/// What a request changes; absent stays.
struct Change {
    url: Option<String>,
    display_name: Option<String>,
    kinds: Option<Vec<ResourceKind>>,
    state: Option<EndpointState>,
}

impl Change {
    fn read(app: &App, request: &pb::UpdateEndpointRequest) -> Result<Self> {
        let mut faults = Faults::default();
        let opened = &app.config.webhooks.allowed_networks;
        let url = request.url.as_deref().map(|url| rules::url(url, opened)).transpose();
        let name = request.display_name.as_deref();
        let name = name.map(|name| text::required_line("display_name", name)).transpose();
        let kinds = request.set_kinds.then(|| feed_rules::kinds(&request.kinds)).transpose();
        let change = Self {
            url: faults.keep(url),
            display_name: faults.keep(name),
            kinds: faults.keep(kinds),
            state: request.state.and_then(EndpointState::from_wire),
        };
        faults.check()?;
        Ok(change)
    }
}

/// `UpdateEndpoint`.
pub(super) async fn update(
    app: &App,
    caller: &Caller,
    request: pb::UpdateEndpointRequest,
) -> Result<pb::UpdateEndpointResponse> {
    let (id, change) = (id_from(&request.endpoint_id)?, &Change::read(app, &request)?);
    app.once(caller, &request.request_id, &request, async |conn| {
        let (row, now) = (lock(conn, caller, id).await?, app.clock.now());
        if request.etag != row.version.to_string() {
            return Err(Error::of(Reason::EtagMismatch));
        }
        let state = change.state.unwrap_or(row.state);
        let url = change.url.clone().unwrap_or_else(|| row.url.clone());
        let opened = state == EndpointState::Active && row.state != EndpointState::Active;
        let anew = opened || url != row.url;
        let put = ChangeEndpoint {
            id,
            url,
            display_name: change.display_name.clone().unwrap_or(row.display_name),
            kinds: List(change.kinds.clone().unwrap_or(row.kinds)),
            state,
            anew,
            now,
        };
        let row: EndpointRow = put.get_result(conn).await?;
        if change.kinds.is_some() && !row.kinds.is_empty() {
            let kinds = List(row.kinds.clone());
            DropOtherKinds { endpoint: id, kinds }.execute(conn).await?;
            // Resources of different kinds may have one id, such as an account and its doctor.
            taking_over::begin_all_turns(conn, id, row.cursor(), now).await?;
        }
        if anew {
            WakeWaiting { endpoint: id, now }.execute(conn).await?;
        }
        app.events.emit(conn, row.event("webhook_endpoint.updated")).await?;
        Ok(pb::UpdateEndpointResponse { endpoint: shown_one(app, conn, row).await? })
    })
    .await
}
