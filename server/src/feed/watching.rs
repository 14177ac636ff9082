//! A stream of the feed. The transport pulls it, so a slow client holds up nobody: what it has not
//! taken waits in its seat, and beyond that in the database.

use std::sync::Arc;

use clinicd_proto::feed::v1 as pb;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use tokio::time::Instant;
use tonic::Status;

use super::hub::{Hub, Place};
use super::seat::{Next, Seat};
use super::snapshot::Snapshot;
use super::{listing, rules, token};
use crate::kernel::access::Caller;
use crate::kernel::error::{Error, Reason, Result};
use crate::kernel::events::{self, FeedRow, Position};
use crate::kernel::locale::{self, Locale};
use crate::kernel::telemetry::OpenStream;

/// Events of one read from the database.
const EVENTS: i64 = 100;

/// Opens a stream: from the token, or from now on. Its first message behind a snapshot is a
/// checkpoint, so that a client that is cut off early knows where to go on.
pub(super) async fn watch(
    hub: Hub,
    caller: &Caller,
    request: &pb::WatchRequest,
) -> Result<BoxStream<'static, Result<pb::WatchResponse, Status>>> {
    let session = caller.signed_in()?;
    let kinds = rules::kinds(&request.kinds)?;
    if request.snapshot && !request.resume_token.is_empty() {
        return Err(Error::field("snapshot", "must not be set together with resume_token"));
    }
    let app = hub.app();
    let mut conn = app.db.read().await?;
    let resumed = listing::start(app, &mut conn, &request.resume_token).await?;
    let position = match resumed {
        Some(position) => position,
        None => events::end(&mut conn).await?,
    };
    drop(conn);
    let snapshot = request.snapshot.then(|| Box::new(Snapshot::of(&kinds)));
    let place = hub.open(session, kinds, position);
    if resumed.is_none() && snapshot.is_none() {
        // Nothing lies behind it yet.
        hub.join(&place);
    }
    let watcher = Watcher {
        hub,
        place,
        snapshot,
        begun: false,
        parted: false,
        language: locale::current(),
        _counted: OpenStream::new(),
    };
    Ok(stream::try_unfold(watcher, Watcher::advance).boxed())
}

/// The state of one stream beside its seat. While it is idle this is all there is; what it does
/// with the database is on the heap, and gone afterwards.
struct Watcher {
    hub: Hub,
    place: Place,
    /// What is left of the snapshot.
    snapshot: Option<Box<Snapshot>>,
    /// The first checkpoint was sent.
    begun: bool,
    /// The client was told where to go on, because the server stops.
    parted: bool,
    language: Locale,
    _counted: OpenStream,
}

impl Watcher {
    async fn advance(mut self) -> Result<Option<(pb::WatchResponse, Self)>, Status> {
        match self.next().await {
            Ok(message) => Ok(Some((message, self))),
            Err(error) => Err(locale::CURRENT.sync_scope(self.language, || Status::from(error))),
        }
    }

    /// The next message, however long it takes.
    async fn next(&mut self) -> Result<pb::WatchResponse> {
        while self.snapshot.is_some() {
            if let Some(page) = self.page().await? {
                return Ok(page);
            }
        }
        if !std::mem::replace(&mut self.begun, true) {
            return Ok(self.checkpoint());
        }
        loop {
            if self.hub.app().stop.is_cancelled() {
                if std::mem::replace(&mut self.parted, true) {
                    return Err(Error::unavailable());
                }
                return Ok(self.checkpoint());
            }
            // Before the queue is looked at: see there.
            let hub = self.hub.position();
            match self.place.next(hub, Instant::now(), self.hub.app().clock.now()) {
                Next::Send(position, event) => return Ok(self.message(position, event.as_deref())),
                Next::Read => {
                    apart(read_on(self.hub.clone(), Arc::clone(&self.place))).await?;
                }
                Next::Wait => self.place.woken().await,
                Next::End(reason) => return Err(ended(reason)),
            }
        }
    }

    /// The next page of the snapshot; none when it is complete.
    async fn page(&mut self) -> Result<Option<pb::WatchResponse>> {
        if let Some(reason) = self.place.ended() {
            return Err(ended(reason));
        }
        if self.hub.app().stop.is_cancelled() {
            return Err(Error::unavailable());
        }
        let Some(mut snapshot) = self.snapshot.take() else { return Ok(None) };
        let (hub, seat) = (self.hub.clone(), Arc::clone(&self.place));
        seat.begin();
        let (snapshot, page) = apart(async move {
            let _reader = hub.reader().await?;
            let mut conn = hub.app().db.read().await?;
            let viewer = hub.viewer(&mut conn, &seat).await?;
            let page = snapshot.page(&mut conn, &viewer).await?;
            // Who lost a right while the page was read does not get it.
            hub.viewer(&mut conn, &seat).await?;
            seat.found(hub.app().clock.now());
            Ok((snapshot, page))
        })
        .await?;
        let Some(page) = page else { return Ok(None) };
        self.snapshot = Some(snapshot);
        self.place.sent(Instant::now(), self.hub.app().clock.now());
        Ok(Some(pb::WatchResponse { snapshot: page, ..pb::WatchResponse::default() }))
    }

    fn checkpoint(&self) -> pb::WatchResponse {
        self.place.sent(Instant::now(), self.hub.app().clock.now());
        let (position, _) = self.place.positions();
        self.message(position, None)
    }

    fn message(&self, position: Position, event: Option<&FeedRow>) -> pb::WatchResponse {
        pb::WatchResponse {
            event: event.map(Into::into),
            snapshot: Vec::new(),
            resume_token: token::of(&self.hub.app().keys.macs, position),
        }
    }
}

/// Works with the database in a task of its own. The transport stops polling a stream in the middle
/// of anything, for as long as its client does not read: a connection must not wait for that.
fn apart<T: Send + 'static>(
    work: impl Future<Output = Result<T>> + Send + 'static,
) -> impl Future<Output = Result<T>> {
    let work = tokio::spawn(work);
    async move { work.await.map_err(Error::internal)? }
}

/// Reads on from the database, and joins the hub at the end of the feed.
async fn read_on(hub: Hub, seat: Arc<Seat>) -> Result<()> {
    let _reader = hub.reader().await?;
    let mut conn = hub.app().db.read().await?;
    let mut viewer = hub.viewer(&mut conn, &seat).await?;
    let (_, seen) = seat.positions();
    let found = loop {
        let found = events::read_after(&mut conn, seen, &viewer, &seat.kinds, EVENTS).await?;
        // Asked after the reading, so that a right which was taken before an event is not used for it.
        let now = hub.viewer(&mut conn, &seat).await?;
        if now == viewer {
            break found;
        }
        viewer = now;
    };
    // Afterwards, so that what is swept meanwhile is not missed silently.
    listing::require_readable(&mut conn, seen).await?;
    drop(conn);
    let is_end = found.is_end;
    seat.take(found, Instant::now());
    seat.found(hub.app().clock.now());
    if is_end {
        hub.join(&seat);
    }
    Ok(())
}

fn ended(reason: Reason) -> Error {
    match reason {
        Reason::Unavailable => Error::unavailable(),
        reason => Error::of(reason),
    }
}
