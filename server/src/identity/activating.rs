//! Confirming a mailed link: an account becomes active, an invited one gets its password.

use diesel_async::RunQueryDsl;

use clinicd_proto::identity::v1 as pb;

use super::attempts::Lanes;
use super::links::{self, Activation, UseActivation, VoidActivations};
use super::registering::event;
use super::rows::{self, AccountRow, AccountState, ActivateAccount};
use super::rules;
use crate::app::App;
use crate::kernel::access::Caller;
use crate::kernel::error::{Error, Reason, Result};

/// `ConfirmActivation`.
pub(super) async fn confirm(
    app: &App,
    lanes: &Lanes,
    caller: &Caller,
    request: pb::ConfirmActivationRequest,
) -> Result<pb::ConfirmActivationResponse> {
    let refused = || Error::of(Reason::InvalidCredentials);
    let id = links::named_by(&request.activation_token).ok_or_else(refused)?;
    let _lane = lanes.enter(id.as_bytes()).await?;
    let (activation, account) = load(app, id, &request.activation_token).await?;
    // A used or expired link is refused below, where a repeated call finds its first answer.
    let hash = if activation.is_live(app.clock.now()) {
        password_of(app, &account, request.password.as_deref()).await?
    } else {
        None
    };
    app.once(caller, &request.request_id, &request, async |conn| {
        let now = app.clock.now();
        if (UseActivation { id, now }).execute(conn).await? == 0 {
            return Err(refused());
        }
        let account = rows::lock(conn, activation.account).await?.ok_or_else(refused)?;
        if account.state != AccountState::Inactive {
            return Err(refused());
        }
        let password_hash = hash.clone();
        ActivateAccount { id: account.id, password_hash, now }.execute(conn).await?;
        VoidActivations { account: account.id, now }.execute(conn).await?;
        app.events.emit(conn, event("account.activated", account.id)).await?;
        Ok(pb::ConfirmActivationResponse {})
    })
    .await
}

/// The link that a genuine token names, and its account.
async fn load(app: &App, id: uuid::Uuid, token: &str) -> Result<(Activation, AccountRow)> {
    let refused = || Error::of(Reason::InvalidCredentials);
    let mut conn = app.db.read().await?;
    let activation = links::find(&mut conn, id).await?.ok_or_else(refused)?;
    if !activation.is_token(&app.keys.macs, token) {
        return Err(refused());
    }
    let account = rows::find(&mut conn, activation.account).await?.ok_or_else(refused)?;
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
            let personal = [&*account.email, &account.given_name, &account.family_name];
            rules::check_password(password, &personal)?;
            Ok(Some(app.passwords.hash(password).await?))
        }
    }
}
