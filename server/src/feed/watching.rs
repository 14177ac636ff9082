//! A stream of the feed. It is pulled by the transport and buffers one short read at most, so a
//! slow client costs nothing and misses nothing: it goes on from where it is.

use std::collections::VecDeque;
use std::time::Duration;

use clinicd_proto::feed::v1 as pb;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use tokio::sync::watch;
use tokio::time::Instant;
use tonic::Status;

use super::hub::Hub;
use super::{listing, rules, token};
use crate::app::App;
use crate::kernel::access::{Caller, Sessions, SignedIn};
use crate::kernel::error::{Error, Reason, Result};
use crate::kernel::events::{self, FeedRow, Position, ResourceKind, Viewer};
use crate::kernel::locale::{self, Locale};
use crate::kernel::telemetry::OpenStream;

/// An idle stream sends a token this often.
const CHECKPOINT: Duration = Duration::from_secs(15);
/// How often the session of an idle stream is looked at again.
const RECHECK: Duration = Duration::from_secs(1);
/// How long events may wait for the client before it is judged anew who may see them.
const FRESH: Duration = Duration::from_secs(1);
/// Events of one read.
const EVENTS: i64 = 100;

/// Opens a stream: from the token, or from now on. Its first message is a checkpoint, so that a
/// client that is cut off early knows where to go on.
pub(super) async fn watch(
    app: App,
    sessions: Sessions,
    hub: Hub,
    caller: &Caller,
    request: &pb::WatchRequest,
) -> Result<BoxStream<'static, Result<pb::WatchResponse, Status>>> {
    let session = caller.signed_in()?.clone();
    let kinds = rules::kinds(&request.kinds)?;
    let end = hub.subscribe();
    let mut conn = app.db.read().await?;
    let position = match listing::start(&app, &mut conn, &request.resume_token).await? {
        Some(position) => position,
        None => events::end(&mut conn).await?,
    };
    drop(conn);
    let watcher = Watcher {
        app,
        sessions,
        hub,
        session,
        kinds,
        end,
        position,
        seen: position,
        waiting: VecDeque::new(),
        fresh_until: Instant::now(),
        begun: false,
        parted: false,
        is_at_end: false,
        language: locale::current(),
        _counted: OpenStream::new(),
    };
    Ok(stream::try_unfold(watcher, Watcher::advance).boxed())
}

/// The state of one stream.
struct Watcher {
    app: App,
    sessions: Sessions,
    hub: Hub,
    session: SignedIn,
    kinds: Vec<ResourceKind>,
    end: watch::Receiver<Position>,
    /// Told to the client: everything up to here was sent or is not for it.
    position: Position,
    /// Looked at so far; behind `position` while events wait.
    seen: Position,
    waiting: VecDeque<FeedRow>,
    fresh_until: Instant,
    begun: bool,
    /// The client was told where to go on, because the server stops.
    parted: bool,
    is_at_end: bool,
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
        if !std::mem::replace(&mut self.begun, true) {
            return Ok(self.message(None));
        }
        let checkpoint = Instant::now() + CHECKPOINT;
        let stop = self.app.stop.clone();
        loop {
            if stop.is_cancelled() {
                if std::mem::replace(&mut self.parted, true) {
                    return Err(Error::unavailable());
                }
                return Ok(self.message(None));
            }
            let viewer = self.viewer().await?;
            if let Some(event) = self.waiting_event() {
                return Ok(self.message(Some(event)));
            }
            if !self.is_at_end {
                self.read(&viewer).await?;
                continue;
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep_until(checkpoint) => return Ok(self.message(None)),
                () = tokio::time::sleep(RECHECK) => {}
                _ = self.end.changed() => self.is_at_end = false,
            }
        }
    }

    /// Who watches at this moment. The stream ends with the session, or when a role is taken.
    async fn viewer(&mut self) -> Result<Viewer> {
        let _reader = self.hub.readers.acquire().await.map_err(Error::internal)?;
        let facts = self.sessions.find(&self.app, self.session.session).await?;
        let facts = facts.filter(|facts| {
            facts.account == self.session.account
                && self.session.roles.iter().all(|role| facts.roles.contains(role))
        });
        let facts = facts.ok_or_else(|| Error::of(Reason::Unauthenticated))?;
        let viewer = rules::viewer(facts.account, &facts.roles, facts.scopes.as_deref());
        self.session.roles = facts.roles;
        Ok(viewer)
    }

    /// The next event that was read a moment ago. Older ones are read again.
    fn waiting_event(&mut self) -> Option<FeedRow> {
        if !self.waiting.is_empty() && self.fresh_until < Instant::now() {
            self.waiting.clear();
            self.seen = self.position;
            self.is_at_end = false;
        }
        let event = self.waiting.pop_front()?;
        self.position = if self.waiting.is_empty() { self.seen } else { event.position() };
        Some(event)
    }

    async fn read(&mut self, viewer: &Viewer) -> Result<()> {
        let _reader = self.hub.readers.acquire().await.map_err(Error::internal)?;
        let mut conn = self.app.db.read().await?;
        let found = events::read_after(&mut conn, self.seen, viewer, &self.kinds, EVENTS).await?;
        self.fresh_until = Instant::now() + FRESH;
        self.seen = found.position;
        self.waiting = found.events.into();
        if self.waiting.is_empty() {
            self.position = self.seen;
        }
        // Behind the known end there is nothing yet; beyond it, the next look will tell.
        self.is_at_end = found.is_end || self.seen >= *self.end.borrow_and_update();
        Ok(())
    }

    fn message(&self, event: Option<FeedRow>) -> pb::WatchResponse {
        pb::WatchResponse {
            event: event.map(Into::into),
            snapshot: Vec::new(),
            resume_token: token::of(&self.app.keys.macs, self.position),
        }
    }
}
