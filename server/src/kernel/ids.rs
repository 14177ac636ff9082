//! New ids: UUIDv7, ordered by the time of the system's clock.

use super::clock::Clock;

/// Makes ids.
#[derive(Clone, Debug)]
pub struct Ids {
    clock: Clock,
}

impl Ids {
    /// Ids that follow this clock.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        Self { clock }
    }

    /// A new UUIDv7: 48 bits of time in milliseconds, the rest from the system's randomness.
    #[must_use]
    pub fn next(&self) -> uuid::Uuid {
        let micros = self.clock.now().unix_micros();
        let seconds = u64::try_from(micros.div_euclid(1_000_000)).unwrap_or(0);
        let nanos = u32::try_from(micros.rem_euclid(1_000_000) * 1_000).unwrap_or(0);
        uuid::Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, seconds, nanos))
    }
}
