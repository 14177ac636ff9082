//! Numbers and ids that look random and are the same for the same seed.

use uuid::Uuid;

/// `SplitMix64`: small, fast, and good enough for test data.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// The sequence of this seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        // Neighbouring seeds begin far apart.
        let mut random = Self(seed ^ 0x6c6f_6164_6c6f_6164);
        random.next();
        random
    }

    /// The next 64 bits.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// A number from 0 up to, but not, `limit`; 0 when there is none.
    pub fn below(&mut self, limit: usize) -> usize {
        let limit = u64::try_from(limit).unwrap_or(u64::MAX).max(1);
        usize::try_from(self.next() % limit).unwrap_or_default()
    }

    /// A number from `from` up to, but not, `until`.
    pub fn between(&mut self, from: i64, until: i64) -> i64 {
        let span = usize::try_from(until - from).unwrap_or_default();
        from + i64::try_from(self.below(span)).unwrap_or_default()
    }

    /// True this many times in a hundred.
    pub fn percent(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    /// One of several; none of none.
    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> Option<&'a T> {
        of.get(self.below(of.len()))
    }

    /// One of several texts; empty of none.
    pub fn word(&mut self, of: &[&'static str]) -> &'static str {
        self.pick(of).copied().unwrap_or_default()
    }

    /// An id as the server makes them: `UUIDv7` of this second.
    pub fn id(&mut self, unix_seconds: i64) -> Uuid {
        let (high, low) = (self.next().to_be_bytes(), self.next().to_be_bytes());
        let mut bits = [0; 10];
        for (bit, from) in bits.iter_mut().zip(high.into_iter().chain(low)) {
            *bit = from;
        }
        let millis = u64::try_from(unix_seconds).unwrap_or_default() * 1_000 + self.next() % 1_000;
        uuid::Builder::from_unix_timestamp_millis(millis, &bits).into_uuid()
    }
}
