//! A PostgreSQL of one test alone, which may restart, freeze and copy it.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use clinicd_server::kernel::db::embedded::{self, Cluster, Options};

use crate::cluster::{TestDatabase, program, programs};

/// A cluster whose data lasts for as long as the value. Its address stays the same.
pub struct OwnCluster {
    dir: PathBuf,
    cluster: Option<Cluster>,
    frozen: Vec<u32>,
}

impl OwnCluster {
    /// An empty one. `name` differs between tests.
    pub async fn start(name: &str) -> Self {
        let dir = folder(name);
        // What a killed run has left.
        let _ = std::fs::remove_dir_all(&dir);
        Self::open(dir).await
    }

    async fn open(dir: PathBuf) -> Self {
        let cluster = Some(run(&dir).await);
        Self { dir, cluster, frozen: Vec::new() }
    }

    /// The address of a database, as superuser.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        self.cluster.as_ref().expect("the cluster runs").url(database, "postgres")
    }

    /// A migrated database.
    pub async fn database(&self) -> TestDatabase {
        TestDatabase::of(&self.url("postgres")).await
    }

    /// Ends all its processes at once, as a crash does.
    pub async fn crash(&mut self) {
        signal("-QUIT", &[self.postmaster()]);
        self.wait_for_the_end().await;
    }

    /// Starts it again after [`crash`](Self::crash) or [`stop`](Self::stop); returns when it accepts
    /// connections.
    pub async fn start_again(&mut self) {
        self.cluster = Some(run(&self.dir).await);
    }

    /// Ends it in good order, connections or not.
    pub async fn stop(&mut self) {
        signal("-INT", &[self.postmaster()]);
        self.wait_for_the_end().await;
    }

    async fn wait_for_the_end(&mut self) {
        let cluster = self.cluster.take().expect("the cluster runs");
        while cluster.failure().is_none() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Stops all its processes where they are.
    pub fn freeze(&mut self) {
        let postmaster = self.postmaster();
        signal("-STOP", &[postmaster]);
        let mut all = children(postmaster);
        signal("-STOP", &all);
        all.push(postmaster);
        self.frozen = all;
    }

    /// Lets them go on.
    pub fn thaw(&mut self) {
        signal("-CONT", &std::mem::take(&mut self.frozen));
    }

    /// A streaming standby of this cluster; `None`, and a line that says so, where that cannot be.
    pub async fn standby(&self, name: &str) -> Option<Self> {
        let programs = std::fs::read_link(format!("/proc/{}/exe", self.postmaster())).ok();
        let copier = programs.map(|postgres| postgres.with_file_name("pg_basebackup"));
        let Some(copier) = copier.filter(|copier| copier.exists()) else {
            eprintln!("SKIPPED: there is no pg_basebackup, so no standby was tested");
            return None;
        };
        let dir = folder(name);
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&dir).unwrap();
        let (data, source, of) = (dir.join("data"), self.url("postgres"), data(&self.dir));
        let copy = move || {
            let mut command = Command::new(copier);
            command.args([
                "--checkpoint=fast",
                "--no-sync",
                "--write-recovery-conf",
                "-d",
                &source,
            ]);
            must(command.arg("-D").arg(&data));
            let owner = std::fs::metadata(of).unwrap();
            let owner = format!("{}:{}", owner.uid(), owner.gid());
            must(Command::new("chown").args(["-R", &owner]).arg(&data));
        };
        tokio::task::spawn_blocking(copy).await.unwrap();
        Some(Self::open(dir).await)
    }

    /// The main process of PostgreSQL.
    fn postmaster(&self) -> u32 {
        let text = std::fs::read_to_string(data(&self.dir).join("postmaster.pid")).unwrap();
        text.lines().next().unwrap().parse().unwrap()
    }
}

impl Drop for OwnCluster {
    fn drop(&mut self) {
        self.thaw();
        // The supervisor stops PostgreSQL when nobody holds the lock any more.
        let Some(cluster) = self.cluster.take() else { return };
        drop(cluster);
        if !std::thread::panicking() {
            // What is deleted below a running PostgreSQL ends it as well.
            let _ = std::fs::remove_dir_all(&self.dir);
        }
    }
}

fn folder(name: &str) -> PathBuf {
    let folder = format!("{name}_{}", std::process::id());
    programs().parent().expect("the target folder").join("testclusters").join(folder)
}

async fn run(dir: &Path) -> Cluster {
    let options = Options { executable: Some(program()), ..Options::durable(dir.to_owned()) };
    let started = tokio::task::spawn_blocking(move || embedded::ensure(&options)).await.unwrap();
    started.unwrap_or_else(|error| panic!("{error}"))
}

/// PostgreSQL's data directory.
fn data(dir: &Path) -> PathBuf {
    match std::fs::read_to_string(dir.join("location")) {
        Ok(path) => PathBuf::from(path.trim()),
        Err(_) => dir.join("data"),
    }
}

fn children(parent: u32) -> Vec<u32> {
    let listed = Command::new("ps").args(["-A", "-o", "pid=,ppid="]).output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    let pairs = listed.lines().filter_map(|line| line.trim().split_once(' '));
    pairs
        .filter(|(_, of)| of.trim().parse() == Ok(parent))
        .map(|(pid, _)| pid.parse().unwrap())
        .collect()
}

/// Processes may have ended meanwhile.
fn signal(signal: &str, processes: &[u32]) {
    if !processes.is_empty() {
        let processes = processes.iter().map(ToString::to_string);
        let _ = Command::new("kill").arg(signal).args(processes).output().unwrap();
    }
}

fn must(command: &mut Command) {
    let done = command.output().unwrap();
    assert!(done.status.success(), "{command:?}: {}", String::from_utf8_lossy(&done.stderr));
}
