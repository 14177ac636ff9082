//! The message of a unary call, waited for before anything else is done for the call.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;

use axum::body::Bytes;
use bytes::BytesMut;
use http_body::Body as _;
use http_body_util::Full;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::Status;
use tonic::body::Body;

use super::gates::shed;
use crate::kernel::error::{Error, Result};

/// A flag and the length of the message.
const HEAD: usize = 5;
/// More than any service takes. What announces more is handed on as it is, to be refused by the
/// service's own limit.
const LARGEST: usize = 1024 * 1024;
/// Unit in which memory for unfinished messages is counted, in bytes.
const KIB: usize = 1024;

/// Memory of a message that came in pieces, given back when dropped.
pub(super) type Memory = Option<OwnedSemaphorePermit>;

/// Reads the one message of a unary call to its end. Whether it is one is for the codec to say.
pub(super) async fn whole(
    mut body: Body,
    arriving: &Arc<Semaphore>,
) -> Result<(Body, Memory), Status> {
    let Some(first) = next(&mut body).await? else { return Ok((Body::empty(), None)) };
    let length = check(&first)?;
    if length.is_some_and(|length| length > LARGEST) || body.is_end_stream() {
        return Ok((Body::new(Full::new(first)), None));
    }
    let mut memory = reserve(arriving, first.len())?;
    let Some(second) = next(&mut body).await? else {
        return Ok((Body::new(Full::new(first)), None));
    };
    let mut bytes = BytesMut::with_capacity(first.len() + second.len());
    bytes.extend_from_slice(&first);
    let mut more = Some(second);
    while let Some(data) = more {
        bytes.extend_from_slice(&data);
        if check(&bytes)?.is_some_and(|length| length > LARGEST) {
            break;
        }
        let missing = bytes.len().div_ceil(KIB).saturating_sub(memory.num_permits());
        if missing > 0 {
            memory.merge(reserve(arriving, missing * KIB)?);
        }
        more = next(&mut body).await?;
    }
    Ok((Body::new(Full::new(bytes.freeze())), Some(memory)))
}

/// The length of head and message as announced; refuses what comes after it.
fn check(bytes: &[u8]) -> Result<Option<usize>> {
    let Some([_, length @ ..]) = bytes.first_chunk::<HEAD>() else { return Ok(None) };
    let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
    let length = length.saturating_add(HEAD);
    if bytes.len() > length {
        return Err(Error::internal("a unary call with more than one message"));
    }
    Ok(Some(length))
}

fn reserve(arriving: &Arc<Semaphore>, bytes: usize) -> Result<OwnedSemaphorePermit> {
    let units = u32::try_from(bytes.div_ceil(KIB)).unwrap_or(u32::MAX);
    Arc::clone(arriving).try_acquire_many_owned(units).map_err(|_| shed("arriving"))
}

/// The next data; metadata after the message is of no use to anybody.
async fn next(body: &mut Body) -> Result<Option<Bytes>, Status> {
    loop {
        let frame = poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await;
        match frame.transpose()?.map(http_body::Frame::into_data) {
            None => return Ok(None),
            Some(Ok(data)) if !data.is_empty() => return Ok(Some(data)),
            Some(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use futures_util::stream;
    use http_body_util::{BodyExt as _, StreamBody};
    use tonic::Code;

    use super::*;

    fn pieces(pieces: &[&[u8]]) -> Body {
        let pieces: Vec<_> = pieces.iter().map(|piece| Bytes::copy_from_slice(piece)).collect();
        let frames = pieces.into_iter().map(|piece| Ok::<_, Status>(http_body::Frame::data(piece)));
        Body::new(StreamBody::new(stream::iter(frames)))
    }

    async fn read(sent: &[&[u8]], kib: usize) -> Result<Vec<u8>, Status> {
        let arriving = Arc::new(Semaphore::new(kib));
        let (body, memory) = whole(pieces(sent), &arriving).await?;
        drop(memory);
        assert_eq!(arriving.available_permits(), kib);
        Ok(body.collect().await?.to_bytes().to_vec())
    }

    #[tokio::test]
    async fn a_message_is_the_same_in_any_pieces() {
        let message = b"\0\0\0\0\x03abc";
        assert_eq!(read(&[message], 9).await.unwrap(), message);
        let drops: Vec<_> = message.chunks(1).collect();
        assert_eq!(read(&drops, 9).await.unwrap(), message);
        assert_eq!(read(&[b"\0\0\0", b"\0\x03a"], 9).await.unwrap(), b"\0\0\0\0\x03a");
        assert_eq!(read(&[], 9).await.unwrap(), b"");
    }

    #[tokio::test]
    async fn what_is_too_much_is_refused() {
        let code = async |sent: &[&[u8]], kib| read(sent, kib).await.unwrap_err().code();
        assert_eq!(code(&[b"\0\0\0\0\x03abc\0"], 9).await, Code::Internal);
        assert_eq!(code(&[b"\0\0\0\0\x03abc", b"\0\0\0\0\0"], 9).await, Code::Internal);
        let long = [0, 0, 0, 0x20, 0];
        assert_eq!(code(&[&long, &[7; 4_000], &[7; 4_000]], 7).await, Code::Unavailable);
        // Announced only: the service's own limit refuses it.
        assert_eq!(read(&[&[0, 0xff, 0, 0, 0], b"x"], 9).await.unwrap(), [0, 0xff, 0, 0, 0]);
    }
}
