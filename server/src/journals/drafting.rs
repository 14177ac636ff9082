//! Saving a draft.

use clinicd_proto::journals::v1 as pb;
use diesel_async::RunQueryDsl;

use super::rows::{self, InsertDraft, NoteId, NoteRow, NoteState, RewriteDraft};
use super::rules;
use super::sealing::{self, Place};
use crate::app::App;
use crate::appointments::{self, Visit};
use crate::kernel::access::Caller;
use crate::kernel::audit::{self, Access, DataType};
use crate::kernel::db::Conn;
use crate::kernel::error::{Error, Reason, Result};
use crate::kernel::kinds::AppointmentId;
use crate::kernel::patient_keys;
use crate::profiles;

/// Writes the first draft of an appointment's note, or overwrites the draft.
pub(super) async fn save(
    app: &App,
    caller: &Caller,
    request: pb::SaveDraftRequest,
) -> Result<pb::SaveDraftResponse> {
    let appointment = AppointmentId::from_wire("appointment_id", &request.appointment_id)?;
    let (text, etag) = (&request.text, request.etag.as_deref());
    app.once(caller, &request.request_id, &request, async |conn: &mut Conn| {
        let visit = visit_of(conn, caller, appointment).await?;
        let stored = rows::of_visit(conn, visit.id).await?;
        let standing = stored.as_ref().map(|note| (note.state, note.version));
        let version = rules::version_of_draft(standing, etag)?;
        let row = match stored {
            None => insert(app, conn, &visit, version, text).await?,
            Some(row) => rewrite(app, conn, row, version, text).await?,
        };
        let access = Access {
            patient: Some(row.patient),
            data_types: vec![DataType::VisitNote],
            records: vec![row.id.0],
            rule: "treating_doctor",
        };
        audit::record(app, conn, caller, access).await?;
        Ok(pb::SaveDraftResponse { note: Some(row.with_text(text.clone())) })
    })
    .await
}

/// The begun visit of the calling doctor. To other doctors the appointment does not exist.
async fn visit_of(conn: &mut Conn, caller: &Caller, id: AppointmentId) -> Result<Visit> {
    let visit = appointments::visit(conn, id).await?;
    let visit = visit
        .filter(|visit| Some(visit.doctor) == caller.as_doctor())
        .ok_or_else(|| Error::not_found("appointment"))?;
    let patient = profiles::patient(conn, visit.patient).await?;
    if patient.is_some_and(|patient| Some(patient.account) == caller.account()) {
        return Err(Error::of(Reason::OwnRecord));
    }
    if !visit.begun {
        return Err(Error::of(Reason::WrongState).with("state", "not_begun"));
    }
    Ok(visit)
}

async fn insert(
    app: &App,
    conn: &mut Conn,
    visit: &Visit,
    version: i32,
    text: &str,
) -> Result<NoteRow> {
    let (id, now) = (NoteId(app.ids.next()), app.clock.now());
    let (patient, doctor) = (visit.patient, visit.doctor);
    let key = patient_keys::data_key(app, conn, patient).await?;
    let sealed_text = sealing::seal(&key, Place { note: id, version, patient, doctor }, text)?;
    let draft =
        InsertDraft { id, appointment: visit.id, patient, doctor, sealed_text, version, now };
    draft.clone().execute(conn).await.map_err(|error| {
        // Another first draft was saved at the same moment.
        Error::from(error)
            .when_constraint("visit_notes_one_per_visit", || Error::of(Reason::EtagMismatch))
    })?;
    Ok(NoteRow {
        id,
        appointment: visit.id,
        patient,
        doctor,
        state: NoteState::Draft,
        sealed_text: draft.sealed_text,
        version,
        created_at: now,
        updated_at: now,
        signed_at: None,
    })
}

async fn rewrite(
    app: &App,
    conn: &mut Conn,
    stored: NoteRow,
    new_version: i32,
    text: &str,
) -> Result<NoteRow> {
    let now = app.clock.now();
    let key = patient_keys::existing_data_key(app, conn, stored.patient).await?;
    let place = Place { version: new_version, ..Place::from(&stored) };
    let sealed_text = sealing::seal(&key, place, text)?;
    let rewrite = RewriteDraft {
        id: stored.id,
        version: stored.version,
        sealed_text: sealed_text.clone(),
        new_version,
        now,
    };
    if rewrite.execute(conn).await? == 0 {
        return Err(Error::of(Reason::EtagMismatch));
    }
    Ok(NoteRow { sealed_text, version: new_version, updated_at: now, ..stored })
}
