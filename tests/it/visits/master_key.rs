//! The master key is replaced: what it sealed stays readable.

use clinicd_sdk::proto::journals::v1::{GetNoteRequest, SaveDraftRequest, SignNoteRequest};
use clinicd_server::kernel::crypto::KeyFolder;
use clinicd_server::kernel::patient_keys::rewrap_all;
use clinicd_tests::World;

use super::visit;

const NOTE: &str = "Rest, and a walk a day.";

/// Version of the master key that each patient's key is wrapped by.
async fn wrapped_by(world: &World) -> Vec<Vec<String>> {
    world.sql("SELECT get_byte(wrapped_key, 5) FROM patient_keys").await
}

#[tokio::test(flavor = "multi_thread")]
async fn notes_are_readable_after_the_master_key_has_changed() {
    let world = World::start().await;
    let (doctor, asha) = (world.doctor().await, world.patient().await);
    let begun = visit(&world, &doctor, &asha).await;
    let text = NOTE.to_owned();
    let draft = SaveDraftRequest { appointment_id: begun.id, text, ..Default::default() };
    let note = doctor.client.send(draft).await.unwrap().note.unwrap();
    let sign = SignNoteRequest { note_id: note.id.clone(), etag: note.etag, ..Default::default() };
    doctor.client.send(sign).await.unwrap();
    assert_eq!(wrapped_by(&world).await, [["1"]]);

    KeyFolder::rotate_master(&world.app.config.keys_dir()).unwrap();
    // A server that starts has the new key.
    let second = world.second_server().await;
    let there = second.client().with_tokens(asha.id.clone(), asha.client.tokens().unwrap());
    let there = there.unwrap();
    let request = GetNoteRequest { note_id: note.id };
    let read = async || there.send(request.clone()).await.unwrap().note.unwrap().text;
    assert_eq!(read().await, NOTE);
    for (rewrapped, by) in [(1, "2"), (0, "2")] {
        assert_eq!(rewrap_all(&second.app).await.unwrap(), rewrapped);
        assert_eq!(wrapped_by(&world).await, [[by]]);
        assert_eq!(read().await, NOTE);
    }
    world.finish().await;
}
