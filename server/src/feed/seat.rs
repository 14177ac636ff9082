//! The place of one stream at the hub: what waits for its client, and where it stands.
//!
//! Two sides meet here. The hub pushes events, ends the stream, and reminds it of its checkpoint;
//! the stream takes what is next whenever the transport asks for more. A stream that is idle is
//! nothing but its seat: it has no timer, no connection and no task of its own.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::kernel::error::Reason;
use crate::kernel::events::{FeedRow, Found, Position, ResourceKind};
use crate::kernel::kinds::{SessionId, Time};

/// Events that wait for one client in memory. Who has more to come reads from the database.
pub(super) const QUEUE: usize = 256;
/// An idle stream sends a token this often: at least every 15 seconds, and the hub looks every
/// tenth of a second.
const CHECKPOINT: Duration = Duration::from_millis(14_500);
/// A client that has something waiting and takes nothing for so long is given up, in seconds.
pub(super) const STALLED_SECONDS: i64 = 60;
/// How long events that were read may wait before it is judged anew who may see them.
const FRESH: Duration = Duration::from_secs(1);

/// A stream's place.
pub(super) struct Seat {
    /// The session that watches.
    pub session: SessionId,
    /// The kinds that it asked for; all when empty.
    pub kinds: Box<[ResourceKind]>,
    state: Mutex<State>,
    wake: Notify,
}

/// What the stream is to do next.
#[derive(Debug)]
pub(super) enum Next {
    /// Send this event, or a checkpoint, with this position.
    Send(Position, Option<Arc<FeedRow>>),
    /// Read on from the database.
    Read,
    /// Wait until the seat wakes it.
    Wait,
    /// End for this reason.
    End(Reason),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// Not at the hub: it reads from the database.
    Away,
    /// Waits for the hub to end its look at the feed.
    Joining,
    /// The hub hands it all that lies behind this position.
    Joined(Position),
    /// Over.
    Ended(Reason),
}

struct State {
    standing: Standing,
    /// What the client is told: everything up to here was sent or is not for it.
    position: Position,
    /// How far the feed was looked at for it; ahead of `position` while `read` is not empty.
    seen: Position,
    /// Events that were read from the database. They come before `queue`.
    read: VecDeque<Arc<FeedRow>>,
    fresh_until: Instant,
    /// Events that the hub has pushed.
    queue: VecDeque<Arc<FeedRow>>,
    /// When something was sent.
    sent_at: Instant,
    checkpoint_due: bool,
    /// The server reads for it: until it is done, the client has nothing to take.
    reading: bool,
    /// Since when something waits and nothing is taken.
    waits_since: Option<Time>,
}

impl Seat {
    /// A seat of a stream that has everything up to this position.
    pub(super) fn new(session: SessionId, kinds: Vec<ResourceKind>, position: Position) -> Self {
        let now = Instant::now();
        let state = State {
            standing: Standing::Away,
            position,
            seen: position,
            read: VecDeque::new(),
            fresh_until: now,
            queue: VecDeque::new(),
            sent_at: now,
            checkpoint_due: false,
            reading: false,
            waits_since: None,
        };
        Self { session, kinds: kinds.into(), state: Mutex::new(state), wake: Notify::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it asked for this kind.
    pub(super) fn wants(&self, kind: ResourceKind) -> bool {
        self.kinds.is_empty() || self.kinds.contains(&kind)
    }

    // The hub's side.

    /// Hands over an event. When the queue is full, the stream falls behind: it goes on from the
    /// database once it is polled again.
    pub(super) fn push(&self, event: &Arc<FeedRow>, now: Time) {
        let mut state = self.state();
        let Standing::Joined(_) = state.standing else { return };
        if state.queue.len() < QUEUE {
            state.queue.push_back(Arc::clone(event));
        } else {
            state.queue = VecDeque::new();
            state.standing = Standing::Away;
        }
        if !state.reading {
            state.waits_since.get_or_insert(now);
        }
        drop(state);
        self.wake.notify_one();
    }

    /// Waits to be let in.
    pub(super) fn knock(&self) {
        let mut state = self.state();
        if state.standing == Standing::Away {
            state.standing = Standing::Joining;
        }
    }

    /// Joins the hub, which stands here.
    pub(super) fn join(&self, hub: Position) {
        let mut state = self.state();
        if let Standing::Away | Standing::Joining = state.standing {
            state.standing = Standing::Joined(hub);
            drop(state);
            self.wake.notify_one();
        }
    }

    /// Ends the stream and frees what waits; its client is told when it takes something again.
    pub(super) fn end(&self, reason: Reason) {
        let mut state = self.state();
        if let Standing::Ended(_) = state.standing {
            return;
        }
        state.standing = Standing::Ended(reason);
        (state.read, state.queue) = (VecDeque::new(), VecDeque::new());
        state.waits_since = None;
        drop(state);
        self.wake.notify_one();
    }

    /// Time passes. A client that has taken nothing for too long loses its place.
    pub(super) fn tick(&self, now: Instant, time: Time) {
        let mut state = self.state();
        let given_up = |since: Time| since.plus_seconds(STALLED_SECONDS) <= time;
        if state.waits_since.is_some_and(given_up) {
            drop(state);
            self.end(Reason::FeedReaderStalled);
        } else if !state.checkpoint_due && state.sent_at + CHECKPOINT <= now {
            state.checkpoint_due = true;
            drop(state);
            self.wake.notify_one();
        }
    }

    /// Wakes the stream, so that it looks around.
    pub(super) fn wake(&self) {
        self.wake.notify_one();
    }

    // The stream's side.

    /// Resolves when there may be something to do.
    pub(super) async fn woken(&self) {
        self.wake.notified().await;
    }

    /// Takes what is next. `hub` is the position of the hub, and must have been read *before* this
    /// is called: the hub pushes events before it moves on, so what is not in the queue now cannot
    /// lie before a position that it had reached earlier. Read afterwards, it could lie behind an
    /// event that was pushed in between, and the token of a checkpoint would pass that event.
    pub(super) fn next(&self, hub: Position, now: Instant, time: Time) -> Next {
        let mut state = self.state();
        let next = state.next(hub, now);
        match next {
            Next::Send(..) => state.sent(now, time),
            Next::Read => state.begin(),
            Next::Wait | Next::End(_) => state.waits_since = None,
        }
        next
    }

    /// Something else was sent: a page of a snapshot, or the first checkpoint.
    pub(super) fn sent(&self, now: Instant, time: Time) {
        self.state().sent(now, time);
    }

    /// The server begins to read for the client, and may have to wait for its turn: what it waits for
    /// does not count against the client.
    pub(super) fn begin(&self) {
        self.state().begin();
    }

    /// Something was found for the client, which may have stopped taking anything meanwhile.
    pub(super) fn found(&self, time: Time) {
        let mut state = self.state();
        state.reading = false;
        state.waits_since.get_or_insert(time);
    }

    /// Where the client is told to go on, and how far the feed was looked at.
    pub(super) fn positions(&self) -> (Position, Position) {
        let state = self.state();
        (state.position, state.seen)
    }

    /// Why it is over, if it is.
    pub(super) fn ended(&self) -> Option<Reason> {
        match self.state().standing {
            Standing::Ended(reason) => Some(reason),
            _ => None,
        }
    }

    /// Takes over what was read behind `seen`.
    pub(super) fn take(&self, found: Found, now: Instant) {
        let mut state = self.state();
        if let Standing::Ended(_) = state.standing {
            return;
        }
        state.seen = found.position;
        if found.is_end
            && let Standing::Joined(from) = state.standing
        {
            // Nothing is left of what lay up to there.
            state.seen = state.seen.max(from);
        }
        state.fresh_until = now + FRESH;
        state.read = found.events.into_iter().map(Arc::new).collect();
        if state.read.is_empty() {
            state.position = state.seen;
        }
    }
}

impl State {
    fn next(&mut self, hub: Position, now: Instant) -> Next {
        if let Standing::Ended(reason) = self.standing {
            return Next::End(reason);
        }
        if self.fresh_until < now && !self.read.is_empty() {
            self.read = VecDeque::new();
            self.seen = self.position;
        }
        if let Some(event) = self.read.pop_front() {
            self.position = if self.read.is_empty() { self.seen } else { event.position() };
            return Next::Send(self.position, Some(event));
        }
        if self.checkpoint_due && self.queue.is_empty() {
            self.pass(hub);
            return Next::Send(self.position, None);
        }
        match self.standing {
            Standing::Joining => Next::Wait,
            Standing::Joined(from) if self.seen >= from => self.take_pushed(hub),
            _ => Next::Read,
        }
    }

    fn take_pushed(&mut self, hub: Position) -> Next {
        while let Some(event) = self.queue.pop_front() {
            // What was read already has come that way.
            if event.position() > self.position {
                self.position = event.position();
                self.seen = self.position;
                return Next::Send(self.position, Some(event));
            }
        }
        // An idle stream owns nothing on the heap.
        self.queue = VecDeque::new();
        self.pass(hub);
        Next::Wait
    }

    /// Moves past what was not for this stream, when nothing waits.
    fn pass(&mut self, hub: Position) {
        if let Standing::Joined(from) = self.standing
            && self.seen >= from
        {
            self.seen = self.seen.max(hub);
            self.position = self.seen;
        }
    }

    fn begin(&mut self) {
        (self.reading, self.waits_since) = (true, None);
    }

    fn sent(&mut self, now: Instant, time: Time) {
        (self.sent_at, self.checkpoint_due) = (now, false);
        let more = !self.read.is_empty()
            || !self.queue.is_empty()
            || matches!(self.standing, Standing::Away | Standing::Ended(_));
        self.waits_since = more.then_some(time);
    }
}

#[cfg(test)]
#[path = "seat_tests.rs"]
mod tests;
