//! Clinical text in clear is looked for everywhere that the server writes to.

use std::path::Path;

use clinicd_sdk::proto::journals::v1::{GetNoteRequest, SaveDraftRequest, SignNoteRequest};
use clinicd_tests::World;

use super::visit;

/// Words that stand nowhere else.
const DRAFT: &str = "zweigelt-kanarienvogel";
const SIGNED: &str = "blaufraenkisch-kanarienvogel";

/// The tables with a row in which the bytes of a text stand, as text or within `bytea`.
async fn tables_with(world: &World, text: &str) -> Vec<String> {
    let tables = world.sql("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").await;
    assert!(tables.len() > 15, "{tables:?}");
    let mut found = Vec::new();
    for table in tables.into_iter().flatten() {
        let bytes = hex::encode(text);
        let sql = format!(
            "SELECT 1 FROM {table} AS r WHERE r::text ILIKE '%{text}%' OR r::text LIKE '%{bytes}%'"
        );
        if !world.sql(&sql).await.is_empty() {
            found.push(table);
        }
    }
    found
}

/// The files below a folder in which a text stands.
fn files_with(folder: &Path, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_with(&path, text));
        } else if std::fs::read(&path).unwrap().windows(text.len()).any(|at| at == text.as_bytes())
        {
            found.push(path.display().to_string());
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn the_text_of_a_note_stands_nowhere_in_clear() {
    let world = World::start().await;
    let (doctor, asha) = (world.doctor().await, world.patient().await);
    let begun = visit(&world, &doctor, &asha).await;
    let draft = SaveDraftRequest {
        request_id: "0198c0de-0000-7000-8000-000000000001".to_owned(),
        appointment_id: begun.id,
        text: DRAFT.to_owned(),
        ..Default::default()
    };
    let note = doctor.client.send(draft.clone()).await.unwrap().note.unwrap();
    let again = doctor.client.send(draft.clone()).await.unwrap().note.unwrap();
    assert_eq!(again, note, "the stored answer");
    let rewrite = SaveDraftRequest {
        request_id: String::new(),
        etag: Some(note.etag),
        text: SIGNED.to_owned(),
        ..draft
    };
    let note = doctor.client.send(rewrite).await.unwrap().note.unwrap();
    let sign = SignNoteRequest { note_id: note.id.clone(), etag: note.etag, ..Default::default() };
    doctor.client.send(sign).await.unwrap();
    let request = GetNoteRequest { note_id: note.id };
    assert_eq!(asha.client.send(request).await.unwrap().note.unwrap().text, SIGNED);
    world.settle().await;

    // What is stored in clear is found, so what is not found is not there.
    assert_eq!(tables_with(&world, &begun.reason).await, ["appointments"]);
    world.sql(&format!("CREATE TABLE probe AS SELECT '{DRAFT}'::bytea AS bytes")).await;
    assert_eq!(tables_with(&world, DRAFT).await, ["probe"]);
    world.sql("DROP TABLE probe").await;
    let folder = &world.app.config.data_dir;
    assert!(!files_with(folder, &asha.email).is_empty());
    for text in [DRAFT, SIGNED] {
        assert!(tables_with(&world, text).await.is_empty());
        assert!(files_with(folder, text).is_empty());
    }
    world.finish().await;
}
