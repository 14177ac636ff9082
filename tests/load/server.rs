//! A server as a process of its own.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::Result;

/// What a server says once it can be called.
const LISTENING: &str = "listening on ";

/// A running server, killed in the end.
#[derive(Debug)]
pub struct Server {
    child: Child,
    /// Where it listens.
    pub url: String,
}

impl Server {
    /// Starts a program that says where it listens; how long that took.
    pub async fn start(mut command: Command) -> Result<(Self, Duration)> {
        let name = command.get_program().to_string_lossy().into_owned();
        let begun = Instant::now();
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("{name} does not start: {error}"))?;
        let output = child.stdout.take().ok_or("no output")?;
        let listening = tokio::task::spawn_blocking(move || {
            let mut lines = BufReader::new(output).lines().map_while(std::result::Result::ok);
            lines.find_map(|line| line.strip_prefix(LISTENING).map(str::to_owned))
        });
        let url = listening.await?;
        let took = begun.elapsed();
        let mut server = Self { child, url: String::new() };
        server.url = url.ok_or_else(|| format!("{name} ended before it listened"))?;
        Ok((server, took))
    }

    /// Its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Asks it to end, and waits for that.
    pub async fn stop(mut self) -> Result<()> {
        let pid = self.pid().to_string();
        Command::new("kill").args(["-TERM", &pid]).status()?;
        // Gone before its handle is dropped, which would kill it.
        tokio::task::spawn_blocking(move || self.child.wait()).await??;
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
