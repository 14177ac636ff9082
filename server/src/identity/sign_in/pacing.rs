//! The time of answers: those of public methods leave on a beat, so that it tells nothing of what
//! was found.

use std::time::Duration;

use tokio::time::Instant;

/// Answers leave at multiples of this, counted from the call.
const PACE: Duration = Duration::from_millis(50);

/// Does the work, and waits for the next beat.
pub(in crate::identity) async fn on_the_beat<T>(work: impl Future<Output = T>) -> T {
    let began = Instant::now();
    let answer = work.await;
    tokio::time::sleep_until(began + next_beat(began.elapsed())).await;
    answer
}

/// When an answer leaves that took this long: at the next multiple of [`PACE`].
fn next_beat(elapsed: Duration) -> Duration {
    let beats = elapsed.as_millis() / PACE.as_millis() + 1;
    PACE * u32::try_from(beats).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_leave_on_the_beat() {
        for (elapsed, beat) in [(0, 50), (49, 50), (50, 100), (51, 100), (120, 150)] {
            let [elapsed, beat] = [elapsed, beat].map(Duration::from_millis);
            assert_eq!(next_beat(elapsed), beat);
        }
    }
}
