//! The feed of changes, resumed by itself.

use std::pin::Pin;
use std::time::Duration;

use clinicd_proto::error::v1::ErrorReason;
use clinicd_proto::feed::v1::{Event, ResourceRef, WatchRequest, WatchResponse};
use futures_util::{Stream, TryStreamExt as _, stream};
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
/// What a followed feed tells.
pub type Updates = Pin<Box<dyn Stream<Item = Result<Update>> + Send>>;

/// One message of a followed feed.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Update {
    /// A snapshot begins, the first one or another one: forget what is kept, it is told anew.
    SnapshotBegins,
    /// Resources that exist, at most 500 at a time.
    Exist(Vec<ResourceRef>),
    /// Something changed; where `deleted` is set, the resource is gone. Keep the token with what
    /// you have made of the event.
    Changed(Event, String),
    /// Nothing more has happened up to this token. The first one ends a snapshot.
    Checkpoint(String),
}

impl Client {
    /// Watches the feed, from `request.resume_token` or from now on. When the connection breaks, the
    /// server restarts, or this client was too slow for it, it goes on behind the last message:
    /// nothing is lost or doubled.
    ///
    /// Each message carries a `resume_token`; keep the last one to go on in another process. A
    /// message without an event is a checkpoint. The stream ends with the first error that does
    /// not pass by waiting, such as [`Error::SessionEnded`].
    ///
    /// A token from before the feed's beginning (30 days) ends the stream with an error that
    /// [`is`](Error::is) `ErrorReason::FeedTokenTooOld`, and one that the server does not know, such as
    /// one from before a restore, with `ErrorReason::FeedTokenInvalid`. With `request.snapshot` a snapshot begins
    /// instead, as it does when there is no token: messages with `snapshot` and without a token
    /// name what exists. [`follow`](Self::follow) tells the two kinds of messages apart.
    #[must_use]
    pub fn watch(&self, request: WatchRequest) -> Changes {
        let watch = Watch::new(self.clone(), request);
        let messages = stream::try_unfold(watch, |mut watch| async move {
            loop {
                if let Told::Message(message) = watch.next().await? {
                    return Ok(Some((message, watch)));
                }
            }
        });
        Box::pin(messages)
    }

    /// Follows the feed like [`watch`](Self::watch), for whoever keeps a copy: the snapshot, which
    /// begins anew when it is broken off, is told apart from changes.
    #[must_use]
    pub fn follow(&self, request: WatchRequest) -> Updates {
        let watch = Watch::new(self.clone(), request);
        let told = stream::try_unfold(watch, |mut watch| async move {
            watch.next().await.map(|told| Some((told, watch)))
        });
        Box::pin(told.map_ok(Update::from))
    }
}

impl From<Told> for Update {
    fn from(told: Told) -> Self {
        let Told::Message(message) = told else { return Self::SnapshotBegins };
        let WatchResponse { event, resume_token, snapshot } = message;
        match event {
            Some(event) => Self::Changed(event, resume_token),
            None if resume_token.is_empty() => Self::Exist(snapshot),
            None => Self::Checkpoint(resume_token),
        }
    }
}

/// What a watched feed tells.
enum Told {
    SnapshotBegins,
    Message(WatchResponse),
}

struct Watch {
    client: Client,
    request: WatchRequest,
    /// A snapshot is wanted where there is no token to go on from.
    with_snapshot: bool,
    open: Option<Messages<WatchResponse>>,
    failures: u32,
}

impl Watch {
    fn new(client: Client, mut request: WatchRequest) -> Self {
        let with_snapshot = request.snapshot;
        request.snapshot &= request.resume_token.is_empty();
        Self { client, request, with_snapshot, open: None, failures: 0 }
    }

    async fn next(&mut self) -> Result<Told> {
        loop {
            let outcome = match &mut self.open {
                Some(messages) => match tokio::time::timeout(SILENCE, messages.message()).await {
                    Ok(outcome) => outcome,
                    Err(_) => Err(Error::Transport("the feed fell silent".to_owned())),
                },
                None => match self.client.endless(self.request.clone()).await {
                    Ok(messages) => {
                        self.open = Some(messages);
                        if self.request.snapshot {
                            return Ok(Told::SnapshotBegins);
                        }
                        continue;
                    }
                    Err(error) => Err(error),
                },
            };
            let pause = match outcome {
                Ok(Some(message)) => {
                    self.failures = 0;
                    // Empty within a snapshot, which begins anew when it is broken off.
                    self.request.resume_token.clone_from(&message.resume_token);
                    self.request.snapshot &= message.resume_token.is_empty();
                    return Ok(Told::Message(message));
                }
                Ok(None) => Duration::ZERO,
                Err(error) if self.with_snapshot && leads_nowhere(&error) => {
                    self.request.resume_token.clear();
                    self.request.snapshot = true;
                    Duration::ZERO
                }
                Err(error) => passing(&error, self.open.is_some()).ok_or(error)?,
            };
            self.open = None;
            self.failures += 1;
            tokio::time::sleep(pause + RetryPolicy::default().jitter(self.failures)).await;
        }
    }
}

/// Whether the feed cannot be read from the token any more: what lies behind it was swept, or the
/// server was restored to a state from before it.
fn leads_nowhere(error: &Error) -> bool {
    error.is(ErrorReason::FeedTokenTooOld) || error.is(ErrorReason::FeedTokenInvalid)
}

/// How long to wait at least before going on; none when waiting does not help. An open stream
/// also ends with its access token, which opening it again renews, and when this client has taken
/// nothing for too long.
fn passing(error: &Error, was_open: bool) -> Option<Duration> {
    match error {
        Error::Transport(_) | Error::Deadline => Some(Duration::ZERO),
        Error::Api(api) => match api.code {
            Code::Unavailable => Some(api.retry_after.unwrap_or_default()),
            Code::ResourceExhausted => api.retry_after,
            Code::Unauthenticated if was_open => Some(Duration::ZERO),
            Code::Aborted => error.is(ErrorReason::FeedReaderStalled).then_some(Duration::ZERO),
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ApiError;

    fn refusal(code: Code, reason: &str) -> Error {
        Error::Api(Box::new(ApiError {
            code,
            reason: reason.to_owned(),
            metadata: std::collections::BTreeMap::new(),
            message: String::new(),
            localized: None,
            violations: Vec::new(),
            preconditions: Vec::new(),
            retry_after: None,
            request_id: None,
        }))
    }

    #[test]
    fn a_feed_goes_on_after_what_passes_and_ends_with_what_does_not() {
        for (code, reason, goes_on) in [
            (Code::Aborted, "FEED_READER_STALLED", true),
            (Code::Aborted, "ETAG_MISMATCH", false),
            (Code::Unavailable, "UNAVAILABLE", true),
            (Code::Unauthenticated, "UNAUTHENTICATED", true),
            (Code::OutOfRange, "FEED_TOKEN_TOO_OLD", false),
            (Code::InvalidArgument, "FEED_TOKEN_INVALID", false),
        ] {
            assert_eq!(passing(&refusal(code, reason), true).is_some(), goes_on, "{reason}");
        }
        assert_eq!(passing(&refusal(Code::Unauthenticated, "UNAUTHENTICATED"), false), None);
    }
}
