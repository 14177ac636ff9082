//! Endpoints are created, deleted, given another secret, and sent again what they had.

use diesel_async::RunQueryDsl;

use clinicd_proto::feed::v1 as pb;

use super::rows::{
    CountEndpoints, EndpointId, EndpointRow, HideEndpoint, HoldBehind, InsertEndpoint, LockOwner,
    MoveBack, PutSecret, id_from, lock, owner, shown_one,
};
use super::{jobs, rules, signing};
use crate::app::App;
use crate::feed::{listing, rules as feed_rules};
use crate::kernel::access::Caller;
use crate::kernel::db::statement::List;
use crate::kernel::error::{Error, Faults, Reason, Result};
use crate::kernel::events;
use crate::kernel::jobs::{NewJob, enqueue};
use crate::kernel::text;

/// Endpoints of one service account, and of the installation.
const MOST: i64 = 20;
/// How long the secret before the last rotation signs beside the new one.
const OVERLAP_SECONDS: i64 = 24 * 3_600;

/// `CreateEndpoint`.
pub(super) async fn create(
    app: &App,
    caller: &Caller,
    request: pb::CreateEndpointRequest,
) -> Result<pb::CreateEndpointResponse> {
    let mut faults = Faults::default();
    let opened = &app.config.webhooks.allowed_networks;
    let url = faults.keep(rules::url(&request.url, opened));
    let display_name = faults.keep(text::required_line("display_name", &request.display_name));
    let kinds = faults.keep(feed_rules::kinds(&request.kinds));
    faults.check()?;
    let (owner, by) = (owner(caller)?, caller.require_account()?);
    app.once(caller, &request.request_id, &request, async |conn| {
        let lock = owner.map(|owner| owner.to_string()).unwrap_or_default();
        LockOwner { owner: lock }.execute(conn).await?;
        let count: i64 = CountEndpoints { owner }.get_result(conn).await?;
        if count >= MOST {
            let full = format!("{count} endpoints");
            return Err(Error::of(Reason::WrongState).with("state", full));
        }
        let id = EndpointId(app.ids.next());
        let secret = signing::make(app, id)?;
        let end = events::end(conn).await?;
        let insert = InsertEndpoint {
            id,
            owner,
            by,
            url: url.clone(),
            display_name: display_name.clone(),
            kinds: List(kinds.clone()),
            secret: secret.sealed,
            xid: end.xid,
            seq: end.seq,
            now: app.clock.now(),
        };
        let row: EndpointRow = insert.get_result(conn).await?;
        app.events.emit(conn, row.event("webhook_endpoint.created")).await?;
        let endpoint = shown_one(app, conn, row).await?;
        Ok(pb::CreateEndpointResponse { endpoint, secret: secret.shown })
    })
    .await
}

/// `DeleteEndpoint`. What it had is removed by a job, because it may be much.
pub(super) async fn delete(
    app: &App,
    caller: &Caller,
    request: pb::DeleteEndpointRequest,
) -> Result<pb::DeleteEndpointResponse> {
    let id = id_from(&request.endpoint_id)?;
    app.once(caller, &request.request_id, &request, async |conn| {
        let (row, now) = (lock(conn, caller, id).await?, app.clock.now());
        HideEndpoint { id, now }.execute(conn).await?;
        let removal = NewJob::now(&jobs::Remove { endpoint: id });
        enqueue(conn, app.ids.next(), now, removal).await?;
        app.events.emit(conn, row.event("webhook_endpoint.deleted")).await?;
        Ok(pb::DeleteEndpointResponse {})
    })
    .await
}

/// `RotateSecret`.
pub(super) async fn rotate(
    app: &App,
    caller: &Caller,
    request: pb::RotateSecretRequest,
) -> Result<pb::RotateSecretResponse> {
    let id = id_from(&request.endpoint_id)?;
    app.once(caller, &request.request_id, &request, async |conn| {
        lock(conn, caller, id).await?;
        let (secret, now) = (signing::make(app, id)?, app.clock.now());
        let until = now.plus_seconds(OVERLAP_SECONDS);
        let put = PutSecret { id, secret: secret.sealed, until, now };
        let row: EndpointRow = put.get_result(conn).await?;
        app.events.emit(conn, row.event("webhook_endpoint.secret_rotated")).await?;
        let endpoint = shown_one(app, conn, row).await?;
        Ok(pb::RotateSecretResponse { endpoint, secret: secret.shown })
    })
    .await
}

/// `ReplayFrom`: moves the cursor back. What waits behind it goes on waiting, and has its turn when
/// the cursor passes, in its place among what had been taken.
pub(super) async fn replay(
    app: &App,
    caller: &Caller,
    request: pb::ReplayFromRequest,
) -> Result<pb::ReplayFromResponse> {
    let id = id_from(&request.endpoint_id)?;
    app.once(caller, &request.request_id, &request, async |conn| {
        let mut row = lock(conn, caller, id).await?;
        let horizon = events::horizon(conn).await?;
        let asked = listing::start(app, conn, &request.resume_token).await?.unwrap_or(horizon);
        if asked < horizon {
            return Err(Error::of(Reason::FeedTokenTooOld));
        }
        if asked < row.cursor() {
            let (xid, seq) = (asked.xid, asked.seq);
            HoldBehind { id, xid, seq }.execute(conn).await?;
            row = MoveBack { id, xid, seq, now: app.clock.now() }.get_result(conn).await?;
            app.events.emit(conn, row.event("webhook_endpoint.replayed")).await?;
        }
        Ok(pb::ReplayFromResponse { endpoint: shown_one(app, conn, row).await? })
    })
    .await
}
