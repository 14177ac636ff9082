//! The seal of a note's text, and what happens when it is broken.

use super::rows::{NoteId, NoteRow};
use crate::app::App;
use crate::kernel::access::Caller;
use crate::kernel::audit::{self, Access, DataType};
use crate::kernel::crypto::{Aad, CryptoError, DataKey};
use crate::kernel::error::{Error, Reason, Result, name_of};
use crate::kernel::kinds::{DoctorId, PatientId};
use crate::kernel::patient_keys;

/// Where a text stands. It opens only there.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) note: NoteId,
    pub(super) version: i32,
    pub(super) patient: PatientId,
    pub(super) doctor: DoctorId,
}

impl From<&NoteRow> for Place {
    fn from(row: &NoteRow) -> Self {
        Self { note: row.id, version: row.version, patient: row.patient, doctor: row.doctor }
    }
}

impl Place {
    fn aad(self) -> Vec<u8> {
        Aad {
            table: "visit_notes",
            column: "sealed_text",
            row: self.note.0,
            version: i64::from(self.version),
            patient: Some(self.patient.0),
            doctor: Some(self.doctor.0),
        }
        .encode()
    }
}

/// Seals a text, byte for byte.
pub(super) fn seal(key: &DataKey, place: Place, text: &str) -> Result<Vec<u8>> {
    key.seal(text.as_bytes(), &place.aad()).map_err(Error::internal)
}

/// Opens a text. One that was edited or moved is `CONTENT_TAMPERED`.
pub(super) fn open(key: &DataKey, row: &NoteRow) -> Result<String> {
    let text =
        key.open(&row.sealed_text, &Place::from(row).aad()).map_err(|error| match error {
            // The key is the patient's, so a text that names another one was edited.
            CryptoError::UnknownKey(_) => Error::of(Reason::ContentTampered).caused_by(error),
            error => patient_keys::unreadable(error),
        })?;
    String::from_utf8(text).map_err(Error::internal)
}

/// Logs that a note did not open. The transaction of the attempt has been rolled back, so the
/// entry is written here, before the caller hears of it.
pub(super) async fn log_tampering<T>(
    app: &App,
    caller: &Caller,
    note: NoteId,
    result: Result<T>,
) -> Result<T> {
    if let Err(Error { reason: reason @ Reason::ContentTampered, .. }) = &result {
        let access = Access {
            patient: None,
            data_types: vec![DataType::VisitNote],
            records: vec![note.0],
            rule: name_of(*reason),
        };
        audit::record_refused(app, caller, access).await?;
    }
    result
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::journals::rows::NoteState;
    use crate::kernel::crypto::Random;
    use crate::kernel::kinds::{AppointmentId, Time};
    use uuid::Uuid;

    fn note(key: &DataKey, id: u128, text: &str) -> NoteRow {
        let time = Time::from_unix_micros(0).unwrap();
        let mut row = NoteRow {
            id: NoteId(Uuid::from_u128(id)),
            appointment: AppointmentId(Uuid::from_u128(id)),
            patient: PatientId(Uuid::from_u128(10)),
            doctor: DoctorId(Uuid::from_u128(20)),
            state: NoteState::Draft,
            sealed_text: Vec::new(),
            version: 1,
            created_at: time,
            updated_at: time,
            signed_at: None,
        };
        row.sealed_text = seal(key, Place::from(&row), text).unwrap();
        row
    }

    fn refused(key: &DataKey, row: &NoteRow) -> bool {
        open(key, row).is_err_and(|error| error.reason == Reason::ContentTampered)
    }

    #[test]
    fn a_text_comes_back_byte_for_byte() {
        let key = DataKey::generate(1, Random);
        for text in ["", " \r\n\tBP 120/80 \u{feff}", "e\u{301} \u{e9}", "हृदय गति ७२"]
        {
            assert_eq!(open(&key, &note(&key, 1, text)).unwrap(), text);
        }
    }

    #[test]
    fn swapped_notes_of_one_patient_do_not_open() {
        let key = DataKey::generate(1, Random);
        let (mut a, mut b) = (note(&key, 1, "a"), note(&key, 2, "b"));
        std::mem::swap(&mut a.sealed_text, &mut b.sealed_text);
        assert!(refused(&key, &a) && refused(&key, &b));
    }

    #[test]
    fn a_note_opens_only_where_it_was_sealed() {
        let key = DataKey::generate(1, Random);
        let other = Uuid::from_u128(99);
        let moves: [fn(&mut NoteRow, Uuid); 6] = [
            |row, id| row.id = NoteId(id),
            |row, id| row.patient = PatientId(id),
            |row, id| row.doctor = DoctorId(id),
            |row, _| row.version = 2,
            |row, _| row.sealed_text.truncate(10),
            |row, _| row.sealed_text[5] ^= 1,
        ];
        for change in moves {
            let mut row = note(&key, 1, "note");
            change(&mut row, other);
            assert!(refused(&key, &row));
        }
        assert!(refused(&DataKey::generate(1, Random), &note(&key, 1, "note")));
    }
}
