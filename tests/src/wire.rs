//! Calls below the SDK: any method, any bytes, and answers to their last byte.

use std::time::Duration;

use clinicd_proto::rpc::Rpc;
use clinicd_sdk::Code;
use tonic::codec::{BufferSettings, Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

use crate::people::Person;

/// How long a call may take.
const DEADLINE: Duration = Duration::from_secs(10);

/// A refusal to its last byte: code, message, encoded details.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The gRPC code.
    pub code: Code,
    /// For developers, in English.
    pub message: String,
    /// The encoded `google.rpc.Status`.
    pub details: Vec<u8>,
}

impl From<Status> for Refusal {
    fn from(status: Status) -> Self {
        Self {
            code: status.code(),
            message: status.message().to_owned(),
            details: status.details().to_vec(),
        }
    }
}

impl Refusal {
    /// What the SDK makes of it.
    #[must_use]
    pub fn into_error(self) -> clinicd_sdk::Error {
        Status::with_details(self.code, self.message, self.details.into()).into()
    }
}

/// A channel to the server at this URL.
#[must_use]
pub fn channel(url: &str) -> Channel {
    Endpoint::from_shared(url.to_owned()).unwrap().connect_lazy()
}

/// The access token that a person holds now.
#[must_use]
pub fn access_token(person: &Person) -> String {
    person.client.tokens().unwrap().access_token
}

/// Sends a message and returns the bytes of the first answer, once and as it comes.
///
/// # Errors
/// The refusal.
pub async fn send<R: Rpc>(
    channel: &Channel,
    token: Option<&str>,
    message: &R,
) -> Result<Vec<u8>, Refusal> {
    call(channel, R::PATH, token, message.encode_to_vec()).await
}

/// Calls any method with any body, and returns the bytes of the first answer.
///
/// # Errors
/// The refusal.
pub async fn call(
    channel: &Channel,
    path: &str,
    token: Option<&str>,
    body: Vec<u8>,
) -> Result<Vec<u8>, Refusal> {
    let mut request = Request::new(body);
    request.set_timeout(DEADLINE);
    if let Some(token) = token {
        request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    }
    let mut grpc = tonic::client::Grpc::new(channel.clone());
    grpc.ready().await.unwrap();
    // As a stream, any method can be read.
    let path = path.parse().unwrap();
    let mut answers = grpc.server_streaming(request, path, Plain).await?.into_inner();
    Ok(answers.message().await?.unwrap_or_default())
}

/// Bytes as they are.
#[derive(Clone, Copy)]
struct Plain;

impl Codec for Plain {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Plain {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, bytes: Vec<u8>, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        use bytes::BufMut as _;
        buffer.put_slice(&bytes);
        Ok(())
    }
}

impl Decoder for Plain {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, bytes: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        use bytes::Buf as _;
        Ok(Some(bytes.copy_to_bytes(bytes.remaining()).to_vec()))
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::default()
    }
}
