//! Idle streams of the feed: what each costs, and how soon an event arrives.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use clinicd_sdk::proto::feed::v1::{WatchRequest, WatchResponse};
use clinicd_sdk::{Client, Messages};
use hdrhistogram::Histogram;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::drive::{Window, histogram, nanos};
use crate::people::{connections, signed_in};
use crate::prepare::Setup;
use crate::report::{Report, number};
use crate::usage::Meter;
use crate::{Result, worker};

/// Streams on one connection: the server takes 100.
const PER_CONNECTION: usize = 90;
/// Pause between two bookings: 50 in a second.
const PAUSE: Duration = Duration::from_millis(20);
/// How long the streams are left alone before their memory is looked at.
const SETTLE: Duration = Duration::from_secs(2);
/// How long the last events may take.
const LAST: Duration = Duration::from_secs(3);

/// Opens streams as the operator, who sees every booking, and books at a steady rate. The latency
/// is that from the call of a booking to its event, on each stream.
pub async fn measure(
    setup: &Setup,
    streams: usize,
    window: Window,
    meter: &Meter,
) -> Result<Report> {
    let bookings = setup.bookings().await?;
    let connections = connections(&setup.server, streams.div_ceil(PER_CONNECTION) + 1)?;
    let mut clients = signed_in(&connections, &crate::operator_email()).await?;
    let booker = clients.remove(0);
    let before = meter.memory();
    let (sender, mut delivered) = mpsc::unbounded_channel();
    let mut tasks = JoinSet::new();
    for number in 0..streams {
        let client = clients.get(number % clients.len().max(1)).ok_or("no connection")?;
        let messages = open(client).await?;
        tasks.spawn(follow(messages, sender.clone()));
    }
    drop(sender);
    tokio::time::sleep(SETTLE).await;
    let idle = meter.memory();
    let cpu = meter.cpu();
    let ends = Instant::now() + Duration::from_secs_f64(window.seconds);
    let (mut calls, mut errors) = (0, BTreeMap::new());
    let mut begun = HashMap::new();
    while let Some(request) = bookings.take().filter(|_| Instant::now() < ends) {
        let asked = Instant::now();
        match booker.send(request).await {
            Ok(answer) => {
                let id = answer.appointment.unwrap_or_default().id;
                begun.insert(id, asked);
                calls += 1;
            }
            Err(error) => *errors.entry(worker::code(&error)).or_default() += 1,
        }
        tokio::time::sleep_until(asked + PAUSE).await;
    }
    let report = Report { calls, errors, ..Report::default() };
    let report = report.with_cpu(window.seconds, cpu, meter.cpu()).with_memory(meter.memory());
    tokio::time::sleep(LAST).await;
    tasks.abort_all();
    let mut latencies: Histogram<u64> = histogram()?;
    while let Ok((id, at)) = delivered.try_recv() {
        if let Some(asked) = begun.get(&id) {
            latencies.saturating_record(nanos(at - *asked));
        }
    }
    let mut report = report.with_latencies(&latencies);
    let missing = (calls * u64::try_from(streams)?).saturating_sub(latencies.len());
    if missing > 0 {
        report.errors.insert("EVENTS_MISSING".to_owned(), missing);
    }
    if let (Some(before), Some(idle)) = (before, idle) {
        let kib = (idle.proportional - before.proportional) * 1_024.0;
        report.more.insert("KiB per stream".to_owned(), kib / number(u64::try_from(streams)?));
    }
    report.more.insert("streams".to_owned(), number(u64::try_from(streams)?));
    report.more.insert("events delivered".to_owned(), number(latencies.len()));
    Ok(report)
}

/// Opens a stream; its first message says that it is there.
async fn open(client: &Client) -> Result<Messages<WatchResponse>> {
    let mut messages = client.stream(WatchRequest::default()).await?;
    messages.message().await?.ok_or("the stream ended at once")?;
    Ok(messages)
}

/// Notes when each appointment's event came.
async fn follow(
    mut messages: Messages<WatchResponse>,
    sender: mpsc::UnboundedSender<(String, Instant)>,
) {
    while let Ok(Some(message)) = messages.message().await {
        let Some(event) = message.event.filter(|event| event.r#type == "appointment.booked") else {
            continue;
        };
        if sender.send((event.resource_id, Instant::now())).is_err() {
            return;
        }
    }
}
