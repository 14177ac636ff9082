//! G4: no duplicate effect.

mod administration;
mod changes;
mod contacts;
mod messages;
mod own_account;
mod programs;
mod webhooks;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use clinicd_sdk::proto::identity::v1::SignOutRequest;
use clinicd_sdk::proto::rpc::{Rpc, Unary};
use clinicd_sdk::{Client, Error};
use clinicd_server::kernel::access::rules::Rules;
use clinicd_tests::people::PASSWORD;
use clinicd_tests::world::Replica;
use clinicd_tests::{Code, Person, Process, World, eventually, full, refused};

use super::{at_once, book, cancel, contents, free_slots};
use crate::contract::methods;
use crate::port::hold;

/// Copies of a call that are sent at the same moment.
fn copies() -> usize {
    if full() { 50 } else { 10 }
}

/// Changing methods that carry no `request_id`: repeated bytes are skipped.
const REPEATABLE: [&str; 1] = ["/clinicd.files.v1.FileService/UploadChunk"];

/// One who acts on both servers.
struct Actor {
    here: Client,
    there: Client,
}

/// Tries one changing method after the other.
struct Trial {
    world: World,
    second: Replica,
    rules: Rules,
    tried: BTreeSet<&'static str>,
}

impl Trial {
    async fn start() -> Self {
        let world = World::start().await;
        if full() {
            // A process that starts makes one where there is none.
            world.superuser().await;
        }
        let second = world.second_server().await;
        let rules = Rules::from_descriptors(clinicd_proto::FILE_DESCRIPTOR_SET).unwrap();
        Self { world, second, rules, tried: BTreeSet::new() }
    }

    async fn actor(&self, person: &Person) -> Actor {
        let there = self.second.client().sign_in(&person.email, PASSWORD).await.unwrap();
        Actor { here: person.client.clone(), there }
    }

    fn anybody(&self) -> Actor {
        Actor { here: self.world.client(), there: self.second.client() }
    }

    /// Sends a change many times at once, again later, and again to another server. All get one
    /// answer, and rows come or go as `effects` says: once. The same id with `other` is refused;
    /// where that changes nothing, the id is all that the request has.
    async fn change<R>(
        &mut self,
        by: &Actor,
        mut request: R,
        other: fn(&mut R),
        effects: &[(&str, i64)],
    ) -> R::Response
    where
        R: Unary + PartialEq,
        R::Response: PartialEq + Debug,
    {
        let id = request.request_id_mut().unwrap();
        *id = self.world.app.ids.next().to_string();
        let before = contents(&self.world).await;
        let answers = at_once((0..copies()).map(|_| {
            let (client, request) = (by.here.clone(), request.clone());
            async move { client.send(request).await }
        }));
        let answers = answers.await.into_iter();
        let mut answers: Vec<R::Response> =
            answers.map(|one| one.unwrap_or_else(|error| panic!("{}: {error}", R::PATH))).collect();
        let first = answers.remove(0);
        let after = contents(&self.world).await;
        assert_eq!(grown(&before, &after), self.expected::<R>(effects), "{}", R::PATH);
        assert_ne!(effect_of(&after), effect_of(&before), "{}", R::PATH);

        for client in [&by.here, &by.there] {
            answers.push(client.send(request.clone()).await.unwrap());
        }
        if full() {
            answers.push(self.answer_of_a_new_process(by, request.clone()).await);
        }
        for answer in answers {
            assert_eq!(answer, first, "{}", R::PATH);
        }
        let mut changed = request.clone();
        other(&mut changed);
        if changed == request {
            assert_eq!(fields::<R>(), 1, "{}: what is another payload?", R::PATH);
        } else {
            for client in [&by.here, &by.there] {
                let answer = client.send(changed.clone()).await;
                refused(answer, Code::InvalidArgument, "REQUEST_ID_REUSED");
            }
        }
        assert_eq!(effect_of(&contents(&self.world).await), effect_of(&after), "{}", R::PATH);
        self.tried.insert(R::PATH);
        first
    }

    /// What a server says that was started after the call.
    async fn answer_of_a_new_process<R: Unary>(&self, by: &Actor, request: R) -> R::Response {
        let process = Process::start(&self.world).await;
        let mut client = process.client();
        if let (Some(account), Some(tokens)) = (by.here.account_id(), by.here.tokens()) {
            client = client.with_tokens(account.to_owned(), tokens).unwrap();
        }
        let answer = client.send(request).await.unwrap();
        assert!(process.terminate().await.success());
        answer
    }

    /// What comes besides: the stored answer, and for medical data an entry of every call.
    fn expected<R: Rpc>(&self, effects: &[(&str, i64)]) -> BTreeMap<String, i64> {
        let mut expected: BTreeMap<String, i64> =
            effects.iter().map(|(table, rows)| ((*table).to_owned(), *rows)).collect();
        expected.insert("stored_answers".to_owned(), 1);
        if self.rules.get(R::PATH).unwrap().medical {
            expected.insert("audit_entries".to_owned(), i64::try_from(copies()).unwrap());
        }
        expected
    }

    /// A repeated sign-out comes from a session that has ended: the answer may also be just that.
    async fn sign_out(&mut self, client: Client) {
        self.ends_with(client.clone(), SignOutRequest::default()).await;
        let after = effect_of(&contents(&self.world).await);
        client.sign_out().await.unwrap();
        let now = effect_of(&contents(&self.world).await);
        assert_eq!(now["sessions"], after["sessions"]);
    }

    /// A change that ends the session which asks for it.
    async fn ends_with<R>(&mut self, client: Client, mut request: R)
    where
        R: Unary,
        R::Response: Debug,
    {
        *request.request_id_mut().unwrap() = self.world.app.ids.next().to_string();
        client.send(request.clone()).await.unwrap();
        let after = effect_of(&contents(&self.world).await);
        let repeated = at_once((0..copies()).map(|_| {
            let (client, request) = (client.clone(), request.clone());
            async move { client.send(request).await }
        }));
        for answer in repeated.await {
            assert!(matches!(answer, Ok(_) | Err(Error::SessionEnded(_))), "{answer:?}");
        }
        let now = effect_of(&contents(&self.world).await);
        for table in ["accounts", "account_roles", "events", "jobs", "patients"] {
            assert_eq!(now[table], after[table], "{}: {table}", R::PATH);
        }
        self.tried.insert(R::PATH);
    }
}

type Contents = BTreeMap<String, (i64, String)>;

/// The tables that have more or fewer rows than before, and how many.
fn grown(before: &Contents, after: &Contents) -> BTreeMap<String, i64> {
    let rows =
        |(table, (rows, _)): (&String, &(i64, String))| (table.clone(), rows - before[table].0);
    after.iter().map(rows).filter(|(_, rows)| *rows != 0).collect()
}

/// The contents without what belongs to the calls themselves.
fn effect_of(contents: &Contents) -> Contents {
    let mut effect = contents.clone();
    effect.retain(|table, _| table != "stored_answers" && table != "audit_entries");
    effect
}

/// How many fields a request has.
fn fields<R: Rpc>() -> usize {
    let method = R::PATH.rsplit_once('/').unwrap().1;
    let methods = methods();
    methods.iter().find(|known| known.name() == method).unwrap().input().fields().count()
}

/// With the claim of `kernel/idempotency.rs` taken for given in every call this test fails at the
/// first method. (Tried.)
#[tokio::test(flavor = "multi_thread")]
async fn every_change_happens_once_however_often_it_is_asked_for() {
    let mut trial = Trial::start().await;
    changes::identity(&mut trial).await;
    programs::all(&mut trial).await;
    webhooks::all(&mut trial).await;
    own_account::all(&mut trial).await;
    contacts::by_phone(&mut trial).await;
    contacts::by_mail(&mut trial).await;
    messages::all(&mut trial).await;
    changes::files(&mut trial).await;
    let doctor = changes::onboarding(&mut trial).await;
    changes::profiles(&mut trial, &doctor).await;
    changes::appointments(&mut trial, &doctor).await;
    changes::visit(&mut trial, &doctor).await;
    administration::accounts(&mut trial, &doctor).await;

    let paths = methods().into_iter().map(|method| {
        let service = method.parent_service().full_name().to_owned();
        format!("/{service}/{}", method.name())
    });
    let changing = paths.filter(|path| trial.rules.get(path).unwrap().changes);
    let untried: Vec<String> = changing
        .filter(|path| !trial.tried.contains(path.as_str()) && !REPEATABLE.contains(&path.as_str()))
        .collect();
    assert!(untried.is_empty(), "add them to the table: {untried:?}");
    trial.world.finish().await;
}

/// With a claim that does not ask for its basis the booking was answered, and made by nobody; without
/// the lock in the basis it did not wait for the change. (Tried.)
#[tokio::test(flavor = "multi_thread")]
async fn a_booking_whose_schedule_changes_meanwhile_is_decided_anew() {
    let world = World::start().await;
    let doctor = world.doctor().await;
    let asha = world.patient().await;
    let slots = free_slots(&world, &doctor.id, 3, 3).await;
    let mut wish = book(&doctor.id, slots[0]);
    wish.request_id = world.app.ids.next().to_string();
    let change = format!(
        "UPDATE schedules SET version = version + 1 WHERE doctor_id = '{0}'; \
         DELETE FROM schedule_rules WHERE doctor_id = '{0}'",
        doctor.id
    );
    let changing = hold(world.database_url(), &change).await;
    let (client, again) = (asha.client.clone(), wish.clone());
    let booking = tokio::spawn(async move { client.send(wish).await });
    let waits = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() \
                 AND wait_event_type = 'Lock'";
    eventually("the booking waits", async || !world.sql(waits).await.is_empty()).await;
    changing.batch_execute("COMMIT").await.unwrap();
    refused(booking.await.unwrap(), Code::FailedPrecondition, "SLOT_OUTSIDE_SCHEDULE");
    refused(asha.client.send(again).await, Code::FailedPrecondition, "SLOT_OUTSIDE_SCHEDULE");
    let traces = "SELECT 1 FROM stored_answers WHERE method LIKE '%BookAppointment' \
                  UNION ALL SELECT 2 FROM appointments";
    assert_eq!(world.sql(traces).await, [[""; 0]; 0]);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_copies_of_a_call_are_one_call() {
    let world = World::start().await;
    let second = world.second_server().await;
    let doctor = world.doctor().await;
    let crowd = world.crowd(2).await;
    let [asha, ravi] = &crowd[..] else { panic!() };
    let slots = free_slots(&world, &doctor.id, 3, 3).await;
    let there = second.client().sign_in(&asha.email, PASSWORD).await.unwrap();
    let mut wish = book(&doctor.id, slots[0]);
    wish.request_id = world.app.ids.next().to_string();
    let answers = at_once((0..50).map(|number| {
        let client = if number % 2 == 0 { &asha.client } else { &there };
        let (client, wish) = (client.clone(), wish.clone());
        async move { client.send(wish).await.unwrap().appointment.unwrap() }
    }));
    let answers = answers.await;
    assert!(answers.iter().all(|answer| *answer == answers[0]));
    let count = "SELECT (SELECT count(*) FROM appointments), \
         (SELECT count(*) FROM events WHERE event_type = 'appointment.booked')";
    assert_eq!(world.sql(count).await, [["1", "1"]]);

    let mut other = wish.clone();
    other.start_time = Some(slots[1]);
    refused(asha.client.send(other).await, Code::InvalidArgument, "REQUEST_ID_REUSED");
    // The id is the caller's: with it another one makes a call of her own.
    refused(ravi.client.send(wish.clone()).await, Code::AlreadyExists, "SLOT_TAKEN");
    // A refused call leaves no id behind.
    asha.client.send(cancel(&answers[0])).await.unwrap();
    let ravis = ravi.client.send(wish.clone()).await.unwrap().appointment.unwrap();
    assert_eq!(ravis.patient_id, ravi.id);
    // The first answer is what it was, whatever came later, and whoever has started since.
    assert_eq!(there.send(wish.clone()).await.unwrap().appointment.unwrap(), answers[0]);
    let restarted = Process::start(&world).await;
    let tokens = asha.client.tokens().unwrap();
    let there = restarted.client().with_tokens(asha.id.clone(), tokens).unwrap();
    assert_eq!(there.send(wish).await.unwrap().appointment.unwrap(), answers[0]);
    assert!(restarted.terminate().await.success());
    world.finish().await;
}
