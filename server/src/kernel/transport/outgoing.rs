//! A stream on its way to the client: it ends at its deadline, with its connection, or when its
//! producer fails, and each time the client is told why.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Bytes;
use http::HeaderMap;
use http_body::Frame;
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_util::sync::WaitForCancellationFutureOwned;
use tonic::Status;
use tonic::body::Body;

use super::Peer;
use super::gates::OpenStream;
use crate::kernel::error::{Error, Reason};
use crate::kernel::locale::{self, Locale};

/// The body of a stream's answer.
pub struct Outgoing {
    /// Gone when the stream has ended.
    open: Option<(Body, OpenStream)>,
    ends: Option<Pin<Box<Sleep>>>,
    over: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
    language: Locale,
}

impl Outgoing {
    /// Watches over a body: until the deadline that the client set, if it did, and as long as the
    /// connection lives.
    #[must_use]
    pub fn watch(body: Body, open: OpenStream, ends: Option<Instant>, peer: Option<&Peer>) -> Body {
        let over = peer.map(|peer| Box::pin(peer.over.clone().cancelled_owned()));
        let ends = ends.map(|ends| Box::pin(sleep_until(ends)));
        Body::new(Self { open: Some((body, open)), ends, over, language: locale::current() })
    }

    fn end(&mut self, error: Error) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        self.open = None;
        let status = locale::CURRENT.sync_scope(self.language, || Status::from(error));
        let mut trailers = HeaderMap::new();
        let written = status.add_header(&mut trailers);
        Poll::Ready(Some(written.map(|()| Frame::trailers(trailers))))
    }
}

impl http_body::Body for Outgoing {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        let Some((body, _)) = &mut this.open else { return Poll::Ready(None) };
        if this.ends.as_mut().is_some_and(|ends| ends.as_mut().poll(cx).is_ready()) {
            return this.end(Error::of(Reason::DeadlineExceeded));
        }
        let frame = catch_unwind(AssertUnwindSafe(|| Pin::new(body).poll_frame(cx)));
        let Ok(frame) = frame else { return this.end(Error::internal("a stream panicked")) };
        match frame {
            Poll::Pending => {
                let over = this.over.as_mut().is_some_and(|over| over.as_mut().poll(cx).is_ready());
                if over { this.end(Error::unavailable()) } else { Poll::Pending }
            }
            Poll::Ready(None) => {
                this.open = None;
                Poll::Ready(None)
            }
            frame @ Poll::Ready(_) => frame,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.open.as_ref().is_none_or(|(body, _)| body.is_end_stream())
    }
}
