//! Serves one endpoint under a lease: turn by turn, some events at a time, until nothing is due.

use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_lc_rs::hmac;
use diesel_async::RunQueryDsl;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use metrics::counter;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::posting::Poster;
use super::rows::{EndpointId, Lease};
use super::rules::{Attempt, INTERNAL};
use super::turns::{self, Due, Ended, Found, Turn};
use crate::app::App;
use crate::kernel::error::{Error, Result};
use crate::statement;

/// Events of one endpoint that are sent at a time.
const PARALLEL: usize = 8;
/// How often it is looked for more while events are being sent.
const TICK: Duration = Duration::from_millis(200);
/// How long an endpoint is served before it goes back into the queue.
const SLICE: Duration = Duration::from_secs(10);
/// How long events that are being sent may take when the server stops. What is cut off is sent again.
const LAST: Duration = Duration::from_secs(1);
/// Pause after a turn that the database did not take.
const AGAIN: Duration = Duration::from_millis(500);
/// How long that goes on: as long as the lease.
const GIVE_UP: Duration = Duration::from_secs(20);

statement! {
    /// Gives a lease back.
    ReleaseEndpoint { id: EndpointId, lease: Lease },
    "UPDATE webhook_endpoints SET lease_id = NULL, lease_until = NULL \
     WHERE id = $1 AND lease_id = $2";
}

/// One endpoint, held by a lease.
pub(super) struct Service {
    pub(super) app: App,
    pub(super) poster: Arc<Poster>,
    /// Turns that may be taken at a time, so that calls find connections to the database.
    pub(super) turns: Arc<Semaphore>,
    pub(super) endpoint: EndpointId,
    pub(super) lease: Lease,
}

type Sending = FuturesUnordered<BoxFuture<'static, Ended>>;

impl Service {
    /// Serves it, and gives the lease back.
    pub(super) async fn run(self, stop: CancellationToken) {
        match self.serve(&stop).await {
            Ok(true) => {
                if let Err(error) = self.release().await {
                    tracing::warn!(error = %error, "a lease of a webhook endpoint was not given back");
                }
            }
            Ok(false) => {}
            Err(error) => {
                tracing::warn!(error = %error, "a webhook endpoint was left to its lease");
            }
        }
    }

    /// Whether the lease may be given back. Not while a partner may still work on what was cut off:
    /// then it runs out.
    async fn serve(&self, stop: &CancellationToken) -> Result<bool> {
        let (begun, mut taken, mut stopping) = (Instant::now(), Instant::now(), None);
        let mut sending = Sending::new();
        let (mut busy, mut ended) = (Vec::new(), Vec::new());
        loop {
            if stop.is_cancelled() && stopping.get_or_insert_with(Instant::now).elapsed() > LAST {
                if !ended.is_empty() {
                    self.turn(&ended, &busy, 0).await?;
                }
                return Ok(sending.is_empty());
            }
            let over = stopping.is_some() || begun.elapsed() > SLICE;
            let room = if over { 0 } else { PARALLEL - sending.len() };
            let mut more = false;
            if room > 0 || !ended.is_empty() {
                match self.turn(&ended, &busy, room).await {
                    Ok(None) => {
                        tracing::warn!(endpoint = %self.endpoint, "the lease was lost");
                        return Ok(false);
                    }
                    Ok(Some(found)) => {
                        taken = Instant::now();
                        ended.clear();
                        more = found.more;
                        busy.extend(found.due.iter().map(|due| due.message.resource));
                        self.send(found, &mut sending);
                    }
                    Err(error) if taken.elapsed() > GIVE_UP => return Err(error),
                    Err(error) => {
                        tracing::warn!(error = %error, "a turn at a webhook endpoint failed");
                        tokio::time::sleep(AGAIN).await;
                        continue;
                    }
                }
            }
            if sending.is_empty() && (over || !more) {
                return Ok(true);
            }
            tokio::select! {
                Some(one) = sending.next() => ended.push(one),
                () = tokio::time::sleep(TICK), if !more => {}
                () = std::future::ready(()), if more => {}
            }
            while let Some(Some(one)) = sending.next().now_or_never() {
                ended.push(one);
            }
            busy.retain(|resource| !ended.iter().any(|one: &Ended| one.resource == *resource));
        }
    }

    async fn turn(
        &self,
        ended: &[Ended],
        busy: &[uuid::Uuid],
        room: usize,
    ) -> Result<Option<Found>> {
        let _place = self.turns.acquire().await.map_err(Error::internal)?;
        let turn = Turn { endpoint: self.endpoint, lease: self.lease, ended, busy, room };
        turns::take(&self.app, turn).await
    }

    /// Begins to send what was found.
    fn send(&self, found: Found, sending: &mut Sending) {
        let (url, keys): (Arc<str>, Arc<[hmac::Key]>) = (found.url.into(), found.keys.into());
        for due in found.due {
            let (app, poster) = (self.app.clone(), Arc::clone(&self.poster));
            let (url, keys) = (Arc::clone(&url), Arc::clone(&keys));
            sending.push(async move { send_one(&app, &poster, url, &keys, due).await }.boxed());
        }
    }

    async fn release(&self) -> Result<()> {
        let release = ReleaseEndpoint { id: self.endpoint, lease: self.lease };
        release.execute(&mut *self.app.db.read().await?).await?;
        Ok(())
    }
}

async fn send_one(
    app: &App,
    poster: &Poster,
    url: Arc<str>,
    keys: &[hmac::Key],
    due: Due,
) -> Ended {
    let sent = poster.post(&url, keys, &due.message, app.clock.now()).await;
    let attempt = sent.unwrap_or_else(|error| {
        tracing::warn!(error = %error, "an event was not sent");
        Attempt { status: 0, reason: INTERNAL, retry_after: None }
    });
    let outcome = if attempt.is_taken() { "taken" } else { "failed" };
    counter!("clinicd_webhook_attempts_total", "outcome" => outcome).increment(1);
    let [random] = app.random.bytes::<1>();
    due.ended(url, attempt, app.clock.now(), random)
}
