//! Jobs that come back: a cron expression in a zone, one tick once across all replicas.

use std::str::FromStr;

use croner::Cron;
use diesel_async::RunQueryDsl;

use super::NewJob;
use crate::app::App;
use crate::kernel::error::{Error, Result};
use crate::kernel::kinds::Time;
use crate::statement;

/// A job that comes back, as `work.rs` lists it.
#[derive(Clone, Copy)]
pub struct Schedule {
    /// Stable name.
    pub name: &'static str,
    /// Cron expression with five fields.
    pub cron: &'static str,
    /// IANA zone in which it is meant.
    pub zone: &'static str,
    /// The job of a tick.
    pub job: fn() -> NewJob,
}

statement! {
    /// Makes a schedule known. Waits for another replica that is doing the same.
    BeginSchedule { name: String, tick: Time },
    "INSERT INTO job_schedules (name, last_tick) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING";

    /// Takes a tick, unless another replica has taken it or a later one.
    TakeTick { name: String, tick: Time },
    "UPDATE job_schedules SET last_tick = $2 WHERE name = $1 AND last_tick < $2";
}

impl Schedule {
    /// Enqueues the job of the latest tick if nobody has yet. Ticks missed while no server ran are
    /// made up for by one; a schedule that is new begins with its next tick. `seen` is the latest
    /// tick that this worker has dealt with, so that the database is asked once per tick.
    pub(super) async fn tick(&self, app: &App, seen: &mut Option<Time>) -> Result<()> {
        let now = app.clock.now();
        let Some(tick) = self.latest_tick(now)? else { return Ok(()) };
        if *seen >= Some(tick) {
            return Ok(());
        }
        let id = app.ids.next();
        app.db
            .transaction(async move |conn| {
                let name = self.name.to_owned();
                let begun = BeginSchedule { name: name.clone(), tick }.execute(conn).await?;
                let take = TakeTick { name, tick };
                if begun == 0 && take.execute(conn).await? == 1 {
                    super::enqueue(conn, id, now, (self.job)()).await?;
                }
                Ok(())
            })
            .await?;
        *seen = Some(tick);
        Ok(())
    }

    fn latest_tick(&self, now: Time) -> Result<Option<Time>> {
        let cron = Cron::from_str(self.cron).map_err(Error::internal)?;
        let local = now.timestamp().in_tz(self.zone).map_err(Error::internal)?;
        match cron.find_previous_occurrence(&local, true) {
            Ok(tick) => Ok(Some(Time::from(tick.timestamp()))),
            Err(croner::errors::CronError::TimeSearchLimitExceeded) => Ok(None),
            Err(error) => Err(Error::internal(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_tick_is_meant_in_its_zone() {
        fn none() -> NewJob {
            unreachable!("not run here")
        }
        let daily = Schedule { name: "daily", cron: "30 3 * * *", zone: "Asia/Kolkata", job: none };
        let now: jiff::Timestamp = "2026-11-20T12:00:00Z".parse().unwrap();
        let tick = daily.latest_tick(now.into()).unwrap().unwrap();
        assert_eq!(tick.timestamp().to_string(), "2026-11-19T22:00:00Z");
    }
}
