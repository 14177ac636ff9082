//! All streams of the process, found by who may be concerned by an event.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::rules;
use super::seat::Seat;
use crate::kernel::access::{KnownSession, SessionFacts, SignedIn};
use crate::kernel::error::Reason;
use crate::kernel::events::{NewRow, Position, Viewer};
use crate::kernel::kinds::{AccountId, Role, SessionId, Time};

/// The streams of the process and the place of the hub. Behind a lock.
#[derive(Default)]
pub(super) struct Table {
    /// The hub's tasks run.
    pub running: bool,
    /// Everything up to here has been handed out; none before the hub's first look.
    pub position: Option<Position>,
    /// The hub looks at the feed at this moment: it has decided for whom, so nobody may join.
    pub looking: bool,
    knocking: Vec<Arc<Seat>>,
    watched: HashMap<SessionId, Watched>,
    by_account: HashMap<AccountId, Vec<SessionId>>,
    /// Sessions that see more than what concerns their account.
    wide: HashSet<SessionId>,
}

/// A session that watches, with all its streams.
struct Watched {
    account: AccountId,
    roles: Vec<Role>,
    seats: Vec<Arc<Seat>>,
}

/// What sessions may see at this moment; those that may nothing any more have `None`.
pub(super) type Viewers = HashMap<SessionId, Option<Viewer>>;

impl Watched {
    /// What the session may see, if it still may what it could when it began to watch.
    fn judge(&self, facts: Option<&SessionFacts>) -> Option<Viewer> {
        let facts = facts?;
        let kept = self.roles.iter().all(|role| facts.roles.contains(role));
        (kept && facts.account == self.account)
            .then(|| rules::viewer(facts.account, &facts.roles, facts.scopes.as_deref()))
    }
}

fn is_wide(viewer: &Viewer) -> bool {
    viewer.everything || !viewer.staff.is_empty()
}

impl Table {
    /// No stream is left.
    pub(super) fn is_empty(&self) -> bool {
        self.watched.is_empty()
    }

    /// A new stream.
    pub(super) fn add(&mut self, session: &SignedIn, seat: Arc<Seat>) {
        let SignedIn { account, session: id, roles, scopes, .. } = session;
        let watched = self.watched.entry(*id).or_insert_with(|| {
            self.by_account.entry(*account).or_default().push(*id);
            Watched { account: *account, roles: roles.clone(), seats: Vec::with_capacity(1) }
        });
        // Those that have lost a role are over; who comes afterwards is not one of them.
        if watched.seats.iter().all(|seat| seat.ended().is_some()) {
            watched.roles.clone_from(roles);
            self.wide.remove(id);
        }
        if is_wide(&rules::viewer(*account, roles, scopes.as_deref())) {
            self.wide.insert(*id);
        }
        watched.seats.push(seat);
    }

    /// A stream has gone.
    pub(super) fn remove(&mut self, seat: &Arc<Seat>) {
        self.knocking.retain(|one| !Arc::ptr_eq(one, seat));
        let Some(watched) = self.watched.get_mut(&seat.session) else { return };
        watched.seats.retain(|one| !Arc::ptr_eq(one, seat));
        if !watched.seats.is_empty() {
            return;
        }
        if let Some(sessions) = self.by_account.get_mut(&watched.account) {
            sessions.retain(|one| *one != seat.session);
            if sessions.is_empty() {
                self.by_account.remove(&watched.account);
            }
        }
        self.watched.remove(&seat.session);
        self.wide.remove(&seat.session);
    }

    /// Lets a stream join: at once, or when the hub has ended its look. While it looks, it has
    /// already decided whom to ask for; who joined then would miss what it is about to hand out.
    pub(super) fn join(&mut self, seat: &Arc<Seat>) {
        if let Some(position) = self.position.filter(|_| !self.looking) {
            seat.join(position);
        } else {
            seat.knock();
            self.knocking.push(Arc::clone(seat));
        }
    }

    /// The hub has ended its look: it stands here now, and those who wait may join.
    pub(super) fn looked(&mut self) {
        self.looking = false;
        if let Some(position) = self.position {
            self.knocking.drain(..).for_each(|seat| seat.join(position));
        }
    }

    /// All streams.
    pub(super) fn seats(&self) -> impl Iterator<Item = &Arc<Seat>> {
        self.watched.values().flat_map(|watched| &watched.seats)
    }

    /// Sessions that an event may concern, by what was known of them when they were last looked at.
    fn concerned(&self, event: &NewRow) -> impl Iterator<Item = (SessionId, &Watched)> {
        let NewRow { row, owner } = event;
        let accounts = [row.account, *owner, row.doctor.map(AccountId::from)];
        let mut sessions: Vec<SessionId> = accounts
            .into_iter()
            .flatten()
            .filter_map(|account| self.by_account.get(&account))
            .flatten()
            .copied()
            .filter(|session| !self.wide.contains(session))
            .collect();
        sessions.sort_unstable();
        sessions.dedup();
        let all = sessions.into_iter().chain(self.wide.iter().copied());
        let wants = |watched: &&Watched| watched.seats.iter().any(|seat| seat.wants(row.kind));
        all.filter_map(move |id| Some((id, self.watched.get(&id).filter(wants)?)))
    }

    /// Whose rights must be known before these events are handed out.
    pub(super) fn sessions_of(&self, events: &[NewRow]) -> Vec<SessionId> {
        let of = |event| self.concerned(event).map(|(id, _)| id);
        let sessions: HashSet<SessionId> = events.iter().flat_map(of).collect();
        sessions.into_iter().collect()
    }

    /// What these sessions may see, by what the database says of them.
    pub(super) fn judge(
        &self,
        asked: Vec<SessionId>,
        facts: &HashMap<SessionId, SessionFacts>,
    ) -> Viewers {
        // Who has left meanwhile may come again at any moment, and was not judged then.
        let judge = |id| Some((id, self.watched.get(&id)?.judge(facts.get(&id))));
        asked.into_iter().filter_map(judge).collect()
    }

    /// Pushes an event to all who may see it. How many streams it reached.
    pub(super) fn hand_out(&self, event: &NewRow, viewers: &Viewers, now: Time) -> usize {
        let (mut shared, mut reached) = (None, 0);
        for (id, watched) in self.concerned(event) {
            // Who has come while the rights were asked for has not joined.
            let Some(viewer) = viewers.get(&id) else { continue };
            let Some(viewer) = viewer else {
                watched.seats.iter().for_each(|seat| seat.end(Reason::Unauthenticated));
                continue;
            };
            if !viewer.sees(event) {
                continue;
            }
            let row = shared.get_or_insert_with(|| Arc::new(event.row.clone()));
            for seat in watched.seats.iter().filter(|seat| seat.wants(event.row.kind)) {
                seat.push(row, now);
                reached += 1;
            }
        }
        reached
    }

    /// All sessions that watch, as they were when they were last looked at.
    pub(super) fn known(&self) -> Vec<KnownSession> {
        let roles = |watched: &Watched| {
            let names: Vec<&str> = watched.roles.iter().map(|role| role.as_str()).collect();
            names.join(",")
        };
        let watched = self.watched.iter();
        watched.map(|(id, watched)| KnownSession { id: *id, roles: roles(watched) }).collect()
    }

    /// Takes over what is true of sessions that are not as they were. Those that have ended or lost
    /// a role end their streams.
    pub(super) fn update(
        &mut self,
        changed: &[SessionId],
        facts: &HashMap<SessionId, SessionFacts>,
    ) {
        for id in changed {
            let Some(watched) = self.watched.get_mut(id) else { continue };
            if watched.judge(facts.get(id)).is_none() {
                watched.seats.iter().for_each(|seat| seat.end(Reason::Unauthenticated));
            }
            let Some(facts) = facts.get(id) else { continue };
            // Also by those whose seats have just ended: later ones are judged by what they have.
            watched.roles.clone_from(&facts.roles);
            if is_wide(&rules::viewer(facts.account, &facts.roles, facts.scopes.as_deref())) {
                self.wide.insert(*id);
            } else {
                self.wide.remove(id);
            }
        }
    }

    /// What a session may see.
    pub(super) fn viewer(&self, id: SessionId, facts: Option<&SessionFacts>) -> Option<Viewer> {
        self.watched.get(&id)?.judge(facts)
    }
}
