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

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use std::net::Ipv4Addr;
    use std::time::Duration;

    use futures_util::{StreamExt as _, stream};
    use http_body_util::{BodyExt as _, StreamBody};
    use tokio_util::sync::CancellationToken;
    use tonic::Code;

    use super::*;
    use crate::config::Config;
    use crate::kernel::access::rules::Rules;
    use crate::kernel::transport::gates::Gates;

    /// How the stream of this producer ends, and what comes before.
    async fn watched(
        producer: impl stream::Stream<Item = Frame<Bytes>> + Send + 'static,
        ends: Option<Instant>,
        over: &CancellationToken,
    ) -> (Bytes, Option<Code>) {
        let rules = Rules::from_descriptors(clinicd_proto::FILE_DESCRIPTOR_SET).unwrap();
        let rule = rules.get("/clinicd.feed.v1.FeedService/Watch").unwrap();
        let open = Gates::new(&Config::default()).stream(rule, None).unwrap();
        let peer = Peer { address: Ipv4Addr::LOCALHOST.into(), over: over.clone() };
        let body = Body::new(StreamBody::new(producer.map(Ok::<_, Status>)));
        let body = Outgoing::watch(body, open, ends, Some(&peer)).collect().await.unwrap();
        let status = body.trailers().and_then(Status::from_header_map);
        (body.to_bytes(), status.map(|status| status.code()))
    }

    fn data() -> Frame<Bytes> {
        Frame::data(Bytes::from_static(b"x"))
    }

    #[tokio::test]
    async fn a_producer_that_panics_is_a_fault_and_no_more() {
        let never = CancellationToken::new();
        let mut left = 2;
        let producer = stream::repeat_with(move || {
            assert!(left > 0, "a fault");
            left -= 1;
            data()
        });
        let (bytes, code) = watched(producer, None, &never).await;
        assert_eq!((&*bytes, code), (&b"xx"[..], Some(Code::Internal)));
    }

    #[tokio::test]
    async fn a_stream_ends_in_time_and_with_its_connection() {
        let over = CancellationToken::new();
        let silent = || stream::iter([data()]).chain(stream::pending());
        let soon = Instant::now() + Duration::from_millis(20);
        let (bytes, code) = watched(silent(), Some(soon), &over).await;
        assert_eq!((&*bytes, code), (&b"x"[..], Some(Code::DeadlineExceeded)));
        // One that never pauses, too.
        let busy = stream::repeat_with(data);
        assert_eq!(watched(busy, Some(soon), &over).await.1, Some(Code::DeadlineExceeded));
        over.cancel();
        assert_eq!(watched(silent(), None, &over).await.1, Some(Code::Unavailable));
        assert_eq!(watched(stream::iter([data()]), None, &over).await.1, None);
    }
}
