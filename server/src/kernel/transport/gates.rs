//! Which calls may be at work at a time. What exceeds that is told to come back at once, before a
//! database or a key is touched: so the calls that are let in are answered as quickly as ever.
//!
//! Metrics: `clinicd_shed_total{lane}` with `work`, `sign_in`, `arriving`, `account_calls`,
//! `streams` and `account_streams`; `clinicd_streams` (open).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};
use tonic::Status;
use tonic::body::Body;

use super::Limits;
use super::arrival;
use super::shares::{Full, Share, Shares};
use crate::config::Config;
use crate::kernel::access::rules::{Lane as LaneOf, Rule};
use crate::kernel::error::{Error, Reason, Result};
use crate::kernel::kinds::AccountId;

/// Places for each connection to the database: while one call is with the database, others are read
/// or written.
const CALLS_PER_DATABASE_CONNECTION: usize = 4;
/// Open streams of services beside ours, which nobody signs in for.
const STANDARD_STREAMS: usize = 1_000;
/// When a client that has all the streams of its account may try again.
const STREAM_RETRY: Duration = Duration::from_secs(5);

/// The places of one process.
#[derive(Debug)]
pub struct Gates {
    work: Lane,
    sign_in: Lane,
    calls: Arc<Shares<AccountId>>,
    streams: Arc<Shares<AccountId>>,
    standard_streams: Arc<Shares<AccountId>>,
    arriving: Arc<Semaphore>,
    message: Duration,
}

/// A place in a lane, left when dropped.
#[derive(Debug, Default)]
pub struct Place {
    _held: Option<OwnedSemaphorePermit>,
}

/// An open stream, counted as long as it lives.
#[derive(Debug)]
pub struct OpenStream {
    _share: Share<AccountId>,
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        metrics::gauge!("clinicd_streams").decrement(1);
    }
}

impl Gates {
    /// The places that these settings give.
    #[must_use]
    pub fn new(config: &Config) -> Arc<Self> {
        let limits: &Limits = &config.limits;
        let connections = usize::try_from(config.database_connections).unwrap_or(usize::MAX);
        let work = connections.saturating_mul(CALLS_PER_DATABASE_CONNECTION);
        let work = limits.work_calls.unwrap_or(work).max(1);
        Arc::new(Self {
            work: Lane::new("work", work, limits.work_queue, limits.work_wait_millis),
            sign_in: Lane::new(
                "sign_in",
                limits.sign_in_calls,
                limits.sign_in_queue,
                limits.sign_in_wait_millis,
            ),
            calls: Shares::new(usize::MAX, limits.calls_per_account),
            streams: Shares::new(limits.streams, limits.streams_per_account),
            standard_streams: Shares::new(STANDARD_STREAMS, STANDARD_STREAMS),
            arriving: Arc::new(Semaphore::new(usize::try_from(limits.arriving_kib).unwrap_or(1))),
            message: limits.message(),
        })
    }

    /// Waits for the message of the call, and for a place. A message that comes drop by drop holds
    /// no place meanwhile.
    pub async fn enter(
        &self,
        rule: &'static Rule,
        body: Body,
        ends: Instant,
    ) -> Result<(Place, Body), Status> {
        if rule.takes_stream {
            return Ok((Place::default(), body));
        }
        let arrives = ends.min(Instant::now() + self.message);
        let message = timeout_at(arrives, arrival::whole(body, &self.arriving)).await;
        let (body, memory) = message.map_err(|_| Error::of(Reason::DeadlineExceeded))??;
        let place = match rule.lane() {
            LaneOf::Free => Place::default(),
            LaneOf::SignIn => self.sign_in.enter(ends).await?,
            LaneOf::Work => self.work.enter(ends).await?,
        };
        drop(memory);
        Ok((place, body))
    }

    /// Counts a unary call of an account, until the share is dropped.
    pub fn call(&self, account: Option<AccountId>) -> Result<Option<Share<AccountId>>> {
        let Some(account) = account else { return Ok(None) };
        self.calls.take(Some(account)).map(Some).map_err(|_| shed("account_calls"))
    }

    /// Counts a stream, until it is dropped.
    pub fn stream(&self, rule: &Rule, account: Option<AccountId>) -> Result<OpenStream> {
        let shares = if rule.standard { &self.standard_streams } else { &self.streams };
        let share = shares.take(account).map_err(|full| match full {
            Full::Total => shed("streams"),
            Full::Owner => {
                count("account_streams");
                Error::of(Reason::RateLimited).retry_after(STREAM_RETRY)
            }
        })?;
        metrics::gauge!("clinicd_streams").increment(1);
        Ok(OpenStream { _share: share })
    }
}

/// Told to come back.
pub(super) fn shed(lane: &'static str) -> Error {
    count(lane);
    Error::unavailable()
}

fn count(lane: &'static str) {
    metrics::counter!("clinicd_shed_total", "lane" => lane).increment(1);
}

/// So many at a time, so many that wait, so long.
#[derive(Debug)]
struct Lane {
    name: &'static str,
    places: Arc<Semaphore>,
    waiting: AtomicUsize,
    queue: usize,
    wait: Duration,
}

/// Somebody in the queue, who may give up at any time.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Lane {
    fn new(name: &'static str, places: usize, queue: usize, wait_millis: u64) -> Self {
        let places = Arc::new(Semaphore::new(places.min(Semaphore::MAX_PERMITS)));
        let wait = Duration::from_millis(wait_millis);
        Self { name, places, waiting: AtomicUsize::new(0), queue, wait }
    }

    async fn enter(&self, ends: Instant) -> Result<Place> {
        if let Ok(place) = Arc::clone(&self.places).try_acquire_owned() {
            return Ok(Place { _held: Some(place) });
        }
        let before = self.waiting.fetch_add(1, Ordering::Relaxed);
        let _waiting = Waiting(&self.waiting);
        if before >= self.queue {
            return Err(shed(self.name));
        }
        let ends = ends.min(Instant::now() + self.wait);
        match timeout_at(ends, Arc::clone(&self.places).acquire_owned()).await {
            Ok(Ok(place)) => Ok(Place { _held: Some(place) }),
            _ => Err(shed(self.name)),
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[tokio::test]
    async fn a_lane_is_never_longer_than_its_queue() {
        let lane = Lane::new("test", 1, 1, 50);
        let far = Instant::now() + Duration::from_mins(1);
        let place = lane.enter(far).await.unwrap();
        let (waits, refused) = tokio::join!(lane.enter(far), async {
            let began = Instant::now();
            let refused = lane.enter(far).await.unwrap_err();
            assert!(began.elapsed() < Duration::from_millis(20));
            refused
        });
        assert_eq!(
            (waits.unwrap_err().reason, refused.reason),
            (Reason::Unavailable, Reason::Unavailable)
        );
        assert_eq!(lane.waiting.load(Ordering::Relaxed), 0);
        let (next, ()) = tokio::join!(lane.enter(far), async { drop(place) });
        next.unwrap();
    }
}
