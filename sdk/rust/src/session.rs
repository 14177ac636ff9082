//! The tokens of a session. Clones of a client share them, and one refresh serves all.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use clinicd_proto::identity::v1::{
    ExchangeApiKeyRequest, ExchangeApiKeyResponse, RefreshTokenRequest, TokenPair,
};
use http::HeaderValue;
use tonic::Code;
use uuid::Uuid;

use crate::client::Client;
use crate::error::{Error, Result};

/// How long before its end an access token is renewed.
const RENEW_BEFORE: Duration = Duration::from_mins(1);
/// An access token is not renewed by the clock earlier than this, so that a client whose clock is
/// wrong does not renew at every call.
const RENEW_NOT_BEFORE: Duration = Duration::from_secs(30);

/// The tokens at one time.
pub(crate) struct Tokens {
    pub(crate) pair: TokenPair,
    /// `Bearer …`, never shown in logs.
    pub(crate) header: HeaderValue,
    renew_at: Instant,
    /// The exchange of these tokens always has this id, so that one whose answer was lost can be
    /// asked for again: the refresh token works only once.
    exchange: Uuid,
}

impl Tokens {
    fn new(pair: TokenPair) -> Result<Self> {
        let mut header = HeaderValue::try_from(format!("Bearer {}", pair.access_token))
            .map_err(|_| Error::Setup("the access token is not one".to_owned()))?;
        header.set_sensitive(true);
        let left = life_left(&pair).saturating_sub(RENEW_BEFORE).max(RENEW_NOT_BEFORE);
        Ok(Self { pair, header, renew_at: Instant::now() + left, exchange: crate::new_id() })
    }
}

/// How long the access token is good for, by the clock of this machine.
#[expect(
    clippy::disallowed_methods,
    reason = "a client has no other clock; a wrong one is coped with"
)]
fn life_left(pair: &TokenPair) -> Duration {
    let ends = pair.access_token_expire_time.as_ref();
    let ends = ends.and_then(|time| u64::try_from(time.seconds).ok()).unwrap_or_default();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    Duration::from_secs(ends).saturating_sub(now.unwrap_or_default())
}

/// A session. Shared by the clones of a client.
pub(crate) struct Session {
    pub(crate) account_id: String,
    /// What new tokens are fetched with, when it is not the refresh token.
    api_key: Option<String>,
    current: RwLock<Arc<Tokens>>,
    /// Held by whoever exchanges the tokens.
    exchanging: tokio::sync::Mutex<()>,
}

impl Session {
    pub(crate) fn new(account_id: String, pair: TokenPair) -> Result<Self> {
        let current = RwLock::new(Arc::new(Tokens::new(pair)?));
        Ok(Self { account_id, api_key: None, current, exchanging: tokio::sync::Mutex::new(()) })
    }

    /// A session of a service account.
    pub(crate) fn of_api_key(api_key: String, answer: ExchangeApiKeyResponse) -> Result<Self> {
        let session = Self::new(answer.account_id.clone(), pair(answer))?;
        Ok(Self { api_key: Some(api_key), ..session })
    }

    pub(crate) fn current(&self) -> Arc<Tokens> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Tokens that are good for a while. A failed renewal that was not a refusal leaves the old
    /// ones in use: they have a minute left.
    pub(crate) async fn fresh(&self, anonymous: &Client) -> Result<Arc<Tokens>> {
        let tokens = self.current();
        if Instant::now() < tokens.renew_at {
            return Ok(tokens);
        }
        match self.renewed(anonymous, &tokens).await {
            Err(Error::Transport(_) | Error::Deadline) => Ok(tokens),
            renewed => renewed,
        }
    }

    /// Tokens that came after these: those that another task has fetched meanwhile, or new ones.
    pub(crate) async fn renewed(
        &self,
        anonymous: &Client,
        stale: &Arc<Tokens>,
    ) -> Result<Arc<Tokens>> {
        let _exchanging = self.exchanging.lock().await;
        let current = self.current();
        if !Arc::ptr_eq(&current, stale) {
            return Ok(current);
        }
        let fetched = self.fetch(anonymous, stale).await.map_err(|error| match error {
            Error::Api(error) if error.code == Code::Unauthenticated => Error::SessionEnded(error),
            error => error,
        })?;
        let fresh = Arc::new(Tokens::new(fetched)?);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&fresh);
        Ok(fresh)
    }

    /// New tokens from the server. Boxed, because calls renew tokens and renewing is a call.
    async fn fetch(&self, anonymous: &Client, stale: &Tokens) -> Result<TokenPair> {
        let request_id = stale.exchange.to_string();
        if let Some(api_key) = &self.api_key {
            let request = ExchangeApiKeyRequest { request_id, api_key: api_key.clone() };
            return Ok(pair(Box::pin(anonymous.send(request)).await?));
        }
        let refresh_token = stale.pair.refresh_token.clone();
        let request = RefreshTokenRequest { request_id, refresh_token };
        Ok(Box::pin(anonymous.send(request)).await?.tokens.unwrap_or_default())
    }
}

/// The tokens of a program, which has no refresh token.
fn pair(answer: ExchangeApiKeyResponse) -> TokenPair {
    TokenPair {
        access_token: answer.access_token,
        access_token_expire_time: answer.expire_time,
        ..TokenPair::default()
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn tokens_never_show_in_logs_and_a_wrong_clock_does_not_thrash() {
        let pair = TokenPair { access_token: "secret".to_owned(), ..TokenPair::default() };
        let tokens = Tokens::new(pair).unwrap();
        assert!(!format!("{:?}", tokens.header).contains("secret"));
        let wait = tokens.renew_at.saturating_duration_since(Instant::now());
        assert!(wait > Duration::from_secs(29), "{wait:?}");
    }
}
