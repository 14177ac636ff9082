//! `clinicd-load run`: one scenario against a running server.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::drive::{Window, drive};
use crate::prepare::Setup;
use crate::report::{Report, table};
use crate::usage::{Meter, postmaster};
use crate::{Result, database, watch};

/// What is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Scenario {
    /// The gRPC health check through all layers of the server; nobody is authenticated.
    Health,
    /// The cheapest authenticated call: admitted, decoded, and refused for a malformed id. It
    /// asks nothing of the database.
    Empty,
    /// The cheapest authenticated call with an answer: one's own account.
    Account,
    /// An appointment by id, as an operator.
    Get,
    /// A visit note, as its doctor: decrypted, and audited before it leaves.
    Audited,
    /// A page of 20 appointments of everybody, by start, as an operator.
    List,
    /// A page of 20 of one's own, as a busy doctor.
    ListDoctor,
    /// The same with the number of all of one's own.
    ListTotal,
    /// The first page of everybody's, with the number of all appointments.
    ListTotalAll,
    /// Searches by name, specialty, city and clinic, pages of 10.
    Search,
    /// Searches for mistyped names.
    SearchTypo,
    /// Free slots of 7 days.
    Slots7,
    /// Free slots of 30 days.
    Slots30,
    /// Bookings of different slots of different doctors for different patients, by an operator.
    Book,
    /// Sign-ins with the right password; 8 at a time unless told otherwise.
    Login,
    /// Parts of uploads, 512 KiB each.
    Upload,
    /// Idle streams: memory of each, and how soon the events of bookings arrive.
    Watch,
}

impl Scenario {
    /// Its name on the command line.
    #[must_use]
    pub fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }
}

/// How it is run.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// The server.
    #[arg(long, env = "CLINICD_URL", default_value = "http://127.0.0.1:7080")]
    pub server: String,
    /// The server's database, seeded by `clinicd-load seed`: says what there is to call.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    pub database_url: String,
    /// What is called.
    #[arg(long, value_enum)]
    pub scenario: Scenario,
    /// HTTP/2 connections.
    #[arg(long)]
    pub connections: Option<usize>,
    /// Calls in flight on each.
    #[arg(long)]
    pub in_flight: Option<usize>,
    /// Seconds that count.
    #[arg(long, default_value_t = 8.0)]
    pub seconds: f64,
    /// Seconds before, which do not.
    #[arg(long, default_value_t = 1.0)]
    pub warm_up: f64,
    /// Streams of `watch`.
    #[arg(long, default_value_t = 1_000)]
    pub streams: usize,
    /// Process of the server, for its CPU time and memory.
    #[arg(long)]
    pub server_pid: Option<u32>,
    /// The postmaster, for its CPU time; found by itself when it runs on this machine.
    #[arg(long)]
    pub postgres_pid: Option<u32>,
    /// Also write the report to this file.
    #[arg(long)]
    pub json: Option<PathBuf>,
}

/// Runs, and says how it went.
pub async fn command(options: &Options) -> Result<()> {
    let report = run(options).await?;
    println!("{}", table(std::slice::from_ref(&report)));
    if let Some(path) = &options.json {
        std::fs::write(path, serde_json::to_vec_pretty(&report)?)?;
    }
    Ok(())
}

/// Runs a scenario.
pub async fn run(options: &Options) -> Result<Report> {
    let database = database::connect(&options.database_url).await?;
    let postgres = match options.postgres_pid {
        Some(pid) => Some(pid),
        None => postmaster(&database).await?,
    };
    let meter = Meter::new(options.server_pid, postgres)?;
    // More than 18 sign-ins at a time would be told to come back.
    let default = if options.scenario == Scenario::Login { (2, 4) } else { (4, 8) };
    let setup = Setup {
        server: options.server.clone(),
        database,
        connections: options.connections.unwrap_or(default.0),
        in_flight: options.in_flight.unwrap_or(default.1),
    };
    let window = Window { seconds: options.seconds, warm_up: options.warm_up };
    let report = if options.scenario == Scenario::Watch {
        watch::measure(&setup, options.streams, window, &meter).await?
    } else {
        drive(setup.workers(options.scenario).await?, window, &meter).await?
    };
    Ok(Report { scenario: options.scenario.name(), ..report })
}
