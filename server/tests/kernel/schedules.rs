//! Schedules on a database, with two workers whose clocks are not the same: one job per tick.

use clinicd_server::app::App;
use clinicd_server::kernel::clock::Clock;
use clinicd_server::kernel::db::Conn;
use clinicd_server::kernel::jobs::{Job, JobError, NewJob, Schedule, Worker};
use clinicd_server::kernel::kinds::Time;
use diesel_async::RunQueryDsl;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::scratch::{Scratch, run};

/// What the clocks of two machines may differ from the right time.
const APART: SignedDuration = SignedDuration::from_mins(5);
/// How far the time moves between two looks.
const STEP: SignedDuration = SignedDuration::from_mins(5);

/// The job of a tick. It carries the name of its schedule, and nobody runs it here.
#[derive(Serialize, Deserialize)]
struct Tick(String);

impl Job for Tick {
    const KIND: &'static str = "test.tick";

    async fn run(self, _app: App, _id: Uuid) -> Result<(), JobError> {
        Ok(())
    }
}

macro_rules! schedule {
    ($name:literal, $cron:literal, $zone:literal) => {
        Schedule {
            name: $name,
            cron: $cron,
            zone: $zone,
            job: || NewJob::now(&Tick($name.to_owned())),
        }
    };
}

/// A worker with a clock of its own.
struct Machine {
    worker: Worker,
    seen: Vec<Option<Time>>,
}

impl Machine {
    fn new(scratch: &Scratch, schedules: &[Schedule], time: Timestamp) -> Self {
        let app = App { clock: Clock::default(), ..scratch.app.clone() };
        let worker = Worker { app, kinds: [].into(), schedules: schedules.into() };
        let mut machine = Self { worker, seen: vec![None; schedules.len()] };
        machine.set(time);
        machine
    }

    fn set(&mut self, time: Timestamp) {
        let clock = &self.worker.app.clock;
        clock.advance(time.duration_since(clock.now().timestamp()));
    }

    /// Starts anew: what it knows is what the database knows.
    fn restart(&mut self) {
        self.seen.fill(None);
    }

    async fn look(&mut self) {
        self.worker.take_ticks(&mut self.seen).await;
    }
}

/// Two machines, one ahead and one behind, both look while the time goes on from then to then.
async fn pass(machines: &mut [Machine; 2], from: &str, until: &str) {
    let (mut now, until): (Timestamp, Timestamp) = (time(from), time(until));
    while now <= until {
        let [ahead, behind] = machines;
        ahead.set(now + APART);
        behind.set(now - APART);
        tokio::join!(ahead.look(), behind.look());
        now += STEP;
    }
}

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// So many jobs of each schedule, by its name.
async fn made(owner: &mut Conn) -> Vec<(String, i64)> {
    #[derive(diesel::QueryableByName)]
    struct Row {
        #[diesel(sql_type = diesel::sql_types::Text)]
        name: String,
        #[diesel(sql_type = diesel::sql_types::BigInt)]
        jobs: i64,
    }
    let sql = "SELECT s.name, count(j.id) AS jobs FROM job_schedules s \
               LEFT JOIN jobs j ON j.payload #>> '{}' = s.name GROUP BY 1 ORDER BY 1";
    let rows: Vec<Row> = diesel::sql_query(sql).get_results(owner).await.unwrap();
    rows.into_iter().map(|row| (row.name, row.jobs)).collect()
}

fn each(schedules: &[Schedule], jobs: i64) -> Vec<(String, i64)> {
    let mut each: Vec<_> = schedules.iter().map(|it| (it.name.to_owned(), jobs)).collect();
    each.sort();
    each
}

/// Seen to fail without `last_tick < $2` in `TakeTick`: two jobs per tick.
#[tokio::test(flavor = "multi_thread")]
async fn clocks_five_minutes_apart_make_one_job_per_tick() {
    let scratch = Scratch::new("schedules_apart").await;
    let mut owner = scratch.owner().await;
    let all = [schedule!("hourly", "0 * * * *", "Asia/Kolkata")];
    let begun = time("2027-01-10T09:50:00Z");
    let mut machines = [(); 2].map(|()| Machine::new(&scratch, &all, begun));
    pass(&mut machines, "2027-01-10T09:50:00Z", "2027-01-10T21:50:00Z").await;
    assert_eq!(made(&mut owner).await, each(&all, 12));
    // They look at the same instant, and start anew at every tick.
    run(&mut owner, "DELETE FROM jobs").await;
    for hour in 0..12 {
        let now = time("2027-01-11T10:30:00Z") + SignedDuration::from_hours(hour);
        let [first, second] = &mut machines;
        for machine in [&mut *first, &mut *second] {
            machine.set(now);
            machine.restart();
        }
        tokio::join!(first.look(), second.look());
    }
    assert_eq!(made(&mut owner).await, each(&all, 12));
}

/// One machine's clock jumps from 09:58:30 to 10:03:30 and back, the other's is five minutes late.
/// `restart`: both forget what they have seen before each look.
async fn jump(name: &str, restart: bool) {
    let scratch = Scratch::new(name).await;
    let mut owner = scratch.owner().await;
    let all = [schedule!("hourly", "0 * * * *", "UTC"), schedule!("minutely", "* * * * *", "UTC")];
    let begun = time("2027-01-10T09:57:30Z");
    let [mut jumping, mut late] = [(); 2].map(|()| Machine::new(&scratch, &all, begun));
    let mut look = async |clock: &str| {
        let clock = time(&format!("2027-01-10T{clock}Z"));
        for (machine, time) in [(&mut jumping, clock), (&mut late, begun.max(clock - APART))] {
            if restart {
                machine.restart();
            }
            machine.set(time);
            machine.look().await;
        }
        let jobs = made(&mut owner).await;
        (jobs[0].1, jobs[1].1)
    };
    assert_eq!(look("09:57:30").await, (0, 0), "they begin with the next tick");
    assert_eq!(look("09:58:30").await, (0, 1));
    // The tick of ten o'clock comes too early, and one of a minute for all that were jumped over.
    assert_eq!(look("10:03:30").await, (1, 2));
    for back in ["09:58:31", "09:59:30", "10:00:00", "10:00:30", "10:03:40"] {
        assert_eq!(look(back).await, (1, 2), "{back}");
    }
    assert_eq!(look("10:04:00").await, (1, 3));
    assert_eq!(look("10:05:00").await, (1, 4));
    assert_eq!(look("11:00:00").await, (2, 5));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_jumps_ahead_and_back_runs_no_tick_again_and_loses_none() {
    jump("schedules_jump", false).await;
}

/// Seen to fail without `last_tick < $2` in `TakeTick`: what was taken early is taken again.
#[tokio::test(flavor = "multi_thread")]
async fn nor_does_a_worker_that_starts_anew_with_such_a_clock() {
    jump("schedules_jump_anew", true).await;
}

/// Both of the time that does not exist and of the one that exists twice.
#[tokio::test(flavor = "multi_thread")]
async fn a_daily_tick_runs_once_on_the_days_on_which_the_clocks_change() {
    let scratch = Scratch::new("schedules_dst").await;
    let mut owner = scratch.owner().await;
    let all = [
        schedule!("berlin", "30 2 * * *", "Europe/Berlin"),
        schedule!("york", "30 2 * * *", "America/New_York"),
        schedule!("york, the hour that comes twice", "30 1 * * *", "America/New_York"),
    ];
    let mut machines = [(); 2].map(|()| Machine::new(&scratch, &all, time("2027-03-01T12:00:00Z")));
    pass(&mut machines, "2027-03-01T12:00:00Z", "2027-03-01T12:00:00Z").await;
    for (before, noon, after) in [
        ("2027-03-13T18:00:00Z", "2027-03-14T18:00:00Z", "2027-03-15T18:00:00Z"), // York, spring
        ("2027-03-27T18:00:00Z", "2027-03-28T18:00:00Z", "2027-03-29T18:00:00Z"), // Berlin, spring
        ("2027-10-30T18:00:00Z", "2027-10-31T18:00:00Z", "2027-11-01T18:00:00Z"), // Berlin, autumn
        ("2027-11-06T18:00:00Z", "2027-11-07T18:00:00Z", "2027-11-08T18:00:00Z"), // York, autumn
    ] {
        // What lies between is made up for.
        pass(&mut machines, before, before).await;
        run(&mut owner, "DELETE FROM jobs").await;
        pass(&mut machines, before, noon).await;
        assert_eq!(made(&mut owner).await, each(&all, 1), "until {noon}");
        pass(&mut machines, noon, after).await;
        assert_eq!(made(&mut owner).await, each(&all, 2), "until {after}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hours_without_a_server_are_made_up_for_by_one_job() {
    let scratch = Scratch::new("schedules_down").await;
    let mut owner = scratch.owner().await;
    let all = [
        schedule!("hourly", "0 * * * *", "Asia/Kolkata"),
        schedule!("quarterly", "*/15 * * * *", "Europe/Berlin"),
    ];
    let mut machines = [(); 2].map(|()| Machine::new(&scratch, &all, time("2027-01-10T09:38:00Z")));
    pass(&mut machines, "2027-01-10T09:38:00Z", "2027-01-10T09:38:00Z").await;
    for machine in &mut machines {
        machine.restart();
    }
    pass(&mut machines, "2027-01-10T15:38:00Z", "2027-01-10T15:38:00Z").await;
    assert_eq!(made(&mut owner).await, each(&all, 1));
    pass(&mut machines, "2027-01-10T15:38:00Z", "2027-01-10T16:50:00Z").await;
    let made = made(&mut owner).await;
    assert_eq!(made.iter().map(|(_, jobs)| *jobs).collect::<Vec<_>>(), [2, 6]);
}
