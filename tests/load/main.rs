//! `clinicd-load`: fills a database, puts load on a server, and compares it with bare tonic and
//! bare PostgreSQL on the same machine. Linux only.

mod all;
mod database;
mod drive;
mod enumerate;
mod floor;
mod idle;
mod names;
mod people;
mod pgbench;
mod prepare;
mod random;
mod report;
mod run;
mod searches;
mod seed;
mod server;
mod storm;
mod usage;
mod verdict;
mod watch;
mod worker;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// What may go wrong is told to whoever runs the tool, in words.
pub type Result<T, E = Box<dyn std::error::Error + Send + Sync>> = std::result::Result<T, E>;

/// Everybody's password.
pub const PASSWORD: &str = "quiet-harbour-lantern-82";
/// Where everybody has an address.
pub const DOMAIN: &str = "load.example";
/// By this the bookings of a run are known.
pub const BOOKING_REASON: &str = "clinicd-load";

/// Sign-in address of a seeded doctor.
#[must_use]
pub fn doctor_email(number: usize) -> String {
    format!("doctor{number}@{DOMAIN}")
}

/// Sign-in address of a seeded patient.
#[must_use]
pub fn patient_email(number: usize) -> String {
    format!("patient{number}@{DOMAIN}")
}

/// Sign-in address of the seeded operator.
#[must_use]
pub fn operator_email() -> String {
    format!("operator@{DOMAIN}")
}

/// Load tests of clinicd.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Fill an empty, migrated database with a clinic.
    Seed(seed::Options),
    /// Put load on a running server.
    Run(run::Options),
    /// Measure what bare tonic and bare PostgreSQL do on this machine.
    Floor(floor::Options),
    /// The bare tonic server that `floor` starts.
    #[command(hide = true)]
    FloorServer,
    /// Let everybody sign in at once, and look at health and memory.
    Storm(storm::Options),
    /// Hold many idle streams of the feed open, and look at memory and delivery.
    Idle(idle::Options),
    /// Compare answers and times of known and unknown accounts.
    Enumerate(enumerate::Options),
    /// Do everything, with a server and a database of its own, and compare with the goals.
    All(all::Options),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let outcome = runtime.map_err(Into::into).and_then(|runtime| {
        runtime.block_on(async {
            match &cli.command {
                Command::Seed(options) => seed::command(options).await,
                Command::Run(options) => run::command(options).await,
                Command::Floor(options) => floor::command(options).await,
                Command::FloorServer => floor::serve().await,
                Command::Storm(options) => storm::command(options).await,
                Command::Idle(options) => idle::command(options).await,
                Command::Enumerate(options) => enumerate::command(options).await,
                Command::All(options) => all::command(options).await,
            }
        })
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprint!("clinicd-load: {error}");
            let mut cause = error.source();
            while let Some(source) = cause {
                eprint!(": {source}");
                cause = source.source();
            }
            eprintln!();
            ExitCode::FAILURE
        }
    }
}
