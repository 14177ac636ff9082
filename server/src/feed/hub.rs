//! The hub: one per process, it reads the feed once for all streams.
//!
//! While there are streams, it looks for new events at least every tenth of a second, finds in
//! memory whom they may concern, asks once what those may see *now* (after the events were read, so
//! a right that was taken before an event is never used for it), and pushes the events into the
//! queues of their streams. Only then it moves its own position: see [`Seat::next`].
//!
//! All sessions that watch are checked about once a second by one statement. Time passes for all streams
//! together: none has a timer of its own.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::seat::Seat;
use super::table::{Table, Viewers};
use crate::app::App;
use crate::kernel::access::{Sessions, SignedIn};
use crate::kernel::db::Conn;
use crate::kernel::error::{Error, Reason, Result};
use crate::kernel::events::{self, NewRow, Position, ResourceKind, Viewer};

/// Pause between two looks at the feed, and at the time.
const PERIOD: Duration = Duration::from_millis(100);
/// Pause between two looks while the database is away.
const AWAY: Duration = Duration::from_secs(1);
/// How often all sessions are checked: the end of one counts within a second.
const CHECK: Duration = Duration::from_millis(750);
/// Streams of sessions that could not be checked for so long end: another server may do better.
const UNCHECKED: Duration = Duration::from_secs(10);
/// Events of one look.
const EVENTS: i64 = 500;
/// Connections that all streams together may use at a time, so that calls find some.
const READERS: usize = 4;
/// After so many deliveries others get their turn.
const BREATH: usize = 1_000;

/// Hands events out. Clones are the same hub.
#[derive(Clone)]
pub(super) struct Hub(Arc<Inner>);

struct Inner {
    app: App,
    sessions: Sessions,
    readers: Semaphore,
    table: Mutex<Table>,
    /// The table's position, for streams that look at it while events are handed out.
    position: Mutex<Position>,
}

/// A stream's hold on its seat, given back when dropped.
pub(super) struct Place {
    hub: Hub,
    seat: Arc<Seat>,
}

impl std::ops::Deref for Place {
    type Target = Arc<Seat>;

    fn deref(&self) -> &Arc<Seat> {
        &self.seat
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.hub.table().remove(&self.seat);
    }
}

impl Hub {
    pub(super) fn new(app: App, sessions: Sessions) -> Self {
        Self(Arc::new(Inner {
            app,
            sessions,
            readers: Semaphore::new(READERS),
            table: Mutex::default(),
            position: Mutex::default(),
        }))
    }

    pub(super) fn app(&self) -> &App {
        &self.0.app
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everything up to here has been handed out.
    pub(super) fn position(&self) -> Position {
        *self.0.position.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn move_to(&self, table: &mut Table, position: Position) {
        table.position = Some(position);
        *self.0.position.lock().unwrap_or_else(PoisonError::into_inner) = position;
    }

    /// A place for a stream that has everything up to this position. It begins away from the hub.
    pub(super) fn open(
        &self,
        session: &SignedIn,
        kinds: Vec<ResourceKind>,
        position: Position,
    ) -> Place {
        let seat = Arc::new(Seat::new(session.session, kinds, position));
        let mut table = self.table();
        table.add(session, Arc::clone(&seat));
        if !std::mem::replace(&mut table.running, true) {
            metrics::gauge!("clinicd_watch_hub").set(1.0);
            tokio::spawn(self.clone().run());
        }
        Place { hub: self.clone(), seat }
    }

    /// Lets a stream join that has read up to the end of the feed.
    pub(super) fn join(&self, seat: &Arc<Seat>) {
        self.table().join(seat);
    }

    /// Waits for one of the few connections that streams may use.
    pub(super) async fn reader(&self) -> Result<tokio::sync::SemaphorePermit<'_>> {
        self.0.readers.acquire().await.map_err(Error::internal)
    }

    /// What the session of a stream may see at this moment.
    pub(super) async fn viewer(&self, conn: &mut Conn, seat: &Seat) -> Result<Viewer> {
        let id = seat.session;
        let facts = self.0.sessions.find_many(&self.0.app, conn, vec![id]).await?;
        let viewer = self.table().viewer(id, facts.get(&id));
        viewer.ok_or_else(|| Error::of(Reason::Unauthenticated))
    }

    /// Ends a call whose session has ended since it began, or may no longer see what it could.
    pub(super) async fn require_kept(&self, conn: &mut Conn, session: &SignedIn) -> Result<()> {
        let id = session.session;
        let facts = self.0.sessions.find_many(&self.0.app, conn, vec![id]).await?;
        let kept = facts.get(&id).is_some_and(|facts| {
            facts.account == session.account
                && facts.scopes.as_deref() == session.scopes.as_deref()
                && session.roles.iter().all(|role| facts.roles.contains(role))
        });
        if kept { Ok(()) } else { Err(Error::of(Reason::Unauthenticated)) }
    }

    /// Works until no stream is left.
    async fn run(self) {
        loop {
            // One of them decides that it is over, for all. If each did, the others could go on for
            // a stream that came between, and nobody would read the feed for it.
            let over = AtomicBool::new(false);
            tokio::join!(self.look_on(&over), self.check_on(&over), self.keep_time(&over));
            let mut table = self.table();
            // Otherwise a stream has come meanwhile, and may have joined at that position.
            if table.is_empty() {
                table.position = None;
                table.running = false;
                metrics::gauge!("clinicd_watch_hub").set(0.0);
                return;
            }
        }
    }

    async fn look_on(&self, over: &AtomicBool) {
        while !self.table().is_empty() {
            let pause = match self.look().await {
                Ok(true) => Duration::ZERO,
                Ok(false) => PERIOD,
                Err(error) => {
                    tracing::warn!(error = %error, "the feed was not read");
                    AWAY
                }
            };
            tokio::time::sleep(pause).await;
        }
        over.store(true, Ordering::Relaxed);
    }

    /// One look at the feed; whether there is more.
    async fn look(&self) -> Result<bool> {
        let mut conn = self.0.app.db.read().await?;
        let after = {
            let mut table = self.table();
            table.looking = true;
            table.position
        };
        let outcome = match after {
            Some(after) => self.hand_out_behind(&mut conn, after).await,
            None => events::end(&mut conn).await.map(|end| {
                self.move_to(&mut self.table(), end);
                true
            }),
        };
        self.table().looked();
        outcome
    }

    async fn hand_out_behind(&self, conn: &mut Conn, after: Position) -> Result<bool> {
        let found = events::new_rows(conn, after, EVENTS).await?;
        let asked = self.table().sessions_of(&found);
        let mut facts = HashMap::new();
        if !asked.is_empty() {
            facts = self.0.sessions.find_many(&self.0.app, conn, asked.clone()).await?;
        }
        let viewers = self.table().judge(asked, &facts);
        self.hand_out(&found, &viewers).await;
        Ok(found.len() >= usize::try_from(EVENTS).unwrap_or(usize::MAX))
    }

    async fn hand_out(&self, found: &[NewRow], viewers: &Viewers) {
        let mut reached = 0;
        for event in found {
            {
                let mut table = self.table();
                reached += table.hand_out(event, viewers, self.0.app.clock.now());
                // Behind the push, never before it.
                self.move_to(&mut table, event.row.position());
            }
            if reached >= BREATH {
                reached = 0;
                tokio::task::yield_now().await;
            }
        }
    }

    async fn check_on(&self, over: &AtomicBool) {
        let (mut checked, mut due) = (Instant::now(), Instant::now());
        while !over.load(Ordering::Relaxed) {
            if due <= Instant::now() {
                due = Instant::now() + CHECK;
                match self.check().await {
                    Ok(()) => checked = Instant::now(),
                    Err(error) => tracing::warn!(error = %error, "sessions were not checked"),
                }
            }
            if checked.elapsed() > UNCHECKED {
                self.table().seats().for_each(|seat| seat.end(Reason::Unavailable));
            }
            tokio::time::sleep(PERIOD).await;
        }
    }

    /// Looks at all sessions that watch; those that have ended, or lost a role, end their streams.
    async fn check(&self) -> Result<()> {
        let Inner { app, sessions, .. } = &*self.0;
        let known = self.table().known();
        let mut conn = app.db.read().await?;
        let changed = sessions.find_changed(app, &mut conn, known).await?;
        if changed.is_empty() {
            return Ok(());
        }
        let facts = sessions.find_many(app, &mut conn, changed.clone()).await?;
        self.table().update(&changed, &facts);
        Ok(())
    }

    /// Reminds streams of their checkpoints, gives up those that nobody reads, and tells all when
    /// the server stops.
    async fn keep_time(&self, over: &AtomicBool) {
        let Inner { app, .. } = &*self.0;
        let mut told = false;
        while !over.load(Ordering::Relaxed) {
            let (now, time) = (Instant::now(), app.clock.now());
            self.table().seats().for_each(|seat| seat.tick(now, time));
            if told {
                tokio::time::sleep(PERIOD).await;
                continue;
            }
            tokio::select! {
                () = tokio::time::sleep(PERIOD) => {}
                () = app.stop.cancelled() => {
                    told = true;
                    self.table().seats().for_each(|seat| seat.wake());
                }
            }
        }
    }
}
