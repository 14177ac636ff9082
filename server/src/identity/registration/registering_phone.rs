//! Registration with a phone number.
//!
//! The number is set when its code comes back, not before: nobody keeps a number from its owner by
//! registering it. A number alone activates the account. Beside a mail address, the code only shows
//! whose the number is; it is added when the link is opened, if it is still free: else whoever has a
//! phone could learn who has an account, or get into somebody's.

use diesel_async::RunQueryDsl;
use uuid::Uuid;

use crate::app::App;
use crate::identity::grant_role;
use crate::identity::registration::contact_jobs::TellNumberExists;
use crate::identity::registration::registering::{Registration, enqueue, event, telling_period};
use crate::identity::rows::{self, AccountState, ActivateAccount};
use crate::identity::sign_in::challenges::{Challenge, Purpose};
use crate::identity::sign_in::codes::{self, NewCode};
use crate::identity::sign_in::otp;
use crate::identity::sign_in::signing_in::Admission;
use crate::kernel::access::Caller;
use crate::kernel::db::Conn;
use crate::kernel::error::{Error, Reason, Result};
use crate::kernel::jobs::NewJob;
use crate::kernel::kinds::{AccountId, Role, Time};
use crate::{profiles, statement};

/// A registration by phone is forgotten when it was not confirmed for this long, in seconds.
const FORGOTTEN_SECONDS: i64 = 2 * 24 * 3_600;

statement! {
    /// Gives an account the number that it was registered with.
    AddNumber { id: AccountId, number: String, now: Time },
    "UPDATE accounts SET phone = $2, version = version + 1, updated_at = $3 \
     WHERE id = $1 AND phone IS NULL";

    /// Gives an account that has just been activated the number that it was registered with, if its
    /// code came back and nobody has the number.
    AddConfirmedNumber { id: AccountId },
    "UPDATE accounts SET phone = c.address FROM ( \
        SELECT address FROM challenges WHERE account_id = $1 AND purpose = 'registration' \
          AND answered ORDER BY id DESC LIMIT 1) c \
     WHERE accounts.id = $1 AND phone IS NULL \
       AND NOT EXISTS (SELECT FROM accounts other WHERE other.phone = c.address)";

    /// Closes registrations by phone alone whose code never came back, and forgets the person.
    ForgetRegistrations { before: Time, now: Time },
    "UPDATE accounts SET state = 'deleted', given_name = '', family_name = '', \
        password_hash = NULL, version = version + 1, updated_at = $2 \
     WHERE state = 'inactive' AND kind = 'person' AND email IS NULL AND phone IS NULL \
       AND created_by IS NULL AND created_at < $1";
}

/// Sends a code to the number of a registration, or tells its owner that the number has an account.
/// `account` is the one that was opened by mail address, if any. Returns the challenge.
///
/// A code is sent whatever is known of the mail address, and can be given back: else the owner of a
/// phone could learn who has an account. Where no account was opened, it is good for nothing.
pub(in crate::identity) async fn send(
    app: &App,
    conn: &mut Conn,
    new: &Registration,
    number: &str,
    account: Option<AccountId>,
    hash: Option<String>,
) -> Result<Uuid> {
    let holder = codes::holder(conn, number).await?;
    let account = match holder {
        Some(holder) => {
            tell_owner(app, conn, holder.account).await?;
            None
        }
        None if new.by_mail() => account,
        None => Some(open(app, conn, new, hash).await?),
    };
    let code = NewCode {
        purpose: Purpose::Registration,
        account,
        number,
        language: &new.person.language,
        send: holder.is_none(),
    };
    Ok(codes::make(app, conn, code).await?.id)
}

/// Tells the owner of a number that somebody wanted to have it, not too often.
pub(in crate::identity) async fn tell_owner(
    app: &App,
    conn: &mut Conn,
    account: AccountId,
) -> Result<()> {
    let key = format!("number_exists/{account}/{}", telling_period(app));
    enqueue(app, conn, NewJob::now(&TellNumberExists { account }).once(key)).await
}

/// Opens an account that waits for its number to be confirmed. Its patient record and role come
/// then.
async fn open(
    app: &App,
    conn: &mut Conn,
    new: &Registration,
    hash: Option<String>,
) -> Result<AccountId> {
    let id = AccountId(app.ids.next());
    new.person.account(app, id, hash, AccountState::Inactive).execute(conn).await?;
    app.events.emit(conn, event("account.registered", id)).await?;
    Ok(id)
}

/// The code came back: the account gets its number, and its owner is let in, unless there is a mailed
/// link to be opened.
pub(in crate::identity) async fn confirm(
    app: &App,
    conn: &mut Conn,
    caller: &Caller,
    right: &Challenge,
    device: &str,
) -> Result<Admission> {
    let refused = || Error::of(Reason::InvalidCredentials);
    let Some(id) = right.account else { return Ok(Admission::default()) };
    let account = rows::lock(conn, id).await?.ok_or_else(refused)?;
    if account.state != AccountState::Inactive {
        return Err(refused());
    }
    if account.email.is_some() {
        return Ok(Admission::default());
    }
    let (number, now) = (right.address.clone(), app.clock.now());
    let added = AddNumber { id, number, now }.execute(conn).await.map_err(Error::from);
    let added = added.map_err(|error| error.when_constraint("accounts_phone_unique", refused))?;
    if added == 0 {
        return Err(refused());
    }
    ActivateAccount { id, password_hash: None, now }.execute(conn).await?;
    grant_role(app, conn, id, Role::Patient, None).await?;
    let (given, family) = (&account.given_name, &account.family_name);
    profiles::create_own_patient(app, conn, id, given, family).await?;
    app.events.emit(conn, event("account.activated", id)).await?;
    let account = rows::find(conn, id).await?.ok_or_else(refused)?;
    otp::enter(app, conn, caller, &account, device).await
}

/// Closes the registrations by phone that were never confirmed.
pub(in crate::identity) async fn sweep(conn: &mut Conn, now: Time) -> Result<usize> {
    let before = now.plus_seconds(-FORGOTTEN_SECONDS);
    Ok(ForgetRegistrations { before, now }.execute(conn).await?)
}
