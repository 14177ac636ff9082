//! The client, and how it is set up.

use std::sync::Arc;
use std::time::Duration;

use clinicd_proto::identity::v1::{
    CompleteSecondFactorRequest, ExchangeApiKeyRequest, SecondFactorChallenge, SignInRequest,
    SignOutRequest, TokenPair, VerifyOtpRequest,
};
use http::HeaderValue;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};

use crate::error::{Error, Result};
use crate::raw::Raw;
use crate::retry::RetryPolicy;
use crate::session::Session;

/// Deadline of a call unless another is set.
pub const DEFAULT_DEADLINE: Duration = Duration::from_secs(10);
/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How often an idle connection is tried, so that a dead server is noticed.
const KEEP_ALIVE: Duration = Duration::from_secs(30);

/// A client of one server, signed in or not. Cheap to clone; clones share the connection and the
/// session. `Send` and `Sync`.
#[derive(Clone)]
pub struct Client {
    pub(crate) channel: Channel,
    pub(crate) session: Option<Arc<Session>>,
    pub(crate) deadline: Duration,
    pub(crate) retry: RetryPolicy,
    pub(crate) language: Option<HeaderValue>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client")
            .field("account_id", &self.account_id())
            .field("deadline", &self.deadline)
            .field("retry", &self.retry)
            .finish_non_exhaustive()
    }
}

impl Client {
    /// A client with default settings. It connects with the first call.
    ///
    /// # Errors
    /// [`Error::Setup`] when the URL is not one.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn connect_lazy(url: &str) -> Result<Self> {
        Builder::new(url).connect_lazy()
    }

    /// Settings for a client of the server at `http://…` or `https://…`.
    #[must_use]
    pub fn builder(url: &str) -> Builder {
        Builder::new(url)
    }

    /// Signs in with e-mail address and password: a client that acts for that account. Its tokens
    /// renew themselves.
    ///
    /// # Errors
    /// [`Error::SecondFactor`] when the account has a second factor: go on with
    /// [`complete_second_factor`](Self::complete_second_factor).
    pub async fn sign_in(&self, email: &str, password: &str) -> Result<Self> {
        self.sign_in_with(SignInRequest {
            email: email.to_owned(),
            password: password.to_owned(),
            ..SignInRequest::default()
        })
        .await
    }

    /// Signs in, also by phone number; the request also names the device.
    pub async fn sign_in_with(&self, request: SignInRequest) -> Result<Self> {
        let answer = self.signed_out().send(request).await?;
        self.admitted(answer.account_id, answer.tokens, answer.second_factor)
    }

    /// Signs in with a code that was sent to a phone (`AuthService.SendOtp`).
    pub async fn verify_otp(&self, request: VerifyOtpRequest) -> Result<Self> {
        let answer = self.signed_out().send(request).await?;
        self.admitted(answer.account_id, answer.tokens, answer.second_factor)
    }

    /// Ends a sign-in that asked for a second factor, with a code of the authenticator app or a
    /// recovery code.
    pub async fn complete_second_factor(
        &self,
        challenge: &SecondFactorChallenge,
        code: &str,
    ) -> Result<Self> {
        let request = CompleteSecondFactorRequest {
            challenge_token: challenge.challenge_token.clone(),
            code: code.to_owned(),
            ..CompleteSecondFactorRequest::default()
        };
        let answer = self.signed_out().send(request).await?;
        self.admitted(answer.account_id, answer.tokens, None)
    }

    /// A client that acts for the service account of an API key, within the key's scopes. It
    /// exchanges the key anew whenever its token ends.
    pub async fn with_api_key(&self, api_key: &str) -> Result<Self> {
        let anonymous = self.signed_out();
        let request = ExchangeApiKeyRequest { api_key: api_key.to_owned(), ..Default::default() };
        let answer = anonymous.send(request).await?;
        let session = Session::of_api_key(api_key.to_owned(), answer)?;
        Ok(Self { session: Some(Arc::new(session)), ..anonymous })
    }

    fn admitted(
        &self,
        account_id: String,
        tokens: Option<TokenPair>,
        second_factor: Option<SecondFactorChallenge>,
    ) -> Result<Self> {
        match (tokens, second_factor) {
            (Some(tokens), _) => self.with_tokens(account_id, tokens),
            (None, Some(challenge)) => Err(Error::SecondFactor(challenge)),
            (None, None) => Err(Error::NotActivated),
        }
    }

    /// Goes on with a session whose tokens were kept; see [`tokens`](Self::tokens).
    pub fn with_tokens(&self, account_id: String, tokens: TokenPair) -> Result<Self> {
        let session = Some(Arc::new(Session::new(account_id, tokens)?));
        Ok(Self { session, ..self.clone() })
    }

    /// Ends the session, for all clones. One that has ended before is fine: perhaps this very call
    /// ended it and its answer was lost.
    pub async fn sign_out(&self) -> Result<()> {
        match self.send(SignOutRequest::default()).await {
            Ok(_) | Err(Error::SessionEnded(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The same client without a session.
    #[must_use]
    pub fn signed_out(&self) -> Self {
        Self { session: None, ..self.clone() }
    }

    /// The account that is signed in.
    #[must_use]
    pub fn account_id(&self) -> Option<&str> {
        self.session.as_ref().map(|session| session.account_id.as_str())
    }

    /// The present tokens, for keeping them beyond this process. Secret.
    #[must_use]
    pub fn tokens(&self) -> Option<TokenPair> {
        self.session.as_ref().map(|session| session.current().pair.clone())
    }

    /// The same client with another deadline per call, retries included. Streams have this long to
    /// begin.
    #[must_use]
    pub fn with_deadline(&self, deadline: Duration) -> Self {
        Self { deadline, ..self.clone() }
    }

    /// The same client with another retry policy.
    #[must_use]
    pub fn with_retry(&self, retry: RetryPolicy) -> Self {
        Self { retry, ..self.clone() }
    }

    /// The same client with another language of messages to people (BCP 47, such as "hi").
    pub fn with_language(&self, language: &str) -> Result<Self> {
        let language = Some(language_header(language)?);
        Ok(Self { language, ..self.clone() })
    }

    /// What the generated stubs take, for the cases that this SDK does not cover:
    /// `AccountServiceClient::new(client.raw())`. It adds authorization, language and a deadline,
    /// and renews tokens before they end; it does not repeat calls.
    #[must_use]
    pub fn raw(&self) -> Raw {
        Raw { client: self.clone() }
    }
}

fn language_header(language: &str) -> Result<HeaderValue> {
    HeaderValue::from_str(language)
        .map_err(|_| Error::Setup("the language is not a BCP 47 code".to_owned()))
}

/// Settings of a [`Client`].
#[derive(Debug, Clone)]
pub struct Builder {
    url: String,
    deadline: Duration,
    retry: RetryPolicy,
    language: Option<String>,
    user_agent: Option<String>,
    authority: Option<String>,
}

impl Builder {
    fn new(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            deadline: DEFAULT_DEADLINE,
            retry: RetryPolicy::default(),
            language: None,
            user_agent: None,
            authority: None,
        }
    }

    /// Deadline of each call, retries included; 10 seconds unless set.
    #[must_use]
    pub fn deadline(self, deadline: Duration) -> Self {
        Self { deadline, ..self }
    }

    /// How calls are repeated.
    #[must_use]
    pub fn retry(self, retry: RetryPolicy) -> Self {
        Self { retry, ..self }
    }

    /// Language of messages to people (BCP 47, such as "hi"); English unless set.
    #[must_use]
    pub fn language(self, language: &str) -> Self {
        Self { language: Some(language.to_owned()), ..self }
    }

    /// Name and version of the calling program, put before the SDK's own.
    #[must_use]
    pub fn user_agent(self, user_agent: &str) -> Self {
        Self { user_agent: Some(user_agent.to_owned()), ..self }
    }

    /// A certificate authority (PEM) to trust besides those of the machine.
    #[must_use]
    pub fn trust(self, pem: &str) -> Self {
        Self { authority: Some(pem.to_owned()), ..self }
    }

    /// The client. It connects with the first call.
    ///
    /// # Errors
    /// [`Error::Setup`] when a setting cannot be used.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn connect_lazy(self) -> Result<Client> {
        let own = concat!("clinicd-sdk/", env!("CARGO_PKG_VERSION"));
        let user_agent =
            self.user_agent.map_or_else(|| own.to_owned(), |theirs| format!("{theirs} {own}"));
        let setup = |error: tonic::transport::Error| Error::Setup(format!("{}: {error}", self.url));
        let mut endpoint = Endpoint::from_shared(self.url.clone())
            .and_then(|endpoint| endpoint.user_agent(user_agent))
            .map_err(setup)?
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(KEEP_ALIVE)
            .keep_alive_while_idle(true);
        match endpoint.uri().scheme_str() {
            Some("http") => {}
            Some("https") => {
                let mut tls = ClientTlsConfig::new().with_native_roots();
                if let Some(pem) = &self.authority {
                    tls = tls.ca_certificate(Certificate::from_pem(pem));
                }
                endpoint = endpoint.tls_config(tls).map_err(setup)?;
            }
            _ => return Err(Error::Setup(format!("{}: begin with http:// or https://", self.url))),
        }
        let language = self.language.as_deref().map(language_header).transpose()?;
        Ok(Client {
            channel: endpoint.connect_lazy(),
            session: None,
            deadline: self.deadline,
            retry: self.retry,
            language,
        })
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use clinicd_proto::files::v1::DownloadFileRequest;
    use clinicd_proto::identity::v1::GetMyAccountRequest;

    use super::*;

    fn spawnable<T: Send + 'static>(_: impl FnOnce(Client) -> T) {}

    #[tokio::test]
    async fn calls_can_run_in_tasks() {
        spawnable(|client| async move { client.send(GetMyAccountRequest {}).await });
        spawnable(|client| async move { client.stream(DownloadFileRequest::default()).await });
        spawnable(|client| async move { client.upload("a.pdf", "application/pdf", b"a").await });
    }

    #[tokio::test]
    async fn settings_that_cannot_be_used_are_refused() {
        for url in ["", "clinic", "ftp://clinic.example"] {
            assert!(matches!(Client::connect_lazy(url), Err(Error::Setup(_))), "{url}");
        }
        let builder = Client::builder("http://127.0.0.1:1");
        assert!(matches!(builder.clone().language("h\ni").connect_lazy(), Err(Error::Setup(_))));
        assert!(Client::builder("https://clinic.example").connect_lazy().is_ok());
    }

    #[tokio::test]
    async fn a_server_that_is_away_is_tried_again_within_the_deadline() {
        let client = Client::connect_lazy("http://127.0.0.1:1").unwrap();
        let started = std::time::Instant::now();
        let error = client.send(GetMyAccountRequest {}).await.unwrap_err();
        assert!(matches!(error, Error::Transport(_)), "{error}");
        assert!(started.elapsed() < Duration::from_secs(2));
    }
}
