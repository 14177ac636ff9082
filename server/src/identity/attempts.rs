//! Guessing passwords: five failures of one identifier block it.
//!
//! An attempt is counted before its password is looked at, so that any number of parallel guesses,
//! over any number of replicas, evaluates at most [`FAILURE_LIMIT`]. A right password removes the
//! count. Known and unknown identifiers are counted alike, by a keyed hash. An attempt whose call
//! dies before it is judged counts as failed.

use std::sync::Arc;
use std::time::Duration;

use diesel::OptionalExtension;
use diesel::sql_types;
use diesel_async::RunQueryDsl;
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::rules::{BLOCK_SECONDS, FAILURE_LIMIT, FAILURE_WINDOW_SECONDS, wait_for};
use crate::app::App;
use crate::kernel::crypto::Purpose;
use crate::kernel::db::Conn;
use crate::kernel::error::{Error, Reason, Result};
use crate::kernel::kinds::Time;
use crate::statement;

/// Lanes of one process. Two identifiers rarely share one.
const LANES: usize = 256;
/// How long an attempt waits for those before it in its lane.
const LANE_WAIT: Duration = Duration::from_secs(8);

statement! {
    /// Counts an attempt and lets it pass; no row while the identifier is blocked.
    TakeAttempt {
        identifier: Vec<u8>, now: Time, window_began: Time, limit: i32, blocked_until: Time,
    },
    "INSERT INTO sign_in_failures AS seen (identifier, attempts, last_attempt_at) \
     VALUES ($1, ARRAY[$2], $2) \
     ON CONFLICT (identifier) DO UPDATE SET \
        attempts = CASE WHEN seen.blocked_until IS NULL \
            THEN ARRAY(SELECT t FROM unnest(seen.attempts) AS t WHERE t > $3) END || $2, \
        last_attempt_at = $2, \
        blocked_until = CASE WHEN seen.blocked_until IS NULL AND $4 <= 1 + \
            (SELECT count(*) FROM unnest(seen.attempts) AS t WHERE t > $3) THEN $5 END \
     WHERE seen.blocked_until IS NULL OR seen.blocked_until <= $2";

    /// Until when an identifier is blocked.
    BlockedUntil { identifier: Vec<u8> } -> sql_types::Nullable<sql_types::Timestamptz>,
    "SELECT blocked_until FROM sign_in_failures WHERE identifier = $1";

    /// Takes back an attempt that was not judged.
    GiveBack { identifier: Vec<u8> },
    "UPDATE sign_in_failures SET attempts = trim_array(attempts, 1), blocked_until = NULL \
     WHERE identifier = $1 AND cardinality(attempts) > 0";

    /// Forgets the failures of an identifier.
    ForgetFailures { identifier: Vec<u8> },
    "DELETE FROM sign_in_failures WHERE identifier = $1";

    /// Forgets what no longer counts.
    SweepFailures { before: Time },
    "DELETE FROM sign_in_failures WHERE last_attempt_at < $1";
}

/// Attempts of one identifier go one after the other within a process: a person who signs in
/// from many devices at once is not taken for somebody who guesses.
#[derive(Clone)]
pub(super) struct Lanes(Arc<[Arc<Mutex<()>>]>);

impl Default for Lanes {
    fn default() -> Self {
        Self((0..LANES).map(|_| Arc::default()).collect())
    }
}

impl Lanes {
    /// Waits for the lane of this key; told to come back when that takes too long.
    pub(super) async fn enter(&self, key: &[u8]) -> Result<OwnedMutexGuard<()>> {
        let lane = key.iter().fold(0, |sum: usize, byte| sum.wrapping_mul(31) + usize::from(*byte));
        let lane = Arc::clone(&self.0[lane % LANES]);
        tokio::time::timeout(LANE_WAIT, lane.lock_owned()).await.map_err(|_| Error::unavailable())
    }
}

/// What failures of an address are counted by.
pub(super) fn identifier(app: &App, email_key: &str) -> Vec<u8> {
    app.keys.macs.sign(Purpose::BlindIndex, format!("sign-in/{email_key}").as_bytes()).to_vec()
}

/// Counts an attempt; refused while the identifier is blocked.
pub(super) async fn take(app: &App, conn: &mut Conn, identifier: &[u8]) -> Result<()> {
    let now = app.clock.now();
    let attempt = TakeAttempt {
        identifier: identifier.to_vec(),
        now,
        window_began: now.plus_seconds(-FAILURE_WINDOW_SECONDS),
        limit: FAILURE_LIMIT,
        blocked_until: now.plus_seconds(BLOCK_SECONDS),
    };
    if attempt.execute(conn).await? == 1 {
        return Ok(());
    }
    let identifier = identifier.to_vec();
    let blocked: Option<Option<Time>> =
        BlockedUntil { identifier }.get_result(conn).await.optional()?;
    let wait = wait_for(blocked.flatten().unwrap_or(now), now);
    Err(Error::of(Reason::TooManyAttempts).retry_after(wait))
}

/// The attempt was not judged, because the server was busy.
pub(super) async fn give_back(conn: &mut Conn, identifier: &[u8]) -> Result<()> {
    GiveBack { identifier: identifier.to_vec() }.execute(conn).await?;
    Ok(())
}

/// The password was right.
pub(super) async fn forget(conn: &mut Conn, identifier: &[u8]) -> Result<()> {
    ForgetFailures { identifier: identifier.to_vec() }.execute(conn).await?;
    Ok(())
}

/// Removes the counts that no longer matter.
pub(super) async fn sweep(conn: &mut Conn, now: Time) -> Result<usize> {
    let before = now.plus_seconds(-(FAILURE_WINDOW_SECONDS + BLOCK_SECONDS));
    Ok(SweepFailures { before }.execute(conn).await?)
}
