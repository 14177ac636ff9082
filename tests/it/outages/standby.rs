//! Search on a streaming standby. The others ask the database itself.

use std::time::{Duration, Instant};

use clinicd_sdk::proto::directory::v1::{GetPublicDoctorRequest, SearchDoctorsRequest};
use clinicd_sdk::{Code, Error, RetryPolicy};
use clinicd_server::kernel::db::replica::MOST_STALENESS;
use clinicd_server::kernel::secret::Secret;
use clinicd_tests::cluster::sql;
use clinicd_tests::{OwnCluster, Person, World, eventually};

/// What the directory says about the doctor, by search.
async fn found(world: &World) -> Result<String, Error> {
    let search = SearchDoctorsRequest { query: "cardiology".into(), ..Default::default() };
    let answer = world.client().with_retry(RetryPolicy::NONE).send(search).await?;
    Ok(answer.hits.into_iter().next().and_then(|hit| hit.doctor).unwrap_or_default().bio)
}

/// The same by the doctor's id, of the database itself.
async fn shown(world: &World, doctor: &Person) -> Result<String, Error> {
    let request = GetPublicDoctorRequest { doctor_id: doctor.id.clone() };
    let answer = world.client().with_retry(RetryPolicy::NONE).send(request).await?;
    Ok(answer.doctor.unwrap().bio)
}

async fn write(world: &World, bio: &str) {
    world.sql(&format!("UPDATE doctors SET bio = '{bio}'")).await;
}

/// A change that search does not show although it is there was read from the standby.
async fn is_served_by_the_standby(world: &World, standby: &str, bio: &str) {
    let before = found(world).await.unwrap();
    // Twice the pulse looks at both, so that the standby counts as fresh.
    tokio::time::sleep(Duration::from_secs(2)).await;
    sql(standby, "SELECT pg_wal_replay_pause()").await;
    eventually("replay stands still", async || {
        sql(standby, "SELECT pg_get_wal_replay_pause_state()").await == [["paused"]]
    })
    .await;
    write(world, bio).await;
    assert_eq!(found(world).await.unwrap(), before);
}

/// Seen to fail with a standby that always counts as fresh (search was too old), and without the
/// second try at the primary (`UNAVAILABLE` while the standby stood still).
#[tokio::test(flavor = "multi_thread")]
async fn search_is_answered_by_the_standby_while_it_keeps_up() {
    let primary = OwnCluster::start("primary").await;
    let database = primary.database().await;
    let Some(mut standby) = primary.standby("standby").await else { return };
    let url = standby.url(&database.name);
    let world = World::start_on(database, |config| {
        config.read_database_url = Some(Secret(url.clone()));
    })
    .await;
    let doctor = world.doctor().await;
    write(&world, "one").await;
    eventually("the standby has it", async || {
        sql(&url, "SELECT bio FROM doctors").await == [["one"]]
            && found(&world).await.unwrap() == "one"
    })
    .await;

    // Replay stands still: search is old for a while, and never older than it may be.
    is_served_by_the_standby(&world, &url, "two").await;
    let paused = Instant::now();
    assert_eq!(shown(&world, &doctor).await.unwrap(), "two");
    let limit = MOST_STALENESS + Duration::from_secs(2);
    while found(&world).await.unwrap() != "two" {
        assert!(paused.elapsed() < limit, "search is too old");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(paused.elapsed() > MOST_STALENESS / 2, "it was not the standby that answered");
    sql(&url, "SELECT pg_wal_replay_resume()").await;

    // It stands still in the middle of a search: another one is asked.
    eventually("the standby has it", async || {
        sql(&url, "SELECT bio FROM doctors").await == [["two"]]
    })
    .await;
    is_served_by_the_standby(&world, &url, "three").await;
    sql(&url, "SELECT pg_wal_replay_resume()").await;
    standby.freeze();
    assert_eq!(found(&world).await.unwrap(), "three");
    standby.thaw();

    // It is stopped: nobody notices.
    let stopping = async {
        standby.stop().await;
        tokio::time::sleep(Duration::from_secs(1)).await;
    };
    let searching = async {
        loop {
            found(&world).await.unwrap();
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::select! {
        () = stopping => {}
        () = searching => {}
    }
    assert_eq!(found(&world).await.unwrap(), "three");
    standby.start_again().await;
    world.finish().await;
}

/// Seen to fail without the standby: `UNAVAILABLE`.
#[tokio::test(flavor = "multi_thread")]
async fn search_goes_on_while_the_database_is_away() {
    let mut primary = OwnCluster::start("away").await;
    let database = primary.database().await;
    let Some(standby) = primary.standby("stays").await else { return };
    let url = standby.url(&database.name);
    let world = World::start_on(database, |config| {
        config.read_database_url = Some(Secret(url.clone()));
    })
    .await;
    let doctor = world.doctor().await;
    write(&world, "one").await;
    eventually("the standby has it", async || {
        sql(&url, "SELECT bio FROM doctors").await == [["one"]]
    })
    .await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    primary.crash().await;
    eventually("it is known to be away", async || {
        let answer = shown(&world, &doctor).await;
        matches!(answer, Err(Error::Api(error)) if error.code == Code::Unavailable)
    })
    .await;
    for _ in 0..20 {
        assert_eq!(found(&world).await.unwrap(), "one");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    primary.start_again().await;
    eventually("it is back", async || shown(&world, &doctor).await.is_ok()).await;
    world.finish().await;
}
