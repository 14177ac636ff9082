//! Clients that go away in the middle of a change: it is done, or it is not.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clinicd_sdk::proto::appointments::v1::BookAppointmentRequest;
use clinicd_sdk::proto::directory::v1::SearchDoctorsRequest;
use clinicd_sdk::proto::profiles::v1::{GetMyPatientRequest, UpdateMyPatientRequest};
use clinicd_sdk::proto::prost_types::Timestamp;
use clinicd_sdk::proto::rpc::Unary;
use clinicd_sdk::proto::r#type::v1::PersonName;
use clinicd_sdk::{Client, RetryPolicy};
use clinicd_tests::{Person, World, eventually, full};
use futures_util::future::join_all;

use super::{at_once, book, cancel, free_slots};
use crate::port::hold;

/// Patients who go away, each with a doctor of their own.
const PEOPLE: usize = 10;
/// Changes that are broken off after this many milliseconds at most.
const LONGEST: usize = 50;
/// Connections of the server to the database.
const CONNECTIONS: usize = 8;

/// One who does not wait for answers.
struct Hasty {
    client: Client,
    doctor: String,
    slots: Vec<Timestamp>,
    ids: clinicd_server::kernel::ids::Ids,
    /// Grows with every change: how long the next is waited for.
    step: usize,
    cut: usize,
}

impl Hasty {
    /// Sends a change and goes away; the request, for asking again.
    async fn begin<R: Unary + Clone>(&mut self, mut request: R) -> R {
        *request.request_id_mut().unwrap() = self.ids.next().to_string();
        // Every length comes up, in no order.
        self.step += 1;
        let patience = Duration::from_millis((self.step * 7_919 % (LONGEST + 1)) as u64);
        let client = self.client.with_retry(RetryPolicy::NONE);
        let answer = tokio::time::timeout(patience, client.send(request.clone())).await;
        self.cut += usize::from(answer.is_err());
        request
    }

    /// The same again, waited for.
    async fn whole<R: Unary + Clone>(&mut self, request: R) -> R::Response {
        let request = self.begin(request).await;
        self.client.send(request).await.unwrap()
    }

    async fn rename(&mut self, family: String) {
        let patient = self.client.send(GetMyPatientRequest {}).await.unwrap().patient.unwrap();
        let name = PersonName { given: "Asha".to_owned(), family };
        let request =
            UpdateMyPatientRequest { etag: patient.etag, name: Some(name), ..Default::default() };
        self.begin(request).await;
    }

    /// So many changes: bookings that may or may not come about, bookings with their cancellation,
    /// and new names.
    async fn run(mut self, changes: usize) -> usize {
        while self.step < changes {
            let slot = self.slots.pop().unwrap();
            self.begin(book(&self.doctor, slot)).await;
            let slot = *self.slots.last().unwrap();
            let request: BookAppointmentRequest = book(&self.doctor, slot);
            let booked = self.whole(request).await.appointment.unwrap();
            self.whole(cancel(&booked)).await;
            self.rename(format!("Rao {}", self.step)).await;
        }
        self.cut
    }
}

/// Looks again and again for transactions that wait for a client; how many it saw.
async fn waiting_transactions(world: &World, until: &AtomicBool) -> usize {
    let idle = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() \
                AND state LIKE 'idle in transaction%' AND now() - state_change > interval '1 s'";
    let mut seen = 0;
    while !until.load(Ordering::Relaxed) {
        seen += world.sql(idle).await.len();
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    seen
}

async fn count(world: &World, sql: &str) -> usize {
    world.sql(&format!("SELECT count(*) FROM {sql}")).await[0][0].parse().unwrap()
}

/// Row, event and stored answer come together.
async fn is_whole(world: &World, changes: &str) {
    let answers = |method: &str| format!("stored_answers WHERE method LIKE '%/{method}'");
    let events = |kind: &str| format!("events WHERE event_type = '{kind}'");
    for (method, event, rows) in [
        ("BookAppointment", "appointment.booked", Some("appointments")),
        (
            "CancelAppointment",
            "appointment.cancelled",
            Some("appointments WHERE state = 'cancelled'"),
        ),
        ("UpdateMyPatient", "patient.updated", None),
    ] {
        let answers = count(world, &answers(method)).await;
        assert_eq!(count(world, &events(event)).await, answers, "{changes}: {method}");
        if let Some(rows) = rows {
            assert_eq!(count(world, rows).await, answers, "{changes}: {method}");
        }
        assert!(answers > 0, "{method}");
    }
}

/// As many as there are connections are with the database at a time: none was lost.
async fn pool_is_full(world: &World) {
    let lock = hold(world.database_url(), "LOCK TABLE doctors").await;
    let searches: Vec<_> = (0..CONNECTIONS).map(|_| world.client()).collect();
    let searches = tokio::spawn(at_once(
        searches
            .into_iter()
            .map(|one| async move { one.send(SearchDoctorsRequest::default()).await }),
    ));
    let waiting = "pg_locks WHERE NOT granted AND relation = 'doctors'::regclass";
    eventually("all connections are in use", async || count(world, waiting).await == CONNECTIONS)
        .await;
    lock.batch_execute("ROLLBACK").await.unwrap();
    for answer in searches.await.unwrap() {
        answer.unwrap();
    }
}

/// Seen to fail with an event on a connection of its own, and changes that end with their client:
/// there were events of changes that had been taken back.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_whose_client_goes_away_is_done_or_not() {
    let changes: usize = if full() { 10_000 } else { 300 };
    let connections = u32::try_from(CONNECTIONS).unwrap();
    let world = World::start_with(|config| config.database_connections = connections).await;
    let doctor = world.doctor().await;
    let crowd: Vec<Person> = world.crowd(PEOPLE).await;
    let doctors = world.doctors_like(&doctor, PEOPLE).await;
    let slots = free_slots(&world, &doctor.id, 2, 25).await;
    let hasty = crowd.iter().zip(doctors).enumerate().map(|(number, (person, doctor))| Hasty {
        // So many at once on so few connections may be sent away more than once.
        client: person.client.with_retry(RetryPolicy { attempts: 10, ..RetryPolicy::default() }),
        doctor,
        slots: slots.clone(),
        ids: world.app.ids.clone(),
        step: number,
        cut: 0,
    });
    let done = AtomicBool::new(false);
    let (cut, waiting) = tokio::join!(
        async {
            let cut: usize =
                join_all(hasty.map(|one| one.run(changes / PEOPLE))).await.iter().sum();
            done.store(true, Ordering::Relaxed);
            cut
        },
        waiting_transactions(&world, &done)
    );
    assert!(cut > changes / 5, "only {cut} of {changes} were broken off");
    assert_eq!(waiting, 0, "transactions that wait for a client");
    // What was begun comes to its end.
    let busy = "pg_stat_activity WHERE datname = current_database() AND usename <> '' \
                AND state <> 'idle' AND pid <> pg_backend_pid() AND query NOT LIKE '%jobs%'";
    eventually("nothing is at work", async || count(&world, busy).await == 0).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    is_whole(&world, &format!("{cut} of {changes} broken off")).await;
    pool_is_full(&world).await;
    println!("{changes} changes, {cut} broken off");
    world.finish().await;
}
