//! When a call has to end: as its client says, or by default.

use std::time::Duration;

use http::HeaderMap;
use tokio::time::Instant;

/// Longest time that a unary call may take when the client names no deadline.
const DEFAULT: Duration = Duration::from_secs(30);
/// How much earlier than the client's deadline the server answers, so that its answer is heard.
const ANSWER_BEFORE: Duration = Duration::from_millis(5);

/// When a call has to end.
#[derive(Debug, Clone, Copy)]
pub struct Deadline {
    /// When its answer must have begun.
    pub answer: Instant,
    /// When its stream must have ended, if the client says so.
    pub stream: Option<Instant>,
}

impl Deadline {
    /// As `grpc-timeout` says, a little earlier, or by default.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Self {
        let now = Instant::now();
        let asked = headers.get("grpc-timeout").and_then(|value| value.to_str().ok());
        // Hours in eight digits may be more than a clock can hold.
        let asked = asked.and_then(timeout).map(|asked| asked.saturating_sub(ANSWER_BEFORE));
        let asked = asked.and_then(|asked| now.checked_add(asked));
        Self { answer: asked.unwrap_or(now + DEFAULT), stream: asked }
    }
}

/// Parses `grpc-timeout`: up to 8 digits and a unit.
fn timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 {
        return None;
    }
    let amount: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(amount * 3_600),
        "M" => Duration::from_secs(amount * 60),
        "S" => Duration::from_secs(amount),
        "m" => Duration::from_millis(amount),
        "u" => Duration::from_micros(amount),
        "n" => Duration::from_nanos(amount),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grpc_timeouts_are_read() {
        assert_eq!(timeout("100m"), Some(Duration::from_millis(100)));
        assert_eq!(timeout("2H"), Some(Duration::from_hours(2)));
        assert_eq!(timeout("123456789S"), None);
        assert_eq!(timeout("S"), None);
        assert_eq!(timeout("5x"), None);
        assert_eq!(timeout(""), None);
    }
}
