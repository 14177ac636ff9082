//! Recently verified access tokens, so that a busy caller's token is not verified on every call.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use super::tokens::Claims;

const SHARDS: usize = 16;
/// Entries of one shard; 10,000 in all.
const SHARD_CAPACITY: usize = 625;
/// Seconds for which a verification is believed.
const LIFE: i64 = 30;

struct Entry {
    claims: Arc<Claims>,
    /// Seconds since 1970: believed from here on,
    since: i64,
    /// and up to, not including, here.
    until: i64,
}

/// Claims by the SHA-256 of their token. Bounded; holds verified tokens only.
pub(super) struct TokenCache {
    shards: [Mutex<HashMap<[u8; 32], Entry>>; SHARDS],
}

impl TokenCache {
    pub(super) fn new() -> Self {
        Self { shards: std::array::from_fn(|_| Mutex::default()) }
    }

    /// The claims, if the token was verified within [`LIFE`] seconds and has not expired. A clock
    /// that went back makes it verify anew.
    pub(super) fn get(&self, token: &[u8; 32], now: i64) -> Option<Arc<Claims>> {
        let shard = self.shard(token).lock().unwrap_or_else(PoisonError::into_inner);
        let entry = shard.get(token)?;
        (entry.since..entry.until).contains(&now).then(|| Arc::clone(&entry.claims))
    }

    pub(super) fn put(&self, token: [u8; 32], claims: Arc<Claims>, now: i64) {
        let until = claims.exp.min(now.saturating_add(LIFE));
        let mut shard = self.shard(&token).lock().unwrap_or_else(PoisonError::into_inner);
        if shard.len() >= SHARD_CAPACITY && !shard.contains_key(&token) {
            shard.retain(|_, entry| (entry.since..entry.until).contains(&now));
            if shard.len() >= SHARD_CAPACITY {
                // More live tokens than room: starting over is cheap and needs no bookkeeping.
                shard.clear();
            }
        }
        shard.insert(token, Entry { claims, since: now, until });
    }

    fn shard(&self, token: &[u8; 32]) -> &Mutex<HashMap<[u8; 32], Entry>> {
        &self.shards[usize::from(token[0]) % SHARDS]
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::kernel::crypto::sha256;
    use uuid::Uuid;

    fn claims(exp: i64) -> Arc<Claims> {
        Arc::new(Claims {
            iss: String::new(),
            aud: String::new(),
            sub: Uuid::nil(),
            sid: Uuid::nil(),
            typ: String::new(),
            roles: Vec::new(),
            iat: 0,
            nbf: 0,
            exp,
            jti: Uuid::nil(),
        })
    }

    #[test]
    fn lives_thirty_seconds_and_never_past_the_expiry() {
        let cache = TokenCache::new();
        cache.put([1; 32], claims(10_000), 1_000);
        cache.put([2; 32], claims(1_010), 1_000);
        let found = |token, now| cache.get(&[token; 32], now).is_some();
        assert!(found(1, 1_000) && found(1, 1_029) && !found(1, 1_030));
        assert!(found(2, 1_009) && !found(2, 1_010));
        assert!(!found(1, 999), "a clock that went back");
        assert!(!found(3, 1_000));
    }

    #[test]
    fn is_bounded() {
        let cache = TokenCache::new();
        for n in 0..40_000_i64 {
            cache.put(sha256(&n.to_be_bytes()), claims(10_000), 1_000 + n / 1_000);
        }
        let held: usize = cache.shards.iter().map(|shard| shard.lock().unwrap().len()).sum();
        assert!(held > 0 && held <= SHARDS * SHARD_CAPACITY, "{held}");
    }
}
