//! The embedded cluster with a real supervisor, real processes and real kills.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use clinicd_server::kernel::db::embedded::{Cluster, EmbeddedError, Options, ensure};

/// Names the directory of the cluster to the copy of this program that only holds it.
const HOLD: &str = "CLINICD_TEST_HOLD";

/// A directory of this test's own, removed in the end when the test went well.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let name = format!("embedded-{name}-{}", std::process::id());
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&dir).unwrap();
        Self(dir)
    }

    fn options(&self, durable: bool) -> Options {
        options(&self.0.join("pg"), durable)
    }

    fn pid_in(&self, file: &str) -> u32 {
        let text = fs::read_to_string(self.0.join("pg").join(file)).unwrap();
        text.lines().next().unwrap().parse().unwrap()
    }

    fn supervisor(&self) -> u32 {
        self.pid_in("supervisor.pid")
    }

    fn postmaster(&self) -> u32 {
        self.pid_in("data/postmaster.pid")
    }

    /// Waits until neither supervisor nor PostgreSQL is left, then removes the directory.
    fn finish(self, cluster: Cluster) {
        let pids = [self.supervisor(), self.postmaster()];
        drop(cluster);
        eventually("the cluster ends", || !pids.into_iter().any(lives));
        fs::remove_dir_all(self.0).unwrap();
    }
}

fn options(dir: &Path, durable: bool) -> Options {
    let base = Options::durable(dir.to_path_buf());
    let executable = Some(PathBuf::from(env!("CARGO_BIN_EXE_clinicd")));
    Options { durable, executable, ..base }
}

fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_mins(1);
    while !is_so() {
        assert!(Instant::now() < deadline, "not within a minute: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Whether a process runs; a dead one that nobody has waited for does not.
fn lives(pid: u32) -> bool {
    match fs::read(format!("/proc/{pid}/cmdline")) {
        Ok(command) => !command.is_empty(),
        Err(_) if Path::new("/proc/self").exists() => false,
        Err(_) => sh(&format!("kill -0 {pid}")),
    }
}

fn kill(pid: u32) {
    assert!(sh(&format!("kill -9 {pid}")));
    eventually("a killed process is gone", || !lives(pid));
}

fn sh(command: &str) -> bool {
    Command::new("sh").arg("-c").arg(command).stderr(Stdio::null()).status().unwrap().success()
}

/// The first column of the first row, if there is one.
fn query(cluster: &Cluster, database: &str, sql: &str) -> Option<String> {
    let url = cluster.url(database, "postgres");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (client, connection) =
            tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
        let connection = tokio::spawn(connection);
        let answer = client.simple_query(sql).await.unwrap();
        drop(client);
        connection.await.unwrap().unwrap();
        answer.into_iter().find_map(|message| match message {
            tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
            _ => None,
        })
    })
}

/// A process that holds the cluster until it is killed. It is this program again, running the
/// test [`holds_a_cluster`] alone.
fn holder(scratch: &Scratch) -> Child {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "holds_a_cluster", "--ignored", "--nocapture"])
        .env(HOLD, scratch.0.join("pg"))
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let held = scratch.0.join("pg/held");
    eventually("the other process holds the cluster", || {
        assert!(child.try_wait().unwrap().is_none(), "it ended");
        held.exists()
    });
    fs::remove_file(held).unwrap();
    child
}

#[test]
#[ignore = "not a test: the body of the process that `holder` starts"]
fn holds_a_cluster() {
    let Some(dir) = std::env::var_os(HOLD) else { return };
    let dir = PathBuf::from(dir);
    let cluster = ensure(&options(&dir, true)).unwrap();
    query(&cluster, "postgres", "CREATE TABLE IF NOT EXISTS kept (n int)");
    query(&cluster, "postgres", "INSERT INTO kept VALUES (1)");
    fs::write(dir.join("held"), "").unwrap();
    std::thread::sleep(Duration::from_mins(5));
}

#[test]
fn users_share_one_cluster_and_leave_nothing_behind() {
    let scratch = Scratch::new("share");
    let first = ensure(&scratch.options(false)).unwrap();
    let supervisor = scratch.supervisor();
    let second = ensure(&scratch.options(false)).unwrap();
    assert_eq!(scratch.supervisor(), supervisor, "the second user joined");
    assert_eq!(first.url("a", "b"), second.url("a", "b"));
    assert!(first.major() >= 15 && first.failure().is_none());

    for name in ["one", "two"] {
        query(&first, "postgres", &format!("CREATE DATABASE {name}"));
        query(&second, name, "CREATE EXTENSION btree_gist; CREATE TABLE t (n int)");
        let database = query(&first, name, "SELECT current_database() FROM pg_class LIMIT 1");
        assert_eq!(database.as_deref(), Some(name));
    }
    assert_eq!(query(&first, "one", "SHOW listen_addresses").as_deref(), Some(""));
    assert_eq!(query(&first, "one", "SHOW fsync").as_deref(), Some("off"));

    drop(first);
    std::thread::sleep(Duration::from_secs(1));
    assert!(second.failure().is_none(), "one user is enough to keep it");
    let data = second.dir().join("data");
    drop(second);
    eventually("the throw-away data is deleted", || !data.exists() && !lives(supervisor));
    fs::remove_dir_all(scratch.0).unwrap();
}

#[test]
fn many_users_starting_at_once_get_one_cluster() {
    let scratch = Scratch::new("race");
    let starters: Vec<_> = (0..6)
        .map(|_| {
            let options = scratch.options(false);
            std::thread::spawn(move || ensure(&options).unwrap())
        })
        .collect();
    let clusters: Vec<_> = starters.into_iter().map(|starter| starter.join().unwrap()).collect();
    let started = |cluster| query(cluster, "postgres", "SELECT pg_postmaster_start_time()");
    let times: Vec<_> = clusters.iter().map(started).collect();
    assert!(times.iter().all(|time| *time == times[0]), "{times:?}");
    let mut clusters = clusters.into_iter();
    let last = clusters.next().unwrap();
    drop(clusters);
    scratch.finish(last);
}

#[test]
fn a_killed_user_leaves_no_postgres_and_loses_nothing() {
    let scratch = Scratch::new("user");
    let mut user = holder(&scratch);
    let pids = [scratch.supervisor(), scratch.postmaster()];
    assert!(pids.into_iter().all(lives));
    user.kill().unwrap();
    user.wait().unwrap();
    eventually("nothing is left", || !pids.into_iter().any(lives));

    let cluster = ensure(&scratch.options(true)).unwrap();
    assert_eq!(query(&cluster, "postgres", "SELECT count(*) FROM kept").as_deref(), Some("1"));
    assert_eq!(query(&cluster, "postgres", "SHOW fsync").as_deref(), Some("on"));
    assert_eq!(query(&cluster, "postgres", "SHOW data_checksums").as_deref(), Some("on"));
    scratch.finish(cluster);
}

#[test]
fn a_killed_user_and_supervisor_are_healed_by_the_next_start() {
    let scratch = Scratch::new("both");
    let mut user = holder(&scratch);
    let orphan = scratch.postmaster();
    kill(scratch.supervisor());
    user.kill().unwrap();
    user.wait().unwrap();
    // A killed process is not gone at once; whoever comes in between joins its cluster.
    let lock = fs::File::open(scratch.0.join("pg/supervisor.lock")).unwrap();
    eventually("the supervisor is gone", || lock.try_lock_shared().is_ok());
    lock.unlock().unwrap();
    assert!(lives(orphan), "nobody was left to stop it");

    let cluster = ensure(&scratch.options(true)).unwrap();
    // It takes its pid file away a moment before it is gone.
    eventually("the orphan is gone", || !lives(orphan));
    assert_eq!(query(&cluster, "postgres", "SELECT count(*) FROM kept").as_deref(), Some("1"));
    scratch.finish(cluster);
}

#[test]
fn a_killed_postgres_is_noticed_and_can_be_started_anew() {
    let scratch = Scratch::new("postmaster");
    let cluster = ensure(&scratch.options(true)).unwrap();
    let url = cluster.url("postgres", "postgres");
    kill(scratch.postmaster());
    eventually("the failure is noticed", || cluster.failure().is_some());
    let reason = cluster.failure().unwrap().to_string();
    assert!(reason.contains("does not run: it ended unexpectedly (signal: 9"), "{reason}");

    let again = ensure(&scratch.options(true)).unwrap();
    assert_eq!(again.url("postgres", "postgres"), url);
    drop(cluster);
    query(&again, "postgres", "SELECT 1");
    scratch.finish(again);
}

#[test]
fn a_stale_process_number_does_not_stop_the_start() {
    let scratch = Scratch::new("stale");
    let cluster = ensure(&scratch.options(true)).unwrap();
    let pids = [scratch.supervisor(), scratch.postmaster()];
    drop(cluster);
    eventually("the cluster ends", || !pids.into_iter().any(lives));
    // As after a power cut, with the number given to another program since.
    let mut other = Command::new("sleep").arg("300").spawn().unwrap();
    let data = scratch.0.join("pg/data");
    let text = format!("{}\n{}\n", other.id(), data.display());
    fs::write(data.join("postmaster.pid"), text).unwrap();

    let cluster = ensure(&scratch.options(true)).unwrap();
    assert!(other.try_wait().unwrap().is_none(), "the other program was left alone");
    other.kill().unwrap();
    other.wait().unwrap();
    scratch.finish(cluster);
}

#[test]
fn data_of_another_major_version_is_refused_and_kept() {
    let scratch = Scratch::new("major");
    let version = scratch.0.join("pg/data/PG_VERSION");
    fs::create_dir_all(version.parent().unwrap()).unwrap();
    fs::write(&version, "9\n").unwrap();
    let error = ensure(&scratch.options(true)).unwrap_err();
    assert!(matches!(error, EmbeddedError::WrongMajor { made_by: 9, .. }), "{error}");
    assert_eq!(fs::read_to_string(&version).unwrap(), "9\n");
    fs::remove_dir_all(scratch.0).unwrap();
}

#[test]
fn without_programs_the_refusal_says_what_to_do() {
    let scratch = Scratch::new("none");
    let options = Options { binaries: Some(scratch.0.clone()), ..scratch.options(true) };
    let error = ensure(&options).unwrap_err();
    assert!(matches!(error, EmbeddedError::NoBinaries { .. }), "{error}");
    fs::remove_dir_all(scratch.0).unwrap();
}

#[test]
fn a_lasting_database_is_never_taken_for_a_test() {
    let scratch = Scratch::new("kind");
    let cluster = ensure(&scratch.options(true)).unwrap();
    let error = ensure(&scratch.options(false)).unwrap_err();
    assert!(matches!(error, EmbeddedError::WrongKind { temporary: false, .. }), "{error}");
    scratch.finish(cluster);
}

#[test]
fn a_directory_that_cannot_be_written_is_refused() {
    let scratch = Scratch::new("unwritable");
    let file = scratch.0.join("file");
    fs::write(&file, "").unwrap();
    for dir in [file.join("pg"), PathBuf::from("/proc/clinicd")] {
        let error = ensure(&options(&dir, true)).unwrap_err();
        assert!(matches!(error, EmbeddedError::Io { .. }), "{error}");
        assert!(error.to_string().contains(&dir.display().to_string()), "{error}");
    }
    fs::remove_dir_all(scratch.0).unwrap();
}
