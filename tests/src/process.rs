//! The server's program as a process of its own, on the database of a world.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};

use clinicd_sdk::Client;

use crate::cluster::program;
use crate::world::World;

/// What callers may do any number of times.
const RATES: [&str; 5] = ["SIGN_IN", "PUBLIC_READS", "READS", "CHANGES", "MEDICAL"];

/// A process, killed in the end.
#[derive(Debug)]
pub struct Process {
    child: Child,
    /// Where it listens; empty for a worker.
    pub url: String,
    /// Its data directory.
    pub data_dir: PathBuf,
}

impl Process {
    /// Starts `clinicd serve` and waits until it listens.
    pub async fn start(world: &World) -> Self {
        Self::start_with(world, |_| {}).await
    }

    /// The same with other settings, or another place for its logs.
    pub async fn start_with(world: &World, change: impl FnOnce(&mut Command)) -> Self {
        let serve = ["serve", "--listen", "127.0.0.1:0"];
        Self::start_saying(world, &serve, "listening on ", change).await
    }

    /// Starts `clinicd worker` and waits until it works.
    pub async fn worker_with(world: &World, change: impl FnOnce(&mut Command)) -> Self {
        Self::start_saying(world, &["worker"], "working", change).await
    }

    /// Starts the program and waits for this beginning of a line; the rest of it is the address.
    async fn start_saying(
        world: &World,
        arguments: &[&str],
        begins: &'static str,
        change: impl FnOnce(&mut Command),
    ) -> Self {
        let data_dir = world.new_data_dir();
        let config = world.app.config.clone();
        let mut command = Command::new(program());
        command
            .args(arguments)
            .arg("--data-dir")
            .arg(&data_dir)
            .env("DATABASE_URL", world.tapped_url())
            .env("CLINICD_MIGRATION_DATABASE_URL", world.database_url())
            .env("CLINICD_KEYS_DIR", config.keys_dir())
            .env("CLINICD_FILES_DIR", config.files_dir())
            .env("CLINICD_AUDIT_DIR", config.audit_dir())
            .env("CLINICD_DATABASE_CONNECTIONS", config.database_connections.to_string())
            .env("CLINICD_PASSWORDS__MEMORY_KIB", config.passwords.memory_kib.to_string())
            .env("CLINICD_PASSWORDS__ITERATIONS", config.passwords.iterations.to_string())
            .env("CLINICD_LIMITS__WORK_WAIT_MILLIS", config.limits.work_wait_millis.to_string())
            .env("CLINICD_LIMITS__CALLS_PER_ACCOUNT", config.limits.calls_per_account.to_string())
            .envs(RATES.map(|name| (format!("CLINICD_LIMITS__{name}_PER_MINUTE"), "0")))
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        change(&mut command);
        let mut child = command.spawn().unwrap();
        let output = child.stdout.take().unwrap();
        let listening = tokio::task::spawn_blocking(move || {
            BufReader::new(output)
                .lines()
                .find_map(|line| line.unwrap().strip_prefix(begins).map(str::to_owned))
        });
        let url = listening.await.unwrap().expect("the program runs");
        Self { child, url, data_dir }
    }

    /// A client of this process.
    #[must_use]
    pub fn client(&self) -> Client {
        Client::connect_lazy(&self.url).unwrap()
    }

    /// Its number.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Ends it at once, as a power cut would.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks it to end, and waits for that.
    pub async fn terminate(mut self) -> ExitStatus {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        tokio::task::spawn_blocking(move || self.child.wait().unwrap()).await.unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
