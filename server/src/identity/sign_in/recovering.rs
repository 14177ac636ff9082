//! Recovery of an account whose password is lost, by a mailed link or a code to the phone.
//!
//! It sets a password and ends every session, and does not sign in: the second factor is asked for
//! as ever. An admin can start it for somebody; what is sent goes to the owner alone.

use diesel_async::RunQueryDsl;
use unicode_normalization::UnicodeNormalization;

use clinicd_proto::identity::v1 as pb;
use clinicd_proto::identity::v1::confirm_recovery_request::Proof;

use crate::app::App;
use crate::identity::history::records as history;
use crate::identity::history::records::SignInMethod;
use crate::identity::registration::contact_jobs::SendRecovery;
use crate::identity::registration::registering::{enqueue, event};
use crate::identity::rows::{self, AccountRow, AccountState};
use crate::identity::rules;
use crate::identity::sessions::living::EndSessions;
use crate::identity::sign_in::challenges::{
    self, Challenge, NewChallenge, Purpose, VoidAllChallenges,
};
use crate::identity::sign_in::codes::{self, NewCode};
use crate::identity::sign_in::pacing::on_the_beat;
use crate::identity::sign_in::passwords::{MIN_LENGTH_ALONE, PasswordUse};
use crate::identity::sign_in::signing_in::Login;
use crate::identity::sign_in::{attempts, code_limits};
use crate::kernel::access::Caller;
use crate::kernel::db::Conn;
use crate::kernel::error::{Error, Reason, Result};
use crate::kernel::jobs::NewJob;
use crate::kernel::kinds::{AccountId, Role, Time};
use crate::statement;

statement! {
    /// Sets the password of an account that was recovered. `short`: too short to sign in alone.
    SetPassword { id: AccountId, password_hash: String, short: bool, now: Time },
    "UPDATE accounts SET password_hash = $2, short_password = $3, wrong_codes = 0, \
        version = version + 1, updated_at = $4 WHERE id = $1";
}

fn refused() -> Error {
    Error::of(Reason::InvalidCredentials)
}

/// `RequestRecovery`.
pub(in crate::identity) async fn request(
    app: &App,
    caller: &Caller,
    request: pb::RequestRecoveryRequest,
) -> Result<pb::RequestRecoveryResponse> {
    if request.email.is_empty() && request.phone.is_empty() {
        return Err(Error::field("email", "must be set when phone is empty")
            .and_field("phone", "must be set when email is empty"));
    }
    let login = Login::read(&request.email, &request.phone)?;
    if let Login::Phone(number) = &login {
        code_limits::require_open_country(app, number)?;
    }
    on_the_beat(async {
        attempts::require_unblocked(app, caller, login.identifier()).await?;
        app.once(caller, &request.request_id, &request, async |conn| match &login {
            Login::Email(key) => {
                let account = rows::lock_by_email(conn, key.clone()).await?;
                if let Some(account) = account.filter(|row| row.state == AccountState::Active)
                    && !was_just_mailed(app, conn, &account).await?
                    && code_limits::count_link(app, conn, caller, key).await?
                {
                    mail_link(app, conn, &account).await?;
                }
                Ok(pb::RequestRecoveryResponse::default())
            }
            Login::Phone(number) => {
                let challenge = send_code(app, conn, caller, number).await?;
                Ok(pb::RequestRecoveryResponse { challenge_id: challenge.id.to_string() })
            }
        })
        .await
    })
    .await
}

/// Whether a link has just been mailed to the address.
async fn was_just_mailed(app: &App, conn: &mut Conn, account: &AccountRow) -> Result<bool> {
    let before = app.clock.now().plus_seconds(-rules::MAIL_GAP_SECONDS);
    let live = challenges::live(app, conn, account.id, Purpose::Recovery).await?;
    let email = account.email.as_ref();
    Ok(live.is_some_and(|live| Some(&live.address) == email && live.created_at > before))
}

async fn mail_link(app: &App, conn: &mut Conn, account: &AccountRow) -> Result<()> {
    let Some(email) = account.email.clone() else { return Ok(()) };
    let challenge = NewChallenge {
        purpose: Purpose::Recovery,
        account: Some(account.id),
        address: email,
        seconds: rules::RECOVERY_SECONDS,
    };
    let challenge = challenges::make(app, conn, challenge).await?.id;
    enqueue(app, conn, NewJob::now(&SendRecovery { challenge })).await
}

/// Sends a code to a number; to one without an account that may have it, only seemingly.
async fn send_code(app: &App, conn: &mut Conn, caller: &Caller, number: &str) -> Result<Challenge> {
    code_limits::count(app, conn, caller, number).await?;
    let holder = codes::holder(conn, number).await?;
    let holder = holder.filter(|it| it.state == AccountState::Active && it.gets_codes());
    let code = NewCode {
        purpose: Purpose::Recovery,
        account: holder.map(|holder| holder.account),
        number,
        language: "",
        send: holder.is_some(),
    };
    codes::make(app, conn, code).await
}

/// `ConfirmRecovery`.
pub(in crate::identity) async fn confirm(
    app: &App,
    caller: &Caller,
    request: pb::ConfirmRecoveryRequest,
) -> Result<pb::ConfirmRecoveryResponse> {
    on_the_beat(judge(app, caller, &request)).await
}

async fn judge(
    app: &App,
    caller: &Caller,
    request: &pb::ConfirmRecoveryRequest,
) -> Result<pb::ConfirmRecoveryResponse> {
    if let Some(answer) = app.earlier(caller, &request.request_id, request).await? {
        return Ok(answer);
    }
    // What is weak for anybody costs no try of a code.
    rules::check_password(&request.new_password, &[], PasswordUse::BesideSecondFactor)?;
    let method = SignInMethod::Recovery;
    let guess = match &request.proof {
        Some(Proof::RecoveryToken(token)) => {
            codes::judge_token(app, caller, method, Purpose::Recovery, token).await?
        }
        Some(Proof::PhoneCode(code)) => {
            codes::judge(app, caller, method, &[Purpose::Recovery], code).await?
        }
        None => return Err(Error::field("proof", "must be set")),
    };
    let answer = if let Some(right) = guess.right.clone() {
        set_password(app, caller, request, right).await
    } else {
        // Perhaps the same call came twice at once, and the other one was right.
        let earlier = app.earlier(caller, &request.request_id, request).await?;
        earlier.ok_or_else(refused)
    };
    guess.end(answer).await
}

async fn set_password(
    app: &App,
    caller: &Caller,
    request: &pb::ConfirmRecoveryRequest,
    right: Challenge,
) -> Result<pb::ConfirmRecoveryResponse> {
    let id = right.account.ok_or_else(refused)?;
    let known = rows::find(&mut *app.db.read().await?, id).await?.ok_or_else(refused)?;
    let used =
        if known.second_factor { PasswordUse::BesideSecondFactor } else { PasswordUse::Alone };
    // A password that is too weak leaves link and code good for another.
    rules::check_password(&request.new_password, &known.personal(), used)?;
    let short = request.new_password.nfc().count() < MIN_LENGTH_ALONE;
    let hash = app.passwords.hash(&request.new_password).await?;
    app.once(caller, &request.request_id, request, async |conn| {
        codes::use_up(app, conn, &right).await?;
        let account = rows::lock(conn, id).await?.ok_or_else(refused)?;
        // What was judged must be what is now: the factor beside a short password, the contact.
        if account.state != AccountState::Active
            || account.second_factor != known.second_factor
            || ![&account.email, &account.phone].contains(&&Some(right.address.clone()))
        {
            return Err(refused());
        }
        if account.email.as_ref() != Some(&right.address) {
            codes::forgive_by_code(conn, id).await?;
        }
        let now = app.clock.now();
        SetPassword { id, password_hash: hash.clone(), short, now }.execute(conn).await?;
        EndSessions { account: id, now }.execute(conn).await?;
        VoidAllChallenges { account: id, now }.execute(conn).await?;
        history::record(app, conn, caller, SignInMethod::Recovery, Some(id), true).await?;
        app.events.emit(conn, event("account.password_changed", id)).await?;
        Ok(pb::ConfirmRecoveryResponse {})
    })
    .await
}

/// `StartRecoveryFor`. Sends the owner what `RequestRecovery` would.
pub(in crate::identity) async fn start_for(
    app: &App,
    caller: &Caller,
    request: pb::StartRecoveryForRequest,
) -> Result<pb::StartRecoveryForResponse> {
    let id = AccountId::from_wire("account_id", &request.account_id)?;
    if caller.account() == Some(id) {
        return Err(Error::of(Reason::OwnRecord));
    }
    app.once(caller, &request.request_id, &request, async |conn| {
        let unknown = || Error::not_found("account");
        let account = rows::lock(conn, id).await?.ok_or_else(unknown)?;
        let runs_platform = account.has(Role::Admin) || account.has(Role::Superuser);
        if runs_platform && !caller.is(Role::Superuser) {
            let roles = Role::Superuser.as_str();
            return Err(Error::of(Reason::RoleRequired).with("roles", roles));
        }
        if account.state != AccountState::Active {
            return Err(Error::of(Reason::WrongState).with("state", account.state.as_str()));
        }
        match (&account.email, &account.phone) {
            (Some(_), _) if was_just_mailed(app, conn, &account).await? => {
                let gap = rules::MAIL_GAP_SECONDS.unsigned_abs();
                let wait = std::time::Duration::from_secs(gap);
                return Err(Error::of(Reason::RateLimited).retry_after(wait));
            }
            // Not counted: whoever asks for many keeps no admin from sending one.
            (Some(_), _) => mail_link(app, conn, &account).await?,
            (None, Some(number)) => {
                code_limits::require_open_country(app, number)?;
                // Somebody who has seen the owner stands in for what the codes no longer prove.
                codes::forgive(conn, id).await?;
                send_code(app, conn, caller, number).await?;
            }
            // A program has neither.
            (None, None) => return Err(unknown()),
        }
        app.events.emit(conn, event("account.recovery_started", id)).await?;
        Ok(pb::StartRecoveryForResponse {})
    })
    .await
}
