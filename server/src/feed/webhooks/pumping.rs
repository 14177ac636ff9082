//! Finds endpoints with something to do, and has them served: many at a time, so that a slow one
//! keeps nobody waiting; who was not served for longest comes first.

use std::sync::Arc;
use std::time::Duration;

use diesel::sql_types;
use diesel_async::RunQueryDsl;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::posting::Poster;
use super::rows::{EndpointId, Lease};
use super::serving::Service;
use super::turns::LEASE_SECONDS;
use crate::app::App;
use crate::kernel::error::Result;
use crate::kernel::events;
use crate::kernel::kinds::Time;
use crate::statement;

/// How often it is looked for something to do.
const PERIOD: Duration = Duration::from_millis(200);
/// How often while the database is away.
const AWAY: Duration = Duration::from_secs(1);
/// Endpoints that one process serves at a time.
const ENDPOINTS: usize = 64;
/// Turns of all of them at a time, so that calls find connections to the database.
const TURNS: usize = 3;

statement! {
    /// Whether anybody wants anything at all.
    HasActive {} -> sql_types::Bool,
    "SELECT EXISTS (SELECT FROM webhook_endpoints WHERE state = 'active')";

    /// Claims endpoints that nobody serves: those behind the end of the feed, and those of which
    /// something is due (a look into the index for each). Never waits for another worker.
    ClaimEndpoints { now: Time, xid: i64, seq: i64, limit: i64, lease: Lease, seconds: i32 }
        -> sql_types::Uuid,
    "WITH free AS ( \
        SELECT e.id FROM webhook_endpoints e \
        WHERE e.state = 'active' \
            AND (e.lease_until IS NULL OR e.lease_until < clock_timestamp()) \
            AND (e.rests_until IS NULL OR e.rests_until <= $1) \
            AND ((e.cursor_xid, e.cursor_seq) < ($2, $3) OR ( \
                SELECT true FROM webhook_deliveries d \
                WHERE d.endpoint_id = e.id AND d.state = 'pending' AND d.next_at <= $1 LIMIT 1)) \
        ORDER BY e.served_at LIMIT $4 FOR UPDATE OF e SKIP LOCKED) \
     UPDATE webhook_endpoints e SET lease_id = $5, served_at = clock_timestamp(), \
        lease_until = clock_timestamp() + make_interval(secs => $6) \
     FROM free WHERE e.id = free.id RETURNING e.id";
}

/// Sends events to endpoints until `stop`; what is being sent then has a moment to end.
pub async fn run(app: App, stop: CancellationToken) {
    let mut pump = Pump {
        app,
        poster: None,
        places: Arc::new(Semaphore::new(ENDPOINTS)),
        turns: Arc::new(Semaphore::new(TURNS)),
        serving: TaskTracker::new(),
    };
    while !stop.is_cancelled() {
        let pause = match pump.look(&stop).await {
            Ok(()) => PERIOD,
            Err(error) => {
                tracing::warn!(error = %error, "no webhook endpoints were claimed");
                AWAY
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
    pump.serving.close();
    pump.serving.wait().await;
}

struct Pump {
    app: App,
    /// Made when it is needed: reading the authorities of the machine takes its time.
    poster: Option<Arc<Poster>>,
    places: Arc<Semaphore>,
    turns: Arc<Semaphore>,
    serving: TaskTracker,
}

impl Pump {
    async fn look(&mut self, stop: &CancellationToken) -> Result<()> {
        let (lease, free) = (self.app.ids.next(), self.places.available_permits());
        let claimed = self.claim(lease, free).await?;
        if claimed.is_empty() {
            return Ok(());
        }
        let poster = self.poster()?;
        for endpoint in claimed {
            let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else { break };
            let service = Service {
                app: self.app.clone(),
                poster: Arc::clone(&poster),
                turns: Arc::clone(&self.turns),
                endpoint,
                lease,
            };
            let stop = stop.clone();
            self.serving.spawn(async move {
                service.run(stop).await;
                drop(place);
            });
        }
        Ok(())
    }

    async fn claim(&self, lease: Lease, limit: usize) -> Result<Vec<EndpointId>> {
        if limit == 0 {
            return Ok(Vec::new());
        }
        let mut conn = self.app.db.read().await?;
        let has_active: bool = HasActive {}.get_result(&mut conn).await?;
        if !has_active {
            return Ok(Vec::new());
        }
        let end = events::end(&mut conn).await?;
        let claim = ClaimEndpoints {
            now: self.app.clock.now(),
            xid: end.xid,
            seq: end.seq,
            limit: i64::try_from(limit).unwrap_or(1),
            lease,
            seconds: LEASE_SECONDS,
        };
        Ok(claim.get_results(&mut conn).await?)
    }

    fn poster(&mut self) -> Result<Arc<Poster>> {
        if let Some(poster) = &self.poster {
            return Ok(Arc::clone(poster));
        }
        let poster = Arc::new(Poster::new(&self.app.config.webhooks.allowed_networks)?);
        self.poster = Some(Arc::clone(&poster));
        Ok(poster)
    }
}
