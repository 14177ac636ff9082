//! How much the port takes, and how long it waits.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Limits of one process. All times are in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Open connections; one more is closed at once. `CLINICD_LIMITS__CONNECTIONS`.
    pub connections: usize,
    /// Open connections of one client address (IPv6: of its /64), except of trusted proxies.
    pub connections_per_address: usize,
    /// From accepting a connection to the end of the TLS handshake and of the HTTP/2 preface or the
    /// first HTTP/1 header. Also from one HTTP/1 request to the header of the next.
    pub first_bytes_millis: u64,
    /// From accepting an HTTP/2 connection to its first call.
    pub first_call_millis: u64,
    /// From the head of a unary call to the end of its message.
    pub message_millis: u64,
    /// Messages that have arrived in part and are waited for, in KiB, all calls together.
    pub arriving_kib: u32,
    /// Age at which a connection is told to make room for a new one; a tenth more or less, so that
    /// those of one moment do not end in one moment.
    pub connection_age_millis: u64,
    /// How long calls of such a connection may go on.
    pub connection_grace_millis: u64,
    /// How long calls may go on after the server was told to stop.
    pub drain_millis: u64,
    /// Calls at work at a time; four for each database connection unless set.
    pub work_calls: Option<usize>,
    /// Calls that may wait for a place at work.
    pub work_queue: usize,
    /// How long they wait before they are told to come back.
    pub work_wait_millis: u64,
    /// Sign-ins, registrations and refreshes at a time. They have places of their own, so that
    /// neither they nor the rest of the work can shut the other out.
    pub sign_in_calls: usize,
    /// Such calls that may wait for a place.
    pub sign_in_queue: usize,
    /// How long they wait.
    pub sign_in_wait_millis: u64,
    /// Unary calls of one account at a time: half of the places that a server has by default.
    pub calls_per_account: usize,
    /// Open streams.
    pub streams: usize,
    /// Open streams of one account.
    pub streams_per_account: usize,
    /// Sign-ins, registrations and what else changes something without a token: so many a minute of
    /// one client address (IPv6: of its /64), which a whole clinic may share. 0: any number; so for
    /// all rates.
    pub sign_in_per_minute: u32,
    /// How many of them may come at once.
    pub sign_in_burst: u32,
    /// Reads without a token, of one client address.
    pub public_reads_per_minute: u32,
    /// How many of them may come at once.
    pub public_reads_burst: u32,
    /// Calls of one client address that end without a caller, and tickets: nobody is known to be
    /// signed in. When they are too many, all calls of the address that need a token wait.
    pub unauthenticated_per_minute: u32,
    /// How many of them may come at once.
    pub unauthenticated_burst: u32,
    /// Reads of one account.
    pub reads_per_minute: u32,
    /// How many of them may come at once.
    pub reads_burst: u32,
    /// Changes by one account.
    pub changes_per_minute: u32,
    /// How many of them may come at once.
    pub changes_burst: u32,
    /// Calls of one account that show medical data.
    pub medical_per_minute: u32,
    /// How many of them may come at once.
    pub medical_burst: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 10_240,
            connections_per_address: 1_024,
            first_bytes_millis: 10_000,
            first_call_millis: 60_000,
            message_millis: 15_000,
            arriving_kib: 64 * 1_024,
            connection_age_millis: 30 * 60_000,
            connection_grace_millis: 60_000,
            drain_millis: 25_000,
            work_calls: None,
            work_queue: 512,
            work_wait_millis: 250,
            sign_in_calls: 32,
            sign_in_queue: 64,
            sign_in_wait_millis: 1_000,
            calls_per_account: 32,
            streams: 12_000,
            streams_per_account: 100,
            sign_in_per_minute: 600,
            sign_in_burst: 200,
            public_reads_per_minute: 6_000,
            public_reads_burst: 1_000,
            unauthenticated_per_minute: 600,
            unauthenticated_burst: 200,
            reads_per_minute: 6_000,
            reads_burst: 1_000,
            changes_per_minute: 3_000,
            changes_burst: 500,
            medical_per_minute: 3_000,
            medical_burst: 500,
        }
    }
}

impl Limits {
    /// These without rates: a caller may call as often as there is room.
    #[must_use]
    pub fn without_rates(self) -> Self {
        Self {
            sign_in_per_minute: 0,
            public_reads_per_minute: 0,
            unauthenticated_per_minute: 0,
            reads_per_minute: 0,
            changes_per_minute: 0,
            medical_per_minute: 0,
            ..self
        }
    }

    /// See the field.
    #[must_use]
    pub fn first_bytes(&self) -> Duration {
        Duration::from_millis(self.first_bytes_millis)
    }

    /// See the field.
    #[must_use]
    pub fn first_call(&self) -> Duration {
        Duration::from_millis(self.first_call_millis)
    }

    /// See the field.
    #[must_use]
    pub fn message(&self) -> Duration {
        Duration::from_millis(self.message_millis)
    }

    /// The age at which one connection ends: `chance`, any number, decides where in the tenth
    /// around the configured age.
    #[must_use]
    pub fn connection_age(&self, chance: u16) -> Duration {
        let tenth = self.connection_age_millis / 10;
        let jitter = tenth * 2 * u64::from(chance) / u64::from(u16::MAX);
        Duration::from_millis(self.connection_age_millis - tenth + jitter)
    }

    /// See the field.
    #[must_use]
    pub fn connection_grace(&self) -> Duration {
        Duration::from_millis(self.connection_grace_millis)
    }

    /// See the field.
    #[must_use]
    pub fn drain(&self) -> Duration {
        Duration::from_millis(self.drain_millis)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_differ_by_a_tenth() {
        let limits = Limits { connection_age_millis: 1_000, ..Limits::default() };
        assert_eq!(limits.connection_age(0), Duration::from_millis(900));
        assert_eq!(limits.connection_age(u16::MAX), Duration::from_millis(1_100));
    }
}
