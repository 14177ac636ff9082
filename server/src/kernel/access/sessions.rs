//! Whether a session still lives, and what its account may do now.
//!
//! A token alone is not believed for longer than half a second: a session that ended, a role that
//! was taken or an account that was blocked counts on every replica within a second.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;

use crate::kernel::db::{Conn, Db};
use crate::kernel::error::Result;
use crate::kernel::kinds::{AccountId, Role, SessionId, Time};

/// How long an answer of the database is believed.
const BELIEVED: Duration = Duration::from_millis(500);
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
}

/// Looks a session up; none when it ended or its account is not active. Given by the identity
/// room, which owns the tables.
pub type SessionLookup =
    for<'a> fn(&'a mut Conn, SessionId) -> BoxFuture<'a, Result<Option<SessionFacts>>>;

/// Sessions with a short memory. Clones share it.
#[derive(Clone)]
pub struct Sessions {
    lookup: SessionLookup,
    believed: Arc<Mutex<HashMap<SessionId, (Instant, SessionFacts)>>>,
}

impl Sessions {
    /// Sessions as this lookup finds them.
    #[must_use]
    pub fn new(lookup: SessionLookup) -> Self {
        Self { lookup, believed: Arc::default() }
    }

    /// The facts about a live session.
    pub async fn find(&self, db: &Db, id: SessionId, now: Time) -> Result<Option<SessionFacts>> {
        let mut facts = self.remembered(id);
        if facts.is_none() {
            let mut conn = db.read().await?;
            facts = (self.lookup)(&mut conn, id).await?;
            if let Some(facts) = &facts {
                self.remember(id, facts.clone());
            }
        }
        Ok(facts.filter(|facts| facts.expires_at > now))
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
