//! The feed of changes, resumed by itself.

use std::pin::Pin;
use std::time::Duration;

use clinicd_proto::feed::v1::{WatchRequest, WatchResponse};
use futures_util::{Stream, stream};
use tonic::Code;

use crate::call::Messages;
use crate::client::Client;
use crate::error::{Error, Result};
use crate::retry::RetryPolicy;

/// A feed is taken for dead when it is silent for this long. The server sends something at least
/// every 15 seconds.
const SILENCE: Duration = Duration::from_secs(45);

/// The messages of a watched feed.
pub type Changes = Pin<Box<dyn Stream<Item = Result<WatchResponse>> + Send>>;

impl Client {
    /// Watches the feed, from `request.resume_token` or from now on. When the connection breaks or
    /// the server restarts, it goes on behind the last message: nothing is lost or doubled.
    ///
    /// Each message carries a `resume_token`; keep the last one to go on in another process. A
    /// message without an event is a checkpoint. The stream ends with the first error that does
    /// not pass by waiting, such as `FEED_TOKEN_TOO_OLD` or [`Error::SessionEnded`].
    #[must_use]
    pub fn watch(&self, request: WatchRequest) -> Changes {
        let watch = Watch { client: self.clone(), request, open: None, failures: 0 };
        Box::pin(stream::try_unfold(watch, |mut watch| async move {
            watch.next().await.map(|message| Some((message, watch)))
        }))
    }
}

struct Watch {
    client: Client,
    request: WatchRequest,
    open: Option<Messages<WatchResponse>>,
    failures: u32,
}

impl Watch {
    async fn next(&mut self) -> Result<WatchResponse> {
        loop {
            let outcome = match &mut self.open {
                Some(messages) => match tokio::time::timeout(SILENCE, messages.message()).await {
                    Ok(outcome) => outcome,
                    Err(_) => Err(Error::Transport("the feed fell silent".to_owned())),
                },
                None => match self.client.stream(self.request.clone()).await {
                    Ok(messages) => {
                        self.open = Some(messages);
                        continue;
                    }
                    Err(error) => Err(error),
                },
            };
            let pause = match outcome {
                Ok(Some(message)) => {
                    self.failures = 0;
                    self.request.resume_token.clone_from(&message.resume_token);
                    return Ok(message);
                }
                Ok(None) => Duration::ZERO,
                Err(error) => passing(&error, self.open.is_some()).ok_or(error)?,
            };
            self.open = None;
            self.failures += 1;
            tokio::time::sleep(pause + RetryPolicy::default().jitter(self.failures)).await;
        }
    }
}

/// How long to wait at least before going on; none when waiting does not help. An open stream
/// also ends with its access token, which opening it again renews.
fn passing(error: &Error, was_open: bool) -> Option<Duration> {
    match error {
        Error::Transport(_) | Error::Deadline => Some(Duration::ZERO),
        Error::Api(error) => match error.code {
            Code::Unavailable => Some(error.retry_after.unwrap_or_default()),
            Code::ResourceExhausted => error.retry_after,
            Code::Unauthenticated if was_open => Some(Duration::ZERO),
            _ => None,
        },
        _ => None,
    }
}
