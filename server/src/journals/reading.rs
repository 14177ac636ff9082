//! Opening a note.

use clinicd_proto::journals::v1 as pb;

use super::rows::{self, NoteId};
use super::sealing;
use crate::app::App;
use crate::kernel::access::Caller;
use crate::kernel::audit::{self, Access, DataType};
use crate::kernel::db::Conn;
use crate::kernel::error::{Error, Result};
use crate::kernel::patient_keys;

/// Returns a note to its doctor or, once signed, to its patient. The text leaves with the audit
/// entry or not at all.
pub(super) async fn get(
    app: &App,
    caller: &Caller,
    request: pb::GetNoteRequest,
) -> Result<pb::GetNoteResponse> {
    let id = NoteId::from_wire("note_id", &request.note_id)?;
    let note = app
        .db
        .transaction(async |conn: &mut Conn| {
            let row = rows::find_visible(conn, caller, id).await?;
            let row = row.ok_or_else(|| Error::not_found("visit_note"))?;
            let key = patient_keys::existing_data_key(app, conn, row.patient).await?;
            let text = sealing::open(&key, &row)?;
            let treating = caller.as_doctor() == Some(row.doctor);
            let access = Access {
                patient: Some(row.patient),
                data_types: vec![DataType::VisitNote],
                records: vec![row.id.0],
                rule: if treating { "treating_doctor" } else { "own_record" },
            };
            audit::record(app, conn, caller, access).await?;
            Ok(row.with_text(text))
        })
        .await;
    let note = sealing::log_tampering(app, caller, id, note).await?;
    Ok(pb::GetNoteResponse { note: Some(note) })
}
