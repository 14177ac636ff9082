//! The service under every call: it adds the headers.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use http::header::{ACCEPT_LANGUAGE, AUTHORIZATION};
use http::{HeaderValue, Request, Response};
use tonic::body::Body;
use tower::{BoxError, Service};

use crate::client::Client;
use crate::session::Tokens;

/// What the generated stubs take as their channel; from [`Client::raw`].
#[derive(Clone, Debug)]
pub struct Raw {
    pub(crate) client: Client,
}

/// The tokens that an attempt of ours is made with.
#[derive(Clone)]
pub(crate) struct With(pub(crate) Arc<Tokens>);

/// When the server ends the answer to a call.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ends {
    /// At the deadline.
    AtDeadline,
    /// A stream that goes on.
    Never,
}

impl Service<Request<Body>> for Raw {
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Response<Body>, BoxError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.client.channel.poll_ready(cx).map_err(BoxError::from)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        // The clone has not been polled ready, this one has.
        let clone = self.client.clone();
        let mut client = std::mem::replace(&mut self.client, clone);
        async move {
            let with = request.extensions_mut().remove::<With>();
            let ends = request.extensions_mut().remove::<Ends>();
            let tokens = match (with, &client.session) {
                (Some(With(tokens)), _) => Some(tokens),
                (None, Some(session)) => Some(session.fresh(&client.signed_out()).await?),
                (None, None) => None,
            };
            let headers = request.headers_mut();
            if let Some(tokens) = tokens {
                headers.insert(AUTHORIZATION, tokens.header.clone());
            }
            if let Some(language) = &client.language {
                headers.insert(ACCEPT_LANGUAGE, language.clone());
            }
            if ends != Some(Ends::Never) {
                headers.entry("grpc-timeout").or_insert_with(|| timeout(client.deadline));
            }
            Ok(client.channel.call(request).await?)
        }
        .boxed()
    }
}

/// `grpc-timeout`: up to 8 digits and a unit.
fn timeout(deadline: Duration) -> HeaderValue {
    let millis = u32::try_from(deadline.as_millis()).unwrap_or(u32::MAX).min(99_999_999);
    HeaderValue::try_from(format!("{millis}m")).unwrap_or(HeaderValue::from_static("10S"))
}
