//! Confirming a mailed link: an account becomes active, an invited one gets its password.
//! The link can be sent again.

use diesel_async::RunQueryDsl;

use clinicd_proto::identity::v1 as pb;

use crate::app::App;
use crate::identity::jobs::{SendActivation, SendInvitation};
use crate::identity::registration::registering::{activation, enqueue, event};
use crate::identity::registration::registering_phone::AddConfirmedNumber;
use crate::identity::rows::{self, AccountRow, AccountState, ActivateAccount};
use crate::identity::rules;
use crate::identity::sign_in::attempts;
use crate::identity::sign_in::challenges::{self, Challenge, Purpose, VoidChallenges};
use crate::identity::sign_in::code_limits;
use crate::identity::sign_in::pacing::on_the_beat;
use crate::identity::sign_in::passwords::PasswordUse;
use crate::kernel::access::Caller;
use crate::kernel::db::Conn;
use crate::kernel::error::{Error, Reason, Result};
use crate::kernel::jobs::NewJob;

/// `ConfirmActivation`.
pub(in crate::identity) async fn confirm(
    app: &App,
    caller: &Caller,
    request: pb::ConfirmActivationRequest,
) -> Result<pb::ConfirmActivationResponse> {
    let refused = || Error::of(Reason::InvalidCredentials);
    let id = challenges::named_by(&request.activation_token).ok_or_else(refused)?;
    let _lane = attempts::lane(id.as_bytes()).await?;
    if let Some(answer) = app.earlier(caller, &request.request_id, &request).await? {
        return Ok(answer);
    }
    let (activation, account) = load(app, &request.activation_token).await?;
    // A used or expired link is refused below, in the transaction that uses it.
    let hash = if activation.is_live(app.clock.now()) {
        password_of(app, &account, request.password.as_deref()).await?
    } else {
        None
    };
    app.once(caller, &request.request_id, &request, async |conn| {
        if !challenges::use_up(app, conn, id).await? {
            return Err(refused());
        }
        let now = app.clock.now();
        let account = rows::lock(conn, account.id).await?.ok_or_else(refused)?;
        if account.state != AccountState::Inactive {
            return Err(refused());
        }
        let password_hash = hash.clone();
        ActivateAccount { id: account.id, password_hash, now }.execute(conn).await?;
        let added = AddConfirmedNumber { id: account.id }.execute(conn).await.map_err(Error::from);
        // Somebody has just got the number: the repeated call finds it taken.
        added
            .map_err(|error| error.when_constraint("accounts_phone_unique", Error::unavailable))?;
        for purpose in [Purpose::Activation, Purpose::Registration] {
            VoidChallenges { account: account.id, purpose, now }.execute(conn).await?;
        }
        app.events.emit(conn, event("account.activated", account.id)).await?;
        Ok(pb::ConfirmActivationResponse {})
    })
    .await
}

/// The link that a genuine token names, and its account.
async fn load(app: &App, token: &str) -> Result<(Challenge, AccountRow)> {
    let refused = || Error::of(Reason::InvalidCredentials);
    let mut conn = app.db.read().await?;
    let found = challenges::of_token(app, &mut conn, token, Purpose::Activation).await?;
    let activation = found.ok_or_else(refused)?;
    let account = activation.account.ok_or_else(refused)?;
    let account = rows::find(&mut conn, account).await?.ok_or_else(refused)?;
    Ok((activation, account))
}

/// The hash of the password that an invited person chooses; none for a person who has one.
async fn password_of(
    app: &App,
    account: &AccountRow,
    password: Option<&str>,
) -> Result<Option<String>> {
    match (&account.password_hash, password) {
        (Some(_), None) => Ok(None),
        (Some(_), Some(_)) => Err(Error::field("password", "must be absent: the account has one")),
        (None, None) => Err(Error::field("password", "must be set: the account has none")),
        (None, Some(password)) => {
            rules::check_password(password, &account.personal(), PasswordUse::Alone)?;
            Ok(Some(app.passwords.hash(password).await?))
        }
    }
}

/// `ResendActivation`. A new link goes out, and the old one is void.
pub(in crate::identity) async fn resend(
    app: &App,
    caller: &Caller,
    request: pb::ResendActivationRequest,
) -> Result<pb::ResendActivationResponse> {
    let email_key = rules::email_key(&request.email);
    on_the_beat(async {
        app.once(caller, &request.request_id, &request, async |conn| {
            let account = rows::lock_by_email(conn, email_key.clone()).await?;
            if let Some(account) = account.filter(|row| row.state == AccountState::Inactive) {
                send_again(app, conn, caller, account).await?;
            }
            Ok(pb::ResendActivationResponse {})
        })
        .await
    })
    .await
}

async fn send_again(
    app: &App,
    conn: &mut Conn,
    caller: &Caller,
    account: AccountRow,
) -> Result<()> {
    let Some(email) = &account.email else { return Ok(()) };
    let live = challenges::live(app, conn, account.id, Purpose::Activation).await?;
    let before = app.clock.now().plus_seconds(-rules::MAIL_GAP_SECONDS);
    if live.is_some_and(|live| live.created_at > before)
        || !code_limits::count_link(app, conn, caller, &rules::email_key(email)).await?
    {
        return Ok(());
    }
    let invited = account.password_hash.is_none();
    let activation = activation(app, conn, account.id, email, invited).await?;
    let job = if invited {
        NewJob::now(&SendInvitation { activation })
    } else {
        NewJob::now(&SendActivation { activation })
    };
    enqueue(app, conn, job).await
}
