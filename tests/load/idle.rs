//! `clinicd-load idle`: ten thousand streams of many people on shared connections. What each costs,
//! how soon events arrive while all are open, and what a reader that stalls does to the others.

use std::collections::HashMap;
use std::time::Duration;

use clap::Args;
use clinicd_sdk::proto::error::v1::ErrorReason;
use clinicd_sdk::proto::feed::v1::{WatchRequest, WatchResponse};
use clinicd_sdk::proto::identity::v1::TokenPair;
use clinicd_sdk::{Client, Error, Messages, RetryPolicy};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use hdrhistogram::Histogram;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use uuid::Uuid;

use crate::all::{Clinic, Options as Everything, Place};
use crate::drive::{histogram, nanos};
use crate::people::connections;
use crate::random::Random;
use crate::report::number;
use crate::usage::{Memory, Meter, postmaster};
use crate::{PASSWORD, Result, patient_email};

/// Streams on one connection: the server takes 100.
const PER_CONNECTION: usize = 99;
/// People who sign in, and streams that are opened, at a time.
const AT_ONCE: usize = 8;
/// How long the streams are left alone before they are looked at, and while they are.
const SETTLE: Duration = Duration::from_secs(5);
/// How long nothing happens, for the price of idling.
const IDLE: Duration = Duration::from_secs(20);
/// Pause between two events: 20 in a second.
const PAUSE: Duration = Duration::from_millis(50);
/// Events in single transactions. They take longer than a reader may stall.
const EVENTS: usize = 1_500;
/// Events for those who do not read: more than their connection takes.
const UNREAD: usize = 20_000;
/// How long streams may stay open.
const OPEN: Duration = Duration::from_hours(1);
/// How long the last events may take.
const LAST: Duration = Duration::from_secs(5);

/// How it is run.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Streams.
    #[arg(long, default_value_t = 10_000)]
    pub streams: usize,
    /// People who watch; each has the same number of streams.
    #[arg(long, default_value_t = 1_000)]
    pub accounts: usize,
    /// Streams of one more person, whom nobody reads.
    #[arg(long, default_value_t = 5)]
    pub stalled: usize,
}

/// Somebody who has signed in.
struct Watcher {
    id: String,
    tokens: TokenPair,
}

/// Which event came, and when.
type Came = (Uuid, Instant);

/// Runs with a server of its own, and says how it went.
pub async fn command(options: &Options) -> Result<()> {
    let everything = Everything::small(options.accounts + 1);
    let place = Place::fresh(&everything, "data-idle")?;
    let clinic = Clinic::open(&place, &everything, 1).await?;
    clinic.seed().await?;
    measure(&clinic, options).await?;
    clinic.close().await
}

async fn measure(clinic: &Clinic<'_>, options: &Options) -> Result<()> {
    let database = &clinic.database;
    let meter = Meter::new(Some(clinic.server.pid()), postmaster(database).await?)?;
    let lines = connections(&clinic.server.url, options.streams.div_ceil(PER_CONNECTION) + 1)?;
    let (last, lines) = lines.split_last().ok_or("no connection")?;
    let watchers = sign_in(lines, options.accounts + 1).await?;
    let (unread, watchers) = watchers.split_last().ok_or("nobody")?;
    tokio::time::sleep(SETTLE).await;
    let before = meter.memory().ok_or("no memory")?;

    let (sender, mut came) = mpsc::unbounded_channel();
    let (mut tasks, begun) = (JoinSet::new(), Instant::now());
    let mut opening = stream::iter(0..options.streams)
        .map(|number| {
            let watcher = &watchers[number % watchers.len()];
            open(&lines[number / PER_CONNECTION], watcher)
        })
        .buffer_unordered(AT_ONCE);
    while let Some(messages) = opening.try_next().await? {
        tasks.spawn(follow(messages, sender.clone()));
    }
    drop((opening, sender));
    let opened = begun.elapsed();
    tokio::time::sleep(SETTLE).await;
    let idle = meter.memory().ok_or("no memory")?;
    println!(
        "{} streams of {} people on {} connections, opened in {:.1} s",
        options.streams,
        options.accounts,
        lines.len(),
        opened.as_secs_f64()
    );
    print_memory(before, idle, options.streams)?;
    print_idle(&meter).await;

    let mut stalled = Vec::new();
    for _ in 0..options.stalled {
        stalled.push(open(last, unread).await?);
    }
    let mut sent = HashMap::new();
    emit(database, &vec![unread.id.clone(); UNREAD]).await?;
    let mut random = Random::new(3);
    for _ in 0..EVENTS {
        let next = Instant::now() + PAUSE;
        let one = random.pick(watchers).ok_or("nobody")?;
        sent.extend(emit(database, std::slice::from_ref(&one.id)).await?);
        tokio::time::sleep_until(next).await;
    }
    tokio::time::sleep(LAST).await;
    let expected = EVENTS * options.streams / options.accounts;
    print_latencies("one event in a transaction", &sent, &mut came, expected)?;
    let everybody: Vec<String> = watchers.iter().map(|watcher| watcher.id.clone()).collect();
    let sent = emit(database, &everybody).await?;
    tokio::time::sleep(LAST).await;
    print_latencies("an event for everybody at once", &sent, &mut came, options.streams)?;
    let busy = meter.memory().ok_or("no memory")?;
    println!("afterwards: RSS {:.1} MiB, at most {:.1} MiB", busy.resident, busy.peak);
    println!("stalled readers: {}", read_stalled(stalled).await);
    println!("other streams that ended: {}", std::iter::from_fn(|| tasks.try_join_next()).count());
    tasks.abort_all();
    Ok(())
}

/// What the open streams cost while nothing happens.
async fn print_idle(meter: &Meter) {
    let cpu = meter.cpu();
    tokio::time::sleep(IDLE).await;
    let after = meter.cpu();
    let share = |used: Option<f64>, then: Option<f64>| {
        (then.unwrap_or_default() - used.unwrap_or_default()) / 1e4 / IDLE.as_secs_f64()
    };
    println!(
        "idle: {:.1} % of a core by the server, {:.1} % by PostgreSQL",
        share(cpu.server, after.server),
        share(cpu.postgres, after.postgres)
    );
}

async fn sign_in(lines: &[Client], count: usize) -> Result<Vec<Watcher>> {
    let sign_in = |number: usize| async move {
        let line = lines[number % lines.len()].with_retry(RetryPolicy::default());
        let client = line.sign_in(&patient_email(number), PASSWORD).await?;
        let id = client.account_id().unwrap_or_default().to_owned();
        Ok(Watcher { id, tokens: client.tokens().unwrap_or_default() })
    };
    stream::iter(0..count).map(sign_in).buffered(AT_ONCE).try_collect().await
}

/// Opens a stream; its first message says that it is there.
async fn open(line: &Client, watcher: &Watcher) -> Result<Messages<WatchResponse>> {
    let client = line.with_tokens(watcher.id.clone(), watcher.tokens.clone())?;
    let client = client.with_retry(RetryPolicy::default()).with_deadline(OPEN);
    let mut messages = client.stream(WatchRequest::default()).await?;
    messages.message().await?.ok_or("the stream ended at once")?;
    Ok(messages)
}

/// Notes when each event came.
async fn follow(mut messages: Messages<WatchResponse>, sender: mpsc::UnboundedSender<Came>) {
    while let Ok(Some(message)) = messages.message().await {
        let Some(event) = message.event else { continue };
        let Ok(id) = event.id.parse() else { return };
        if sender.send((id, Instant::now())).is_err() {
            return;
        }
    }
}

/// Writes one event about each of these accounts in one transaction; when it was committed.
async fn emit(
    database: &tokio_postgres::Client,
    accounts: &[String],
) -> Result<HashMap<Uuid, Instant>> {
    let sql = "INSERT INTO events (id, created_at, event_type, resource_kind, resource_id, \
            account_id) \
         SELECT gen_random_uuid(), now(), 'account.updated', 'account', a::uuid, a::uuid \
         FROM unnest($1::text[]) a RETURNING id::text";
    let rows = database.query(sql, &[&accounts]).await?;
    let at = Instant::now();
    rows.iter().map(|row| Ok((row.try_get::<_, &str>(0)?.parse()?, at))).collect()
}

fn print_memory(before: Memory, idle: Memory, streams: usize) -> Result<()> {
    let streams = number(u64::try_from(streams)?);
    println!(
        "memory: RSS {:.1} MiB before, {:.1} MiB with all open: {:.2} KiB per stream",
        before.resident,
        idle.resident,
        (idle.resident - before.resident) * 1_024.0 / streams
    );
    Ok(())
}

fn print_latencies(
    what: &str,
    sent: &HashMap<Uuid, Instant>,
    came: &mut mpsc::UnboundedReceiver<Came>,
    expected: usize,
) -> Result<()> {
    let mut latencies: Histogram<u64> = histogram()?;
    while let Ok((id, at)) = came.try_recv() {
        if let Some(committed) = sent.get(&id) {
            latencies.saturating_record(nanos(at.saturating_duration_since(*committed)));
        }
    }
    let millis = |quantile| number(latencies.value_at_quantile(quantile)) / 1e6;
    println!(
        "{what}: {} deliveries of {expected}, p50 {:.1} ms, p99 {:.1} ms, longest {:.1} ms",
        latencies.len(),
        millis(0.5),
        millis(0.99),
        millis(1.0)
    );
    Ok(())
}

/// What those find at last who have not read.
async fn read_stalled(stalled: Vec<Messages<WatchResponse>>) -> String {
    let mut ends = Vec::new();
    for mut messages in stalled {
        let mut read = 0;
        let end = loop {
            match timeout(LAST, messages.message()).await {
                Ok(Ok(Some(_))) => read += 1,
                Ok(Ok(None)) => break "ended well".to_owned(),
                Ok(Err(error)) if is_stalled(&error) => break "FEED_READER_STALLED".to_owned(),
                Ok(Err(error)) => break error.to_string(),
                Err(_) => break "still open".to_owned(),
            }
        };
        ends.push(format!("{end} behind {read} messages"));
    }
    ends.join(", ")
}

fn is_stalled(error: &Error) -> bool {
    error.is(ErrorReason::FeedReaderStalled)
}
