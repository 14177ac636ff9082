//! `clinicd-load floor`: what bare tonic and bare PostgreSQL do on this machine. The server's
//! figures are read against these.

use std::path::PathBuf;
use std::process::Command;

use clap::Args;
use tonic::transport::server::TcpIncoming;

use crate::drive::{Window, drive};
use crate::people::connections;
use crate::pgbench::{Bench, Script};
use crate::random::Random;
use crate::report::{Report, table};
use crate::server::Server;
use crate::usage::{Meter, postmaster};
use crate::worker::{Task, Worker};
use crate::{Result, database};

/// Name of the empty call in reports.
pub const TONIC: &str = "floor: empty tonic call";

/// How it is measured.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// The server's database, seeded by `clinicd-load seed`, as the owner of its tables. Tables
    /// named `load_…` are made in it.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    pub database_url: String,
    /// HTTP/2 connections.
    #[arg(long, default_value_t = 4)]
    pub connections: usize,
    /// Calls in flight on each.
    #[arg(long, default_value_t = 8)]
    pub in_flight: usize,
    /// Seconds of each measurement.
    #[arg(long, default_value_t = 8.0)]
    pub seconds: f64,
    /// Also write the reports to this file.
    #[arg(long)]
    pub json: Option<PathBuf>,
}

/// Measures, and says what.
pub async fn command(options: &Options) -> Result<()> {
    let database = database::connect(&options.database_url).await?;
    let bench = Bench::prepare(&options.database_url, &database).await?;
    let mut reports = vec![tonic(options).await?];
    for script in Script::ALL {
        match bench.run(script, options.seconds, postmaster(&database).await?).await? {
            Some(report) => reports.push(report),
            None => eprintln!("{} is left out: {}", script.name(), script.needs()),
        }
        bench.tidy(&database).await?;
    }
    println!("{}", table(&reports));
    if let Some(path) = &options.json {
        std::fs::write(path, serde_json::to_vec_pretty(&reports)?)?;
    }
    Ok(())
}

/// Calls of a server that does nothing, by the same loop and client as all others.
pub async fn tonic(options: &Options) -> Result<Report> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("floor-server");
    let (server, _) = Server::start(command).await?;
    let meter = Meter::new(Some(server.pid()), None)?;
    let connections = connections(&server.url, options.connections)?;
    let workers = (0..options.connections * options.in_flight).filter_map(|number| {
        let client = connections.get(number % connections.len())?.clone();
        Some(Worker { client, task: Task::Health, random: Random::new(0) })
    });
    let window = Window { seconds: options.seconds, warm_up: 1.0 };
    let report = drive(workers.collect(), window, &meter).await?;
    Ok(Report { scenario: TONIC.to_owned(), ..report })
}

/// The bare server: the health service alone, nothing around it.
pub async fn serve() -> Result<()> {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await?;
    println!("listening on http://{}", listener.local_addr()?);
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    let (_, health) = tonic_health::server::health_reporter();
    let server = tonic::transport::Server::builder().add_service(health);
    Ok(server.serve_with_incoming(incoming).await?)
}
