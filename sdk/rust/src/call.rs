//! Calls: one request, one answer or a stream of them.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use clinicd_proto::codec::CheckedCodec;
use clinicd_proto::rpc::{Paged, Rpc, ServerStream, Unary};
use futures_util::{Stream, StreamExt as _, TryStreamExt as _, stream};
use http::uri::PathAndQuery;
use tokio::time::{Instant, timeout_at};
use tonic::client::Grpc;
use tonic::{Request, Status, Streaming};

use crate::client::Client;
use crate::error::{Error, Result};
use crate::raw::{Ends, Raw, With};
use crate::session::Tokens;

/// Largest answer that the client takes, in bytes.
const ANSWER_LIMIT: usize = 16 * 1024 * 1024;

/// The items of a list, fetched page by page as they are asked for.
pub type Items<T> = Pin<Box<dyn Stream<Item = Result<T>> + Send>>;

impl Client {
    /// Sends a request and returns the answer.
    ///
    /// An empty `request_id` is filled in. The call is repeated while the server is away or asks
    /// to wait, within the deadline; an access token that no longer counts is renewed once.
    pub async fn send<R: Unary>(&self, mut request: R) -> Result<R::Response> {
        fill_in_request_id(&mut request);
        self.attempts(&request, Ends::AtDeadline, |mut grpc, attempt| async move {
            let (path, codec) = (PathAndQuery::from_static(R::PATH), CheckedCodec::default());
            grpc.ready().await.map_err(Status::from_error)?;
            grpc.unary(attempt, path, codec).await.map(tonic::Response::into_inner)
        })
        .await
    }

    /// Sends a request that is answered with a stream, which ends at the deadline. Opening the stream
    /// is repeated like any call; what breaks off later is not, except by [`watch`](Self::watch).
    pub async fn stream<R: ServerStream>(&self, request: R) -> Result<Messages<R::Response>> {
        self.open(request, Ends::AtDeadline).await
    }

    /// The same, for a stream that has only to be opened within the deadline.
    pub(crate) async fn endless<R: ServerStream>(
        &self,
        request: R,
    ) -> Result<Messages<R::Response>> {
        self.open(request, Ends::Never).await
    }

    async fn open<R: ServerStream>(
        &self,
        mut request: R,
        ends: Ends,
    ) -> Result<Messages<R::Response>> {
        fill_in_request_id(&mut request);
        let opened = self.attempts(&request, ends, |mut grpc, attempt| async move {
            let (path, codec) = (PathAndQuery::from_static(R::PATH), CheckedCodec::default());
            grpc.ready().await.map_err(Status::from_error)?;
            grpc.server_streaming(attempt, path, codec).await.map(tonic::Response::into_inner)
        });
        Ok(Messages { inner: opened.await? })
    }

    /// The items of a list, over all its pages from the one that the request names. For single
    /// pages, [`send`](Self::send) the request.
    pub fn items<R: Paged>(&self, request: R) -> Items<R::Item> {
        let client = self.clone();
        let pages = stream::try_unfold(Some(request), move |next| {
            let client = client.clone();
            async move {
                let Some(mut request) = next else { return Ok::<_, Error>(None) };
                let (items, token) = R::take_page(client.send(request.clone()).await?);
                let more = !token.is_empty();
                *request.page_token_mut() = token;
                let page = stream::iter(items.into_iter().map(Ok));
                Ok(Some((page, more.then_some(request))))
            }
        });
        Box::pin(pages.try_flatten())
    }

    /// All items of a list at once. Ask for large pages.
    pub async fn all<R: Paged>(&self, request: R) -> Result<Vec<R::Item>> {
        self.items(request).try_collect().await
    }

    /// Makes the call until it succeeds, is refused for good, or the deadline passes.
    async fn attempts<R, T, F, Fut>(&self, request: &R, stream: Ends, call: F) -> Result<T>
    where
        R: Rpc,
        F: Fn(Grpc<Raw>, Request<R>) -> Fut,
        Fut: Future<Output = Result<T, Status>>,
    {
        let ends = Instant::now() + self.deadline;
        let mut rejected: Option<Arc<Tokens>> = None;
        let mut spent = 0;
        loop {
            spent += 1;
            let tokens =
                timeout_at(ends, self.tokens_to_use(rejected.as_ref())).await.map_err(late)??;
            let mut attempt = Request::new(request.clone());
            match stream {
                Ends::AtDeadline => attempt.set_timeout(left(ends)),
                Ends::Never => _ = attempt.extensions_mut().insert(stream),
            }
            if let Some(tokens) = &tokens {
                attempt.extensions_mut().insert(With(Arc::clone(tokens)));
            }
            let grpc = Grpc::new(self.raw()).max_decoding_message_size(ANSWER_LIMIT);
            let answer = timeout_at(ends, call(grpc, attempt)).await.map_err(late)?;
            let error = match answer {
                Ok(answer) => return Ok(answer),
                Err(status) => Error::from(status),
            };
            if error.reason() == Some("UNAUTHENTICATED") && tokens.is_some() && rejected.is_none() {
                rejected = tokens;
                continue;
            }
            match self.retry.pause(spent, &error) {
                Some(pause) if pause < left(ends) => tokio::time::sleep(pause).await,
                _ => return Err(error),
            }
        }
    }

    async fn tokens_to_use(&self, rejected: Option<&Arc<Tokens>>) -> Result<Option<Arc<Tokens>>> {
        let Some(session) = &self.session else { return Ok::<_, Error>(None) };
        let anonymous = self.signed_out();
        match rejected {
            None => session.fresh(&anonymous).await.map(Some),
            Some(stale) => session.renewed(&anonymous, stale).await.map(Some),
        }
    }
}

fn fill_in_request_id<R: Rpc>(request: &mut R) {
    if let Some(id) = request.request_id_mut().filter(|id| id.is_empty()) {
        *id = crate::new_id().to_string();
    }
}

fn left(ends: Instant) -> Duration {
    ends.saturating_duration_since(Instant::now())
}

fn late(_: tokio::time::error::Elapsed) -> Error {
    Error::Deadline
}

/// A stream of answers.
#[derive(Debug)]
pub struct Messages<T> {
    inner: Streaming<T>,
}

impl<T> Messages<T> {
    /// The next message; none when the stream has ended well.
    pub async fn message(&mut self) -> Result<Option<T>> {
        self.inner.message().await.map_err(Error::from)
    }
}

impl<T> Stream for Messages<T> {
    type Item = Result<T>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<T>>> {
        self.inner.poll_next_unpin(cx).map_err(Error::from)
    }
}
