//! The database is restarted under load, or stands still. Servers and SDK are real; the cluster is
//! the test's own.

use std::time::{Duration, Instant};

use clinicd_tests::{OwnCluster, Person, Process, World, full};

use super::finish;
use super::load::Load;
use crate::port::get;

/// People who book, and as many who read.
const PEOPLE: usize = 6;
/// Longest wait for any answer.
const ANSWER: Duration = Duration::from_secs(5);
/// After this long all is well again.
const RECOVERY: Duration = Duration::from_secs(3);

async fn seconds(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

/// A world on a cluster of its own with a server of its own, a doctor and a crowd.
async fn stage(name: &str) -> (OwnCluster, World, Process, Person, Vec<Person>) {
    let cluster = OwnCluster::start(name).await;
    let world = World::start_on(cluster.database().await, |_| {}).await;
    let doctor = world.doctor().await;
    let crowd = world.crowd(PEOPLE).await;
    world.settle().await;
    let process = Process::start_with(&world, |command| {
        command.env("RUST_LOG", "off");
    })
    .await;
    (cluster, world, process, doctor, crowd)
}

/// Memory of a process in KiB.
fn resident(process: &Process) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Seen to fail while the pool kept broken connections: nobody was answered any more.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_crashes_under_load_costs_no_booking() {
    let (mut cluster, world, process, doctor, crowd) = stage("crash").await;
    let load = Load::start(&world, &process.url, &doctor.id, &crowd).await;
    let (crashes, apart) = if full() { (15, 20) } else { (1, 1) };
    let mut well = Vec::new();
    for _ in 0..crashes {
        seconds(apart).await;
        cluster.crash().await;
        cluster.start_again().await;
        let up = Instant::now();
        seconds(4).await;
        well.push((up + RECOVERY, Instant::now()));
    }
    let log = load.stop().await;
    println!("crashes: {:?}, slowest {:?}", log.codes(), log.slowest());
    assert!(log.slowest() <= ANSWER, "{:?}", log.slowest());
    for (from, until) in well {
        assert!(log.good_between(from, until) >= 95, "{}", log.good_between(from, until));
    }
    log.agrees_with(&world).await;
    assert!(process.terminate().await.success());
    finish(world).await;
}

/// Seen to fail without the pulse: the slowest answer took 7.4 s.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_stands_still_holds_nobody_up() {
    let (mut cluster, world, process, doctor, crowd) = stage("still").await;
    let load = Load::start(&world, &process.url, &doctor.id, &crowd).await;
    seconds(1).await;
    let (before, frozen) = (resident(&process), Instant::now());
    cluster.freeze();
    seconds(4).await;
    let noticed = Instant::now();
    assert_eq!(get(&process.url, "/readyz").await.status, 503);
    assert_eq!(get(&process.url, "/healthz").await.status, 200);
    seconds(if full() { 56 } else { 2 }).await;
    cluster.thaw();
    let thawed = Instant::now();
    seconds(4).await;
    let until = Instant::now();
    assert_eq!(get(&process.url, "/readyz").await.status, 200);
    let idle = "SELECT pid FROM pg_stat_activity WHERE state LIKE 'idle in transaction%' \
                AND now() - state_change > interval '1 second'";
    assert_eq!(world.sql(idle).await, Vec::<Vec<String>>::new());
    let log = load.stop().await;
    let grown = resident(&process).saturating_sub(before);
    println!("still: {:?}, slowest {:?}, {grown} KiB more", log.codes(), log.slowest());

    assert!(log.slowest() <= ANSWER, "{:?}", log.slowest());
    let away = log.calls.iter().filter(|call| call.began >= noticed && call.began < thawed);
    let waited = away.map(|call| call.took).max().unwrap();
    assert!(waited <= Duration::from_secs(1), "once it is known, calls wait for {waited:?}");
    assert_eq!(log.good_between(frozen + Duration::from_millis(200), thawed), 0);
    assert!(log.good_between(thawed + RECOVERY, until) >= 95);
    assert!(grown <= 64 * 1024, "{grown} KiB");
    log.agrees_with(&world).await;
    assert!(process.terminate().await.success());
    finish(world).await;
}
