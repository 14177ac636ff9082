//! Each patient's data key, under which clinical texts are sealed.
//!
//! The key is made on first use and kept wrapped by the master key, which is not in the database.
//! The wrapping binds the patient's id, so a key that is moved to another patient does not open.
//! Deleting a row of `patient_keys` makes all that it sealed unreadable for good.

use diesel::{OptionalExtension, sql_types};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::crypto::{CryptoError, DataKey, framed};
use super::db::Conn;
use super::error::{Error, Reason, Result};
use super::kinds::{PatientId, Time};
use crate::app::App;
use crate::statement;

/// Version of a patient's first key.
const FIRST: u32 = 1;
/// Keys that are wrapped anew between two looks.
const BATCH: i64 = 500;

statement! {
    /// The wrapped key.
    FindKey { patient: PatientId } -> sql_types::Binary,
    "SELECT wrapped_key FROM patient_keys WHERE patient_id = $1";

    /// Keeps a new key, unless another call was faster.
    AddKey { patient: PatientId, wrapped: Vec<u8>, now: Time },
    "INSERT INTO patient_keys (patient_id, wrapped_key, created_at) VALUES ($1, $2, $3) \
     ON CONFLICT DO NOTHING";

    /// Some keys, in the order of their patients.
    KeysAfter { after: PatientId, limit: i64 } -> (sql_types::Uuid, sql_types::Binary),
    "SELECT patient_id, wrapped_key FROM patient_keys WHERE patient_id > $1 \
     ORDER BY patient_id LIMIT $2";

    /// Replaces the wrapping of a key that nobody has replaced or erased meanwhile.
    RewrapKey { patient: PatientId, old: Vec<u8>, new: Vec<u8> },
    "UPDATE patient_keys SET wrapped_key = $3 WHERE patient_id = $1 AND wrapped_key = $2";
}

/// The key of a patient, for sealing something new. Made if there is none.
pub async fn data_key(app: &App, conn: &mut Conn, patient: PatientId) -> Result<DataKey> {
    if let Some(key) = find(app, conn, patient).await? {
        return Ok(key);
    }
    let key = DataKey::generate(FIRST, app.random);
    let wrapped = app.keys.master.wrap(&key, &context(patient)).map_err(Error::internal)?;
    AddKey { patient, wrapped, now: app.clock.now() }.execute(conn).await?;
    // Of two calls at once, the key that was committed first is the patient's.
    find(app, conn, patient).await?.ok_or_else(|| Error::of(Reason::ContentErased))
}

/// The key of a patient whose records are sealed already: none is made, because a new one would
/// open nothing. Without a key the error says `CONTENT_ERASED`.
pub async fn existing_data_key(app: &App, conn: &mut Conn, patient: PatientId) -> Result<DataKey> {
    find(app, conn, patient).await?.ok_or_else(|| Error::of(Reason::ContentErased))
}

/// The key of a patient from its wrapped form, which a room has read together with what it seals.
/// Without one the error says `CONTENT_ERASED`.
pub fn unwrap(app: &App, patient: PatientId, wrapped: Option<Vec<u8>>) -> Result<DataKey> {
    let wrapped = wrapped.ok_or_else(|| Error::of(Reason::ContentErased))?;
    app.keys.master.unwrap(&wrapped, &context(patient)).map_err(unreadable)
}

/// Wraps every key by the newest master key, and tells how many were not. May be broken off and
/// repeated at any time.
pub async fn rewrap_all(app: &App) -> Result<usize> {
    let (mut after, mut done) = (PatientId(Uuid::nil()), 0);
    loop {
        let mut conn = app.db.read().await?;
        let batch: Vec<(PatientId, Vec<u8>)> =
            KeysAfter { after, limit: BATCH }.get_results(&mut conn).await?;
        let Some((last, _)) = batch.last() else { return Ok(done) };
        after = *last;
        for (patient, old) in batch {
            let new = app.keys.master.rewrap(&old, &context(patient)).map_err(unreadable)?;
            if let Some(new) = new {
                done += RewrapKey { patient, old, new }.execute(&mut conn).await?;
            }
        }
    }
}

async fn find(app: &App, conn: &mut Conn, patient: PatientId) -> Result<Option<DataKey>> {
    let wrapped: Option<Vec<u8>> = FindKey { patient }.get_result(conn).await.optional()?;
    wrapped.map(|wrapped| unwrap(app, patient, Some(wrapped))).transpose()
}

/// The meaning of a value or key that does not open: `CONTENT_TAMPERED` when it was edited or
/// moved, a fault of the server when its key is away.
#[must_use]
pub fn unreadable(error: CryptoError) -> Error {
    match error {
        CryptoError::Tampered | CryptoError::Malformed => {
            Error::of(Reason::ContentTampered).caused_by(error)
        }
        CryptoError::UnknownKey(_) | CryptoError::Library => Error::internal(error),
    }
}

/// Names the owner of a wrapped key.
fn context(patient: PatientId) -> Vec<u8> {
    framed(&[b"patient_keys", patient.0.as_bytes()])
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::kernel::crypto::keys::MasterKey;
    use crate::kernel::crypto::{MasterKeys, Random};

    #[test]
    fn a_key_opens_for_its_own_patient_only() {
        let masters = MasterKeys::new(&[MasterKey::new(1, [7; 32])]).unwrap();
        let [ann, bob] = [1, 2].map(|id| PatientId(Uuid::from_u128(id)));
        let wrapped = masters.wrap(&DataKey::generate(FIRST, Random), &context(ann)).unwrap();
        assert!(masters.unwrap(&wrapped, &context(ann)).is_ok());
        let error = unreadable(masters.unwrap(&wrapped, &context(bob)).unwrap_err());
        assert_eq!(error.reason, Reason::ContentTampered);
    }

    #[test]
    fn an_absent_master_key_is_no_tampering() {
        assert_eq!(unreadable(CryptoError::UnknownKey(3)).reason, Reason::Internal);
    }
}
