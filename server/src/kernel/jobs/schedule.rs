//! Jobs that come back: a cron expression in a zone, one tick once across all replicas.

use std::str::FromStr;

use croner::Cron;
use croner::errors::CronError;
use diesel_async::RunQueryDsl;
use jiff::Zoned;

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
    /// Enqueues the job of the latest tick if nobody has yet. A tick that was taken is never taken
    /// again, also by a worker whose clock has gone back: the database keeps the latest. Ticks missed while no server ran are
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

    /// The tick at this moment, or the last one before it.
    fn latest_tick(&self, now: Time) -> Result<Option<Time>> {
        self.search(now, |cron, local| cron.find_previous_occurrence(local, true))
    }

    /// The first tick after this moment.
    pub fn next_tick(&self, now: Time) -> Result<Option<Time>> {
        self.search(now, |cron, local| cron.find_next_occurrence(local, false))
    }

    /// A tick in the schedule's zone. A time of day that the zone leaves out is its first moment
    /// after the gap, one that comes twice is the first of the two; ticks of every so many minutes
    /// or hours follow the time that really passes.
    fn search(
        &self,
        now: Time,
        search: impl FnOnce(&Cron, &Zoned) -> Result<Zoned, CronError>,
    ) -> Result<Option<Time>> {
        let cron = Cron::from_str(self.cron).map_err(Error::internal)?;
        let local = now.timestamp().in_tz(self.zone).map_err(Error::internal)?;
        match search(&cron, &local) {
            Ok(tick) => Ok(Some(Time::from(tick.timestamp()))),
            Err(CronError::TimeSearchLimitExceeded) => Ok(None),
            Err(error) => Err(Error::internal(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn schedule(cron: &'static str, zone: &'static str) -> Schedule {
        fn none() -> NewJob {
            unreachable!("not run here")
        }
        Schedule { name: "test", cron, zone, job: none }
    }

    fn time(text: &str) -> Time {
        Time::from(text.parse::<jiff::Timestamp>().unwrap())
    }

    /// The ticks that a worker takes which looks every 20 seconds from noon to noon: what it finds
    /// never goes back, and is what was announced as next.
    fn ticks(schedule: Schedule, noon: &str) -> Vec<String> {
        let mut now = time(noon);
        let end = now.plus_seconds(24 * 3_600);
        let mut last = schedule.latest_tick(now).unwrap().unwrap();
        let mut next = schedule.next_tick(now).unwrap().unwrap();
        let mut taken = Vec::new();
        while now < end {
            now = now.plus_seconds(20);
            let tick = schedule.latest_tick(now).unwrap().unwrap();
            assert!(tick >= last && tick <= now, "{tick:?} after {last:?} at {now:?}");
            if tick > last {
                assert_eq!(tick, next, "at {now:?}");
                taken.push(tick.timestamp().to_string());
                (last, next) = (tick, schedule.next_tick(now).unwrap().unwrap());
            }
        }
        taken
    }

    #[test]
    fn a_tick_is_meant_in_its_zone() {
        let daily = schedule("30 3 * * *", "Asia/Kolkata");
        let tick = daily.latest_tick(time("2026-11-20T12:00:00Z")).unwrap().unwrap();
        assert_eq!(tick.timestamp().to_string(), "2026-11-19T22:00:00Z");
        let tick = daily.next_tick(tick).unwrap().unwrap();
        assert_eq!(tick.timestamp().to_string(), "2026-11-20T22:00:00Z");
    }

    #[test]
    fn a_time_of_day_that_does_not_exist_comes_once_at_the_end_of_the_gap() {
        let berlin = ticks(schedule("30 2 * * *", "Europe/Berlin"), "2026-03-28T12:00:00Z");
        assert_eq!(berlin, ["2026-03-29T01:00:00Z"]);
        let york = ticks(schedule("30 2 * * *", "America/New_York"), "2026-03-07T12:00:00Z");
        assert_eq!(york, ["2026-03-08T07:00:00Z"]);
    }

    #[test]
    fn a_time_of_day_that_exists_twice_comes_once_the_first_time() {
        let berlin = ticks(schedule("30 2 * * *", "Europe/Berlin"), "2026-10-24T12:00:00Z");
        assert_eq!(berlin, ["2026-10-25T00:30:00Z"]);
        // There 01:30 comes twice, and 02:30 once.
        let york = ticks(schedule("30 1 * * *", "America/New_York"), "2026-10-31T12:00:00Z");
        assert_eq!(york, ["2026-11-01T05:30:00Z"]);
        let york = ticks(schedule("30 2 * * *", "America/New_York"), "2026-10-31T12:00:00Z");
        assert_eq!(york, ["2026-11-01T07:30:00Z"]);
    }

    #[test]
    fn what_comes_every_hour_follows_the_time_that_passes() {
        for (zone, noon) in [
            ("Europe/Berlin", "2026-03-28T12:00:00Z"),
            ("Europe/Berlin", "2026-10-24T12:00:00Z"),
            ("America/New_York", "2026-10-31T12:00:00Z"),
        ] {
            assert_eq!(ticks(schedule("*/30 * * * *", zone), noon).len(), 48, "{zone} {noon}");
            assert_eq!(ticks(schedule("17 * * * *", zone), noon).len(), 24, "{zone} {noon}");
        }
    }
}
