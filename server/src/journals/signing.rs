//! Signing a note.

use clinicd_proto::journals::v1 as pb;
use diesel_async::RunQueryDsl;

use super::rows::{self, NoteId, NoteRow, NoteState, SignDraft};
use super::rules;
use super::sealing::{self, Place};
use crate::app::App;
use crate::kernel::access::Caller;
use crate::kernel::audit::{self, Access, DataType};
use crate::kernel::db::Conn;
use crate::kernel::error::{Error, Reason, Result};
use crate::kernel::events::{Event, ResourceKind};
use crate::kernel::patient_keys;

/// Signs the draft. A draft that does not open is not signed.
pub(super) async fn sign(
    app: &App,
    caller: &Caller,
    request: pb::SignNoteRequest,
) -> Result<pb::SignNoteResponse> {
    let id = NoteId::from_wire("note_id", &request.note_id)?;
    let etag = request.etag.as_str();
    let signed = app
        .once(caller, &request.request_id, &request, async |conn: &mut Conn| {
            let draft = rows::find_written_by(conn, caller, id).await?;
            let draft = draft.ok_or_else(|| Error::not_found("visit_note"))?;
            let version = rules::next_version(draft.state, draft.version, etag)?;
            let (row, text) = seal_as_signed(app, conn, draft, version).await?;
            let access = Access {
                patient: Some(row.patient),
                data_types: vec![DataType::VisitNote],
                records: vec![row.id.0],
                rule: "treating_doctor",
            };
            audit::record(app, conn, caller, access).await?;
            let event = Event {
                event_type: "visit_note.signed",
                kind: ResourceKind::VisitNote,
                resource: row.id.0,
                account: None,
                patient: Some(row.patient),
                doctor: Some(row.doctor),
            };
            app.events.emit(conn, event).await?;
            Ok(pb::SignNoteResponse { note: Some(row.with_text(text)) })
        })
        .await;
    sealing::log_tampering(app, caller, id, signed).await
}

async fn seal_as_signed(
    app: &App,
    conn: &mut Conn,
    draft: NoteRow,
    new_version: i32,
) -> Result<(NoteRow, String)> {
    let now = app.clock.now();
    let key = patient_keys::existing_data_key(app, conn, draft.patient).await?;
    let text = sealing::open(&key, &draft)?;
    let place = Place { version: new_version, ..Place::from(&draft) };
    let sealed_text = sealing::seal(&key, place, &text)?;
    let sign = SignDraft {
        id: draft.id,
        version: draft.version,
        sealed_text: sealed_text.clone(),
        new_version,
        now,
    };
    if sign.execute(conn).await? == 0 {
        return Err(Error::of(Reason::EtagMismatch));
    }
    let signed = NoteRow {
        state: NoteState::Signed,
        sealed_text,
        version: new_version,
        updated_at: now,
        signed_at: Some(now),
        ..draft
    };
    Ok((signed, text))
}
