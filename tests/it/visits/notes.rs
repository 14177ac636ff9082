//! Notes of visits: written by the treating doctor, read by the patient once signed, and for
//! nobody else.

use clinicd_sdk::proto::appointments::v1::Appointment;
use clinicd_sdk::proto::audit::v1::{AuditEntry, AuditOutcome, SearchAuditLogRequest};
use clinicd_sdk::proto::journals::v1::visit_note_service_client::VisitNoteServiceClient;
use clinicd_sdk::proto::journals::v1::{
    GetNoteRequest, NoteState, SaveDraftRequest, SignNoteRequest, VisitNote,
};
use clinicd_sdk::{ApiError, Error};
use clinicd_tests::{Code, Person, World, refused};
use tonic::Status;

use super::{NOBODY, next_free, visit};

const TEXT: &str = "Palpitations for five days. Pulse 88, regular.";

fn draft(of: &Appointment, etag: Option<&str>, text: &str) -> SaveDraftRequest {
    SaveDraftRequest {
        appointment_id: of.id.clone(),
        etag: etag.map(str::to_owned),
        text: text.to_owned(),
        ..Default::default()
    }
}

async fn save(
    who: &Person,
    of: &Appointment,
    etag: Option<&str>,
    text: &str,
) -> Result<VisitNote, Error> {
    Ok(who.client.send(draft(of, etag, text)).await?.note.unwrap())
}

async fn sign(who: &Person, note: &VisitNote) -> Result<VisitNote, Error> {
    let request =
        SignNoteRequest { note_id: note.id.clone(), etag: note.etag.clone(), ..Default::default() };
    Ok(who.client.send(request).await?.note.unwrap())
}

async fn read(who: &Person, id: &str) -> Result<VisitNote, Error> {
    let request = GetNoteRequest { note_id: id.to_owned() };
    Ok(who.client.send(request).await?.note.unwrap())
}

/// A note that is signed.
async fn signed(world: &World, doctor: &Person, patient: &Person, text: &str) -> VisitNote {
    let begun = visit(world, doctor, patient).await;
    let note = save(doctor, &begun, None, text).await.unwrap();
    sign(doctor, &note).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_note_is_drafted_and_signed_by_its_doctor_alone() {
    let world = World::start().await;
    let (doctor, other) = (world.doctor().await, world.doctor().await);
    let (asha, admin) = (world.patient().await, world.admin().await);
    let slot = next_free(&world, &doctor).await.unwrap();
    let booked = super::book(&asha, &doctor, slot).await;
    let early = save(&doctor, &booked, None, TEXT).await;
    let refusal = refused(early, Code::FailedPrecondition, "WRONG_STATE");
    assert_eq!(refusal.metadata["state"], "not_begun");
    super::advance_to(&world, slot);
    let begun = super::start(&doctor, &booked).await;
    let admin = world.again(&admin).await;
    for who in [&asha, &admin] {
        let answer = save(who, &begun, None, TEXT).await;
        refused(answer, Code::PermissionDenied, "ROLE_REQUIRED");
    }
    refused(save(&other, &begun, None, TEXT).await, Code::NotFound, "NOT_FOUND");
    let unknown = Appointment { id: NOBODY.to_owned(), ..begun.clone() };
    refused(save(&doctor, &unknown, None, TEXT).await, Code::NotFound, "NOT_FOUND");

    refused(save(&doctor, &begun, Some("1"), TEXT).await, Code::Aborted, "ETAG_MISMATCH");
    let first = save(&doctor, &begun, None, "Palpitations").await.unwrap();
    assert_eq!((first.etag.as_str(), first.state()), ("1", NoteState::Draft));
    assert_eq!((&first.patient_id, &first.doctor_id), (&asha.id, &doctor.id));
    for etag in [None, Some("0"), Some("2"), Some("x")] {
        refused(save(&doctor, &begun, etag, TEXT).await, Code::Aborted, "ETAG_MISMATCH");
    }
    let second = save(&doctor, &begun, Some("1"), TEXT).await.unwrap();
    assert_eq!((&second.id, second.etag.as_str(), second.text.as_str()), (&first.id, "2", TEXT));
    assert_eq!(read(&doctor, &first.id).await.unwrap(), second);

    refused(read(&asha, &first.id).await, Code::NotFound, "NOT_FOUND");
    refused(sign(&other, &second).await, Code::NotFound, "NOT_FOUND");
    refused(sign(&asha, &second).await, Code::PermissionDenied, "ROLE_REQUIRED");
    refused(sign(&doctor, &first).await, Code::Aborted, "ETAG_MISMATCH");
    let note = sign(&doctor, &second).await.unwrap();
    assert_eq!((note.state(), note.text.as_str()), (NoteState::Signed, TEXT));
    assert!(note.sign_time.is_some());
    for etag in [None, Some("2"), Some("3")] {
        let answer = save(&doctor, &begun, etag, "Another text").await;
        let refusal = refused(answer, Code::FailedPrecondition, "WRONG_STATE");
        assert_eq!(refusal.metadata["state"], "signed");
    }
    refused(sign(&doctor, &note).await, Code::FailedPrecondition, "WRONG_STATE");
    for who in [&asha, &doctor] {
        assert_eq!(read(who, &note.id).await.unwrap(), note);
    }
    world.finish().await;
}

/// The whole refusal as it came over the wire, but for the id and the day of the call.
async fn raw_refusal(who: &Person, id: &str) -> (Code, String, Vec<u8>, Vec<String>) {
    let request = GetNoteRequest { note_id: id.to_owned() };
    let mut client = VisitNoteServiceClient::new(who.client.raw());
    let status: Status = client.get_note(request).await.unwrap_err();
    let headers = status.metadata().clone().into_headers();
    let mut headers: Vec<_> = headers
        .iter()
        .filter(|(name, _)| *name != "x-request-id" && *name != "date")
        .map(|(name, value)| format!("{name}: {value:?}"))
        .collect();
    headers.sort();
    (status.code(), status.message().to_owned(), status.details().to_vec(), headers)
}

#[tokio::test(flavor = "multi_thread")]
async fn to_strangers_a_note_does_not_exist() {
    let world = World::start().await;
    let (doctor, other) = (world.doctor().await, world.doctor().await);
    let (asha, ravi) = (world.patient().await, world.patient().await);
    let (operator, pharmacist) = (world.operator().await, world.pharmacist().await);
    let (admin, superuser) = (world.admin().await, world.superuser().await);
    let begun = visit(&world, &doctor, &asha).await;
    let note = save(&doctor, &begun, None, TEXT).await.unwrap();
    // The generated stubs do not renew what the visit's waiting has outlived.
    let asha = world.again(&asha).await;
    let mut strangers = Vec::new();
    for stranger in [ravi, other, operator, pharmacist, admin, superuser] {
        strangers.push(world.again(&stranger).await);
    }
    for who in strangers.iter().chain([&asha]) {
        let hidden = raw_refusal(who, &note.id).await;
        assert_eq!(hidden.0, Code::NotFound);
        assert_eq!(hidden, raw_refusal(who, NOBODY).await, "a draft, to {}", who.email);
    }
    sign(&doctor, &note).await.unwrap();
    for who in &strangers {
        let hidden = raw_refusal(who, &note.id).await;
        assert_eq!(hidden, raw_refusal(who, NOBODY).await, "signed, to {}", who.email);
    }
    assert_eq!(read(&asha, &note.id).await.unwrap().text, TEXT);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_are_kept_byte_for_byte_up_to_their_limit() {
    let world = World::start().await;
    let (doctor, asha) = (world.doctor().await, world.patient().await);
    let begun = visit(&world, &doctor, &asha).await;
    let longest = "🫀".repeat(20_000);
    let mut etag = None;
    for text in [
        "",
        "  \t two lines\r\nand a third\n\n ",
        "e\u{301} and \u{e9}, \u{feff}, \u{202e}right to left\u{202c}, \u{7f}\u{1}",
        "हृदय गति ७२ 👩🏽‍⚕️🩺",
        "'; DROP TABLE visit_notes; -- \\x00 {{ name }}",
        &longest,
    ] {
        let note = save(&doctor, &begun, etag.as_deref(), text).await.unwrap();
        assert_eq!(note.text, text);
        assert_eq!(read(&doctor, &note.id).await.unwrap().text, text);
        etag = Some(note.etag);
    }
    for text in [format!("{longest}."), "a\0b".to_owned()] {
        let answer = save(&doctor, &begun, etag.as_deref(), &text).await;
        let refusal = refused(answer, Code::InvalidArgument, "INVALID_FIELDS");
        assert_eq!(refusal.violations[0].0, "text");
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_database_keeps_signed_notes_as_they_are() {
    let world = World::start().await;
    let (doctor, asha) = (world.doctor().await, world.patient().await);
    let note = signed(&world, &doctor, &asha, TEXT).await;
    let unsigned = visit(&world, &doctor, &asha).await;
    save(&doctor, &unsigned, None, TEXT).await.unwrap();
    for statement in [
        "UPDATE visit_notes SET sealed_text = sealed_text WHERE state = 'signed'",
        "UPDATE visit_notes SET state = 'draft', signed_at = NULL WHERE state = 'signed'",
        "DELETE FROM visit_notes WHERE state = 'signed'",
        "TRUNCATE visit_notes",
    ] {
        world.sql_as_server(statement).await.unwrap_err();
        if !statement.starts_with("TRUNCATE") {
            // Not even the owner of the table, in passing.
            world.sql_as_server(&format!("RESET ROLE; {statement}")).await.unwrap_err();
        }
    }
    world.sql_as_server("DELETE FROM visit_notes").await.unwrap_err();
    assert_eq!(read(&asha, &note.id).await.unwrap(), note);
    world.finish().await;
}

/// Puts ciphertexts in place as somebody who owns the database and its triggers.
async fn tamper(world: &World, sql: &str) {
    world.sql(&format!("SET session_replication_role = replica; {sql}")).await;
}

fn tampered(answer: Result<VisitNote, Error>) -> ApiError {
    let refusal = refused(answer, Code::Internal, "CONTENT_TAMPERED");
    assert!(!format!("{refusal:?}").contains("Palpitations"), "nothing is shown");
    refusal
}

/// What the audit log says of texts that did not open, oldest first.
async fn tamperings(world: &World) -> Vec<AuditEntry> {
    let admin = world.again(&world.admin().await).await;
    let request =
        SearchAuditLogRequest { outcome: Some(AuditOutcome::Refused.into()), ..Default::default() };
    let mut refusals = admin.client.all(request).await.unwrap();
    refusals.retain(|entry| entry.rule == "CONTENT_TAMPERED");
    refusals.reverse();
    refusals
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_tampered_with_is_not_shown_and_logged() {
    let world = World::start().await;
    let (doctor, asha, ravi) = (world.doctor().await, world.patient().await, world.patient().await);
    let one = signed(&world, &doctor, &asha, TEXT).await;
    let two = signed(&world, &doctor, &asha, "Palpitations are gone.").await;
    let begun = visit(&world, &doctor, &ravi).await;
    let open = save(&doctor, &begun, None, "Palpitations, too.").await.unwrap();
    let flip = |id: &str, at: &str| {
        format!(
            "UPDATE visit_notes SET sealed_text = \
             set_byte(sealed_text, {at}, get_byte(sealed_text, {at}) # 1) WHERE id = '{id}'"
        )
    };
    let swap = "UPDATE visit_notes a SET sealed_text = b.sealed_text FROM visit_notes b \
                WHERE a.id <> b.id AND a.state = 'signed' AND b.state = 'signed'";
    // Layout, algorithm, version of the key, nonce, text, tag.
    let bytes = ["0", "1", "5", "6", "20", "length(sealed_text) - 1"];
    let mut edits: Vec<_> = bytes.iter().map(|at| flip(&one.id, at)).collect();
    edits.push(swap.to_owned());
    for sql in &edits {
        tamper(&world, sql).await;
        tampered(read(&asha, &one.id).await);
        tampered(read(&doctor, &one.id).await);
        // The same again puts everything back.
        tamper(&world, sql).await;
        for note in [&one, &two] {
            assert_eq!(&read(&asha, &note.id).await.unwrap(), note);
        }
    }
    tamper(&world, &flip(&open.id, "20")).await;
    tampered(sign(&doctor, &open).await);
    tamper(&world, &flip(&open.id, "20")).await;
    let keys = "UPDATE patient_keys a SET wrapped_key = b.wrapped_key FROM patient_keys b \
                WHERE a.patient_id <> b.patient_id";
    tamper(&world, keys).await;
    tampered(read(&doctor, &open.id).await);
    tamper(&world, keys).await;
    sign(&doctor, &open).await.unwrap();

    let mut expected = [(&asha.id, &one.id), (&doctor.id, &one.id)].repeat(edits.len());
    expected.extend([(&doctor.id, &open.id); 2]);
    let logged = tamperings(&world).await;
    let logged: Vec<_> = logged.iter().map(|e| (&e.actor_id, &e.record_ids[0])).collect();
    assert_eq!(logged, expected);

    let erase = format!("DELETE FROM patient_keys WHERE patient_id = '{}'", ravi.id);
    tamper(&world, &erase).await;
    refused(read(&ravi, &open.id).await, Code::FailedPrecondition, "CONTENT_ERASED");
    world.finish().await;
}
