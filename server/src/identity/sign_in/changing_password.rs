//! Changing the own password.

use diesel_async::RunQueryDsl;

use clinicd_proto::identity::v1 as pb;

use crate::app::App;
use crate::identity::history::records::SignInMethod;
use crate::identity::registration::registering::event;
use crate::identity::rows::{self, AccountRow, AccountState};
use crate::identity::rules;
use crate::identity::sessions::living::EndOtherSessions;
use crate::identity::sign_in::attempts::{Attempt, Identifier};
use crate::identity::sign_in::challenges::{Purpose, VoidChallenges};
use crate::identity::sign_in::passwords::{self, PasswordError, PasswordUse};
use crate::kernel::access::Caller;
use crate::kernel::error::{Error, Reason, Result};
use crate::kernel::kinds::{AccountId, Time};
use crate::statement;

statement! {
    /// Sets a password in the place of the one that was proved.
    ReplacePassword {
        id: AccountId, old: Option<String>, new: String, short: bool, now: Time,
    },
    "UPDATE accounts SET password_hash = $3, short_password = $4, version = version + 1, \
        updated_at = $5 \
     WHERE id = $1 AND password_hash IS NOT DISTINCT FROM $2 AND state = 'active'";
}

/// `ChangePassword`. A person who signs in by phone sets the first one without an old one, after a
/// recent sign-in.
pub(in crate::identity) async fn change(
    app: &App,
    caller: &Caller,
    request: pb::ChangePasswordRequest,
) -> Result<pb::ChangePasswordResponse> {
    let session = caller.signed_in()?;
    if let Some(answer) = app.earlier(caller, &request.request_id, &request).await? {
        return Ok(answer);
    }
    let account = rows::find(&mut *app.db.read().await?, session.account).await?;
    let account = account.filter(|row| row.state == AccountState::Active);
    let account = account.ok_or_else(|| Error::of(Reason::Unauthenticated))?;
    let used = password_use(&account);
    rules::check_password(&request.new_password, &account.personal(), used)?;
    if account.password_hash.is_some() || !request.current_password.is_empty() {
        if let Err(refusal) = prove(app, caller, &account, &request.current_password).await {
            // Perhaps the same call came twice at once, and the other one has changed it.
            let earlier = app.earlier(caller, &request.request_id, &request).await?;
            return earlier.ok_or(refusal);
        }
    } else {
        rules::require_recent_sign_in(session, app.clock.now())?;
    }
    let new = app.passwords.hash(&request.new_password).await?;
    app.once(caller, &request.request_id, &request, async |conn| {
        let now = app.clock.now();
        let short = passwords::is_short(&request.new_password);
        let held = rows::lock(conn, account.id).await?;
        // The second factor beside which a short password was enough may have gone meanwhile.
        if short && !held.is_some_and(|account| account.second_factor) {
            return Err(Error::of(Reason::WeakPassword));
        }
        let replace = ReplacePassword {
            id: account.id,
            old: account.password_hash.clone(),
            new: new.clone(),
            short,
            now,
        };
        if replace.execute(conn).await? == 0 {
            // Another change was faster: the password that was proved is no longer the one.
            return Err(Error::of(Reason::InvalidCredentials));
        }
        EndOtherSessions { account: account.id, kept: session.session, now }.execute(conn).await?;
        for purpose in [Purpose::Recovery, Purpose::SecondFactor] {
            VoidChallenges { account: account.id, purpose, now }.execute(conn).await?;
        }
        app.events.emit(conn, event("account.password_changed", account.id)).await?;
        Ok(pb::ChangePasswordResponse {})
    })
    .await
}

/// What the password of an account is worth in a sign-in.
pub(in crate::identity) fn password_use(account: &AccountRow) -> PasswordUse {
    if account.second_factor { PasswordUse::BesideSecondFactor } else { PasswordUse::Alone }
}

/// Proves the current password, counted like a sign-in.
async fn prove(app: &App, caller: &Caller, account: &AccountRow, password: &str) -> Result<()> {
    // Counted apart from the second factor: the one does not forgive guesses of the other.
    let password_of = format!("password of {}", account.id);
    let identifier = Identifier::Other(&password_of);
    let attempt = Attempt::begin(app, caller, SignInMethod::Password, identifier).await?;
    match app.passwords.verify(password, account.password_hash.as_deref()).await {
        Ok(verified) if verified.ok => attempt.succeeded().await,
        Err(error @ (PasswordError::Busy | PasswordError::Failed | PasswordError::BadHash)) => {
            attempt.not_judged().await?;
            Err(error.into())
        }
        _ => Err(attempt.failed(Some(account.id)).await),
    }
}
