//! The one clock of the system: the database's, so that all replicas judge the expiry of holds,
//! tokens and leases alike. Tests shift it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use super::kinds::Time;

/// Tells the time. Clones tell the same time.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    /// Database time minus host time, in microseconds.
    skew: Arc<AtomicI64>,
    /// What tests have advanced it by, in microseconds.
    shift: Arc<AtomicI64>,
}

/// A skew between host and database above this is logged, in microseconds.
const WORTH_LOGGING: i64 = 2_000_000;

impl Clock {
    /// The present instant.
    #[must_use]
    pub fn now(&self) -> Time {
        let micros = host_micros()
            .saturating_add(self.skew.load(Ordering::Relaxed))
            .saturating_add(self.shift.load(Ordering::Relaxed));
        Time::from_unix_micros(micros).unwrap_or_else(|| Time::from(jiff::Timestamp::UNIX_EPOCH))
    }

    /// Sets the clock by an instant that the database has just told.
    pub fn follow(&self, database_micros: i64) {
        let skew = database_micros.saturating_sub(host_micros());
        if skew.abs() > WORTH_LOGGING {
            tracing::warn!(
                skew_micros = skew,
                "host and database clocks differ; the database's counts"
            );
        }
        self.skew.store(skew, Ordering::Relaxed);
    }

    /// Moves the clock, for tests and the sandbox.
    pub fn advance(&self, by: jiff::SignedDuration) {
        let micros = i64::try_from(by.as_micros()).unwrap_or(i64::MAX);
        self.shift.fetch_add(micros, Ordering::Relaxed);
    }
}

#[expect(clippy::disallowed_methods, reason = "the only place that asks the host for the time")]
fn host_micros() -> i64 {
    jiff::Timestamp::now().as_microsecond()
}
