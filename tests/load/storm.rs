//! `clinicd-load storm`: everybody signs in at once. What health makes of it, and the memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clap::Args;
use clinicd_sdk::{Client, Code, Error, RetryPolicy};
use hdrhistogram::Histogram;
use tokio::task::JoinSet;
use tonic::transport::Endpoint;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use crate::all::{Clinic, Options as Everything, Place};
use crate::random::Random;
use crate::report::number;
use crate::usage::Meter;
use crate::{PASSWORD, Result, patient_email};

/// Sign-ins on one connection.
const PER_CONNECTION: usize = 50;
/// How often health is asked.
const PERIOD: Duration = Duration::from_millis(5);
/// How long a person comes back at most.
const PATIENCE: Duration = Duration::from_mins(10);
/// The wait of a person whom nobody told how long.
const UNTOLD: Duration = Duration::from_millis(500);

/// How it is run.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// People who sign in at once.
    #[arg(long, default_value_t = 1_000)]
    pub people: usize,
}

/// Runs with a server of its own, and says how it went.
pub async fn command(options: &Options) -> Result<()> {
    let everything = Everything::small(options.people);
    let place = Place::fresh(&everything, "data-storm")?;
    let clinic = Clinic::open(&place, &everything, 1).await?;
    clinic.seed().await?;
    measure(&clinic, options.people).await?;
    clinic.close().await
}

async fn measure(clinic: &Clinic<'_>, people: usize) -> Result<()> {
    let server = &clinic.server;
    let meter = Meter::new(Some(server.pid()), None)?;
    let before = meter.memory().ok_or("no memory")?;
    let calm = health(&server.url, Duration::from_secs(2)).await?;
    let over = Arc::new(AtomicBool::new(false));
    let watched = tokio::spawn(watch(server.url.clone(), Arc::clone(&over)));
    let clients = (0..people.div_ceil(PER_CONNECTION))
        .map(|_| {
            Ok(Client::connect_lazy(&server.url)?
                .with_deadline(PATIENCE)
                .with_retry(RetryPolicy::NONE))
        })
        .collect::<Result<Vec<_>>>()?;
    let begun = Instant::now();
    let mut sign_ins = JoinSet::new();
    for number in 0..people {
        let client = clients[number / PER_CONNECTION].clone();
        sign_ins.spawn(async move {
            let signed_in = sign_in(&client, number).await;
            (signed_in, begun.elapsed())
        });
    }
    let (mut failures, mut waits) = (0, Histogram::<u64>::new(3)?);
    while let Some(ended) = sign_ins.join_next().await {
        let (signed_in, wait) = ended?;
        match signed_in {
            Ok(()) => waits.record(u64::try_from(wait.as_millis())?)?,
            Err(error) => {
                failures += 1;
                eprintln!("{error}");
            }
        }
    }
    let took = begun.elapsed().as_secs_f64();
    over.store(true, Ordering::Relaxed);
    let storm = watched.await??;
    let after = meter.memory().ok_or("no memory")?;
    let per_second = number(u64::try_from(people)?) / took;
    println!("| | calm | {people} sign-ins at once |");
    println!("|---|--:|--:|");
    let row = |name: &str, quantile: f64| {
        let millis = |of: &Histogram<u64>| number(of.value_at_quantile(quantile)) / 1e6;
        println!("| health {name}, ms | {:.2} | {:.2} |", millis(&calm), millis(&storm));
    };
    row("p50", 0.5);
    row("p99", 0.99);
    row("longest", 1.0);
    println!("| memory of the server (RSS), MiB | {:.1} | {:.1} |", before.resident, after.peak);
    println!("| signed in | – | {} in {took:.1} s, {per_second:.0}/s |", people - failures);
    let [half, most, last] =
        [0.5, 0.99, 1.0].map(|part| number(waits.value_at_quantile(part)) / 1e3);
    println!("| in after, s (p50, p99, last) | – | {half:.1}, {most:.1}, {last:.1} |");
    println!("| not signed in | – | {failures} |");
    Ok(())
}

/// Signs a person in, who comes back whenever the server says so.
async fn sign_in(client: &Client, person: usize) -> Result<(), Error> {
    let (begun, email) = (Instant::now(), patient_email(person));
    let mut random = Random::new(u64::try_from(person).unwrap_or_default());
    loop {
        let Err(error) = client.sign_in(&email, PASSWORD).await else { return Ok(()) };
        let Some(wait) = wait_of(&error).filter(|_| begun.elapsed() < PATIENCE) else {
            return Err(error);
        };
        // Up to half as long again, so that those who were told the same do not all come at once.
        let percent = u32::try_from(100 + random.below(50)).unwrap_or(100);
        tokio::time::sleep(wait * percent / 100).await;
    }
}

/// How long to wait, when the server was only too busy.
fn wait_of(error: &Error) -> Option<Duration> {
    if matches!(error, Error::Transport(_)) {
        return Some(UNTOLD);
    }
    let refusal = error.api()?;
    let busy = matches!(refusal.code, Code::Unavailable | Code::ResourceExhausted);
    busy.then(|| refusal.retry_after.unwrap_or(UNTOLD))
}

/// How long health takes while nothing else goes on.
async fn health(url: &str, time: Duration) -> Result<Histogram<u64>> {
    let over = Arc::new(AtomicBool::new(false));
    let watched = tokio::spawn(watch(url.to_owned(), Arc::clone(&over)));
    tokio::time::sleep(time).await;
    over.store(true, Ordering::Relaxed);
    watched.await?
}

/// Asks for health on a connection of its own until it is over; how long each answer took, in
/// nanoseconds.
async fn watch(url: String, over: Arc<AtomicBool>) -> Result<Histogram<u64>> {
    let mut client = HealthClient::new(Endpoint::from_shared(url)?.connect().await?);
    let mut latencies = Histogram::new(3)?;
    while !over.load(Ordering::Relaxed) {
        let begun = Instant::now();
        client.check(HealthCheckRequest::default()).await?;
        latencies.record(u64::try_from(begun.elapsed().as_nanos())?)?;
        tokio::time::sleep(PERIOD).await;
    }
    Ok(latencies)
}
