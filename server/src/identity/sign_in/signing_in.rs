//! Sign-in with password, and what every kind of sign-in ends in: a session, or the question for
//! the second factor.

use diesel_async::RunQueryDsl;

use clinicd_proto::identity::v1 as pb;

use crate::app::App;
use crate::identity::history::records as history;
use crate::identity::history::records::SignInMethod;
use crate::identity::rows::{self, AccountRow, AccountState, RehashPassword};
use crate::identity::rules;
use crate::identity::sessions::living as sessions;
use crate::identity::sign_in::attempts::{Attempt, Identifier};
use crate::identity::sign_in::challenges::{self, NewChallenge, Purpose};
use crate::identity::sign_in::codes;
use crate::identity::sign_in::passwords::PasswordError;
use crate::kernel::access::Caller;
use crate::kernel::db::Conn;
use crate::kernel::error::{Error, Reason, Result};
use crate::kernel::{phone, text};

/// By what a person says who they are: exactly one of mail address and phone number.
#[derive(Debug, Clone)]
pub(in crate::identity) enum Login {
    /// The key of a mail address.
    Email(String),
    /// A phone number in E.164.
    Phone(String),
}

impl Login {
    /// What a request names.
    pub(in crate::identity) fn read(email: &str, number: &str) -> Result<Self> {
        match (email.is_empty(), number.is_empty()) {
            (_, true) => Ok(Self::Email(rules::email_key(email))),
            (true, false) => Ok(Self::Phone(phone::e164("phone", number)?)),
            (false, false) => Err(Error::field("phone", "must be empty when email is set")),
        }
    }

    pub(in crate::identity) fn identifier(&self) -> Identifier<'_> {
        match self {
            Self::Email(key) => Identifier::Email(key),
            Self::Phone(number) => Identifier::Phone(number),
        }
    }

    pub(in crate::identity) async fn find(&self, conn: &mut Conn) -> Result<Option<AccountRow>> {
        match self {
            Self::Email(key) => rows::find_by_email(conn, key.clone()).await,
            Self::Phone(number) => rows::find_by_phone(conn, number.clone()).await,
        }
    }
}

/// What a person who has proved who they are gets.
#[derive(Debug, Default)]
pub(in crate::identity) struct Admission {
    /// Absent while a second factor is asked for.
    pub(in crate::identity) tokens: Option<pb::TokenPair>,
    /// Empty without tokens.
    pub(in crate::identity) account_id: String,
    pub(in crate::identity) second_factor: Option<pb::SecondFactorChallenge>,
}

/// `SignIn`. Unknown, inactive and blocked accounts and wrong passwords cost the same and get the
/// same answer.
pub(in crate::identity) async fn sign_in(
    app: &App,
    caller: &Caller,
    request: pb::SignInRequest,
) -> Result<pb::SignInResponse> {
    let device = text::line("device_name", &request.device_name)?;
    let login = Login::read(&request.email, &request.phone)?;
    let account = prove(app, caller, &login, &request.password).await?;
    app.once(caller, &request.request_id, &request, async |conn| {
        // Blocked or without a role since the password was judged: what counts is what is now.
        let account = rows::lock(conn, account.id).await?.filter(|now| may_sign_in(now, &account));
        let account = account.ok_or_else(|| Error::of(Reason::InvalidCredentials))?;
        if account.phone.is_some() {
            codes::forgive(conn, account.id).await?;
        }
        let Admission { tokens, account_id, second_factor } =
            admit(app, conn, caller, &account, &device, SignInMethod::Password).await?;
        Ok(pb::SignInResponse { tokens, account_id, second_factor })
    })
    .await
}

fn may_sign_in(now: &AccountRow, proven: &AccountRow) -> bool {
    now.state == AccountState::Active && now.password_hash == proven.password_hash
}

/// Lets in an active account that has given its first factor: with a session, or with the question
/// for the second.
pub(in crate::identity) async fn admit(
    app: &App,
    conn: &mut Conn,
    caller: &Caller,
    account: &AccountRow,
    device: &str,
    method: SignInMethod,
) -> Result<Admission> {
    history::record(app, conn, caller, method, Some(account.id), true).await?;
    if !account.second_factor {
        let tokens = sessions::start(app, conn, caller, account, device, false).await?;
        let account_id = account.id.to_string();
        return Ok(Admission { tokens: Some(tokens), account_id, second_factor: None });
    }
    let challenge = NewChallenge {
        purpose: Purpose::SecondFactor,
        account: Some(account.id),
        address: String::new(),
        seconds: rules::SECOND_FACTOR_SECONDS,
    };
    let challenge = challenges::make(app, conn, challenge).await?;
    let question = pb::SecondFactorChallenge {
        challenge_token: challenge.token(&app.keys.macs),
        expire_time: Some(challenge.expires_at.into()),
    };
    Ok(Admission { second_factor: Some(question), ..Admission::default() })
}

/// The account whose password this is. Counts the attempt first; see
/// [`attempts`](crate::identity::sign_in::attempts).
async fn prove(app: &App, caller: &Caller, login: &Login, password: &str) -> Result<AccountRow> {
    let attempt = Attempt::begin(app, caller, SignInMethod::Password, login.identifier()).await?;
    let account = {
        let mut conn = app.db.read().await?;
        login.find(&mut conn).await?
    };
    let known = account.as_ref().map(|account| account.id);
    let stored = account.as_ref().and_then(|account| account.password_hash.as_deref());
    let verified = match app.passwords.verify(password, stored).await {
        Ok(verified) => verified,
        // No guess was judged.
        Err(error @ (PasswordError::Busy | PasswordError::Failed | PasswordError::BadHash)) => {
            attempt.not_judged().await?;
            return Err(error.into());
        }
        Err(_) => return Err(attempt.failed(known).await),
    };
    let account = account.filter(|account| verified.ok && account.state == AccountState::Active);
    let Some(mut account) = account else { return Err(attempt.failed(known).await) };
    attempt.succeeded().await?;
    if verified.needs_rehash {
        rehash(app, &mut account, password).await?;
    }
    Ok(account)
}

/// Stores a right password at today's cost. When the server is busy, the next sign-in does it.
async fn rehash(app: &App, account: &mut AccountRow, password: &str) -> Result<()> {
    let Some(old) = account.password_hash.clone() else { return Ok(()) };
    let Ok(new) = app.passwords.hash(password).await else { return Ok(()) };
    let mut conn = app.db.read().await?;
    let rehash = RehashPassword { id: account.id, old, new: new.clone() };
    if rehash.execute(&mut conn).await? == 0 {
        // Another replica was faster, or the password has just been changed: judge it again.
        return Err(Error::unavailable());
    }
    account.password_hash = Some(new);
    Ok(())
}
