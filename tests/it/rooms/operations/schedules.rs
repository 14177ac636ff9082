//! Schedules: what comes back, and when.

use clinicd_sdk::proto::operations::v1::{ListSchedulesRequest, Schedule};
use clinicd_tests::{World, eventually};
use jiff::{SignedDuration, Timestamp};

fn seconds(time: Option<prost_types::Timestamp>) -> i64 {
    time.unwrap().seconds
}

#[tokio::test(flavor = "multi_thread")]
async fn schedules_tell_their_last_and_next_ticks() {
    let world = World::start().await;
    let superuser = world.superuser().await;
    let sweep = async || {
        let listed = superuser.client.send(ListSchedulesRequest {}).await.unwrap().schedules;
        assert!(listed.is_sorted_by_key(|schedule| schedule.name.clone()));
        listed.into_iter().find(|schedule| schedule.name == "files.sweep").unwrap()
    };
    eventually("they have begun", async || sweep().await.last_tick_time.is_some()).await;
    let Schedule { cron, time_zone, last_tick_time, next_tick_time, .. } = sweep().await;
    assert_eq!((cron.as_str(), time_zone.as_str()), ("17 * * * *", "UTC"));
    let (last, next) = (seconds(last_tick_time), seconds(next_tick_time));
    let now = world.app.clock.now().timestamp().as_second();
    assert!(last <= now && now < next && next - last == 3_600, "{last} {now} {next}");
    let tick = Timestamp::from_second(next).unwrap();
    assert_eq!(tick.strftime("%M:%S").to_string(), "17:00");
    world.advance(SignedDuration::from_hours(1));
    let moved = async || {
        let sweep = sweep().await;
        seconds(sweep.last_tick_time) == next && seconds(sweep.next_tick_time) == next + 3_600
    };
    eventually("the tick was taken", moved).await;
    world.finish().await;
}
