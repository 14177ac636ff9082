//! The closed loop: each worker makes one call after the other.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::Result;
use crate::report::Report;
use crate::usage::Meter;
use crate::worker::Worker;

/// Longest latency that is told apart, in nanoseconds.
const LONGEST: u64 = 120_000_000_000;
/// Digits of a latency.
const DIGITS: u8 = 3;

/// How long to measure.
#[derive(Debug, Clone, Copy)]
pub struct Window {
    /// Seconds that count.
    pub seconds: f64,
    /// Seconds before, which do not.
    pub warm_up: f64,
}

/// Nothing measured yet.
pub fn histogram() -> Result<Histogram<u64>> {
    Ok(Histogram::new_with_bounds(1_000, LONGEST, DIGITS)?)
}

/// Nanoseconds, as a histogram keeps them.
#[must_use]
pub fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(LONGEST)
}

/// What one worker has seen.
struct Seen {
    latencies: Histogram<u64>,
    errors: BTreeMap<String, u64>,
}

/// Lets the workers call, and reports.
pub async fn drive(workers: Vec<Worker>, window: Window, meter: &Meter) -> Result<Report> {
    let opens = Instant::now() + Duration::from_secs_f64(window.warm_up);
    let ends = opens + Duration::from_secs_f64(window.seconds);
    let mut tasks = JoinSet::new();
    for worker in workers {
        tasks.spawn(work(worker, opens, ends));
    }
    sleep_until(opens).await;
    let before = meter.cpu();
    sleep_until(ends).await;
    let after = meter.cpu();
    let memory = meter.memory();
    let mut all = Seen { latencies: histogram()?, errors: BTreeMap::new() };
    while let Some(seen) = tasks.join_next().await {
        let seen = seen??;
        all.latencies.add(&seen.latencies)?;
        for (code, count) in seen.errors {
            *all.errors.entry(code).or_default() += count;
        }
    }
    let report = Report { calls: all.latencies.len(), errors: all.errors, ..Report::default() };
    Ok(report
        .with_cpu(window.seconds, before, after)
        .with_latencies(&all.latencies)
        .with_memory(memory))
}

/// Calls until the end; what begins and ends within the window counts.
async fn work(mut worker: Worker, opens: Instant, ends: Instant) -> Result<Seen> {
    let mut seen = Seen { latencies: histogram()?, errors: BTreeMap::new() };
    while Instant::now() < ends {
        let ready = worker.make_ready().await;
        let begun = Instant::now();
        let answer = match ready {
            Ok(()) => worker.call().await,
            Err(error) => Err(error),
        };
        let ended = Instant::now();
        match answer {
            Ok(()) if begun >= opens && ended <= ends => {
                seen.latencies.saturating_record(nanos(ended - begun));
            }
            Ok(()) => {}
            Err(code) => {
                *seen.errors.entry(code).or_default() += 1;
                // Whatever is wrong, it is not made worse.
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    }
    Ok(seen)
}
