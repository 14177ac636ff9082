//! What tests expect.

use std::fmt::Debug;
use std::time::{Duration, Instant};

use clinicd_sdk::{ApiError, Code, Error};

/// How long to wait for something that must happen soon.
pub const SOON: Duration = Duration::from_secs(10);

/// The call was refused with this code and this reason; returns the refusal.
#[track_caller]
pub fn refused<T: Debug>(result: Result<T, Error>, code: Code, reason: &str) -> ApiError {
    match result {
        Err(Error::Api(error) | Error::SessionEnded(error)) => {
            assert_eq!((error.code, error.reason.as_str()), (code, reason), "{error}");
            *error
        }
        other => panic!("expected {code:?} {reason}, got {other:?}"),
    }
}

/// Waits until it is so, for ten seconds at most.
pub async fn eventually(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let ends = Instant::now() + SOON;
    while !is_so().await {
        assert!(Instant::now() < ends, "not within {SOON:?}: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
