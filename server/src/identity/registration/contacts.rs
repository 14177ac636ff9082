//! A new mail address or phone number of one's own account.
//!
//! It counts once whoever reads what was sent to it has confirmed it. The old and the new contact
//! are told. One of another account is answered in the same way, and its owner told.

use diesel_async::RunQueryDsl;

use clinicd_proto::identity::v1 as pb;
use clinicd_proto::identity::v1::confirm_contact_change_request::Proof;

use crate::app::App;
use crate::identity::history::records::SignInMethod;
use crate::identity::registration::contact_jobs::{SendEmailChange, TellContactChanged, Way};
use crate::identity::registration::registering::{enqueue, event, tell_email_exists};
use crate::identity::registration::registering_phone;
use crate::identity::rows::{self, AccountRow};
use crate::identity::sign_in::attempts::{self, Identifier};
use crate::identity::sign_in::challenges::{
    self, Challenge, NewChallenge, Purpose, VoidChallenges,
};
use crate::identity::sign_in::code_limits;
use crate::identity::sign_in::codes::{self, NewCode};
use crate::identity::{Contact, rules, seal_contact};
use crate::kernel::access::Caller;
use crate::kernel::db::Conn;
use crate::kernel::error::{Error, Reason, Result};
use crate::kernel::jobs::NewJob;
use crate::kernel::kinds::{AccountId, Time};
use crate::kernel::phone;
use crate::statement;

statement! {
    /// Changes the mail address of an account.
    SetEmail { id: AccountId, email: String, email_key: String, now: Time },
    "UPDATE accounts SET email = $2, email_key = $3, version = version + 1, updated_at = $4 \
     WHERE id = $1";

    /// Changes the phone number of an account.
    SetNumber { id: AccountId, number: String, now: Time },
    "UPDATE accounts SET phone = $2, wrong_codes = 0, version = version + 1, updated_at = $3 \
     WHERE id = $1";
}

fn refused() -> Error {
    Error::of(Reason::InvalidCredentials)
}

/// `ChangeEmail`.
pub(in crate::identity) async fn change_email(
    app: &App,
    caller: &Caller,
    request: pb::ChangeEmailRequest,
) -> Result<pb::ChangeEmailResponse> {
    let session = caller.signed_in()?;
    rules::require_recent_sign_in(session, app.clock.now())?;
    let account = session.account;
    let email = request.email.trim();
    app.once(caller, &request.request_id, &request, async |conn| {
        code_limits::count_new_address(app, conn, account).await?;
        let challenge = NewChallenge {
            purpose: Purpose::EmailChange,
            account: Some(account),
            address: email.to_owned(),
            seconds: rules::CONTACT_SECONDS,
        };
        let challenge = challenges::make(app, conn, challenge).await?.id;
        match rows::find_by_email(conn, rules::email_key(email)).await? {
            Some(other) if other.id != account => tell_email_exists(app, conn, other.id).await?,
            _ => enqueue(app, conn, NewJob::now(&SendEmailChange { challenge })).await?,
        }
        Ok(pb::ChangeEmailResponse {})
    })
    .await
}

/// `ChangePhone`.
pub(in crate::identity) async fn change_phone(
    app: &App,
    caller: &Caller,
    request: pb::ChangePhoneRequest,
) -> Result<pb::ChangePhoneResponse> {
    let session = caller.signed_in()?;
    rules::require_recent_sign_in(session, app.clock.now())?;
    let account = session.account;
    let number = phone::e164("phone", &request.phone)?;
    code_limits::require_open_country(app, &number)?;
    attempts::require_unblocked(app, caller, Identifier::Phone(&number)).await?;
    app.once(caller, &request.request_id, &request, async |conn| {
        code_limits::count(app, conn, caller, &number).await?;
        let holder = codes::holder(conn, &number).await?;
        let other = holder.filter(|other| other.account != account);
        if let Some(other) = other {
            registering_phone::tell_owner(app, conn, other.account).await?;
        }
        let code = NewCode {
            purpose: Purpose::PhoneChange,
            account: Some(account),
            number: &number,
            language: "",
            send: other.is_none(),
        };
        let challenge = codes::make(app, conn, code).await?;
        Ok(pb::ChangePhoneResponse { challenge_id: challenge.id.to_string() })
    })
    .await
}

/// `ConfirmContactChange`.
pub(in crate::identity) async fn confirm(
    app: &App,
    caller: &Caller,
    request: pb::ConfirmContactChangeRequest,
) -> Result<pb::ConfirmContactChangeResponse> {
    let me = caller.require_account()?;
    if let Some(answer) = app.earlier(caller, &request.request_id, &request).await? {
        return Ok(answer);
    }
    let method = SignInMethod::Otp;
    let guess = match &request.proof {
        Some(Proof::EmailToken(token)) => {
            codes::judge_token(app, caller, method, Purpose::EmailChange, token).await?
        }
        Some(Proof::PhoneCode(code)) => {
            codes::judge(app, caller, method, &[Purpose::PhoneChange], code).await?
        }
        None => return Err(Error::field("proof", "must be set")),
    };
    let right = guess.right.clone().filter(|right| right.account == Some(me));
    let answer = if let Some(right) = right {
        change(app, caller, &request, me, right).await
    } else {
        // Perhaps the same call came twice at once, and the other one was right.
        let earlier = app.earlier(caller, &request.request_id, &request).await?;
        earlier.ok_or_else(refused)
    };
    guess.end(answer).await
}

async fn change(
    app: &App,
    caller: &Caller,
    request: &pb::ConfirmContactChangeRequest,
    id: AccountId,
    right: Challenge,
) -> Result<pb::ConfirmContactChangeResponse> {
    app.once(caller, &request.request_id, request, async |conn| {
        codes::use_up(app, conn, &right).await?;
        let before = rows::lock(conn, id).await?.ok_or_else(refused)?;
        match right.purpose {
            Purpose::EmailChange => set_email(app, conn, id, &right.address).await?,
            _ => set_number(app, conn, id, &right.address).await?,
        }
        // A link that was mailed to the old contact must not open the account.
        for purpose in [right.purpose, Purpose::Recovery] {
            VoidChallenges { account: id, purpose, now: app.clock.now() }.execute(conn).await?;
        }
        tell(app, conn, before, right.purpose).await?;
        app.events.emit(conn, event("account.contact_changed", id)).await?;
        let account = rows::find(conn, id).await?.ok_or_else(refused)?;
        Ok(pb::ConfirmContactChangeResponse { account: Some(account.into()) })
    })
    .await
}

async fn set_email(app: &App, conn: &mut Conn, id: AccountId, email: &str) -> Result<()> {
    let (email, email_key, now) = (email.to_owned(), rules::email_key(email), app.clock.now());
    let changed = SetEmail { id, email, email_key, now }.execute(conn).await;
    changed
        .map(drop)
        .map_err(|error| Error::from(error).when_constraint("accounts_email_unique", refused))
}

async fn set_number(app: &App, conn: &mut Conn, id: AccountId, number: &str) -> Result<()> {
    let changed = SetNumber { id, number: number.to_owned(), now: app.clock.now() };
    let changed = changed.execute(conn).await;
    changed
        .map(drop)
        .map_err(|error| Error::from(error).when_constraint("accounts_phone_unique", refused))
}

/// Tells the old contact and the new one, and in any case the address that mails go to.
async fn tell(app: &App, conn: &mut Conn, before: AccountRow, purpose: Purpose) -> Result<()> {
    let account = before.id;
    let owner = Contact::from(before);
    let last = seal_contact(app, account, &owner)?;
    let (changed, told) = if purpose == Purpose::EmailChange {
        let old = match (&owner.email, &owner.phone) {
            (Some(_), _) => Some((Way::Email, Some(last))),
            (None, Some(_)) => Some((Way::Phone, None)),
            (None, None) => None,
        };
        (Way::Email, [old, Some((Way::Email, None)), None])
    } else {
        let old = owner.phone.is_some().then_some((Way::Phone, Some(last)));
        let mail = owner.email.is_some().then_some((Way::Email, None));
        (Way::Phone, [old, Some((Way::Phone, None)), mail])
    };
    for (by, last) in told.into_iter().flatten() {
        let job = TellContactChanged { account, changed, by, last };
        enqueue(app, conn, NewJob::now(&job)).await?;
    }
    Ok(())
}
