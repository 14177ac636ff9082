//! G3: no event is missed or seen twice, and all readers see one order.

use std::collections::HashSet;
use std::time::Duration;

use clinicd_server::app::App;
use clinicd_server::kernel::error::{Error, Reason};
use clinicd_server::kernel::events::{self, Event, Place, Position, ResourceKind, Viewer};
use clinicd_server::kernel::kinds::{AccountId, DoctorId, PatientId};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::scratch::{Scratch, number, run, texts};

const WRITERS: u128 = 16;
const ROUNDS: u128 = 25;

fn event(resource: Uuid) -> Event {
    Event {
        event_type: "appointment.booked",
        kind: ResourceKind::Appointment,
        resource,
        account: None,
        patient: None,
        doctor: None,
    }
}

async fn emit(app: &App, event: Event) {
    app.db.transaction(async |conn| app.events.emit(conn, event).await).await.unwrap();
}

/// Transactions of two events, the second up to 50 ms after the first; each fifth is rolled back.
async fn write(app: App, writer: u128) {
    for round in 0..ROUNDS {
        let random: [u8; 2] = app.random.bytes();
        let pause = |byte: u8| Duration::from_millis(u64::from(byte) % 50);
        let id = Uuid::from_u128((writer << 64) + (round << 1) + 2);
        let written = app
            .db
            .transaction(async |conn| {
                app.events.emit(conn, event(id)).await?;
                tokio::time::sleep(pause(random[0])).await;
                app.events.emit(conn, event(Uuid::from_u128(id.as_u128() + 1))).await?;
                tokio::time::sleep(pause(random[1])).await;
                if round % 5 == 4 { Err(Error::of(Reason::WrongState)) } else { Ok(()) }
            })
            .await;
        assert_eq!(written.is_ok(), round % 5 != 4);
    }
}

/// Reads on until the end is reached after `done`.
async fn read(app: App, done: CancellationToken, limit: i64, pause: u64) -> Vec<Uuid> {
    let (mut position, mut seen) = (Position::default(), Vec::new());
    loop {
        let last = done.is_cancelled();
        let mut conn = app.db.read().await.unwrap();
        let found =
            events::read_after(&mut conn, position, &Viewer::SERVER, &[], limit).await.unwrap();
        drop(conn);
        position = found.position;
        seen.extend(found.events.iter().map(|row| row.resource));
        if found.is_end && last {
            return seen;
        }
        tokio::time::sleep(Duration::from_millis(pause)).await;
    }
}

/// Without the guard `xid < pg_snapshot_xmin(…)` in `EventsAfter` this test fails: the readers miss
/// events of slower transactions. (Tried.)
#[tokio::test(flavor = "multi_thread")]
async fn readers_miss_nothing_while_sixteen_write() {
    let scratch = Scratch::new("feed_order").await;
    let done = CancellationToken::new();
    let eager = tokio::spawn(read(scratch.app.clone(), done.clone(), 7, 1));
    let lazy = tokio::spawn(read(scratch.app.clone(), done.clone(), 100, 30));
    let writers: Vec<_> =
        (0..WRITERS).map(|writer| tokio::spawn(write(scratch.app.clone(), writer))).collect();
    for writer in writers {
        writer.await.unwrap();
    }
    // Other tests' transactions in this cluster hold the feed up for a moment.
    tokio::time::sleep(Duration::from_secs(1)).await;
    done.cancel();
    let (eager, lazy) = (eager.await.unwrap(), lazy.await.unwrap());

    let mut conn = scratch.owner().await;
    let sql = "SELECT resource_id::text AS t FROM events";
    let written: HashSet<Uuid> =
        texts(&mut conn, sql).await.iter().map(|id| id.parse().unwrap()).collect();
    assert_eq!(written.len() as u128, WRITERS * ROUNDS / 5 * 4 * 2);
    let missed = written.iter().filter(|id| !eager.contains(id)).count();
    assert_eq!(missed, 0, "events missed");
    assert_eq!(eager.len(), written.len(), "events seen twice");
    assert_eq!(eager, lazy, "two orders");
}

/// With the bare `pg_current_xact_id()` as the number of an event this test fails. (Tried.)
#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_waited_for_another_comes_after_it() {
    let scratch = Scratch::new("feed_causal").await;
    let app = &scratch.app;
    let [early, late] = [1, 2].map(Uuid::from_u128);
    app.db
        .transaction(async |conn| {
            // This transaction gets its number first …
            number(conn, "SELECT pg_current_xact_id()::text::bigint AS n").await;
            // … and writes its event after the other one was committed.
            emit(app, event(late)).await;
            app.events.emit(conn, event(early)).await
        })
        .await
        .unwrap();
    let done = CancellationToken::new();
    done.cancel();
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(read(app.clone(), done, 100, 1).await, [late, early]);
}

/// With the expression instead of the function `event_xid` as the number of an event, which saw
/// only what the statement saw when it began, this test fails. (Tried.)
#[tokio::test(flavor = "multi_thread")]
async fn a_single_statement_that_waited_comes_after_what_it_waited_for() {
    let scratch = Scratch::new("feed_statement").await;
    let [waited, first] = [1, 2].map(Uuid::from_u128);
    let (mut holder, mut writer) = (scratch.owner().await, scratch.owner().await);
    run(&mut holder, "SELECT pg_advisory_lock(1)").await;
    let statement = format!(
        "WITH change AS MATERIALIZED (SELECT pg_current_xact_id(), pg_advisory_xact_lock(1)) \
         INSERT INTO events (id, created_at, event_type, resource_kind, resource_id) \
         SELECT '{waited}', now(), 'appointment.booked', 'appointment', '{waited}' FROM change"
    );
    let writing = tokio::spawn(async move { run(&mut writer, &statement).await });
    let waiting = "SELECT count(*) AS n FROM pg_locks l JOIN pg_database d ON d.oid = l.database \
                   WHERE datname = current_database() AND locktype = 'advisory' AND NOT granted";
    while number(&mut holder, waiting).await == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    emit(&scratch.app, event(first)).await;
    run(&mut holder, "SELECT pg_advisory_unlock(1)").await;
    writing.await.unwrap();
    let done = CancellationToken::new();
    done.cancel();
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(read(scratch.app.clone(), done, 100, 1).await, [first, waited]);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_viewer_sees_what_is_theirs_and_moves_on() {
    let scratch = Scratch::new("feed_viewers").await;
    let (app, ids) = (&scratch.app, [1, 2, 3].map(Uuid::from_u128));
    let [ann, doc, child] = ids;
    let mut owner = scratch.owner().await;
    run(&mut owner, "SET session_replication_role = replica").await;
    for id in [ann, child] {
        let sql = format!(
            "INSERT INTO patients (id, account_id, given_name, family_name, created_at, \
             updated_at) VALUES ('{id}', '{ann}', 'A', 'B', now(), now())"
        );
        run(&mut owner, &sql).await;
    }
    let blank = event(Uuid::nil());
    let (patient, doctor) = (PatientId, DoctorId);
    for number in 1..=20 {
        emit(app, Event { resource: Uuid::from_u128(100 + number), ..blank }).await;
    }
    let all = [
        Event { account: Some(AccountId(ann)), kind: ResourceKind::Account, ..blank },
        Event { patient: Some(patient(child)), doctor: Some(doctor(doc)), ..blank },
        Event { patient: Some(patient(ann)), kind: ResourceKind::VisitNote, ..blank },
        Event { doctor: Some(doctor(doc)), kind: ResourceKind::Prescription, ..blank },
    ];
    for (number, event) in (1..).zip(all) {
        emit(app, Event { resource: Uuid::from_u128(number), ..event }).await;
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    let viewer =
        |account| Viewer { account: AccountId(account), everything: false, ..Viewer::SERVER };
    let desk = Viewer { staff: vec![ResourceKind::Prescription], ..viewer(child) };
    let cases = [
        (viewer(ann), vec![1, 2, 3]),
        (viewer(doc), vec![]),
        (Viewer { doctor: true, ..viewer(doc) }, vec![2, 4]),
        (desk, vec![4]),
        (viewer(child), vec![]),
    ];
    let mut conn = app.db.read().await.unwrap();
    let end = events::end(&mut conn).await.unwrap();
    for (viewer, expected) in cases {
        let found =
            events::read_after(&mut conn, Position::default(), &viewer, &[], 100).await.unwrap();
        let seen: Vec<u128> = found.events.iter().map(|row| row.resource.as_u128()).collect();
        assert_eq!(seen, expected, "{viewer:?}");
        assert_eq!(found.position, end, "it moves past what it does not see");
        let all = events::new_rows(&mut conn, Position::default(), 100).await.unwrap();
        let shown = all.iter().filter(|event| viewer.sees(event));
        let shown: Vec<u128> = shown.map(|event| event.row.resource.as_u128()).collect();
        assert_eq!(shown, expected, "in memory as in SQL: {viewer:?}");
        assert!(events::read_after(&mut conn, end, &viewer, &[], 100).await.unwrap().is_end);
    }
    let kinds = [ResourceKind::VisitNote, ResourceKind::Account];
    let ann = viewer(ann);
    let first = events::read_after(&mut conn, Position::default(), &ann, &kinds, 1).await.unwrap();
    assert_eq!((first.events.len(), first.events[0].resource.as_u128()), (1, 1));
    assert_eq!(first.position, first.events[0].position());
    assert_eq!(events::place(&mut conn, end).await.unwrap(), Place::Readable);
    let beyond = Position { xid: i64::MAX, seq: 0 };
    assert_eq!(events::place(&mut conn, beyond).await.unwrap(), Place::Unknown);
}
