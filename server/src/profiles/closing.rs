//! What is left of a person who has gone: a pseudonym under which records are kept.

use diesel_async::RunQueryDsl;

use crate::app::App;
use crate::kernel::db::Conn;
use crate::kernel::error::Result;
use crate::kernel::kinds::{AccountId, DoctorId, PatientId, Time};
use crate::profiles::{doctors, patients};
use crate::statement;

/// What every closed patient is called by; the family name tells them apart.
const NOBODY: &str = "Patient";
/// Random bytes of a pseudonym: it is told apart, and guessed from nothing.
const PSEUDONYM_BYTES: usize = 4;

statement! {
    /// Keeps bookings of the patients of an account from being made.
    LockPatients { account: AccountId } -> diesel::sql_types::Uuid,
    "SELECT id FROM patients WHERE account_id = $1 ORDER BY id FOR UPDATE";

    /// Keeps bookings of a doctor from being made.
    LockDoctor { id: DoctorId }, "SELECT FROM doctors WHERE id = $1 FOR UPDATE";

    /// Takes from a patient what tells who it is.
    ClosePatient { id: PatientId, given: &'static str, family: String, now: Time },
    "UPDATE patients SET given_name = $2, family_name = $3, birth_date = NULL, gender = NULL, \
        phone = '', city = '', country_code = '', closed_at = $4, updated_at = $4, \
        version = version + 1 \
     WHERE id = $1 AND closed_at IS NULL";

    /// A doctor takes no bookings any more, for good, and is not found.
    RetireDoctor { id: DoctorId, now: Time },
    "UPDATE doctors SET available_for_booking = false, closed_at = $2, \
        updated_at = $2, version = version + 1 \
     WHERE id = $1 AND closed_at IS NULL";

    /// Takes from a doctor what need not be kept. The name stands on prescriptions.
    ForgetDoctor { id: DoctorId },
    "UPDATE doctors SET mobile = '', bio = '', languages = '{}' WHERE id = $1";
}

/// Holds the patients of an account, its own and its dependants, and its doctor against bookings
/// until the end of the transaction. A booking takes a shared lock on both and reads whether they
/// are closed: either it is committed before this, and seen, or it comes after, and is refused.
pub async fn lock_people(conn: &mut Conn, account: AccountId) -> Result<Vec<PatientId>> {
    let patients: Vec<PatientId> = LockPatients { account }.get_results(conn).await?;
    LockDoctor { id: account.into() }.execute(conn).await?;
    Ok(patients)
}

/// Takes who they were from patients and from the doctor of an account, which are locked.
pub async fn close_people(
    app: &App,
    conn: &mut Conn,
    account: AccountId,
    people: Vec<PatientId>,
) -> Result<()> {
    let now = app.clock.now();
    for id in people {
        let family = hex::encode(app.random.bytes::<PSEUDONYM_BYTES>());
        if (ClosePatient { id, given: NOBODY, family, now }).execute(conn).await? == 1 {
            app.events.emit(conn, patients::changed("patient.closed", id)).await?;
        }
    }
    retire_doctor(app, conn, account.into()).await?;
    ForgetDoctor { id: account.into() }.execute(conn).await?;
    Ok(())
}

/// Nobody finds or books this doctor any more; nothing where there is none.
pub async fn retire_doctor(app: &App, conn: &mut Conn, id: DoctorId) -> Result<()> {
    if (RetireDoctor { id, now: app.clock.now() }).execute(conn).await? == 1 {
        app.events.emit(conn, doctors::changed("doctor.retired", id)).await?;
    }
    Ok(())
}
