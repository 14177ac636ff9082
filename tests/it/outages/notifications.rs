//! Everything that sends is killed, again and again. Each message arrives, and the provider can tell
//! those that come twice by their key.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use clinicd_tests::http_double::{Answer, HttpDouble, Received};
use clinicd_tests::{Process, World, full};

/// Jobs that one process runs at a time.
const PARALLEL: usize = 8;
/// How long the provider takes for a message.
const TAKES: Duration = Duration::from_millis(20);
/// Shortest life of a process, in milliseconds.
const SHORTEST: u64 = 200;
/// Most rounds of killing.
const ROUNDS: usize = 100;
/// By when all has to be sent after the last kill.
const BY_THEN: Duration = Duration::from_mins(5);

/// How many messages, and by how much the longest life is longer than the shortest, in milliseconds.
fn size() -> (usize, u64) {
    if full() { (10_000, 2_500) } else { (500, 500) }
}

/// A server and a worker on the database of the world, which send through the double.
async fn start(world: &World, double: &HttpDouble) -> [Process; 2] {
    let settings = |command: &mut std::process::Command| {
        command
            .env("RUST_LOG", "off")
            .env("CLINICD_SMS__ADDRESS", &double.url)
            .env("CLINICD_SMS__ACCOUNT", "AC42")
            .env("CLINICD_SMS__TOKEN", "egrets")
            .env("CLINICD_SMS__FROM", "+15550000000")
            .env("CLINICD_RATES__SMS", "0");
    };
    let both =
        tokio::join!(Process::start_with(world, settings), Process::worker_with(world, settings));
    [both.0, both.1]
}

async fn count(world: &World, sql: &str) -> usize {
    world.sql(&format!("SELECT count(*) FROM {sql}")).await[0][0].parse().unwrap()
}

fn to(request: &Received) -> String {
    let fields = form_urlencoded::parse(&request.body);
    fields.into_owned().find(|(name, _)| name == "To").unwrap().1
}

/// A life of random length.
fn life(world: &World, spread: u64) -> Duration {
    let [.., a, b] = *world.app.ids.next().as_bytes();
    Duration::from_millis(SHORTEST + u64::from(u16::from_be_bytes([a, b])) % spread)
}

/// Seen to fail with `sent` recorded before the message is sent (495 of 500 came), and with a key of
/// its own for each attempt (500 messages with 523 keys).
#[tokio::test(flavor = "multi_thread")]
async fn killed_senders_lose_no_message_and_double_none_without_its_key() {
    let (messages, spread) = size();
    let double = HttpDouble::start().await;
    double.rule(|_| Answer::status(201).body(r#"{"sid": "SM1"}"#).after(TAKES));
    let world = World::start_with(|config| config.worker = false).await;
    world.welcome_by_sms(messages).await;
    let begun = Instant::now();
    let (mut killed, mut in_flight) = (0, 0);
    // Until nearly all has come once: then the rest goes without kills.
    while double.received().len() < messages * 9 / 10 && killed < 2 * ROUNDS {
        let processes = start(&world, &double).await;
        tokio::time::sleep(life(&world, spread)).await;
        for process in processes {
            process.kill();
            killed += 1;
        }
        in_flight += count(&world, "jobs WHERE state = 'running'").await;
        // As if the leases of the dead had run out.
        world.sql("UPDATE jobs SET lease_until = clock_timestamp() WHERE state = 'running'").await;
    }
    let sent_before = double.received().len();
    let processes = start(&world, &double).await;
    let ends = Instant::now() + BY_THEN;
    while count(&world, "jobs WHERE state IN ('ready', 'running')").await > 0 {
        assert!(Instant::now() < ends, "not all is done");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    drop(processes);

    // By number: the keys with which messages came, each as often as it came.
    let requests = double.received();
    let mut came: BTreeMap<String, BTreeMap<&str, usize>> = BTreeMap::new();
    for request in &requests {
        let keys = came.entry(to(request)).or_default();
        *keys.entry(request.header("idempotency-key")).or_default() += 1;
    }
    let doubles = requests.len() - messages.min(requests.len());
    println!(
        "killed: {messages} messages, {killed} processes killed with {in_flight} jobs in flight, \
         {sent_before} requests before the last start, {doubles} doubles, {:?}",
        begun.elapsed()
    );
    assert_eq!(came.len(), messages, "every message has come");
    let keys: BTreeSet<&str> = came.values().flat_map(|keys| keys.keys().copied()).collect();
    assert_eq!(keys.len(), messages, "every message has one key");
    assert!(doubles <= in_flight && in_flight <= killed * PARALLEL, "{doubles} {in_flight}");
    let sent = "deliveries WHERE state = 'sent' AND channel = 'sms'";
    assert_eq!(count(&world, sent).await, messages);
    assert_eq!(count(&world, "notifications").await, messages);
    assert_eq!(count(&world, "jobs WHERE state = 'failed'").await, 0);
    world.finish().await;
}
