//! The chain: whatever the owner of the tables does to the log is found.

use std::sync::Arc;

use clinicd_server::app::App;
use clinicd_server::kernel::access::{Caller, SignedIn};
use clinicd_server::kernel::audit::verify::{Report, verify};
use clinicd_server::kernel::audit::{self, Access, DataType, sealer};
use clinicd_server::kernel::db::Conn;
use clinicd_server::kernel::kinds::{AccountId, PatientId, Role, SessionId};
use diesel_async::{RunQueryDsl, SimpleAsyncConnection};
use uuid::Uuid;

use crate::scratch::{Scratch, number, run, texts, until};

const ENTRIES: usize = 12;

async fn record(app: &App) {
    let id = Uuid::from_u128(1);
    let session = SignedIn {
        account: AccountId(id),
        session: SessionId(id),
        roles: vec![Role::Doctor, Role::Patient],
        scopes: None,
        signed_in_at: app.clock.now(),
        second_factor: false,
    };
    let caller = Caller {
        session: Some(session),
        method: "clinicd.journals.v1.VisitNoteService/GetNote",
        medical: true,
        address: "192.0.2.1".into(),
        user_agent: String::new(),
        trail: Arc::default(),
    };
    let access = Access {
        patient: Some(PatientId(id)),
        data_types: vec![DataType::VisitNote],
        records: vec![id],
        rule: "treating_doctor",
    };
    let access = &access;
    app.db
        .transaction(async |conn| audit::record(app, conn, &caller, access.clone()).await)
        .await
        .unwrap();
    assert!(caller.trail.is_recorded());
}

/// A sealed log, and its entries in order.
async fn sealed(name: &str) -> (Scratch, Conn, Vec<String>) {
    let scratch = Scratch::new(name).await;
    for _ in 0..ENTRIES {
        record(&scratch.app).await;
    }
    let mut owner = scratch.owner().await;
    seal_all(&scratch.app, &mut owner).await;
    let ids = texts(&mut owner, "SELECT id::text AS t FROM audit_entries ORDER BY xid, seq").await;
    // As a thief of the owner's password would work: without foreign keys and triggers.
    run(&mut owner, "SET session_replication_role = replica").await;
    (scratch, owner, ids)
}

/// Seals until nothing is left; other tests' transactions hold it up for a moment.
async fn seal_all(app: &App, owner: &mut Conn) {
    let open = "SELECT (SELECT count(*) FROM audit_entries) - count(*) AS n FROM audit_chain";
    while number(owner, open).await > 0 {
        sealer::seal(app).await.unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    sealer::seal(app).await.unwrap();
}

async fn check(app: &App) -> Report {
    let mut conn = app.db.read().await.unwrap();
    verify(&mut conn, &app.keys.macs, &app.config.audit_dir(), app.clock.now()).await.unwrap()
}

/// The named entry and the fault.
async fn faulty(app: &App) -> (Option<String>, &'static str) {
    let fault = check(app).await.fault.unwrap();
    (fault.entry.map(|id| id.to_string()), fault.what)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sealed_log_is_whole_and_the_server_cannot_change_it() {
    let (scratch, mut owner, _) = sealed("audit_whole").await;
    let app = &scratch.app;
    let whole = Report { checked: i64::try_from(ENTRIES).unwrap(), fault: None };
    assert_eq!(check(app).await, whole);
    for _ in 0..3 {
        record(app).await;
    }
    assert_eq!(check(app).await, whole, "a young tail may be open");
    app.clock.advance(jiff::SignedDuration::from_mins(2));
    assert_eq!(faulty(app).await.1, "the entry is not part of the chain");
    // Two replicas seal at once.
    let [one, two] = [app.clone(), app.clone()]
        .map(|app| tokio::spawn(async move { sealer::seal(&app).await.unwrap() }));
    one.await.unwrap();
    two.await.unwrap();
    seal_all(app, &mut owner).await;
    assert_eq!(check(app).await, Report { checked: whole.checked + 3, fault: None });

    let mut conn = app.db.read().await.unwrap();
    for sql in [
        "UPDATE audit_entries SET rule = 'own_record'",
        "DELETE FROM audit_entries",
        "TRUNCATE audit_entries CASCADE",
        "UPDATE audit_chain SET position = position + 1",
        "DELETE FROM audit_chain",
        "UPDATE events SET event_type = 'x'",
        "DELETE FROM events",
        "ALTER TABLE audit_entries DISABLE TRIGGER ALL",
    ] {
        let error = diesel::sql_query(sql).execute(&mut conn).await.unwrap_err().to_string();
        let refused = error.contains("permission denied") || error.contains("must be owner");
        assert!(refused, "{sql}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_entry_is_named() {
    let (scratch, mut owner, ids) = sealed("audit_changed").await;
    let change =
        format!("UPDATE audit_entries SET rule = 'treating_doctoR' WHERE id = '{}'", ids[4]);
    run(&mut owner, &change).await;
    assert_eq!(faulty(&scratch.app).await, (Some(ids[4].clone()), "the entry was changed"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_entry_is_named() {
    let (scratch, mut owner, ids) = sealed("audit_deleted").await;
    run(&mut owner, &format!("DELETE FROM audit_entries WHERE id = '{}'", ids[7])).await;
    assert_eq!(faulty(&scratch.app).await, (Some(ids[7].clone()), "the entry is missing"));
    run(&mut owner, &format!("DELETE FROM audit_chain WHERE entry_id = '{}'", ids[7])).await;
    let after = (Some(ids[8].clone()), "a link before this entry is missing");
    assert_eq!(faulty(&scratch.app).await, after);
}

#[tokio::test(flavor = "multi_thread")]
async fn swapped_entries_are_found() {
    let (scratch, mut owner, ids) = sealed("audit_swapped").await;
    let swap = format!(
        "UPDATE audit_chain SET entry_id = '{nil}' WHERE entry_id = '{a}'; \
         UPDATE audit_chain SET entry_id = '{a}' WHERE entry_id = '{b}'; \
         UPDATE audit_chain SET entry_id = '{b}' WHERE entry_id = '{nil}'",
        nil = Uuid::nil(),
        a = ids[2],
        b = ids[3],
    );
    owner.batch_execute(&swap).await.unwrap();
    assert_eq!(faulty(&scratch.app).await, (Some(ids[3].clone()), "the entry was changed"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_tail_is_missed_also_after_sealing_went_on() {
    let (scratch, mut owner, ids) = sealed("audit_cut").await;
    let app = &scratch.app;
    let cut = format!(
        "DELETE FROM audit_chain WHERE entry_id IN ('{0}', '{1}'); \
         DELETE FROM audit_entries WHERE id IN ('{0}', '{1}')",
        ids[10], ids[11]
    );
    owner.batch_execute(&cut).await.unwrap();
    let fault = (None, "the chain is shorter than a signed head: its tail was cut off");
    assert_eq!(faulty(app).await, fault);
    for _ in 0..5 {
        record(app).await;
    }
    seal_all(app, &mut owner).await;
    assert!(matches!(faulty(app).await, (Some(_), "the chain differs from a signed head")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slipped_in_entry_and_a_forged_head_are_found() {
    let (scratch, mut owner, ids) = sealed("audit_slipped").await;
    let copy = format!(
        "INSERT INTO audit_entries (id, xid, created_at, actor_id, actor_roles, session_id, \
            client_address, method, data_types, record_ids, outcome, rule) \
         SELECT '{}', xid, now() + interval '1 year', actor_id, actor_roles, session_id, \
            client_address, method, data_types, record_ids, outcome, rule \
         FROM audit_entries WHERE id = '{}'",
        Uuid::nil(),
        ids[5]
    );
    run(&mut owner, &copy).await;
    let slipped = (Some(Uuid::nil().to_string()), "the entry was put in behind the chain");
    assert_eq!(faulty(&scratch.app).await, slipped);
    run(&mut owner, &format!("DELETE FROM audit_entries WHERE id = '{}'", Uuid::nil())).await;
    assert_eq!(check(&scratch.app).await.fault, None);

    let path = sealer::heads_file(&scratch.app.config.audit_dir());
    let heads = std::fs::read_to_string(&path).unwrap();
    // Half a line, as after a crash: the next head begins a new one.
    std::fs::write(&path, format!("{heads}{{\"position\":")).unwrap();
    record(&scratch.app).await;
    seal_all(&scratch.app, &mut owner).await;
    assert_eq!(check(&scratch.app).await.fault, None);
    let last = std::fs::read_to_string(&path).unwrap();
    assert!(last.lines().last().unwrap().contains(&format!("\"position\":{}", ENTRIES + 1)));
    std::fs::write(&path, heads.replacen("\"position\":", "\"position\":9", 1)).unwrap();
    assert_eq!(faulty(&scratch.app).await, (None, "a signed head is not genuine"));
}

/// What a crash between the sealing and its head leaves unsigned is signed by the next start.
#[tokio::test(flavor = "multi_thread")]
async fn an_unsigned_head_is_made_up_for() {
    let (scratch, mut owner, _) = sealed("audit_unsigned").await;
    let app = &scratch.app;
    let path = sealer::heads_file(&app.config.audit_dir());
    std::fs::remove_file(&path).unwrap();
    let sealing = tokio::spawn(sealer::run(app.clone(), app.stop.clone()));
    record(app).await;
    until(&mut owner, "SELECT count(*) AS n FROM audit_chain", 13).await;
    app.stop.cancel();
    sealing.await.unwrap();
    let heads = std::fs::read_to_string(&path).unwrap();
    assert!(heads.lines().last().unwrap().contains("\"position\":13"), "{heads}");
    assert_eq!(check(app).await.fault, None);
}
