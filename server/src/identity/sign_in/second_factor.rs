//! The second factor: an authenticator app, set up by its owner, asked for at every sign-in.
//!
//! Its secret is sealed by a key outside the database. A code works once: the step of the last one
//! is kept, and none up to it works again.

use diesel::OptionalExtension;
use diesel::sql_types;
use diesel_async::RunQueryDsl;
use totp_rs::Totp;

use clinicd_proto::identity::v1 as pb;

use crate::app::App;
use crate::identity::history::records as history;
use crate::identity::history::records::SignInMethod;
use crate::identity::registration::registering::event;
use crate::identity::rows::{self, AccountRow, AccountState};
use crate::identity::rules;
use crate::identity::sessions::living as sessions;
use crate::identity::sessions::living::EndOtherSessions;
use crate::identity::sign_in::attempts::{Attempt, Identifier};
use crate::identity::sign_in::challenges::{self, Purpose};
use crate::identity::sign_in::totp;
use crate::kernel::access::Caller;
use crate::kernel::crypto::Purpose as Key;
use crate::kernel::db::Conn;
use crate::kernel::db::statement::List;
use crate::kernel::error::{Error, Reason, Result};
use crate::kernel::kinds::{AccountId, SessionId, Time};
use crate::kernel::text;
use crate::statement;

statement! {
    /// Begins to set a second factor up, in the place of what was begun before; no row when there
    /// is one already.
    PutFactor { account: AccountId, sealed: Vec<u8>, now: Time },
    "INSERT INTO second_factors AS before (account_id, sealed_secret, created_at) \
     VALUES ($1, $2, $3) ON CONFLICT (account_id) DO UPDATE \
     SET sealed_secret = $2, created_at = $3, last_step = 0 WHERE before.confirmed_at IS NULL";

    /// The second factor of an account, kept from changing: whether it is confirmed, its secret,
    /// and the step of the last code.
    LockFactor { account: AccountId } -> (sql_types::Bool, sql_types::Binary, sql_types::BigInt),
    "SELECT confirmed_at IS NOT NULL, sealed_secret, last_step FROM second_factors \
     WHERE account_id = $1 FOR UPDATE";

    /// From now on sign-in asks for it.
    ConfirmFactor { account: AccountId, now: Time },
    "UPDATE second_factors SET confirmed_at = $2 WHERE account_id = $1";

    /// A code was used.
    KeepStep { account: AccountId, step: i64 },
    "UPDATE second_factors SET last_step = $2 WHERE account_id = $1";

    /// Removes the second factor, with its recovery codes.
    DropFactor { account: AccountId }, "DELETE FROM second_factors WHERE account_id = $1";

    /// Uses a recovery code, once.
    UseRecoveryCode { account: AccountId, hash: Vec<u8>, now: Time },
    "UPDATE recovery_codes SET used_at = $3 \
     WHERE account_id = $1 AND code_hash = $2 AND used_at IS NULL";

    /// Removes all recovery codes.
    DropRecoveryCodes { account: AccountId }, "DELETE FROM recovery_codes WHERE account_id = $1";

    /// Adds recovery codes.
    AddRecoveryCodes { account: AccountId, hashes: List<Vec<u8>> },
    "INSERT INTO recovery_codes (account_id, code_hash) SELECT $1, unnest($2)";

    /// Notes whether a session has given a second factor.
    MarkSession { id: SessionId, given: bool },
    "UPDATE sessions SET second_factor = $2 WHERE id = $1";
}

/// `EnrollSecondFactor`.
pub(in crate::identity) async fn enroll(
    app: &App,
    caller: &Caller,
    request: pb::EnrollSecondFactorRequest,
) -> Result<pb::EnrollSecondFactorResponse> {
    let session = caller.signed_in()?;
    rules::require_recent_sign_in(session, app.clock.now())?;
    let secret = app.random.bytes::<{ totp::SECRET }>();
    app.once(caller, &request.request_id, &request, async |conn| {
        let account = active(conn, session.account).await?;
        let sealed = app.keys.macs.seal(Key::SecondFactor, &secret, session.account.0.as_bytes());
        let put = PutFactor {
            account: session.account,
            sealed: sealed.map_err(Error::internal)?,
            now: app.clock.now(),
        };
        if put.execute(conn).await? == 0 {
            return Err(Error::of(Reason::WrongState).with("state", "confirmed"));
        }
        let shown = totp::app_of(&secret, label(&account))?;
        Ok(pb::EnrollSecondFactorResponse {
            otpauth_uri: shown.to_url().map_err(Error::internal)?,
            secret: shown.secret().to_base32(),
        })
    })
    .await
}

/// `ConfirmSecondFactor`.
pub(in crate::identity) async fn confirm(
    app: &App,
    caller: &Caller,
    request: pb::ConfirmSecondFactorRequest,
) -> Result<pb::ConfirmSecondFactorResponse> {
    let session = caller.signed_in()?;
    rules::require_recent_sign_in(session, app.clock.now())?;
    if let Some(answer) = app.earlier(caller, &request.request_id, &request).await? {
        return Ok(answer);
    }
    let codes = totp::recovery_codes(app.random);
    let attempt = begin(app, caller, session.account, SignInMethod::Totp).await?;
    let answer = app
        .once(caller, &request.request_id, &request, async |conn| {
            let account = active(conn, session.account).await?;
            let factor = lock(app, conn, &account).await?.filter(|factor| !factor.confirmed);
            let factor = factor
                .ok_or_else(|| Error::of(Reason::WrongState).with("state", "not_enrolled"))?;
            factor.take_app_code(app, conn, &request.code).await?;
            let now = app.clock.now();
            ConfirmFactor { account: account.id, now }.execute(conn).await?;
            replace_recovery_codes(app, conn, account.id, &codes).await?;
            MarkSession { id: session.session, given: true }.execute(conn).await?;
            EndOtherSessions { account: account.id, kept: session.session, now }
                .execute(conn)
                .await?;
            app.events.emit(conn, event("account.second_factor_added", account.id)).await?;
            Ok(pb::ConfirmSecondFactorResponse { recovery_codes: codes.clone() })
        })
        .await;
    judged(attempt, session.account, answer).await
}

/// `RemoveSecondFactor`.
pub(in crate::identity) async fn remove(
    app: &App,
    caller: &Caller,
    request: pb::RemoveSecondFactorRequest,
) -> Result<pb::RemoveSecondFactorResponse> {
    let session = caller.signed_in()?;
    rules::require_recent_sign_in(session, app.clock.now())?;
    if let Some(answer) = app.earlier(caller, &request.request_id, &request).await? {
        return Ok(answer);
    }
    let attempt = begin(app, caller, session.account, method_of(&request.code)).await?;
    let answer = app
        .once(caller, &request.request_id, &request, async |conn| {
            let account = active(conn, session.account).await?;
            let wrong = |state| Error::of(Reason::WrongState).with("state", state);
            let factor = lock(app, conn, &account).await?.filter(|factor| factor.confirmed);
            let factor = factor.ok_or_else(|| wrong("not_enrolled"))?;
            if account.short_password {
                return Err(wrong("short_password"));
            }
            factor.take_code(app, conn, &request.code).await?;
            DropFactor { account: account.id }.execute(conn).await?;
            MarkSession { id: session.session, given: false }.execute(conn).await?;
            let now = app.clock.now();
            EndOtherSessions { account: account.id, kept: session.session, now }
                .execute(conn)
                .await?;
            app.events.emit(conn, event("account.second_factor_removed", account.id)).await?;
            Ok(pb::RemoveSecondFactorResponse {})
        })
        .await;
    judged(attempt, session.account, answer).await
}

/// `RegenerateRecoveryCodes`.
pub(in crate::identity) async fn regenerate(
    app: &App,
    caller: &Caller,
    request: pb::RegenerateRecoveryCodesRequest,
) -> Result<pb::RegenerateRecoveryCodesResponse> {
    let session = caller.signed_in()?;
    rules::require_recent_sign_in(session, app.clock.now())?;
    if let Some(answer) = app.earlier(caller, &request.request_id, &request).await? {
        return Ok(answer);
    }
    let codes = totp::recovery_codes(app.random);
    let attempt = begin(app, caller, session.account, method_of(&request.code)).await?;
    let answer = app
        .once(caller, &request.request_id, &request, async |conn| {
            let account = active(conn, session.account).await?;
            let factor = lock(app, conn, &account).await?.filter(|factor| factor.confirmed);
            let factor = factor
                .ok_or_else(|| Error::of(Reason::WrongState).with("state", "not_enrolled"))?;
            factor.take_code(app, conn, &request.code).await?;
            replace_recovery_codes(app, conn, account.id, &codes).await?;
            app.events.emit(conn, event("account.recovery_codes_replaced", account.id)).await?;
            Ok(pb::RegenerateRecoveryCodesResponse { recovery_codes: codes.clone() })
        })
        .await;
    judged(attempt, session.account, answer).await
}

/// `CompleteSecondFactor`: the second step of a sign-in.
pub(in crate::identity) async fn complete(
    app: &App,
    caller: &Caller,
    request: pb::CompleteSecondFactorRequest,
) -> Result<pb::CompleteSecondFactorResponse> {
    let device = text::line("device_name", &request.device_name)?;
    if let Some(answer) = app.earlier(caller, &request.request_id, &request).await? {
        return Ok(answer);
    }
    let method = method_of(&request.code);
    let challenge = {
        let mut conn = app.db.read().await?;
        challenges::of_token(app, &mut conn, &request.challenge_token, Purpose::SecondFactor)
            .await?
    };
    let asked = challenge.as_ref().and_then(|challenge| Some((challenge.id, challenge.account?)));
    let Some((challenge, account)) = asked else {
        let stranger = Identifier::Other(&request.challenge_token);
        return Err(Attempt::begin(app, caller, method, stranger).await?.failed(None).await);
    };
    let attempt = begin(app, caller, account, method).await?;
    if !challenges::take_try(app, &mut *app.db.read().await?, challenge).await? {
        // Perhaps the same call came twice at once, and the other one was right.
        let earlier = app.earlier(caller, &request.request_id, &request).await?;
        let refused = || Error::of(Reason::InvalidCredentials);
        return judged(attempt, account, earlier.ok_or_else(refused)).await;
    }
    let answer = app
        .once(caller, &request.request_id, &request, async |conn| {
            let refused = || Error::of(Reason::InvalidCredentials);
            let row = rows::lock(conn, account).await?;
            let row = row.filter(|row| row.state == AccountState::Active).ok_or_else(refused)?;
            let factor = lock(app, conn, &row).await?.filter(|factor| factor.confirmed);
            factor.ok_or_else(refused)?.take_code(app, conn, &request.code).await?;
            if !challenges::use_up(app, conn, challenge).await? {
                return Err(refused());
            }
            history::record(app, conn, caller, method, Some(account), true).await?;
            let tokens = sessions::start(app, conn, caller, &row, &device, true).await?;
            let account_id = account.to_string();
            Ok(pb::CompleteSecondFactorResponse { tokens: Some(tokens), account_id })
        })
        .await;
    judged(attempt, account, answer).await
}

fn method_of(code: &str) -> SignInMethod {
    if totp::is_app_code(code) { SignInMethod::Totp } else { SignInMethod::RecoveryCode }
}

async fn begin<'a>(
    app: &'a App,
    caller: &'a Caller,
    account: AccountId,
    method: SignInMethod,
) -> Result<Attempt<'a>> {
    Attempt::begin(app, caller, method, Identifier::Account(account)).await
}

/// Ends an attempt as its transaction did.
async fn judged<A>(attempt: Attempt<'_>, account: AccountId, answer: Result<A>) -> Result<A> {
    match answer {
        Ok(answer) => {
            attempt.succeeded().await?;
            Ok(answer)
        }
        Err(error) if error.reason == Reason::InvalidCredentials => {
            Err(attempt.failed(Some(account)).await)
        }
        Err(error) => {
            attempt.not_judged().await?;
            Err(error)
        }
    }
}

async fn active(conn: &mut Conn, account: AccountId) -> Result<AccountRow> {
    let row = rows::lock(conn, account).await?;
    row.filter(|row| row.state == AccountState::Active)
        .ok_or_else(|| Error::of(Reason::Unauthenticated))
}

/// What an app shows of an account.
fn label(account: &AccountRow) -> &str {
    account.email.as_deref().or(account.phone.as_deref()).unwrap_or("account")
}

/// A second factor that is locked.
struct Factor {
    account: AccountId,
    confirmed: bool,
    totp: Totp,
    last_step: i64,
}

async fn lock(app: &App, conn: &mut Conn, account: &AccountRow) -> Result<Option<Factor>> {
    let row: Option<(bool, Vec<u8>, i64)> =
        LockFactor { account: account.id }.get_result(conn).await.optional()?;
    let Some((confirmed, sealed, last_step)) = row else { return Ok(None) };
    let secret = app.keys.macs.open(Key::SecondFactor, &sealed, account.id.0.as_bytes());
    let totp = totp::app_of(&secret.map_err(Error::internal)?, label(account))?;
    Ok(Some(Factor { account: account.id, confirmed, totp, last_step }))
}

impl Factor {
    /// Takes a code of the app, once.
    async fn take_app_code(&self, app: &App, conn: &mut Conn, code: &str) -> Result<()> {
        let step = totp::step_of(&self.totp, code, app.clock.now());
        let step = step.filter(|step| *step > self.last_step);
        let step = step.ok_or_else(|| Error::of(Reason::InvalidCredentials))?;
        KeepStep { account: self.account, step }.execute(conn).await?;
        Ok(())
    }

    /// Takes a code of the app or a recovery code, once.
    async fn take_code(&self, app: &App, conn: &mut Conn, code: &str) -> Result<()> {
        if totp::is_app_code(code) {
            return self.take_app_code(app, conn, code).await;
        }
        let hash = totp::recovery_hash(&app.keys.macs, self.account, code);
        let used = UseRecoveryCode { account: self.account, hash, now: app.clock.now() };
        match used.execute(conn).await? {
            0 => Err(Error::of(Reason::InvalidCredentials)),
            _ => Ok(()),
        }
    }
}

async fn replace_recovery_codes(
    app: &App,
    conn: &mut Conn,
    account: AccountId,
    codes: &[String],
) -> Result<()> {
    DropRecoveryCodes { account }.execute(conn).await?;
    let hashes = codes.iter().map(|code| totp::recovery_hash(&app.keys.macs, account, code));
    AddRecoveryCodes { account, hashes: List(hashes.collect()) }.execute(conn).await?;
    Ok(())
}
