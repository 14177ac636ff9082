//! Sign-in with address and password.

use diesel_async::RunQueryDsl;

use clinicd_proto::identity::v1 as pb;

use super::attempts::{self, Lanes};
use super::passwords::PasswordError;
use super::rows::{self, AccountRow, AccountState, RehashPassword};
use super::{rules, sessions};
use crate::app::App;
use crate::kernel::access::Caller;
use crate::kernel::error::{Error, Reason, Result};
use crate::kernel::text;

/// `SignIn`. Unknown, inactive and blocked accounts and wrong passwords cost the same and get the
/// same answer.
pub(super) async fn sign_in(
    app: &App,
    lanes: &Lanes,
    caller: &Caller,
    request: pb::SignInRequest,
) -> Result<pb::SignInResponse> {
    let device = text::line("device_name", &request.device_name)?;
    let email_key = rules::email_key(&request.email);
    let account = prove(app, lanes, email_key, &request.password).await?;
    app.once(caller, &request.request_id, &request, async |conn| {
        // Blocked or without a role since the password was judged: what counts is what is now.
        let account = rows::find(conn, account.id).await?.filter(|now| may_sign_in(now, &account));
        let account = account.ok_or_else(|| Error::of(Reason::InvalidCredentials))?;
        let tokens = sessions::start(app, conn, &account, &device, &caller.address).await?;
        Ok(pb::SignInResponse { tokens: Some(tokens), account_id: account.id.to_string() })
    })
    .await
}

fn may_sign_in(now: &AccountRow, proven: &AccountRow) -> bool {
    now.state == AccountState::Active && now.password_hash == proven.password_hash
}

/// The account whose password this is. Counts the attempt first; see [`attempts`].
async fn prove(app: &App, lanes: &Lanes, email_key: String, password: &str) -> Result<AccountRow> {
    let identifier = attempts::identifier(app, &email_key);
    let _lane = lanes.enter(&identifier).await?;
    let account = {
        let mut conn = app.db.read().await?;
        attempts::take(app, &mut conn, &identifier).await?;
        rows::find_by_email(&mut conn, email_key).await?
    };
    let stored = account.as_ref().and_then(|account| account.password_hash.as_deref());
    let verified = app.passwords.verify(password, stored).await;
    let mut conn = app.db.read().await?;
    let verified = match verified {
        Ok(verified) => verified,
        // No guess was judged.
        Err(error @ (PasswordError::Busy | PasswordError::Failed | PasswordError::BadHash)) => {
            attempts::give_back(&mut conn, &identifier).await?;
            return Err(error.into());
        }
        Err(_) => return Err(Error::of(Reason::InvalidCredentials)),
    };
    let account = account.filter(|account| verified.ok && account.state == AccountState::Active);
    let mut account = account.ok_or_else(|| Error::of(Reason::InvalidCredentials))?;
    attempts::forget(&mut conn, &identifier).await?;
    drop(conn);
    if let (true, Some(old)) = (verified.needs_rehash, account.password_hash.clone()) {
        let new = app.passwords.hash(password).await?;
        let mut conn = app.db.read().await?;
        let rehash = RehashPassword { id: account.id, old, new: new.clone() };
        if rehash.execute(&mut conn).await? == 1 {
            account.password_hash = Some(new);
        }
    }
    Ok(account)
}
