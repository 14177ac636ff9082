//! Stand-in until the room is here: only what registration needs.

use diesel_async::RunQueryDsl;

use crate::app::App;
use crate::kernel::db::Conn;
use crate::kernel::error::Result;
use crate::kernel::kinds::{AccountId, Time};
use crate::statement;

statement! {
    /// The person's own patient record.
    InsertOwnPatient { account: AccountId, given: String, family: String, now: Time },
    "INSERT INTO patients (id, account_id, given_name, family_name, created_at, updated_at) \
     VALUES ($1, $1, $2, $3, $4, $4) ON CONFLICT (id) DO NOTHING";
}

/// Makes the person's own patient record, in the transaction of the registration.
pub async fn create_own_patient(
    app: &App,
    conn: &mut Conn,
    account: AccountId,
    given: &str,
    family: &str,
) -> Result<()> {
    let (given, family) = (given.to_owned(), family.to_owned());
    InsertOwnPatient { account, given, family, now: app.clock.now() }.execute(conn).await?;
    Ok(())
}
