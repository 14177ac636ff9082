//! Opening a note.

use clinicd_proto::journals::v1 as pb;

use super::rows::{self, NoteId};
use super::sealing;
use crate::app::App;
use crate::kernel::access::Caller;
use crate::kernel::error::Result;
use crate::kernel::patient_keys;

/// Returns a note to its doctor or, once signed, to its patient. The text leaves with the audit
/// entry or not at all.
pub(super) async fn get(
    app: &App,
    caller: &Caller,
    request: pb::GetNoteRequest,
) -> Result<pb::GetNoteResponse> {
    let id = NoteId::from_wire("note_id", &request.note_id)?;
    let (row, wrapped) = rows::open_visible(app, caller, id).await?;
    let key = patient_keys::unwrap(app, row.patient, wrapped);
    let text = key.and_then(|key| sealing::open(&key, &row));
    let text = sealing::log_tampering(app, caller, id, text).await?;
    Ok(pb::GetNoteResponse { note: Some(row.with_text(text)) })
}
