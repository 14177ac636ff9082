//! Snapshots: all that exists for a viewer, and then every change of it.

use std::collections::BTreeSet;
use std::time::Duration;

use clinicd_sdk::proto::access::v1::Scope;
use clinicd_sdk::proto::appointments::v1::Appointment;
use clinicd_sdk::proto::feed::v1::{Event, ListEventsRequest, ResourceKind, WatchRequest};
use clinicd_sdk::proto::identity::v1::{
    CreateApiKeyRequest, CreateServiceAccountRequest, DeleteMyAccountRequest,
};
use clinicd_sdk::proto::journals::v1::{SaveDraftRequest, SignNoteRequest};
use clinicd_sdk::proto::prescriptions::v1::{IssuePrescriptionRequest, PrescriptionItem};
use clinicd_sdk::{Client, Error, Update, Updates};
use clinicd_tests::{Code, Person, World, eventually, refused};
use futures_util::TryStreamExt as _;

use crate::visits::visit;

/// Kinds and ids.
type Known = BTreeSet<(ResourceKind, String)>;

/// What a client that keeps a copy has.
struct Copy {
    feed: Updates,
    known: Known,
    token: String,
}

impl Copy {
    /// Takes a snapshot of these kinds.
    async fn of(client: &Client, kinds: &[ResourceKind]) -> Self {
        let kinds = kinds.iter().map(|kind| (*kind).into()).collect();
        let feed = client.follow(WatchRequest { kinds, snapshot: true, ..Default::default() });
        let mut copy = Self { feed, known: Known::new(), token: String::new() };
        copy.until(|copy| !copy.token.is_empty()).await;
        copy
    }

    /// Follows the feed until this is so.
    async fn until(&mut self, is_so: impl Fn(&Self) -> bool) {
        while !is_so(self) {
            let update = tokio::time::timeout(Duration::from_secs(20), self.feed.try_next());
            match update.await.unwrap().unwrap().unwrap() {
                Update::SnapshotBegins => self.known.clear(),
                Update::Exist(some) => {
                    assert!(some.len() <= 500);
                    let known = some.into_iter().map(|one| (one.resource_kind(), one.resource_id));
                    self.known.extend(known);
                }
                Update::Changed(event, token) => {
                    fold(&mut self.known, event);
                    self.token = token;
                }
                Update::Checkpoint(token) => self.token = token,
                other => panic!("{other:?}"),
            }
        }
    }
}

/// Makes of an event what a client makes of it that keeps what exists.
fn fold(known: &mut Known, event: Event) {
    let resource = (event.resource_kind(), event.resource_id);
    if event.deleted {
        known.remove(&resource);
    } else {
        known.insert(resource);
    }
}

/// What a viewer knows who has read all events from the beginning.
async fn from_events(client: &Client) -> Known {
    let (mut known, mut token) = (Known::new(), String::new());
    loop {
        let resume_token = token.clone();
        let request = ListEventsRequest { resume_token, max_events: 1_000, ..Default::default() };
        let found = client.send(request).await.unwrap();
        found.events.into_iter().for_each(|event| fold(&mut known, event));
        if found.resume_token == token {
            return known;
        }
        token = found.resume_token;
    }
}

/// Signs a note of a visit, and leaves another one a draft; issues a prescription.
async fn document(doctor: &Person, visited: &Appointment) {
    let text = "Pulse 72, regular.".to_owned();
    let appointment_id = visited.id.clone();
    let draft =
        SaveDraftRequest { appointment_id: appointment_id.clone(), text, ..Default::default() };
    let note = doctor.client.send(draft.clone()).await.unwrap().note.unwrap();
    let sign = SignNoteRequest { note_id: note.id, etag: note.etag, ..Default::default() };
    doctor.client.send(sign).await.unwrap();
    let item = PrescriptionItem {
        medication: "Metoprolol succinate 25 mg".to_owned(),
        dose: "1 tablet".to_owned(),
        route: "by mouth".to_owned(),
        frequency: "once a day".to_owned(),
        duration: "30 days".to_owned(),
        ..Default::default()
    };
    let issue =
        IssuePrescriptionRequest { appointment_id, items: vec![item], ..Default::default() };
    doctor.client.send(issue).await.unwrap();
}

/// A message in somebody's inbox, with its event, and one that was only mailed.
fn inbox(account: &str) -> String {
    format!(
        "WITH new AS (INSERT INTO notifications (id, account_id, kind, once_key, template_values, \
            in_inbox, urgent, created_at) \
         SELECT gen_random_uuid(), '{account}', 'welcome', gen_random_uuid()::text, '{{}}', shown, \
            false, now() FROM unnest('{{t,f}}'::boolean[]) AS shown RETURNING id, in_inbox) \
         INSERT INTO events (id, created_at, event_type, resource_kind, resource_id, account_id) \
         SELECT gen_random_uuid(), now(), 'notification.created', 'notification', id, '{account}' \
         FROM new WHERE in_inbox;"
    )
}

/// A program with a key that reads the feed.
async fn program(world: &World, admin: &Client) -> Client {
    let display_name = "Lab partner".to_owned();
    let request = CreateServiceAccountRequest { display_name, ..Default::default() };
    let account = admin.send(request).await.unwrap().service_account.unwrap();
    let request = CreateApiKeyRequest {
        service_account_id: account.id,
        display_name: "production".to_owned(),
        scopes: vec![Scope::FeedRead.into()],
        expire_time: Some(world.app.clock.now().plus_seconds(24 * 3_600).into()),
        ..Default::default()
    };
    let key = admin.send(request).await.unwrap().api_key;
    world.client().with_api_key(&key).await.unwrap()
}

fn count(known: &Known, kind: ResourceKind) -> usize {
    known.iter().filter(|(one, _)| *one == kind).count()
}

/// What the snapshot of a caller says is what all events say, and so many of these kinds.
async fn compare(who: &Client, expected: &[(ResourceKind, usize)]) {
    let copy = Copy::of(who, &[]).await;
    let id = who.account_id();
    let mut told = from_events(who).await;
    // What a closed account was told is forgotten without an event.
    told.retain(|one| one.0 != ResourceKind::Notification || copy.known.contains(one));
    assert_eq!(copy.known, told, "{id:?}");
    for (kind, number) in expected {
        assert_eq!(count(&copy.known, *kind), *number, "{id:?} {kind:?}");
    }
    let some = [ResourceKind::Appointment, ResourceKind::Patient];
    let part = Copy::of(who, &some).await;
    let expected = copy.known.into_iter().filter(|(kind, _)| some.contains(kind)).collect();
    assert_eq!(part.known, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_is_what_all_events_together_say() {
    let world = World::start().await;
    let (doctor, asha, ravi) = (world.doctor().await, world.patient().await, world.patient().await);
    let (operator, pharmacist) = (world.operator().await, world.pharmacist().await);
    let visited = visit(&world, &doctor, &asha).await;
    document(&doctor, &visited).await;
    let more = visit(&world, &doctor, &ravi).await;
    let text = "A draft.".to_owned();
    let draft = SaveDraftRequest { appointment_id: more.id, text, ..Default::default() };
    doctor.client.send(draft).await.unwrap();
    world.batch(&(inbox(&asha.id) + &inbox(&ravi.id))).await;
    let gone = world.patient().await;
    let mut seen = Copy::of(&gone.client, &[]).await;
    let two = [ResourceKind::Account, ResourceKind::Patient].map(|kind| count(&seen.known, kind));
    assert_eq!(two, [1, 1], "{:?}", seen.known);
    let admin = world.admin().await;
    let program = program(&world, &admin.client).await;
    let mut watched = Copy::of(&program, &[]).await;
    gone.client.send(DeleteMyAccountRequest::default()).await.unwrap();
    world.settle().await;

    let own = [
        (ResourceKind::Account, 1),
        (ResourceKind::Patient, 1),
        (ResourceKind::Appointment, 1),
        (ResourceKind::VisitNote, 1),
        (ResourceKind::Prescription, 1),
        (ResourceKind::Doctor, 0),
    ];
    let doctors = [
        (ResourceKind::Doctor, 1),
        (ResourceKind::Schedule, 1),
        (ResourceKind::Appointment, 2),
        (ResourceKind::VisitNote, 1),
        (ResourceKind::Application, 1),
    ];
    let desk = [
        (ResourceKind::Appointment, 2),
        (ResourceKind::Doctor, 1),
        (ResourceKind::Account, 1),
        (ResourceKind::VisitNote, 0),
    ];
    for (who, expected) in [
        (&asha.client, &own[..]),
        (&doctor.client, &doctors[..]),
        (&operator.client, &desk[..]),
        (&pharmacist.client, &[(ResourceKind::Prescription, 1), (ResourceKind::Appointment, 0)]),
        (&admin.client, &[(ResourceKind::VisitNote, 1)]),
        (&program, &[(ResourceKind::VisitNote, 1)]),
    ] {
        compare(who, expected).await;
    }
    // Who had a copy has let go of what is gone.
    let whole = from_events(&program).await;
    watched.until(|copy| copy.known == whole).await;
    assert!(!whole.iter().any(|(_, id)| *id == gone.id));
    let ended = async {
        while seen.feed.try_next().await?.is_some() {}
        Ok(())
    };
    assert!(matches!(ended.await, Err::<(), _>(Error::SessionEnded(_))));
    world.finish().await;
}

/// A transaction that makes a patient, or closes the oldest one of its writer.
fn change(owner: &str, writer: usize, round: usize) -> String {
    let (id, event) = if round % 3 == 2 { (round - 2, "closed") } else { (round, "created") };
    let id = format!("00000000-0000-{writer:04}-0000-{id:012}");
    let write = if event == "closed" {
        format!("UPDATE patients SET closed_at = now() WHERE id = '{id}';")
    } else {
        format!(
            "INSERT INTO patients (id, account_id, given_name, family_name, created_at, updated_at) \
             VALUES ('{id}', '{owner}', 'A', 'B', now(), now());"
        )
    };
    format!(
        "{write} INSERT INTO events (id, created_at, event_type, resource_kind, resource_id, \
            patient_id) VALUES (gen_random_uuid(), now(), 'patient.{event}', 'patient', '{id}', \
            '{id}'); SELECT pg_sleep(0.00{});",
        (writer + round) % 10
    )
}

/// If the position were taken after the snapshot instead of before it, what happens in between would be
/// missing from copies, which would never become what the database holds.
#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_and_what_follows_have_no_gap() {
    const WRITERS: usize = 8;
    const ROUNDS: usize = 90;
    let world = World::start().await;
    let (asha, admin) = (world.patient().await, world.admin().await);
    world
        .batch(&format!(
            "INSERT INTO patients (id, account_id, given_name, family_name, created_at, updated_at) \
             SELECT ('ffffffff-0000-0000-0000-' || lpad(n::text, 12, '0'))::uuid, '{}', 'A', 'B', \
                now(), now() FROM generate_series(1, 6000) n;",
            asha.id
        ))
        .await;
    let writers = (0..WRITERS).map(async |writer| {
        let url = world.database_url();
        let (client, connection) =
            tokio_postgres::connect(url, tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        for round in 0..ROUNDS {
            let sql = format!("BEGIN; {} COMMIT;", change(&asha.id, writer, round));
            client.batch_execute(&sql).await.unwrap();
        }
    });
    let kinds = [ResourceKind::Patient];
    let copies = async {
        let mut copies = Vec::new();
        for _ in 0..6 {
            copies.push(Copy::of(&asha.client, &kinds).await);
            copies.push(Copy::of(&admin.client, &kinds).await);
        }
        copies
    };
    let (_, copies) = tokio::join!(futures_util::future::join_all(writers), copies);
    let sql = "SELECT id FROM patients WHERE closed_at IS NULL";
    let all: BTreeSet<String> = world.sql(sql).await.concat().into_iter().collect();
    let own: BTreeSet<String> = world
        .sql(&format!("{sql} AND account_id = '{}'", asha.id))
        .await
        .concat()
        .into_iter()
        .collect();
    for (number, mut copy) in copies.into_iter().enumerate() {
        let expected = if number % 2 == 0 { &own } else { &all };
        let same = |copy: &Copy| {
            copy.known.len() == expected.len()
                && copy.known.iter().all(|(_, id)| expected.contains(id))
        };
        tokio::time::timeout(Duration::from_secs(20), copy.until(same)).await.unwrap();
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_begins_where_a_token_leads_nowhere() {
    let world = World::start().await;
    let asha = world.patient().await;
    world.settle().await;
    let old = asha.client.send(ListEventsRequest { max_events: 1, ..Default::default() });
    let old = old.await.unwrap().resume_token;
    let kinds = vec![ResourceKind::Account.into(), ResourceKind::Patient.into()];
    let both = WatchRequest { resume_token: old.clone(), snapshot: true, kinds };
    let opened = async { asha.client.stream(both.clone()).await?.message().await };
    let refusal = refused(opened.await, Code::InvalidArgument, "INVALID_FIELDS");
    assert_eq!(refusal.violations[0].0, "snapshot");

    // The SDK goes on from the token while it can …
    let mut feed = asha.client.follow(both.clone());
    assert!(matches!(feed.try_next().await.unwrap(), Some(Update::Checkpoint(_))));
    // … and begins anew when it cannot.
    world.sql("UPDATE events SET created_at = created_at - interval '31 days'").await;
    let swept = async || world.sql_as_server("SELECT sweep_events(now(), 1000)").await.unwrap();
    eventually("all is swept", async || swept().await.concat() == ["0"]).await;
    let mut feed = asha.client.follow(both);
    assert_eq!(feed.try_next().await.unwrap(), Some(Update::SnapshotBegins));
    let mut known = 0;
    while let Some(Update::Exist(some)) = feed.try_next().await.unwrap() {
        known += some.len();
    }
    assert_eq!(known, 2, "account and patient");
    let only = WatchRequest { resume_token: old, ..Default::default() };
    let ended = asha.client.watch(only).try_next().await;
    refused(ended, Code::OutOfRange, "FEED_TOKEN_TOO_OLD");
    world.finish().await;
}
