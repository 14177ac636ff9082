//! The example `clinic_day` against the program as a newcomer starts it: nothing is configured,
//! and it brings its own database.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use clinicd_tests::cluster::{program, programs};
use clinicd_tests::eventually;

#[path = "../../sdk/rust/examples/clinic_day/arrival.rs"]
mod arrival;
#[path = "../../sdk/rust/examples/clinic_day/ledger.rs"]
mod ledger;
#[path = "../../sdk/rust/examples/clinic_day/outbox.rs"]
mod outbox;
#[path = "../../sdk/rust/examples/clinic_day/papers.rs"]
mod papers;
#[path = "../../sdk/rust/examples/clinic_day/practice.rs"]
mod practice;
#[path = "../../sdk/rust/examples/clinic_day/story.rs"]
mod story;
#[path = "../../sdk/rust/examples/clinic_day/visit.rs"]
mod visit;

/// `clinicd serve`, killed in the end however the test goes.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Server {
    /// Starts it on a free port and waits until it says where it listens.
    fn start(data_dir: &Path) -> (Self, String) {
        let mut command = Command::new(program());
        for (name, _) in std::env::vars() {
            let setting = name.starts_with("CLINICD_") && name != "CLINICD_PG_BIN";
            if setting || name == "DATABASE_URL" {
                command.env_remove(name);
            }
        }
        let mut child = command
            .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(data_dir)
            .env("RUST_LOG", "error")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let server = Self(child);
        let listening = lines
            .map_while(Result::ok)
            .find_map(|line| line.strip_prefix("listening on ").map(str::to_owned));
        (server, listening.unwrap())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_lives_a_whole_clinic_day() {
    let data_dir: PathBuf = programs().with_file_name("clinic-day");
    // What an earlier run has left that failed.
    let _ = std::fs::remove_dir_all(&data_dir);
    let place = data_dir.clone();
    let (mut server, url) =
        tokio::task::spawn_blocking(move || Server::start(&place)).await.unwrap();
    let day = story::Day { url, data_dir: data_dir.clone() };
    if let Err(failure) = Box::pin(day.run()).await {
        panic!("the day went wrong: {failure}");
    }
    let id = server.0.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    let status = tokio::task::spawn_blocking(move || server.0.wait()).await.unwrap().unwrap();
    assert!(status.success(), "{status}");
    let postmaster = data_dir.join("pg/data/postmaster.pid");
    eventually("the database stops too", async || !postmaster.exists()).await;
    std::fs::remove_dir_all(&data_dir).unwrap();
}
