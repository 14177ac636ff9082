//! How many messages one process hands over at a time, by channel: a provider that hangs keeps few
//! workers, and the others go on with other jobs.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};

/// Messages that are handed over at a time: half of the jobs that a process runs.
const PARALLEL: usize = 4;
/// How long a message waits for its turn.
const PATIENCE: Duration = Duration::from_secs(1);

/// The ways out, one per channel.
#[derive(Debug, Default)]
pub struct Lanes {
    /// Of mails.
    pub mail: Lane,
    /// Of text messages.
    pub sms: Lane,
    /// Of push messages.
    pub push: Lane,
}

/// The way out of one channel.
#[derive(Debug)]
pub struct Lane {
    free: Semaphore,
    /// The last that waited did so in vain: nobody else waits.
    stuck: AtomicBool,
}

impl Default for Lane {
    fn default() -> Self {
        Self { free: Semaphore::new(PARALLEL), stuck: AtomicBool::new(false) }
    }
}

impl Lane {
    /// A turn, held until the message is handed over. `None`: those before it do not get on.
    pub async fn enter(&self) -> Option<SemaphorePermit<'_>> {
        let turn = match self.free.try_acquire() {
            Ok(turn) => Some(turn),
            Err(_) if self.stuck.load(Ordering::Relaxed) => None,
            Err(_) => {
                let waited = tokio::time::timeout(PATIENCE, self.free.acquire()).await;
                waited.ok().and_then(Result::ok)
            }
        };
        self.stuck.store(turn.is_none(), Ordering::Relaxed);
        turn
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    #[tokio::test]
    async fn who_hangs_keeps_four_and_lets_others_wait_once() {
        let lane = Lane::default();
        let mut turns = Vec::new();
        for _ in 0..PARALLEL {
            turns.push(lane.enter().await);
        }
        assert!(turns.iter().all(Option::is_some));
        let begun = Instant::now();
        assert!(lane.enter().await.is_none() && begun.elapsed() >= PATIENCE);
        let begun = Instant::now();
        assert!(lane.enter().await.is_none() && begun.elapsed() < PATIENCE, "it does not wait");
        turns.pop();
        assert!(lane.enter().await.is_some());
        let (turn, ()) = tokio::join!(lane.enter(), async { turns.clear() });
        assert!(turn.is_some(), "it gets the turn of one that is done");
    }
}
