//! A streaming standby that answers what may be a little old.
//!
//! How old its answers may be is judged by positions in the log. The pulse of the primary notes how
//! far the primary has written, and when it said so. A standby that has replayed up to such a note
//! holds everything that was committed when the note was taken, so its age is that of the newest
//! note that it has reached. That needs no write, holds while the primary is idle, and sees a
//! standby that is cut off from its primary, which by its own account lacks nothing.
//!
//! While the primary is away nothing is added to its log, and the age stands still: the standby
//! goes on with what the primary had when it was last heard.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Oldest state that may be shown.
pub const MOST_STALENESS: Duration = Duration::from_secs(10);

/// Notes about the primary and the standby. Clones share them.
#[derive(Clone, Default)]
pub(super) struct Positions(Arc<Mutex<Notes>>);

#[derive(Default)]
struct Notes {
    /// When the primary had written how far, oldest first.
    written: VecDeque<(Instant, i64)>,
    /// How far the standby has replayed.
    replayed: Option<i64>,
}

impl Positions {
    /// The primary was asked at `at`, and said that it has written up to here.
    pub(super) fn written(&self, at: Instant, position: i64) {
        let mut notes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let written = &mut notes.written;
        if written.back().is_some_and(|(_, last)| position < *last) {
            // Another primary, restored from a backup: its log is another one.
            written.clear();
        }
        while written.front().is_some_and(|(then, _)| at.duration_since(*then) > MOST_STALENESS) {
            written.pop_front();
        }
        written.push_back((at, position));
    }

    /// The standby has replayed up to here.
    pub(super) fn replayed(&self, position: i64) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).replayed = Some(position);
    }

    /// Whether the standby holds everything that the primary had ten seconds ago or, while the
    /// primary is away, ten seconds before it was last heard.
    pub(super) fn is_fresh(&self, now: Instant, primary_is_there: bool) -> bool {
        let notes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (Some(replayed), Some((last, _))) = (notes.replayed, notes.written.back()) else {
            return false;
        };
        let reached = notes.written.iter().rfind(|(_, position)| *position <= replayed);
        let until = if primary_is_there { now } else { *last };
        reached.is_some_and(|(at, _)| until.duration_since(*at) <= MOST_STALENESS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_standby_that_has_all_is_fresh_and_one_that_was_never_heard_is_not() {
        let (positions, now) = (Positions::default(), Instant::now());
        assert!(!positions.is_fresh(now, true));
        positions.written(now, 100);
        assert!(!positions.is_fresh(now, true));
        positions.replayed(99);
        assert!(!positions.is_fresh(now, true));
        positions.replayed(100);
        assert!(positions.is_fresh(now, true));
        assert!(positions.is_fresh(now + seconds(10), true));
        assert!(
            !positions.is_fresh(now + seconds(11), true),
            "nobody knows what was written since"
        );
    }

    #[test]
    fn an_idle_primary_is_no_lag() {
        let (positions, now) = (Positions::default(), Instant::now());
        positions.replayed(100);
        for second in 0..60 {
            positions.written(now + seconds(second), 100);
            assert!(positions.is_fresh(now + seconds(second), true));
        }
    }

    #[test]
    fn a_standby_that_stands_still_is_fresh_for_ten_seconds() {
        let (positions, now) = (Positions::default(), Instant::now());
        positions.replayed(100);
        for second in 0..=20 {
            let position = if second < 5 { 100 } else { 200 };
            positions.written(now + seconds(second), position);
            // The last note that it has reached is of second 4.
            assert_eq!(positions.is_fresh(now + seconds(second), true), second <= 14, "{second}");
        }
        positions.replayed(250);
        assert!(positions.is_fresh(now + seconds(20), true));
    }

    #[test]
    fn nothing_ages_while_the_primary_is_away() {
        let (positions, now) = (Positions::default(), Instant::now());
        positions.written(now, 100);
        positions.replayed(100);
        assert!(positions.is_fresh(now + seconds(3_600), false));
        positions.written(now + seconds(9), 200);
        positions.written(now + seconds(11), 200);
        assert!(!positions.is_fresh(now + seconds(3_600), false), "it lagged before");
    }

    #[test]
    fn a_log_that_goes_back_is_another_one() {
        let (positions, now) = (Positions::default(), Instant::now());
        positions.written(now, 500);
        positions.replayed(300);
        positions.written(now + seconds(1), 200);
        assert!(positions.is_fresh(now + seconds(1), true));
    }
}
