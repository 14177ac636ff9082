//! The program `clinicd`: its commands, its settings, its start and its end.

mod backup;
mod commands;
mod keys;
mod killed;
mod logs;
mod metrics;
mod settings;
mod start;
mod worker;

use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use clinicd_sdk::Client;
use clinicd_tests::cluster::{program, programs};
use clinicd_tests::eventually;

/// Longest life of a command, and longest start or end of a server.
const PATIENCE: Duration = Duration::from_secs(30);

/// A folder for one test, in which the program runs. It goes with the value.
struct Place {
    dir: PathBuf,
}

impl Place {
    fn new(name: &str) -> Self {
        let folder = format!("{name}_{}", std::process::id());
        let dir = programs().parent().unwrap().join("testplaces").join(folder);
        std::fs::create_dir_all(&dir).unwrap();
        Self { dir }
    }

    /// The program, with nothing of the environment that could be a setting.
    fn clinicd(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program());
        command.args(arguments).current_dir(&self.dir).env_clear();
        for name in ["PATH", "HOME", "CLINICD_PG_BIN"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// `clinicd serve` on a free port, with the embedded database in the folder `data`.
    fn serve(&self) -> Command {
        self.clinicd(&["serve", "--listen", "127.0.0.1:0", "--data-dir", "data"])
    }

    /// Waits until no process has this folder in its command line any more.
    async fn is_quiet(&self) {
        eventually("every process ends", async || processes_of(&self.dir).is_empty()).await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            std::fs::remove_dir_all(&self.dir).unwrap();
        }
    }
}

/// Command lines that name a folder.
fn processes_of(dir: &Path) -> Vec<String> {
    let all = Command::new("ps").args(["-A", "-ww", "-o", "args="]).output().unwrap();
    let dir = dir.to_string_lossy();
    let lines = String::from_utf8_lossy(&all.stdout).into_owned();
    lines.lines().filter(|line| line.contains(&*dir)).map(str::to_owned).collect()
}

/// A program that has ended.
#[derive(Debug)]
struct Ended {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Ended {
    /// It did what it was asked to.
    #[track_caller]
    fn well(self) -> String {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.stdout
    }

    /// It refused, and said all of this on stderr.
    #[track_caller]
    fn refused(&self, remedies: &[&str]) {
        assert_eq!((self.code, self.stdout.as_str()), (Some(1), ""), "{self:?}");
        assert!(self.stderr.starts_with("clinicd: "), "{self:?}");
        for remedy in remedies {
            assert!(self.stderr.contains(remedy), "`{remedy}` is missing: {}", self.stderr);
        }
    }
}

/// Runs a command to its end.
fn run(command: Command) -> Ended {
    run_with(command, "")
}

/// Runs a command that reads this from stdin.
fn run_with(mut command: Command, input: &str) -> Ended {
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    // A command that refuses at once does not read.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let outputs = (all_of(child.stdout.take().unwrap()), all_of(child.stderr.take().unwrap()));
    ended(child, outputs)
}

type Output = JoinHandle<String>;

/// Waits for the end.
fn ended(mut child: Child, (stdout, stderr): (Output, Output)) -> Ended {
    let ends = Instant::now() + PATIENCE;
    while child.try_wait().unwrap().is_none() {
        if Instant::now() >= ends {
            child.kill().unwrap();
            panic!("it did not end: {}", stderr.join().unwrap());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let code = child.wait().unwrap().code();
    Ended { code, stdout: stdout.join().unwrap(), stderr: stderr.join().unwrap() }
}

/// Reads to the end, so that the program never waits for a reader.
fn all_of(mut source: impl Read + Send + 'static) -> Output {
    std::thread::spawn(move || {
        let mut text = String::new();
        source.read_to_string(&mut text).unwrap();
        text
    })
}

/// A serving program; killed with the value.
struct Server {
    /// `None` once it has ended.
    running: Option<(Child, (Output, Output))>,
    url: String,
}

impl Server {
    /// Starts it, and waits until it says that it listens.
    fn start(command: Command) -> Self {
        Self::start_saying(command, "listening on ")
    }

    /// Starts it, and waits until it says this; its URL is what it says behind it.
    fn start_saying(mut command: Command, says: &'static str) -> Self {
        let mut child = command.spawn().unwrap();
        let (told, hears) = mpsc::channel();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let stdout = std::thread::spawn(move || {
            let heard = lines.map_while(Result::ok).inspect(|line| {
                if let Some(url) = line.strip_prefix(says) {
                    told.send(url.to_owned()).unwrap();
                }
            });
            heard.map(|line| line + "\n").collect()
        });
        let outputs = (stdout, all_of(child.stderr.take().unwrap()));
        // Ends early when the program does, because its stdout ends then.
        match hears.recv_timeout(PATIENCE) {
            Ok(url) => Self { running: Some((child, outputs)), url },
            Err(late) => panic!("it does not listen ({late}): {:?}", ended(child, outputs)),
        }
    }

    fn client(&self) -> Client {
        Client::connect_lazy(&self.url).unwrap()
    }

    /// Sends a signal, and waits for the end.
    fn signal(&mut self, signal: &str) -> Ended {
        let (child, outputs) = self.running.take().unwrap();
        let id = child.id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
        ended(child, outputs)
    }

    /// Asks it to stop.
    fn stop(mut self) -> Ended {
        self.signal("-TERM")
    }

    /// Ends it as a power cut would.
    fn kill(mut self) {
        assert_eq!(self.signal("-KILL").code, None);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some((child, _)) = &mut self.running {
            // It may have ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
