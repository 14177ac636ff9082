//! The story. Every step is checked: the day fails loudly when anything is not as it should be.

use std::path::PathBuf;
use std::time::Instant;

use clinicd_sdk::proto::error::v1::ErrorReason;
use clinicd_sdk::{Client, Error};

use super::outbox::Outbox;

/// Why the day went wrong.
#[derive(Debug)]
pub struct Failure(pub String);

/// What a step comes to.
pub type Outcome<T> = Result<T, Failure>;

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}

/// A password that nobody else has.
pub const PASSWORD: &str = "seven blue lamps on a quiet hill";

/// Where the day takes place.
pub struct Day {
    /// The server.
    pub url: String,
    /// Its data directory.
    pub data_dir: PathBuf,
}

/// The people of the day, signed in.
pub struct People {
    pub admin: Client,
    pub operator: Client,
    pub doctor: Client,
    pub other_doctor: Client,
    pub patient: Client,
    pub other_patient: Client,
}

/// Says what happens, and how long it took.
pub struct Teller {
    since: Instant,
}

impl Teller {
    /// Opens a chapter.
    pub fn chapter(&mut self, title: &str) {
        println!("\n{title}");
        self.since = Instant::now();
    }

    /// Tells what was done since the last time.
    pub fn say(&mut self, what: &str) {
        println!("  {what}  ({} ms)", self.since.elapsed().as_millis());
        self.since = Instant::now();
    }
}

/// Insists that something is so.
pub fn insist(so: bool, what: &str) -> Outcome<()> {
    if so { Ok(()) } else { Err(Failure(format!("it is not so that {what}"))) }
}

/// What a response must hold.
pub fn present<T>(value: Option<T>, what: &str) -> Outcome<T> {
    value.ok_or_else(|| Failure(format!("the answer has no {what}")))
}

/// Insists that a call was refused for this reason.
pub fn refused<T>(result: Result<T, Error>, reason: ErrorReason) -> Outcome<()> {
    match result {
        Err(error) if error.is(reason) => Ok(()),
        Err(error) => Err(Failure(format!("refused, but not for {reason:?}: {error}"))),
        Ok(_) => Err(Failure(format!("not refused, although {reason:?}"))),
    }
}

impl Day {
    /// Lives the day.
    pub async fn run(&self) -> Outcome<()> {
        let mut teller = Teller { since: Instant::now() };
        let started = Instant::now();
        let people = self.arrive(&mut teller).await?;
        self.open_practice(&mut teller, &people).await?;
        let appointment = self.find_and_book(&mut teller, &people).await?;
        self.visit(&mut teller, &people, &appointment).await?;
        self.look_back(&mut teller, &people).await?;
        println!("\nA whole clinic day in {:.1} s.", started.elapsed().as_secs_f32());
        Ok(())
    }

    /// The mails of the day.
    pub fn outbox(&self) -> Outbox {
        Outbox::of(&self.data_dir)
    }
}
