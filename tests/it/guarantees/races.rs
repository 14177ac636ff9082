//! G1 with many clients at two processes, round after round. `CLINICD_TESTS=full` makes it 200
//! clients and 500 rounds. Appointments cannot be moved yet; when they can, moving and booking has
//! to be added here.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use clinicd_sdk::proto::appointments::v1::Appointment;
use clinicd_sdk::proto::prost_types::Timestamp;
use clinicd_sdk::{Client, RetryPolicy};
use clinicd_tests::{Person, Process, World, full};

use super::g1::{CONNECTIONS, counts, hunt, live, outcomes, overlaps, send_all};
use super::{book, cancel, free_slots};

/// A busy server asks to wait; here everybody gets an answer in the end.
const PATIENT: RetryPolicy = RetryPolicy {
    attempts: 100,
    first_pause: Duration::from_millis(50),
    longest_pause: Duration::from_millis(500),
};

/// A doctor, and clients of whom every other one is at the other process.
struct Arena {
    world: World,
    processes: [Process; 2],
    doctor: Person,
    clients: Vec<Client>,
    rounds: usize,
}

impl Arena {
    async fn open() -> Self {
        let (clients, rounds) = if full() { (200, 500) } else { (24, 4) };
        let world = World::start_with(|config| config.database_connections = CONNECTIONS).await;
        let doctor = world.doctor().await;
        let crowd = world.crowd(clients).await;
        let (one, other) = tokio::join!(Process::start(&world), Process::start(&world));
        let processes = [one, other];
        let at = |(number, person): (usize, &Person)| {
            let tokens = person.client.tokens().unwrap();
            let client = processes[number % 2].client().with_retry(PATIENT);
            client.with_tokens(person.id.clone(), tokens).unwrap()
        };
        let clients = crowd.iter().enumerate().map(at).collect();
        Self { world, processes, doctor, clients, rounds }
    }

    /// All want one of these at the same moment; who got it gives it back.
    async fn one_wins(&self, wishes: &[Timestamp]) {
        for _ in 0..self.rounds {
            let wishes = wishes.iter().cycle().map(|start| book(&self.doctor.id, *start));
            let answers = send_all(self.clients.iter().cloned().zip(wishes)).await;
            let won = answers.iter().position(Result::is_ok).unwrap();
            let booked = answers[won].as_ref().unwrap().appointment.clone().unwrap();
            let others = self.clients.len() - 1;
            assert_eq!(outcomes(answers), counts([("BOOKED", 1), ("SLOT_TAKEN", others)]));
            assert_eq!(live(&self.world).await, 1);
            self.clients[won].send(cancel(&booked)).await.unwrap();
        }
        self.nothing_is_left().await;
    }

    /// One gives the slot back while all others try to get it.
    async fn one_follows(&self, slot: Timestamp) {
        let first = self.clients[0].send(book(&self.doctor.id, slot)).await.unwrap();
        let mut held: (Client, Appointment) = (self.clients[0].clone(), first.appointment.unwrap());
        for _ in 0..self.rounds {
            let done = Arc::new(AtomicBool::new(false));
            let holder = held.1.patient_id.clone();
            let others = self.clients.iter().filter(|one| one.account_id() != Some(&*holder));
            let hunters = others.map(|client| {
                let (client, doctor) = (client.clone(), self.doctor.id.clone());
                let done = Arc::clone(&done);
                tokio::spawn(async move { hunt(&client, &doctor, slot, &done).await })
            });
            let hunters: Vec<_> = hunters.collect();
            held.0.send(cancel(&held.1)).await.unwrap();
            let mut winners = Vec::new();
            for hunter in hunters {
                winners.extend(hunter.await.unwrap());
            }
            assert_eq!((winners.len(), live(&self.world).await), (1, 1));
            held = winners.remove(0);
        }
        held.0.send(cancel(&held.1)).await.unwrap();
        self.nothing_is_left().await;
    }

    /// Of all that ever was no two appointments that were not cancelled overlap.
    async fn nothing_is_left(&self) {
        assert_eq!((live(&self.world).await, overlaps(&self.world).await), (0, vec![]));
    }

    /// Adds slots of so many minutes to the doctor's days, beside those from 09:00 on. No schedule
    /// of the API has slots that overlap; only a changed one meets what was booked before.
    async fn add_slots(&self, start: i64, slot: i64, buffer_after: i64) {
        let add = format!(
            "INSERT INTO schedule_rules SELECT doctor_id, \
                position + (SELECT count(*) FROM schedule_rules WHERE doctor_id = '{id}'), weekday, \
                {start}, {start} + {slot} + {buffer_after}, {slot}, 0, {buffer_after}, modes, \
                valid_from, valid_until \
             FROM schedule_rules WHERE doctor_id = '{id}' AND position < 7",
            id = self.doctor.id,
        );
        self.world.sql(&add).await;
    }

    async fn close(self) {
        for process in self.processes {
            assert!(process.terminate().await.success());
        }
        self.world.finish().await;
    }
}

fn minutes_after(start: Timestamp, minutes: i64) -> Timestamp {
    Timestamp { seconds: start.seconds + minutes * 60, nanos: 0 }
}

/// Seen to fail without the exclusion constraints of `appointments`: all 24 were booked at once.
#[tokio::test(flavor = "multi_thread")]
async fn of_many_at_two_processes_one_gets_what_all_want() {
    let arena = Arena::open().await;
    let nine = free_slots(&arena.world, &arena.doctor.id, 2, 2).await[0];
    arena.one_wins(&[nine]).await;
    arena.one_follows(nine).await;
    // 09:00 to 09:30, and 09:20 to 10:00.
    arena.add_slots(560, 40, 0).await;
    arena.one_wins(&[nine, minutes_after(nine, 20)]).await;
    // 10:05 to 10:35 and ten minutes after it, and 10:40 to 11:00: only the buffer meets it.
    arena.add_slots(605, 30, 10).await;
    arena.add_slots(640, 20, 0).await;
    arena.one_wins(&[minutes_after(nine, 65), minutes_after(nine, 100)]).await;
    arena.close().await;
}
