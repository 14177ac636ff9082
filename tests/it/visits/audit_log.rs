//! The audit log: what patients and admins see of it, and that nobody changes it unseen.

use std::process::Command;

use clinicd_sdk::proto::access::v1::Role;
use clinicd_sdk::proto::audit::v1::{
    AuditEntry, AuditOutcome, DataType, ListMyAccessLogRequest, SearchAuditLogRequest,
    VerifyAuditChainRequest, VerifyAuditChainResponse,
};
use clinicd_sdk::proto::journals::v1::{GetNoteRequest, SaveDraftRequest, SignNoteRequest};
use clinicd_tests::cluster::program;
use clinicd_tests::{Code, Person, World, eventually, refused};

use super::visit;

/// A signed note of a visit that goes on.
async fn note(world: &World, doctor: &Person, patient: &Person) -> String {
    let begun = visit(world, doctor, patient).await;
    let draft = SaveDraftRequest {
        appointment_id: begun.id,
        text: "Pulse 88.".to_owned(),
        ..Default::default()
    };
    let note = doctor.client.send(draft).await.unwrap().note.unwrap();
    let note_id = note.id.clone();
    let sign = SignNoteRequest { note_id, etag: note.etag, ..Default::default() };
    doctor.client.send(sign).await.unwrap();
    note.id
}

async fn read(who: &Person, note: &str) {
    who.client.send(GetNoteRequest { note_id: note.to_owned() }).await.unwrap();
}

/// Method, actor and rule of each entry.
fn brief(entries: &[AuditEntry]) -> Vec<(&str, &str, &str)> {
    let mut brief = Vec::new();
    for entry in entries {
        let (_, method) = entry.method.rsplit_once('/').unwrap();
        brief.push((method, entry.actor_id.as_str(), entry.rule.as_str()));
    }
    brief
}

#[tokio::test(flavor = "multi_thread")]
async fn patients_see_who_saw_their_record() {
    let world = World::start().await;
    let doctor = world.doctor().await;
    let (asha, ravi) = (world.patient().await, world.patient().await);
    let [hers, his] = [note(&world, &doctor, &asha).await, note(&world, &doctor, &ravi).await];
    read(&asha, &hers).await;
    read(&doctor, &hers).await;
    read(&ravi, &his).await;
    let list = ListMyAccessLogRequest { page_size: 25, ..Default::default() };
    let entries = asha.client.send(list.clone()).await.unwrap().entries;
    let (a, d) = (asha.id.as_str(), doctor.id.as_str());
    let known = [
        ("GetNote", d, "treating_doctor"),
        ("GetNote", a, "own_record"),
        ("SignNote", d, "treating_doctor"),
        ("SaveDraft", d, "treating_doctor"),
    ];
    assert_eq!(brief(&entries), known, "newest first, and nothing of Ravi");
    for entry in &entries {
        assert_eq!((&entry.patient_id, entry.client_address.as_str()), (&asha.id, ""));
        assert_eq!(
            (entry.outcome(), &entry.record_ids),
            (AuditOutcome::Allowed, &vec![hers.clone()])
        );
        assert_eq!(entry.data_types().collect::<Vec<_>>(), [DataType::VisitNote]);
    }
    let roles: Vec<_> = entries[0].actor_roles().collect();
    assert!(roles.len() == 2 && roles.contains(&Role::Patient) && roles.contains(&Role::Doctor));

    let again = asha.client.send(list).await.unwrap().entries;
    assert_eq!(brief(&again)[0], ("ListMyAccessLog", a, "own_record"), "the first look is logged");
    assert_eq!(again.len(), 5);
    // Over pages it is the same, with the looks that came in between in front.
    let small = ListMyAccessLogRequest { page_size: 2, ..Default::default() };
    let first = asha.client.send(small.clone()).await.unwrap();
    let foreign = ListMyAccessLogRequest { page_token: first.next_page_token, ..small.clone() };
    refused(ravi.client.send(foreign.clone()).await, Code::InvalidArgument, "PAGE_TOKEN_INVALID");
    let rest = asha.client.all(foreign).await.unwrap();
    let paged: Vec<_> = first.entries.into_iter().chain(rest).map(|entry| entry.id).collect();
    let ids: Vec<_> = again.into_iter().map(|entry| entry.id).collect();
    assert_eq!(paged[1..], ids);
    let operator = world.again(&world.admin().await).await;
    assert!(operator.client.send(small).await.unwrap().entries.is_empty(), "an own, empty record");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn admins_search_the_log_and_leave_their_trace() {
    let world = World::start().await;
    let (doctor, operator) = (world.doctor().await, world.operator().await);
    let (asha, ravi) = (world.patient().await, world.patient().await);
    let hers = note(&world, &doctor, &asha).await;
    note(&world, &doctor, &ravi).await;
    let answer = ravi.client.send(GetNoteRequest { note_id: hers.clone() }).await;
    refused(answer, Code::NotFound, "NOT_FOUND");
    let (admin, operator) = (world.again(&world.admin().await).await, world.again(&operator).await);
    for who in [&asha, &doctor, &operator] {
        let answer = who.client.send(SearchAuditLogRequest::default()).await;
        refused(answer, Code::PermissionDenied, "ROLE_REQUIRED");
    }
    let search = async |actor: Option<&Person>, patient: Option<&Person>, outcome| {
        let request = SearchAuditLogRequest {
            page_size: 25,
            actor_id: actor.map(|person| person.id.clone()),
            patient_id: patient.map(|person| person.id.clone()),
            outcome: Option::<AuditOutcome>::map(outcome, i32::from),
            ..Default::default()
        };
        admin.client.all(request).await.unwrap()
    };
    let (r, d) = (ravi.id.as_str(), doctor.id.as_str());
    let by_doctor = search(Some(&doctor), None, Some(AuditOutcome::Allowed)).await;
    assert_eq!(by_doctor.len(), 4);
    assert!(
        by_doctor.iter().all(|entry| entry.actor_id == d && entry.client_address == "127.0.0.1")
    );
    let written = [("SignNote", d, "treating_doctor"), ("SaveDraft", d, "treating_doctor")];
    assert_eq!(brief(&search(Some(&doctor), Some(&asha), None).await), written);
    let own = search(Some(&admin), Some(&asha), None).await;
    assert_eq!(brief(&own), [("SearchAuditLog", admin.id.as_str(), "admin_search")]);
    let refusals = search(Some(&ravi), None, Some(AuditOutcome::Refused)).await;
    assert_eq!(brief(&refusals), [("GetNote", r, "NOT_FOUND")]);
    assert!(search(Some(&ravi), Some(&asha), None).await.is_empty());
    let refusals = search(None, None, Some(AuditOutcome::Refused)).await;
    let tried: Vec<_> =
        brief(&refusals).into_iter().filter(|(method, ..)| *method == "SearchAuditLog").collect();
    assert_eq!(tried.len(), 3, "also who was not let in");
    assert!(tried.iter().all(|(.., rule)| *rule == "ROLE_REQUIRED"));

    let small = SearchAuditLogRequest { page_size: 1, ..Default::default() };
    let page_token = admin.client.send(small.clone()).await.unwrap().next_page_token;
    let moved =
        SearchAuditLogRequest { page_token, patient_id: Some(ravi.id.clone()), ..small.clone() };
    refused(admin.client.send(moved).await, Code::InvalidArgument, "PAGE_TOKEN_INVALID");
    let newest = admin.client.send(small).await.unwrap().entries;
    assert_eq!(brief(&newest), [("SearchAuditLog", admin.id.as_str(), "admin_search")]);
    world.finish().await;
}

/// `clinicd audit verify` beside the server: whether the chain is whole, and what it says.
fn verify_beside(world: &World) -> (bool, String) {
    let output = Command::new(program())
        .args(["audit", "verify", "--data-dir"])
        .arg(&world.app.config.data_dir)
        .env("DATABASE_URL", world.database_url())
        .env("RUST_LOG", "off")
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(said).unwrap())
}

async fn verify(admin: &Person) -> VerifyAuditChainResponse {
    admin.client.send(VerifyAuditChainRequest {}).await.unwrap()
}

/// A few entries, sealed, and somebody who may verify them; position and entry of each link.
async fn sealed(world: &World) -> (Person, Vec<Vec<String>>) {
    let (doctor, asha) = (world.doctor().await, world.patient().await);
    let hers = note(world, &doctor, &asha).await;
    for _ in 0..5 {
        read(&asha, &hers).await;
    }
    eventually("all entries are sealed", async || {
        let open = "SELECT 1 FROM audit_entries e \
                    WHERE NOT EXISTS (SELECT FROM audit_chain WHERE entry_id = e.id)";
        world.sql(open).await.is_empty()
    })
    .await;
    let refusal = asha.client.send(VerifyAuditChainRequest {}).await;
    refused(refusal, Code::PermissionDenied, "ROLE_REQUIRED");
    let admin = world.again(&world.admin().await).await;
    let whole = verify(&admin).await;
    assert!(whole.whole && whole.fault.is_empty() && whole.first_bad_entry_id.is_empty());
    let chain = world.sql("SELECT position, entry_id FROM audit_chain ORDER BY position").await;
    assert_eq!(whole.checked_entries, i64::try_from(chain.len()).unwrap());
    (admin, chain)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_entry_is_found_and_named() {
    let world = World::start().await;
    let (admin, chain) = sealed(&world).await;
    let (fine, said) = verify_beside(&world);
    assert!(fine, "{said}");
    let third = &chain[2][1];
    let change =
        |rule: &str| format!("UPDATE audit_entries SET rule = '{rule}' WHERE id = '{third}'");
    for forbidden in [&change("x"), "DELETE FROM audit_chain", "TRUNCATE audit_entries CASCADE"] {
        world.sql_as_server(forbidden).await.unwrap_err();
    }
    let stood = world.sql(&format!("SELECT rule FROM audit_entries WHERE id = '{third}'")).await;
    world.sql(&change("own_recorD")).await;
    let broken = verify(&admin).await;
    assert_eq!((broken.whole, broken.checked_entries), (false, 2));
    assert_eq!(&broken.first_bad_entry_id, third);
    let (fine, said) = verify_beside(&world);
    assert!(!fine && said.contains(third), "{said}");
    world.sql(&change(&stood[0][0])).await;
    assert!(verify(&admin).await.whole && verify_beside(&world).0, "put back");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tail_that_is_cut_off_is_missed() {
    let world = World::start().await;
    let (admin, chain) = sealed(&world).await;
    let heads = world.app.config.audit_dir().join("heads.ndjson");
    eventually("the last head is signed", async || {
        let heads = std::fs::read_to_string(&heads).unwrap_or_default();
        heads.lines().last().is_some_and(|head| {
            let head: serde_json::Value = serde_json::from_str(head).unwrap();
            head["position"] == chain.len()
        })
    })
    .await;
    // In one transaction, or the sealer would link them again.
    world
        .sql(
            "DELETE FROM audit_chain WHERE position > 4; DELETE FROM audit_entries e \
             WHERE NOT EXISTS (SELECT FROM audit_chain WHERE entry_id = e.id)",
        )
        .await;
    let broken = verify(&admin).await;
    assert_eq!((broken.whole, broken.checked_entries), (false, 4));
    assert!(broken.first_bad_entry_id.is_empty() && !broken.fault.is_empty());
    assert!(!verify_beside(&world).0);
    world.finish().await;
}
