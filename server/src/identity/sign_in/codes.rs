//! Codes of six digits sent to phones: made, sent, and judged when they come back.
//!
//! The code stands neither in the database nor in a job; it is made when the message is. A wrong
//! one costs a try of its challenge, counts as a failure of the number, and in a row of many closes
//! the way by phone for the account that has the number.

use diesel::OptionalExtension;
use diesel::sql_types;
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use clinicd_proto::identity::v1 as pb;

use crate::app::App;
use crate::identity::history::records::SignInMethod;
use crate::identity::registration::contact_jobs::SendCode;
use crate::identity::registration::registering::enqueue;
use crate::identity::rows::AccountState;
use crate::identity::rules;
use crate::identity::sign_in::attempts::{Attempt, Identifier};
use crate::identity::sign_in::challenges::{self, Challenge, NewChallenge, Purpose};
use crate::kernel::access::Caller;
use crate::kernel::db::Conn;
use crate::kernel::error::{Error, Reason, Result};
use crate::kernel::jobs::NewJob;
use crate::kernel::kinds::{AccountId, uuid_from_wire};
use crate::statement;

/// Wrong codes in a row after which an account gets no codes any more, until it has signed in by
/// password or was recovered by mail (NIST SP 800-63B, 3.2.2).
const WRONG_CODES: i32 = 100;

statement! {
    /// The account that has a number.
    HolderOf { number: String } -> (sql_types::Uuid, sql_types::Text, sql_types::Integer),
    "SELECT id, state, wrong_codes FROM accounts WHERE phone = $1";

    /// Counts a wrong code against the account that has the number.
    CountWrongCode { number: String } -> sql_types::Uuid,
    "UPDATE accounts SET wrong_codes = wrong_codes + 1 WHERE phone = $1 RETURNING id";

    /// Ends the row of wrong codes with a right one, unless the row is too long.
    ForgiveByCode { account: AccountId, limit: i32 },
    "UPDATE accounts SET wrong_codes = 0 WHERE id = $1 AND wrong_codes < $2";

    /// Ends the row of wrong codes.
    Forgive { account: AccountId },
    "UPDATE accounts SET wrong_codes = 0 WHERE id = $1 AND wrong_codes > 0";
}

/// The account that has a number.
#[derive(Debug, Clone, Copy, diesel::Queryable)]
pub(in crate::identity) struct Holder {
    pub(in crate::identity) account: AccountId,
    pub(in crate::identity) state: AccountState,
    wrong_codes: i32,
}

impl Holder {
    /// Whether codes are sent: not to a blocked account, nor after too many wrong ones. Nobody else
    /// learns of it.
    pub(in crate::identity) fn gets_codes(&self) -> bool {
        self.state != AccountState::Blocked && self.wrong_codes < WRONG_CODES
    }
}

/// Who has this number.
pub(in crate::identity) async fn holder(conn: &mut Conn, number: &str) -> Result<Option<Holder>> {
    Ok(HolderOf { number: number.to_owned() }.get_result(conn).await.optional()?)
}

/// A code to be made.
#[derive(Debug, Clone)]
pub(in crate::identity) struct NewCode<'a> {
    pub(in crate::identity) purpose: Purpose,
    /// What it is good for; none when that follows from the number, or it is good for nothing.
    pub(in crate::identity) account: Option<AccountId>,
    /// E.164.
    pub(in crate::identity) number: &'a str,
    /// Language of the message to a number without an account.
    pub(in crate::identity) language: &'a str,
    /// `false`: nobody gets it.
    pub(in crate::identity) send: bool,
}

/// Makes a code, in the place of those before it, and has it sent.
pub(in crate::identity) async fn make(
    app: &App,
    conn: &mut Conn,
    new: NewCode<'_>,
) -> Result<Challenge> {
    let challenge = NewChallenge {
        purpose: new.purpose,
        account: new.account,
        address: new.number.to_owned(),
        seconds: rules::CODE_SECONDS,
    };
    challenges::void_same(app, conn, new.number, new.purpose).await?;
    let challenge = challenges::make(app, conn, challenge).await?;
    if new.send {
        let job = SendCode { challenge: challenge.id, language: new.language.to_owned() };
        enqueue(app, conn, NewJob::now(&job)).await?;
    }
    Ok(challenge)
}

/// What somebody gave back: judged, and counted. End it with [`end`](Self::end).
pub(in crate::identity) struct Guess<'a> {
    attempt: Attempt<'a>,
    /// Whose it may have been, for the history.
    account: Option<AccountId>,
    /// The challenge, when it was right. Use it up in the transaction that acts on it.
    pub(in crate::identity) right: Option<Challenge>,
}

impl Guess<'_> {
    /// Ends the attempt with what became of it: right, wrong, or not judged.
    pub(in crate::identity) async fn end<A>(self, result: Result<A>) -> Result<A> {
        match result {
            Ok(answer) => {
                self.attempt.succeeded().await?;
                Ok(answer)
            }
            Err(error) if error.reason == Reason::InvalidCredentials => {
                Err(self.attempt.failed(self.account).await)
            }
            Err(error) => {
                self.attempt.not_judged().await?;
                Err(error)
            }
        }
    }
}

/// Judges a code. An unknown challenge, one for something else, one that is used, expired or void,
/// and a wrong code are one.
pub(in crate::identity) async fn judge<'a>(
    app: &'a App,
    caller: &'a Caller,
    method: SignInMethod,
    purposes: &[Purpose],
    given: &pb::PhoneCode,
) -> Result<Guess<'a>> {
    let id = uuid_from_wire("phone_code.challenge_id", &given.challenge_id)?;
    let challenge = {
        let mut conn = app.db.read().await?;
        challenges::find(&mut conn, id).await?
    };
    let challenge = challenge.filter(|found| purposes.contains(&found.purpose) && is_sent(found));
    let unknown = id.to_string();
    let identifier = match &challenge {
        Some(challenge) => Identifier::Phone(&challenge.address),
        None => Identifier::Other(&unknown),
    };
    let attempt = Attempt::begin(app, caller, method, identifier).await?;
    let mut conn = app.db.read().await?;
    // Taken and committed before the code is looked at.
    let taken = match &challenge {
        Some(challenge) => challenges::take_try(app, &mut conn, challenge.id).await?,
        None => challenges::take_try(app, &mut conn, Uuid::nil()).await?,
    };
    let judged = challenge.as_ref().filter(|_| taken);
    let right = judged.filter(|found| found.is_code(&app.keys.macs, &given.code)).cloned();
    let mut account = challenge.as_ref().and_then(|challenge| challenge.account);
    if right.is_none() {
        let number = judged.filter(|found| is_of_holder(found)).map(|found| found.address.clone());
        let wrong = CountWrongCode { number: number.unwrap_or_default() };
        let holder: Option<AccountId> = wrong.get_result(&mut conn).await.optional()?;
        account = account.or(holder);
    }
    Ok(Guess { attempt, account, right })
}

/// Whether it was sent to a phone: what was mailed has a token and no code.
fn is_sent(challenge: &Challenge) -> bool {
    challenge.address.starts_with('+') && !challenge.address.contains('@')
}

/// Whether it was sent to the number of an account, not to one that is to become it.
fn is_of_holder(challenge: &Challenge) -> bool {
    matches!(challenge.purpose, Purpose::SignIn | Purpose::Recovery)
}

/// Judges the token of a link.
pub(in crate::identity) async fn judge_token<'a>(
    app: &'a App,
    caller: &'a Caller,
    method: SignInMethod,
    purpose: Purpose,
    token: &str,
) -> Result<Guess<'a>> {
    let named = challenges::named_by(token).map(|id| id.to_string());
    let identifier = Identifier::Other(named.as_deref().unwrap_or(token));
    let attempt = Attempt::begin(app, caller, method, identifier).await?;
    let mut conn = app.db.read().await?;
    let found = challenges::of_token(app, &mut conn, token, purpose).await?;
    let account = found.as_ref().and_then(|found| found.account);
    let right = found.filter(|found| found.is_live(app.clock.now()));
    Ok(Guess { attempt, account, right })
}

/// Uses up what was right, in the transaction that acts on it; refused when somebody else was
/// faster.
pub(in crate::identity) async fn use_up(
    app: &App,
    conn: &mut Conn,
    right: &Challenge,
) -> Result<()> {
    if !challenges::use_up(app, conn, right.id).await? {
        return Err(Error::of(Reason::InvalidCredentials));
    }
    challenges::void_same(app, conn, &right.address, right.purpose).await
}

/// A right code ends the row of wrong ones of an account; refused when the row is too long.
pub(in crate::identity) async fn forgive_by_code(
    conn: &mut Conn,
    account: AccountId,
) -> Result<()> {
    if (ForgiveByCode { account, limit: WRONG_CODES }).execute(conn).await? == 1 {
        return Ok(());
    }
    Err(Error::of(Reason::InvalidCredentials))
}

/// Something stronger than a code ends the row of wrong ones.
pub(in crate::identity) async fn forgive(conn: &mut Conn, account: AccountId) -> Result<()> {
    Forgive { account }.execute(conn).await?;
    Ok(())
}
