//! One wake-up for all streams of the process: while there are streams, one task looks for the end
//! of the feed and tells them when it has moved.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, watch};

use crate::app::App;
use crate::kernel::error::Result;
use crate::kernel::events::{self, Position};

/// How often the end of the feed is looked for.
const PERIOD: Duration = Duration::from_millis(100);
/// How often while the database is away.
const AWAY: Duration = Duration::from_secs(1);
/// Connections that all streams together may use at a time, so that calls find some.
const READERS: usize = 4;

/// Wakes streams. Clones wake the same ones.
#[derive(Clone)]
pub(super) struct Hub {
    app: App,
    end: watch::Sender<Position>,
    polling: Arc<Mutex<bool>>,
    /// Held by a stream while it asks the database.
    pub(super) readers: Arc<Semaphore>,
}

impl Hub {
    pub(super) fn new(app: App) -> Self {
        Self {
            app,
            end: watch::Sender::new(Position::default()),
            polling: Arc::default(),
            readers: Arc::new(Semaphore::new(READERS)),
        }
    }

    /// The end of the feed, told for as long as the receiver lives.
    pub(super) fn subscribe(&self) -> watch::Receiver<Position> {
        let receiver = self.end.subscribe();
        let mut polling = self.polling.lock().unwrap_or_else(PoisonError::into_inner);
        if !std::mem::replace(&mut *polling, true) {
            tokio::spawn(self.clone().poll());
        }
        receiver
    }

    async fn poll(self) {
        while self.is_needed() {
            let pause = match self.find_end().await {
                Ok(()) => PERIOD,
                Err(error) => {
                    tracing::warn!(error = %error, "the end of the feed was not found");
                    AWAY
                }
            };
            tokio::time::sleep(pause).await;
        }
    }

    /// Whether a stream is left. A new one either is seen here or starts the next task.
    fn is_needed(&self) -> bool {
        let mut polling = self.polling.lock().unwrap_or_else(PoisonError::into_inner);
        *polling = self.end.receiver_count() > 0;
        *polling
    }

    async fn find_end(&self) -> Result<()> {
        let mut conn = self.app.db.read().await?;
        let end = events::end(&mut conn).await?;
        self.end.send_if_modified(|known| std::mem::replace(known, end) != end);
        Ok(())
    }
}
