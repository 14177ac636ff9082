//! LISTEN on a connection of its own. A notification only wakes; what happened is read from the
//! tables, so one that is lost while reconnecting costs time and nothing else.

use std::sync::Arc;
use std::time::Duration;

use diesel_async::RunQueryDsl;
use futures_util::StreamExt;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Pause before a lost connection is opened again.
const RECONNECT: Duration = Duration::from_secs(1);

/// Wakes when something is announced on a channel.
#[derive(Debug)]
pub struct Listener {
    woken: Arc<Notify>,
}

impl Listener {
    /// Listens in the background until `stop`.
    #[must_use]
    pub fn start(url: String, channel: &'static str, stop: CancellationToken) -> Self {
        let woken = Arc::new(Notify::new());
        let wake = woken.clone();
        tokio::spawn(async move {
            while !stop.is_cancelled() {
                tokio::select! {
                    () = stop.cancelled() => return,
                    result = listen(&url, channel, &wake) => {
                        if let Err(error) = result {
                            tracing::warn!(channel, error = %error, "listening again");
                        }
                    }
                }
                tokio::time::sleep(RECONNECT).await;
            }
        });
        Self { woken }
    }

    /// Waits for the next announcement.
    pub async fn wait(&mut self) {
        self.woken.notified().await;
    }
}

async fn listen(
    url: &str,
    channel: &'static str,
    wake: &Notify,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let mut conn = super::tls::connect(url, "").await?;
    diesel::sql_query(format!("LISTEN {channel}")).execute(&mut conn).await?;
    wake.notify_one();
    let mut notifications = std::pin::pin!(conn.notifications_stream());
    while let Some(notification) = notifications.next().await {
        notification?;
        wake.notify_one();
    }
    Ok(())
}
