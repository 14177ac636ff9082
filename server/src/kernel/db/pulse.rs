//! The pulse of a PostgreSQL server: one small task asks it twice a second.
//!
//! A server that does not answer is *away*. Then everything that waits for it is told at once: its
//! connections are cut, so that calls in flight end with `UNAVAILABLE` rather than hang, and no new
//! one is handed out until it answers again. What was under way is as after any lost connection: a
//! transaction is rolled back, and of one whose COMMIT got no answer nobody knows, which the
//! `request_id` of the repeated call settles.
//!
//! A call is answered within [`PERIOD`] + [`ANSWER`] + [`AGAIN`] = 3.5 s, however the server died.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use diesel::sql_types::{BigInt, Nullable};
use diesel_async::RunQueryDsl;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Conn, tls};
use crate::kernel::error::{Error, Result};
use crate::statement;

/// How often the server is asked.
const PERIOD: Duration = Duration::from_millis(500);
/// How often while it is away.
const AWAY_PERIOD: Duration = Duration::from_millis(200);
/// How long it may take to answer.
const ANSWER: Duration = Duration::from_secs(2);
/// How long it may take to accept another connection and answer there, before it counts as away.
const AGAIN: Duration = Duration::from_secs(1);

statement! {
    /// Whether it answers.
    AskForLife {} -> Nullable<BigInt>,
    "SELECT NULL::bigint";

    /// How far a primary has written its log.
    AskWritten {} -> Nullable<BigInt>,
    "SELECT (pg_current_wal_lsn() - '0/0')::bigint";

    /// How far a standby has replayed the log of its primary; null on anything else.
    AskReplayed {} -> Nullable<BigInt>,
    "SELECT CASE WHEN pg_is_in_recovery() THEN (pg_last_wal_replay_lsn() - '0/0')::bigint END";
}

/// What a server is asked for besides a sign of life.
#[derive(Debug, Clone, Copy)]
pub(super) enum Question {
    /// Nothing.
    Life,
    /// The position up to which it has written.
    Written,
    /// The position up to which it has replayed.
    Replayed,
}

/// What is known of a server.
pub(super) struct Pulse {
    /// `primary` or `replica`, for the log.
    name: &'static str,
    /// Cancelled when the server goes away; a new one when it is back. `None` while it is away.
    life: Mutex<Option<CancellationToken>>,
    /// Called with each position that it answers.
    on_position: Box<dyn Fn(Instant, i64) + Send + Sync>,
}

impl Pulse {
    /// The pulse of a server that is believed to be there, and the task that finds out. The task
    /// ends with the last owner of the value.
    pub(super) fn start(
        name: &'static str,
        url: &str,
        question: Question,
        on_position: impl Fn(Instant, i64) + Send + Sync + 'static,
    ) -> Arc<Self> {
        let life = Mutex::new(Some(CancellationToken::new()));
        let pulse = Arc::new(Self { name, life, on_position: Box::new(on_position) });
        tokio::spawn(watch(Arc::downgrade(&pulse), url.to_owned(), question));
        pulse
    }

    /// What is cancelled when the server goes away; refused while it is.
    pub(super) fn life(&self) -> Result<CancellationToken> {
        let life = self.life.lock().unwrap_or_else(PoisonError::into_inner);
        life.clone().ok_or_else(Error::unavailable)
    }

    fn is_away(&self) -> bool {
        self.life.lock().unwrap_or_else(PoisonError::into_inner).is_none()
    }

    fn found(&self, asked: Instant, answer: Result<Option<i64>, String>) {
        let mut life = self.life.lock().unwrap_or_else(PoisonError::into_inner);
        let known = life.take();
        match &answer {
            Ok(_) => *life = Some(known.clone().unwrap_or_default()),
            Err(_) => known.iter().for_each(CancellationToken::cancel),
        }
        drop(life);
        match (answer, known) {
            (Ok(_), None) => tracing::warn!(database = self.name, "the database is back"),
            (Ok(Some(position)), _) => (self.on_position)(asked, position),
            (Err(reason), Some(_)) => {
                tracing::error!(database = self.name, reason, "the database is away");
            }
            (Ok(None), Some(_)) | (Err(_), None) => {}
        }
        let up = if self.is_away() { 0.0 } else { 1.0 };
        metrics::gauge!("clinicd_database_up", "database" => self.name).set(up);
    }
}

/// Asks for as long as somebody wants to know.
async fn watch(pulse: Weak<Pulse>, url: String, question: Question) {
    let mut conn = None;
    loop {
        let Some(pulse) = pulse.upgrade() else { return };
        let away = pulse.is_away();
        let asked = Instant::now();
        let answer =
            beat(&mut conn, &url, question, if away { &[AGAIN] } else { &[ANSWER, AGAIN] });
        pulse.found(asked, answer.await);
        let period = if pulse.is_away() { AWAY_PERIOD } else { PERIOD };
        drop(pulse);
        tokio::time::sleep(period).await;
    }
}

/// Asks once per patience, each time on a new connection: one that is broken says nothing about the
/// server.
async fn beat(
    conn: &mut Option<Conn>,
    url: &str,
    question: Question,
    patiences: &[Duration],
) -> Result<Option<i64>, String> {
    let mut reason = String::new();
    for patience in patiences {
        match tokio::time::timeout(*patience, ask(conn, url, question)).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) => reason = error.to_string(),
            Err(_) => "it does not answer".clone_into(&mut reason),
        }
        *conn = None;
    }
    Err(reason)
}

async fn ask(conn: &mut Option<Conn>, url: &str, question: Question) -> Result<Option<i64>> {
    let conn = match conn {
        Some(conn) => conn,
        None => conn.insert(
            tls::connect(url, "").await.map_err(|source| Error::unavailable().caused_by(source))?,
        ),
    };
    Ok(match question {
        Question::Life => AskForLife {}.get_result(conn).await?,
        Question::Written => AskWritten {}.get_result(conn).await?,
        Question::Replayed => AskReplayed {}.get_result(conn).await?,
    })
}
