//! Rows of `visit_notes`, and who finds them.

use clinicd_proto::journals::v1 as pb;
use diesel::{OptionalExtension, sql_types};
use diesel_async::RunQueryDsl;

use crate::app::App;
use crate::kernel::access::Caller;
use crate::kernel::audit::DataType;
use crate::kernel::db::Conn;
use crate::kernel::error::{Error, Result};
use crate::kernel::kinds::{AccountId, AppointmentId, DoctorId, PatientId, Time, ids, wire_enum};
use crate::statement;

ids! {
    /// A visit note.
    NoteId,
}

wire_enum! {
    /// Where a note stands.
    NoteState = pb::NoteState {
        /// Being written.
        Draft = "draft",
        /// Never changes again.
        Signed = "signed",
    }
}

/// A note as it is stored.
#[derive(Debug, Clone, diesel::Queryable)]
pub(super) struct NoteRow {
    pub(super) id: NoteId,
    pub(super) appointment: AppointmentId,
    pub(super) patient: PatientId,
    pub(super) doctor: DoctorId,
    pub(super) state: NoteState,
    pub(super) sealed_text: Vec<u8>,
    pub(super) version: i32,
    pub(super) created_at: Time,
    pub(super) updated_at: Time,
    pub(super) signed_at: Option<Time>,
}

/// The SQL types of a [`NoteRow`].
type NoteSql = (
    sql_types::Uuid,
    sql_types::Uuid,
    sql_types::Uuid,
    sql_types::Uuid,
    sql_types::Text,
    sql_types::Binary,
    sql_types::Integer,
    sql_types::Timestamptz,
    sql_types::Timestamptz,
    sql_types::Nullable<sql_types::Timestamptz>,
);

statement! {
    /// A note that this caller may open, of the doctor always, of the patient once signed, with the
    /// patient's wrapped key.
    VisibleNote { id: NoteId, account: Option<AccountId>, doctor: Option<DoctorId> }
        -> (NoteSql, sql_types::Nullable<sql_types::Binary>, sql_types::Text),
    "SELECT note.id, appointment_id, note.patient_id, doctor_id, state, sealed_text, version, \
        note.created_at, updated_at, signed_at, key.wrapped_key, \
        CASE WHEN doctor_id = $3 THEN 'treating_doctor' ELSE 'own_record' END AS rule \
     FROM visit_notes AS note LEFT JOIN patient_keys AS key ON key.patient_id = note.patient_id \
     WHERE note.id = $1 AND (doctor_id = $3 OR (state = 'signed' AND EXISTS ( \
        SELECT FROM patients WHERE patients.id = note.patient_id AND account_id = $2)))";

    /// A note by the doctor who writes it.
    NoteOfDoctor { id: NoteId, doctor: Option<DoctorId> } -> NoteSql,
    "SELECT id, appointment_id, patient_id, doctor_id, state, sealed_text, version, created_at, \
        updated_at, signed_at \
     FROM visit_notes WHERE id = $1 AND doctor_id = $2";

    /// The note of an appointment.
    NoteOfVisit { appointment: AppointmentId } -> NoteSql,
    "SELECT id, appointment_id, patient_id, doctor_id, state, sealed_text, version, created_at, \
        updated_at, signed_at \
     FROM visit_notes WHERE appointment_id = $1";

    /// Adds the first draft.
    InsertDraft {
        id: NoteId, appointment: AppointmentId, patient: PatientId, doctor: DoctorId,
        sealed_text: Vec<u8>, version: i32, now: Time,
    },
    "INSERT INTO visit_notes (id, appointment_id, patient_id, doctor_id, state, sealed_text, \
        version, created_at, updated_at) VALUES ($1, $2, $3, $4, 'draft', $5, $6, $7, $7)";

    /// Overwrites the draft, unless someone changed or signed it meanwhile.
    RewriteDraft { id: NoteId, version: i32, sealed_text: Vec<u8>, new_version: i32, now: Time },
    "UPDATE visit_notes SET sealed_text = $3, version = $4, updated_at = $5 \
     WHERE id = $1 AND version = $2 AND state = 'draft'";

    /// Signs the draft, unless someone changed or signed it meanwhile. The text is sealed again,
    /// because its seal names the version.
    SignDraft { id: NoteId, version: i32, sealed_text: Vec<u8>, new_version: i32, now: Time },
    "UPDATE visit_notes SET state = 'signed', sealed_text = $3, version = $4, updated_at = $5, \
        signed_at = $5 \
     WHERE id = $1 AND version = $2 AND state = 'draft'";
}

/// The note and its patient's wrapped key, if this caller may open it. The access is logged by the
/// same statement.
pub(super) async fn open_visible(
    app: &App,
    caller: &Caller,
    id: NoteId,
) -> Result<(NoteRow, Option<Vec<u8>>)> {
    let visible = VisibleNote { id, account: caller.account(), doctor: caller.as_doctor() };
    let found = app.read_audited(caller, DataType::VisitNote, visible).await?;
    let (note, key, _rule): (_, _, String) = found.ok_or_else(|| Error::not_found("visit_note"))?;
    Ok((note, key))
}

/// The note, if this caller is the doctor who writes it.
pub(super) async fn find_written_by(
    conn: &mut Conn,
    caller: &Caller,
    id: NoteId,
) -> Result<Option<NoteRow>> {
    Ok(NoteOfDoctor { id, doctor: caller.as_doctor() }.get_result(conn).await.optional()?)
}

/// The note of an appointment, if it has one.
pub(super) async fn of_visit(
    conn: &mut Conn,
    appointment: AppointmentId,
) -> Result<Option<NoteRow>> {
    Ok(NoteOfVisit { appointment }.get_result(conn).await.optional()?)
}

impl NoteRow {
    /// The note with its opened text.
    pub(super) fn with_text(self, text: String) -> pb::VisitNote {
        pb::VisitNote {
            id: self.id.to_string(),
            create_time: Some(self.created_at.into()),
            update_time: Some(self.updated_at.into()),
            etag: self.version.to_string(),
            appointment_id: self.appointment.to_string(),
            patient_id: self.patient.to_string(),
            doctor_id: self.doctor.to_string(),
            state: self.state.into(),
            text,
            sign_time: self.signed_at.map(Into::into),
        }
    }
}
