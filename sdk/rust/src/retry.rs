//! When a call is repeated. Every method is safe to repeat: those that change something carry a
//! `request_id`, under which they have one effect.

use std::time::Duration;

use tonic::Code;

use crate::error::Error;

/// How often and how soon a call is repeated that failed for a passing reason: the server was
/// away or busy, or named a time to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Attempts in all; 1 never repeats.
    pub attempts: u32,
    /// Longest pause before the second attempt; it doubles with each.
    pub first_pause: Duration,
    /// Longest pause between two attempts, unless the server asks for more.
    pub longest_pause: Duration,
}

impl RetryPolicy {
    /// Never repeats.
    pub const NONE: Self =
        Self { attempts: 1, first_pause: Duration::ZERO, longest_pause: Duration::ZERO };

    /// How long to wait after this many attempts; none when the error is to be returned.
    pub(crate) fn pause(&self, attempts: u32, error: &Error) -> Option<Duration> {
        let floor = match error {
            Error::Transport(_) => Duration::ZERO,
            Error::Api(error) => match (error.code, error.retry_after) {
                (Code::Unavailable, wait) => wait.unwrap_or_default(),
                (Code::ResourceExhausted, Some(wait)) => wait,
                _ => return None,
            },
            _ => return None,
        };
        (attempts < self.attempts).then(|| floor + self.jitter(attempts))
    }

    /// Full jitter: anything from nothing to the longest pause of this attempt, so that clients
    /// that failed together do not come back together.
    pub(crate) fn jitter(&self, attempts: u32) -> Duration {
        let doubled = 2_u32.saturating_pow(attempts.saturating_sub(1));
        let ceiling = self.first_pause.saturating_mul(doubled).min(self.longest_pause);
        ceiling.mul_f64(fraction())
    }
}

impl Default for RetryPolicy {
    /// Four attempts within about a second.
    fn default() -> Self {
        Self {
            attempts: 4,
            first_pause: Duration::from_millis(100),
            longest_pause: Duration::from_secs(5),
        }
    }
}

/// A random number from 0 to 1.
fn fraction() -> f64 {
    let [.., a, b, c, d] = *crate::new_id().as_bytes();
    f64::from(u32::from_be_bytes([a, b, c, d])) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::error::ApiError;

    fn refusal(code: Code, retry_after: Option<Duration>) -> Error {
        Error::Api(Box::new(ApiError {
            code,
            reason: "X".to_owned(),
            metadata: BTreeMap::new(),
            message: String::new(),
            localized: None,
            violations: Vec::new(),
            preconditions: Vec::new(),
            retry_after,
            request_id: None,
        }))
    }

    #[test]
    fn only_passing_failures_are_repeated() {
        let policy = RetryPolicy::default();
        let wait = Some(Duration::from_secs(3));
        for (error, repeated) in [
            (Error::Transport(String::new()), true),
            (refusal(Code::Unavailable, None), true),
            (refusal(Code::ResourceExhausted, wait), true),
            (refusal(Code::ResourceExhausted, None), false),
            (refusal(Code::AlreadyExists, wait), false),
            (refusal(Code::Internal, None), false),
            (Error::Deadline, false),
        ] {
            assert_eq!(policy.pause(1, &error).is_some(), repeated, "{error:?}");
            assert_eq!(policy.pause(4, &error), None);
            assert_eq!(RetryPolicy::NONE.pause(1, &error), None);
        }
    }

    #[test]
    fn pauses_have_a_floor_and_a_ceiling() {
        let policy = RetryPolicy::default();
        let busy = refusal(Code::Unavailable, Some(Duration::from_secs(3)));
        for _ in 0..100 {
            let pause = policy.pause(1, &busy).unwrap_or_default();
            assert!(pause >= Duration::from_secs(3) && pause <= Duration::from_millis(3_100));
            assert!(policy.jitter(40) <= policy.longest_pause);
        }
    }
}
