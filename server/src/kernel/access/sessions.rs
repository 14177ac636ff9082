//! Whether a session still lives, and what its account may do now.
//!
//! A token alone is not believed for longer than half a second: a session that ended, a role that
//! was taken or an account that was blocked counts on every replica within a second.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;

use crate::app::App;
use crate::kernel::db::Conn;
use crate::kernel::error::Result;
use crate::kernel::kinds::{AccountId, Role, Scope, SessionId, Time};

/// How long an answer of the database is believed.
const BELIEVED: Duration = Duration::from_millis(500);
/// How exactly the last use of a session is kept, in seconds.
const USE_PERIOD: i64 = 60;
/// Sessions remembered at most.
const REMEMBERED: usize = 20_000;

/// What the database says of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionFacts {
    /// The account, which is active.
    pub account: AccountId,
    /// The roles that it holds.
    pub roles: Vec<Role>,
    /// It has an onboarding application that is not approved yet.
    pub applicant: bool,
    /// When the session ends.
    pub expires_at: Time,
    /// When it began, with a sign-in.
    pub began_at: Time,
    /// When it was last used, to the minute.
    pub last_used_at: Time,
    /// A second factor was given.
    pub second_factor: bool,
    /// What the session of a program may do; `None` for people.
    pub scopes: Option<Vec<Scope>>,
}

/// Notes that a session is used.
pub type Touch =
    for<'a> fn(&'a App, SessionId, &'a SessionFacts) -> BoxFuture<'a, Result<Option<Time>>>;

/// Uses a ticket for a method.
pub type Redeem =
    for<'a> fn(&'a App, &'a str, &'static str) -> BoxFuture<'a, Result<Option<SessionId>>>;

/// Looks many sessions up at once.
pub type FindMany = for<'a> fn(
    &'a mut Conn,
    Vec<SessionId>,
) -> BoxFuture<'a, Result<Vec<(SessionId, SessionFacts)>>>;

/// Tells which of these sessions do not live at this time, or not as they were.
pub type FindChanged =
    for<'a> fn(&'a mut Conn, Time, Vec<KnownSession>) -> BoxFuture<'a, Result<Vec<SessionId>>>;

/// A session as it was when it was last looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownSession {
    /// Which.
    pub id: SessionId,
    /// The names of the account's roles in the order of [`SessionFacts::roles`], with commas.
    pub roles: String,
}

/// What the kernel asks of the identity room, which owns the tables of sessions.
#[derive(Clone, Copy)]
pub struct SessionTable {
    /// Looks a session up; none when it ended or its account is not active.
    pub find: for<'a> fn(&'a mut Conn, SessionId) -> BoxFuture<'a, Result<Option<SessionFacts>>>,
    /// Looks many up, in one statement; those that ended are not among the answers.
    pub find_many: FindMany,
    /// Those of many that have ended, or whose account has other roles, in one statement.
    pub find_changed: FindChanged,
    /// Notes that a session is used now, and tells when it ends; none when it has ended.
    pub touch: Touch,
    /// Uses a ticket for this method, once; its session.
    pub redeem: Redeem,
}

/// Sessions with a short memory. Clones share it.
#[derive(Clone)]
pub struct Sessions {
    table: SessionTable,
    believed: Arc<Mutex<HashMap<SessionId, (Instant, SessionFacts)>>>,
}

impl Sessions {
    /// Sessions of this table.
    #[must_use]
    pub fn new(table: SessionTable) -> Self {
        Self { table, believed: Arc::default() }
    }

    /// The facts about a live session.
    pub async fn find(&self, app: &App, id: SessionId) -> Result<Option<SessionFacts>> {
        let mut facts = self.remembered(id);
        if facts.is_none() {
            let mut conn = app.db.read().await?;
            facts = (self.table.find)(&mut conn, id).await?;
            if let Some(facts) = &facts {
                self.remember(id, facts.clone());
            }
        }
        Ok(facts.filter(|facts| facts.expires_at > app.clock.now()))
    }

    /// The facts about those of many sessions that live, as the database says now.
    pub async fn find_many(
        &self,
        app: &App,
        conn: &mut Conn,
        ids: Vec<SessionId>,
    ) -> Result<HashMap<SessionId, SessionFacts>> {
        let now = app.clock.now();
        let found = (self.table.find_many)(conn, ids).await?;
        Ok(found.into_iter().filter(|(_, facts)| facts.expires_at > now).collect())
    }

    /// Those of many sessions that have ended or are not as they were.
    pub async fn find_changed(
        &self,
        app: &App,
        conn: &mut Conn,
        known: Vec<KnownSession>,
    ) -> Result<Vec<SessionId>> {
        (self.table.find_changed)(conn, app.clock.now(), known).await
    }

    /// A call uses a session, which moves its end; `false` when it has ended meanwhile. Streams that
    /// wait do not use it.
    pub async fn used(&self, app: &App, id: SessionId, facts: &SessionFacts) -> Result<bool> {
        let now = app.clock.now();
        if facts.last_used_at.plus_seconds(USE_PERIOD) > now {
            return Ok(true);
        }
        let Some(expires_at) = (self.table.touch)(app, id, facts).await? else {
            self.forget(id);
            return Ok(false);
        };
        let mut believed = self.believed.lock().unwrap_or_else(PoisonError::into_inner);
        // What is believed gets no younger by this.
        if let Some((_, facts)) = believed.get_mut(&id) {
            (facts.last_used_at, facts.expires_at) = (now, expires_at);
        }
        Ok(true)
    }

    /// The session of a ticket for this method, which works once.
    pub async fn redeem(
        &self,
        app: &App,
        ticket: &str,
        method: &'static str,
    ) -> Result<Option<SessionId>> {
        (self.table.redeem)(app, ticket, method).await
    }

    /// Forgets a session that has just ended here, so that it fails at once on this replica.
    pub fn forget(&self, id: SessionId) {
        self.believed.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
    }

    fn remembered(&self, id: SessionId) -> Option<SessionFacts> {
        let believed = self.believed.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, facts) = believed.get(&id)?;
        (since.elapsed() < BELIEVED).then(|| facts.clone())
    }

    fn remember(&self, id: SessionId, facts: SessionFacts) {
        let mut believed = self.believed.lock().unwrap_or_else(PoisonError::into_inner);
        if believed.len() >= REMEMBERED {
            believed.retain(|_, (since, _)| since.elapsed() < BELIEVED);
        }
        believed.insert(id, (Instant::now(), facts));
    }
}
