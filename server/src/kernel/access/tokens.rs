//! Access tokens: signed JWTs that name the account, the session and the roles.
//!
//! A token says who signed in, not that the session still lives: whoever verifies one must also
//! look the session up. All times are judged by the `now` that is passed in.
//!
//! Stricter than the library's own rules: `EdDSA` alone, keys from our folder alone, a head of
//! `alg`, `kid` and `typ` and nothing else (so no `jku`, `jwk`, `x5u`, `crit`), every claim
//! required in its JSON type, `nbf` judged, and [`LEEWAY`] instead of a minute.

use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;
use jsonwebtoken::{
    Algorithm, DecodingKey, EncodingKey, Header, Validation,
    errors::{Error as JwtError, ErrorKind},
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::token_cache::TokenCache;
use crate::kernel::crypto::sha256;
use crate::kernel::crypto::signing::{SigningKey, signer};

/// Longest token that is looked at, in bytes.
pub const MAX_TOKEN: usize = 4_096;
/// Seconds by which the clocks of two replicas may differ.
pub const LEEWAY: i64 = 5;
/// Value of the claim `typ`; no other token of this server carries it.
const ACCESS: &str = "access";
const HEADER_TYPE: &str = "JWT";

/// What an access token says. Times are seconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// Who issued it: this clinic's server.
    pub iss: String,
    /// For whom: this clinic's API.
    pub aud: String,
    /// The account.
    pub sub: Uuid,
    /// The session. The caller of [`Tokens::verify`] checks that it lives.
    pub sid: Uuid,
    /// Always `access`.
    pub typ: String,
    /// Roles of the account at the time of issue.
    pub roles: Vec<String>,
    /// When it was issued.
    pub iat: i64,
    /// When it becomes valid.
    pub nbf: i64,
    /// When it expires.
    pub exp: i64,
    /// The token's own id.
    pub jti: Uuid,
}

/// What a new token is to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewToken {
    /// Id of the token.
    pub id: Uuid,
    /// The account that signed in.
    pub account: Uuid,
    /// Its session.
    pub session: Uuid,
    /// Its roles.
    pub roles: Vec<String>,
}

/// Why a token is refused. Callers get one and the same answer for all of them; the kind is for
/// metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// No token was sent.
    #[error("no token")]
    Missing,
    /// Longer than [`MAX_TOKEN`].
    #[error("token too long")]
    TooLong,
    /// Not three parts of base64url and JSON, a claim is missing, doubled or of a wrong type, or
    /// the head says more than it may.
    #[error("malformed token")]
    Malformed,
    /// Another algorithm than `EdDSA`.
    #[error("wrong algorithm")]
    WrongAlgorithm,
    /// Names a key that the key folder does not hold.
    #[error("unknown key")]
    UnknownKey,
    /// The signature is not that of the named key.
    #[error("bad signature")]
    BadSignature,
    /// From another issuer.
    #[error("wrong issuer")]
    WrongIssuer,
    /// For another audience.
    #[error("wrong audience")]
    WrongAudience,
    /// Genuine, but not an access token.
    #[error("wrong type of token")]
    WrongType,
    /// Past its expiry.
    #[error("expired")]
    Expired,
    /// Before its time.
    #[error("not yet valid")]
    NotYetValid,
    /// A token could not be made: no key, or the library failed.
    #[error("cannot sign")]
    CannotSign,
}

/// Whose tokens are issued and accepted.
#[derive(Debug, Clone)]
pub struct TokenConfig {
    /// Claim `iss`.
    pub issuer: String,
    /// Claim `aud`.
    pub audience: String,
    /// Life of a token in seconds.
    pub life: i64,
}

/// The head of a token. What else a head can hold is refused, not ignored.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    alg: String,
    kid: String,
    typ: String,
}

/// A key as it is used.
struct ReadyKey {
    kid: String,
    public: [u8; 32],
    ripe_at: i64,
    verifier: DecodingKey,
    signer: EncodingKey,
    head: Header,
}

impl From<&SigningKey> for ReadyKey {
    fn from(key: &SigningKey) -> Self {
        let mut head = Header::new(Algorithm::EdDSA);
        head.kid = Some(key.kid.clone());
        Self {
            kid: key.kid.clone(),
            public: key.public,
            ripe_at: key.ripe_at(),
            verifier: DecodingKey::from_ed_der(&key.public),
            signer: EncodingKey::from_ed_der(key.pkcs8()),
            head,
        }
    }
}

/// The keys at one time, and what was verified with them: it is forgotten with a key.
struct KeySet {
    keys: Vec<ReadyKey>,
    cache: TokenCache,
}

impl KeySet {
    fn new(keys: &[SigningKey]) -> Result<Arc<Self>, TokenError> {
        if keys.is_empty() {
            return Err(TokenError::CannotSign);
        }
        let keys = keys.iter().map(ReadyKey::from).collect();
        Ok(Arc::new(Self { keys, cache: TokenCache::new() }))
    }
}

/// Issues and verifies access tokens. One for the whole server.
pub struct Tokens {
    config: TokenConfig,
    validation: Validation,
    keys: RwLock<Arc<KeySet>>,
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Tokens {
    /// The [`signer`] among the keys signs, all verify. Fails with `CannotSign` without a key.
    pub fn new(keys: &[SigningKey], config: TokenConfig) -> Result<Self, TokenError> {
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_issuer(&[&config.issuer]);
        validation.set_audience(&[&config.audience]);
        validation.set_required_spec_claims(&["exp", "nbf", "iss", "aud", "sub"]);
        // Times are judged below, by the given clock and not by the library's.
        validation.validate_exp = false;
        validation.validate_nbf = false;
        Ok(Self { config, validation, keys: RwLock::new(KeySet::new(keys)?) })
    }

    /// Goes on with these keys, from the next token on; tells whether they are others. Fails with
    /// `CannotSign` without a key, and then goes on with those that it has.
    pub fn replace_keys(&self, keys: &[SigningKey]) -> Result<bool, TokenError> {
        let names = |key: &ReadyKey| (key.kid.clone(), key.public, key.ripe_at);
        let new = KeySet::new(keys)?;
        if new.keys.iter().map(names).eq(self.keys().keys.iter().map(names)) {
            return Ok(false);
        }
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = new;
        Ok(true)
    }

    fn keys(&self) -> Arc<KeySet> {
        Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// A signed token, valid from `now` for the configured life.
    pub fn issue(&self, new: NewToken, now: Timestamp) -> Result<String, TokenError> {
        let now = now.as_second();
        let claims = Claims {
            iss: self.config.issuer.clone(),
            aud: self.config.audience.clone(),
            sub: new.account,
            sid: new.session,
            typ: ACCESS.to_owned(),
            roles: new.roles,
            iat: now,
            nbf: now,
            exp: now.saturating_add(self.config.life),
            jti: new.id,
        };
        let set = self.keys();
        let key = signer(&set.keys, |key| key.ripe_at, now).ok_or(TokenError::CannotSign)?;
        let token = jsonwebtoken::encode(&key.head, &claims, &key.signer)
            .map_err(|_| TokenError::CannotSign)?;
        if token.len() > MAX_TOKEN { Err(TokenError::TooLong) } else { Ok(token) }
    }

    /// Checks a token and gives what it says. Remembers good tokens for up to 30 seconds.
    pub fn verify(&self, token: &str, now: Timestamp) -> Result<Arc<Claims>, TokenError> {
        let now = now.as_second();
        match token.len() {
            0 => return Err(TokenError::Missing),
            length if length > MAX_TOKEN => return Err(TokenError::TooLong),
            _ => {}
        }
        let (set, digest) = (self.keys(), sha256(token.as_bytes()));
        if let Some(claims) = set.cache.get(&digest, now) {
            return Ok(claims);
        }
        let claims = Arc::new(self.check(&set.keys, token, now)?);
        set.cache.put(digest, Arc::clone(&claims), now);
        Ok(claims)
    }

    /// The public keys as a JSON Web Key Set (RFC 7517, RFC 8037).
    #[must_use]
    pub fn jwks(&self) -> serde_json::Value {
        let keys: Vec<_> = self
            .keys()
            .keys
            .iter()
            .map(|key| {
                serde_json::json!({
                    "kty": "OKP",
                    "crv": "Ed25519",
                    "use": "sig",
                    "alg": "EdDSA",
                    "kid": key.kid,
                    "x": URL_SAFE_NO_PAD.encode(key.public),
                })
            })
            .collect();
        serde_json::json!({ "keys": keys })
    }

    fn check(&self, keys: &[ReadyKey], token: &str, now: i64) -> Result<Claims, TokenError> {
        let head = token.split('.').next().unwrap_or_default();
        let head = URL_SAFE_NO_PAD.decode(head).map_err(|_| TokenError::Malformed)?;
        let head: Head = serde_json::from_slice(&head).map_err(|_| TokenError::Malformed)?;
        if head.alg != "EdDSA" {
            return Err(TokenError::WrongAlgorithm);
        }
        if head.typ != HEADER_TYPE {
            return Err(TokenError::WrongType);
        }
        let key = keys.iter().find(|key| key.kid == head.kid).ok_or(TokenError::UnknownKey)?;
        let claims = jsonwebtoken::decode::<Claims>(token, &key.verifier, &self.validation)
            .map_err(|error| refusal(&error))?
            .claims;
        if claims.typ != ACCESS {
            return Err(TokenError::WrongType);
        }
        if now >= claims.exp.saturating_add(LEEWAY) {
            return Err(TokenError::Expired);
        }
        if now < claims.nbf.saturating_sub(LEEWAY) {
            return Err(TokenError::NotYetValid);
        }
        Ok(claims)
    }
}

fn refusal(error: &JwtError) -> TokenError {
    match error.kind() {
        ErrorKind::InvalidSignature => TokenError::BadSignature,
        ErrorKind::InvalidAlgorithm => TokenError::WrongAlgorithm,
        ErrorKind::InvalidIssuer => TokenError::WrongIssuer,
        ErrorKind::InvalidAudience => TokenError::WrongAudience,
        _ => TokenError::Malformed,
    }
}

#[cfg(test)]
#[path = "tokens_tests.rs"]
mod tests;
