//! The database: connections to it and to its standby, and the only way to a transaction.

pub mod embedded;
mod link;
pub mod listen;
pub mod migrate;
mod pulse;
pub mod replica;
pub mod statement;
pub mod tls;

use std::future::Future;
use std::time::Duration;

use diesel::pg::Pg;
use diesel::query_builder::{QueryFragment, QueryId};
use diesel::sql_types;
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};
use metrics::{counter, gauge};
use tokio::sync::watch;
use tokio::time::Instant;
use tonic::Code;

pub use self::link::Manager;

use self::link::Link;
use self::pulse::{Pulse, Question};
use self::replica::Positions;
use super::error::{Error, Result};
use super::jobs::announce;
use crate::statement;

/// A connection inside or outside a transaction.
pub type Conn = AsyncPgConnection;

/// A connection that returns to the pool when dropped.
pub type Pooled<'a> = bb8::PooledConnection<'a, Manager>;

/// The role that the server acts in: it owns no table, and cannot change audit entries.
pub const APP_ROLE: &str = "clinicd_app";

/// How long a server that starts waits for a busy database.
const START_PATIENCE: Duration = Duration::from_secs(10);
/// Pause between two tries.
const START_PAUSE: Duration = Duration::from_millis(100);
/// How often a transaction that lost a race is repeated.
const TRIES: u32 = 4;

/// Time-outs on every connection, so that nothing hangs and no lock is held by a dead caller.
const SESSION_OPTIONS: &str = "-c statement_timeout=10s -c lock_timeout=4s \
    -c idle_in_transaction_session_timeout=5s -c timezone=UTC -c jit=off";

statement! {
    /// The language of the database's errors.
    MessageLanguage {} -> sql_types::Text,
    "SELECT current_setting('lc_messages')";
}

/// The database, and a standby of it if there is one. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Db {
    primary: Link,
    replica: Option<Replica>,
    /// Told after commits that may have written jobs.
    jobs_committed: watch::Sender<()>,
}

/// A standby, and what is known of its state.
#[derive(Clone)]
struct Replica {
    link: Link,
    positions: Positions,
}

impl std::fmt::Debug for Replica {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.link.fmt(f)
    }
}

impl Db {
    /// Opens a pool of up to `connections` connections that act as [`APP_ROLE`], and another one
    /// to a streaming standby. The standby may come and go; the database itself must be there.
    pub async fn connect(url: &str, replica: Option<&str>, connections: u32) -> Result<Self> {
        let options = format!("{SESSION_OPTIONS} -c role={APP_ROLE}");
        let positions = Positions::default();
        let (written, replayed) = (positions.clone(), positions.clone());
        let question = if replica.is_some() { Question::Written } else { Question::Life };
        let pulse = Pulse::start("primary", url, question, move |at, position| {
            written.written(at, position);
        });
        let primary = Link::new(url, options.clone(), connections, pulse);
        let replica = replica.map(|url| {
            let options = format!("{options} -c default_transaction_read_only=on");
            let pulse = Pulse::start("replica", url, Question::Replayed, move |_, position| {
                replayed.replayed(position);
            });
            Replica { link: Link::new(url, options, connections, pulse), positions }
        });
        let begun = Instant::now();
        while let Err(error) = primary.get().await.map(drop) {
            if begun.elapsed() > START_PATIENCE {
                return Err(error);
            }
            tokio::time::sleep(START_PAUSE).await;
        }
        let db = Self { primary, replica, jobs_committed: watch::Sender::new(()) };
        db.check_language().await?;
        Ok(db)
    }

    /// Some errors can be told apart by their text alone. Only a superuser may choose its
    /// language, which the server's login is not, so it can only be looked at.
    async fn check_language(&self) -> Result<()> {
        let mut conn = self.read().await?;
        let language: String = MessageLanguage {}.get_result(&mut conn).await?;
        let english = ["", "C", "POSIX"].contains(&&*language)
            || ["C.", "en"].iter().any(|prefix| language.starts_with(prefix));
        if !english {
            tracing::warn!(
                lc_messages = language,
                "set lc_messages = 'C' in postgresql.conf, or a busy database and lost races are \
                 taken for faults"
            );
        }
        Ok(())
    }

    /// Whether the database has answered lately.
    #[must_use]
    pub fn is_there(&self) -> bool {
        self.primary.is_there()
    }

    /// A connection for reads that need no transaction. While the database does not answer this is
    /// refused at once.
    pub async fn read(&self) -> Result<Pooled<'_>> {
        self.primary.get().await
    }

    /// Runs a read that may show what was true up to [`replica::MOST_STALENESS`] ago: on the standby
    /// when there is one that is not older, else, or when the standby fails, on the database itself.
    pub async fn read_stale<R, F>(&self, work: F) -> Result<R>
    where
        R: Send,
        for<'r> F: AsyncFnOnce(&'r mut Conn) -> Result<R> + Work<'r, R> + Clone + Send,
    {
        if let Some(replica) = self.fresh_replica()
            && let Ok(mut conn) = replica.get().await
        {
            match work.clone()(&mut conn).await {
                Err(error) if matches!(error.code(), Code::Unavailable | Code::Internal) => {
                    tracing::warn!(error = %error, "the standby failed; asking the primary");
                }
                result => return result,
            }
        }
        work(&mut *self.read().await?).await
    }

    fn fresh_replica(&self) -> Option<&Link> {
        let Replica { link, positions } = self.replica.as_ref()?;
        let fresh = positions.is_fresh(Instant::now(), self.primary.is_there());
        (fresh && link.is_there()).then_some(link)
    }

    /// Tells the metrics how the pool stands.
    pub(super) fn measure(&self) {
        let state = self.primary.pool_state();
        let busy = state.connections.saturating_sub(state.idle_connections);
        gauge!("clinicd_db_connections", "state" => "idle").set(state.idle_connections);
        gauge!("clinicd_db_connections", "state" => "busy").set(busy);
        let totals = state.statistics;
        let waited = u64::try_from(totals.get_wait_time.as_millis()).unwrap_or(u64::MAX);
        counter!("clinicd_db_waits_total").absolute(totals.get_waited);
        counter!("clinicd_db_timeouts_total").absolute(totals.get_timed_out);
        counter!("clinicd_db_wait_milliseconds_total").absolute(waited);
    }

    /// Changes whenever this process has committed something that may have written jobs.
    pub(super) fn jobs_committed(&self) -> watch::Receiver<()> {
        self.jobs_committed.subscribe()
    }

    /// Runs `work` in a transaction: all of it is committed, or nothing. A transaction that lost a
    /// serialization race or a deadlock is repeated, so `work` must have no effect outside the
    /// database.
    pub async fn transaction<R, F>(&self, work: F) -> Result<R>
    where
        R: Send,
        for<'r> F: AsyncFnOnce(&'r mut Conn) -> Result<R> + Work<'r, R> + Clone + Send,
    {
        let mut tries = Tries(0);
        loop {
            let begun = announce::begun();
            let mut pooled = self.read().await?;
            let conn: &mut Conn = &mut pooled;
            let attempt = work.clone();
            #[expect(clippy::disallowed_methods, reason = "the one place that may")]
            let result = conn.transaction(async move |conn: &mut Conn| attempt(conn).await).await;
            drop(pooled);
            match result {
                Ok(result) => {
                    if announce::begun() != begun {
                        self.jobs_committed.send_replace(());
                    }
                    return Ok(result);
                }
                Err(error) => tries.again(error).await?,
            }
        }
    }

    /// Runs one statement that changes something, which is a transaction by itself; the number of
    /// its rows. Repeated like a transaction.
    pub(super) async fn statement<Q>(&self, statement: &Q) -> Result<usize>
    where
        Q: QueryFragment<Pg> + QueryId + Clone + Send,
    {
        let mut tries = Tries(0);
        loop {
            let mut pooled = self.read().await?;
            let result = statement.clone().execute(&mut pooled).await;
            drop(pooled);
            match result {
                Ok(rows) => {
                    self.jobs_committed.send_replace(());
                    return Ok(rows);
                }
                Err(error) => tries.again(error.into()).await?,
            }
        }
    }
}

/// How often a transaction has been tried.
struct Tries(u32);

impl Tries {
    /// Waits before the next try; gives the error back if there is none.
    async fn again(&mut self, error: Error) -> Result<()> {
        if !error.is_lost_race() {
            return Err(error);
        }
        self.0 += 1;
        if self.0 == TRIES {
            return Err(Error::unavailable().caused_by(error));
        }
        tokio::time::sleep(pause(self.0)).await;
        Ok(())
    }
}

/// What [`Db::transaction`] runs: an async closure over the connection whose future is `Send`. It
/// is cloned for each try, so it captures by reference.
pub trait Work<'r, R>: FnOnce(&'r mut Conn) -> <Self as Work<'r, R>>::Fut {
    /// Its future.
    type Fut: Future<Output = Result<R>> + Send;
}

impl<'r, R, F, Fut> Work<'r, R> for F
where
    F: FnOnce(&'r mut Conn) -> Fut,
    Fut: Future<Output = Result<R>> + Send,
{
    type Fut = Fut;
}

/// A pause that differs between racers, so that they do not meet again.
fn pause(tries: u32) -> Duration {
    let mut byte = [0u8; 1];
    let jitter = match aws_lc_rs::rand::fill(&mut byte) {
        Ok(()) => u64::from(byte[0]) / 8,
        Err(_) => 16,
    };
    Duration::from_millis((2 << tries) + jitter)
}
