//! Rate, errors and duration of one method, for the metrics.

use std::sync::OnceLock;
use std::time::Duration;

use metrics::{Counter, Histogram, counter, histogram};

/// Codes of gRPC: 0 to 16.
const CODES: usize = 17;

/// `clinicd_rpc_total{method,code}` and `clinicd_rpc_seconds{method}`. Kept, because looking a metric
/// up by its labels costs more than counting.
#[derive(Debug, Default)]
pub struct Counts {
    calls: [OnceLock<Kept<Counter>>; CODES],
    seconds: OnceLock<Kept<Histogram>>,
}

/// A metric, which cannot be shown.
struct Kept<T>(T);

impl<T> std::fmt::Debug for Kept<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("metric")
    }
}

impl Counts {
    /// Counts a call that has ended.
    pub(super) fn count(&self, method: &'static str, code: i32, took: Duration) {
        let calls = usize::try_from(code).ok().and_then(|code| self.calls.get(code));
        if let Some(calls) = calls {
            let new = || {
                Kept(counter!("clinicd_rpc_total", "method" => method, "code" => code.to_string()))
            };
            calls.get_or_init(new).0.increment(1);
        }
        let new = || Kept(histogram!("clinicd_rpc_seconds", "method" => method));
        self.seconds.get_or_init(new).0.record(took);
    }
}
