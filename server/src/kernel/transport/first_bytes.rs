//! Which protocol a peer speaks, told by its first bytes. The transport has no patience of its own
//! here: it would wait for the rest of a preface for ever.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};

/// What every HTTP/2 connection begins with.
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What the peer speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    /// HTTP/1, or nothing that anybody knows.
    Http1,
    /// HTTP/2; its whole preface has come.
    Http2,
}

/// A connection of which the first bytes were read, and are read again.
pub(super) struct Replay<I> {
    io: I,
    bytes: [u8; PREFACE.len()],
    from: usize,
    to: usize,
}

impl<I: AsyncRead + Unpin> Replay<I> {
    /// Waits until it is clear what the peer speaks.
    pub(super) async fn read(io: I) -> io::Result<(Protocol, Self)> {
        let mut this = Self { io, bytes: [0; PREFACE.len()], from: 0, to: 0 };
        loop {
            let read = this.io.read(&mut this.bytes[this.to..]).await?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            this.to += read;
            if this.bytes[..this.to] != PREFACE[..this.to] {
                return Ok((Protocol::Http1, this));
            }
            if this.to == PREFACE.len() {
                return Ok((Protocol::Http2, this));
            }
        }
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Replay<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.from == self.to {
            return Pin::new(&mut self.io).poll_read(cx, buffer);
        }
        let end = self.to.min(self.from + buffer.remaining());
        buffer.put_slice(&self.bytes[self.from..end]);
        self.from = end;
        Poll::Ready(Ok(()))
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Replay<I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[tokio::test]
    async fn nothing_that_was_read_is_lost() {
        let long = [&PREFACE[..], b"and more"].concat();
        for (bytes, protocol) in [
            (&long[..], Protocol::Http2),
            (b"GET / HTTP/1.1\r\n\r\n", Protocol::Http1),
            (b"PRI * HTTP/1.0\r\n\r\n", Protocol::Http1),
        ] {
            let (found, mut replay) = Replay::read(bytes).await.unwrap();
            assert_eq!(found, protocol);
            let mut read = Vec::new();
            replay.read_to_end(&mut read).await.unwrap();
            assert_eq!(read, bytes);
        }
        assert!(Replay::read(&PREFACE[..20]).await.is_err());
    }
}
