//! Registration: an inactive account, and a mailed link that activates it.
//!
//! A known address is answered in the same way and after the same time as a new one. Its owner
//! learns of it by mail.

use std::time::Duration;

use diesel_async::RunQueryDsl;
use tokio::time::Instant;
use uuid::Uuid;

use clinicd_proto::identity::v1 as pb;
use clinicd_proto::r#type::v1::PersonName;

use super::attempts;
use super::challenges::{self, NewChallenge, Purpose};
use super::jobs::{SendAccountExists, SendActivation, SendInvitation};
use super::passwords::PasswordUse;
use super::rows::{self, AccountRow, AccountState, InsertAccount};
use super::{grant_role, rules};
use crate::app::App;
use crate::kernel::access::Caller;
use crate::kernel::db::Conn;
use crate::kernel::error::{Faults, Result};
use crate::kernel::events::{Event, ResourceKind};
use crate::kernel::jobs::{self, NewJob};
use crate::kernel::kinds::{AccountId, Role, Time};
use crate::kernel::text;
use crate::{profiles, statement};

/// Answers leave at multiples of this, so that their time does not tell a known address from a
/// new one.
const PACE: Duration = Duration::from_millis(50);
/// The owner of an address is told of further registrations at most this often, in seconds.
const TELL_AGAIN_SECONDS: i64 = 24 * 3_600;

statement! {
    /// A registration that was never confirmed gives way to a new one.
    ReplaceAccount {
        id: AccountId, email: String, password_hash: String, given_name: String,
        family_name: String, language: String, now: Time,
    },
    "UPDATE accounts SET email = $2, password_hash = $3, given_name = $4, family_name = $5, \
        language = $6, version = version + 1, updated_at = $7 \
     WHERE id = $1 AND state = 'inactive'";
}

/// A person as they are to be stored.
#[derive(Debug, Clone)]
pub(super) struct NewPerson {
    pub(super) email: String,
    pub(super) given_name: String,
    pub(super) family_name: String,
    pub(super) language: String,
}

impl NewPerson {
    /// Cleans what a person typed.
    pub(super) fn new(email: &str, name: Option<PersonName>, language: &str) -> Result<Self> {
        let (name, mut faults) = (name.unwrap_or_default(), Faults::default());
        let person = Self {
            email: email.trim().to_owned(),
            given_name: faults.keep(text::required_line("name.given", &name.given)),
            family_name: faults.keep(text::line("name.family", &name.family)),
            language: faults.keep(rules::language("language", language)),
        };
        faults.check()?;
        Ok(person)
    }

    /// What the person's password may not hold.
    pub(super) fn personal(&self) -> [&str; 3] {
        [&self.email, &self.given_name, &self.family_name]
    }

    /// The account to be inserted.
    pub(super) fn account(
        &self,
        app: &App,
        id: AccountId,
        password_hash: Option<String>,
        state: AccountState,
    ) -> InsertAccount {
        InsertAccount {
            id,
            email: Some(self.email.clone()),
            email_key: Some(rules::email_key(&self.email)),
            password_hash,
            given_name: self.given_name.clone(),
            family_name: self.family_name.clone(),
            language: self.language.clone(),
            state,
            now: app.clock.now(),
        }
    }
}

/// `RegisterAccount`.
pub(super) async fn register(
    app: &App,
    caller: &Caller,
    request: pb::RegisterAccountRequest,
) -> Result<pb::RegisterAccountResponse> {
    let began = Instant::now();
    let person = NewPerson::new(&request.email, request.name.clone(), &request.language)?;
    rules::check_password(&request.password, &person.personal(), PasswordUse::Alone)?;
    let email_key = rules::email_key(&person.email);
    let lane = attempts::lane(email_key.as_bytes()).await?;
    let answer = match app.earlier(caller, &request.request_id, &request).await? {
        Some(answer) => Ok(answer),
        None => register_new(app, caller, &request, &person, email_key).await,
    };
    drop(lane);
    tokio::time::sleep_until(began + next_beat(began.elapsed())).await;
    answer
}

async fn register_new(
    app: &App,
    caller: &Caller,
    request: &pb::RegisterAccountRequest,
    person: &NewPerson,
    email_key: String,
) -> Result<pb::RegisterAccountResponse> {
    let hash = app.passwords.hash(&request.password).await?;
    app.once(caller, &request.request_id, request, async |conn| {
        let id = AccountId(app.ids.next());
        let account = person.account(app, id, Some(hash.clone()), AccountState::Inactive);
        if account.execute(conn).await? == 1 {
            welcome_new(app, conn, id, person).await?;
        } else if let Some(known) = rows::lock_by_email(conn, email_key.clone()).await? {
            tell_owner(app, conn, known, person, &hash).await?;
        }
        Ok(pb::RegisterAccountResponse::default())
    })
    .await
}

/// When an answer leaves that took this long: at the next multiple of [`PACE`].
fn next_beat(elapsed: Duration) -> Duration {
    let beats = elapsed.as_millis() / PACE.as_millis() + 1;
    PACE * u32::try_from(beats).unwrap_or(1)
}

async fn welcome_new(
    app: &App,
    conn: &mut Conn,
    account: AccountId,
    person: &NewPerson,
) -> Result<()> {
    grant_role(app, conn, account, Role::Patient, None).await?;
    let (given, family) = (&person.given_name, &person.family_name);
    profiles::create_own_patient(app, conn, account, given, family).await?;
    let activation = activation(app, conn, account, &person.email, false).await?;
    enqueue(app, conn, NewJob::now(&SendActivation { activation })).await?;
    app.events.emit(conn, event("account.registered", account)).await
}

/// The address is known: what its owner is told depends on what became of the account.
async fn tell_owner(
    app: &App,
    conn: &mut Conn,
    known: AccountRow,
    person: &NewPerson,
    hash: &str,
) -> Result<()> {
    let account = known.id;
    let period = app.clock.now().unix_micros() / (TELL_AGAIN_SECONDS * 1_000_000);
    if known.state != AccountState::Inactive {
        let job = NewJob::now(&SendAccountExists { account });
        return enqueue(app, conn, job.once(format!("account_exists/{account}/{period}"))).await;
    }
    let invited = known.password_hash.is_none();
    let activation = match challenges::live(app, conn, account, Purpose::Activation).await? {
        Some(live) => live.id,
        None if invited => activation(app, conn, account, &person.email, true).await?,
        None => return start_over(app, conn, account, person, hash).await,
    };
    // The link that is still good goes out once more, with the password it was asked for with.
    let job = if invited {
        NewJob::now(&SendInvitation { activation }).once(format!("invited/{activation}/{period}"))
    } else {
        NewJob::now(&SendActivation { activation }).once(format!("activation/{activation}/again"))
    };
    enqueue(app, conn, job).await
}

/// The first registration was never confirmed and its link is dead: this one takes its place.
async fn start_over(
    app: &App,
    conn: &mut Conn,
    account: AccountId,
    person: &NewPerson,
    hash: &str,
) -> Result<()> {
    let replace = ReplaceAccount {
        id: account,
        email: person.email.clone(),
        password_hash: hash.to_owned(),
        given_name: person.given_name.clone(),
        family_name: person.family_name.clone(),
        language: person.language.clone(),
        now: app.clock.now(),
    };
    replace.execute(conn).await?;
    let activation = activation(app, conn, account, &person.email, false).await?;
    enqueue(app, conn, NewJob::now(&SendActivation { activation })).await
}

/// Makes a link that activates an account, invited or registered, in the place of those before it.
pub(super) async fn activation(
    app: &App,
    conn: &mut Conn,
    account: AccountId,
    email: &str,
    invited: bool,
) -> Result<Uuid> {
    let seconds = if invited { rules::INVITATION_SECONDS } else { rules::ACTIVATION_SECONDS };
    let new = NewChallenge {
        purpose: Purpose::Activation,
        account: Some(account),
        address: email.to_owned(),
        seconds,
    };
    Ok(challenges::make(app, conn, new).await?.id)
}

/// Enqueues a job of this room.
pub(super) async fn enqueue(app: &App, conn: &mut Conn, job: NewJob) -> Result<()> {
    jobs::enqueue(conn, app.ids.next(), app.clock.now(), job).await
}

/// An event about an account, which its owner may see.
pub(super) fn event(event_type: &'static str, account: AccountId) -> Event {
    Event {
        event_type,
        kind: ResourceKind::Account,
        resource: account.0,
        account: Some(account),
        patient: None,
        doctor: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_leave_on_the_beat() {
        for (elapsed, beat) in [(0, 50), (49, 50), (50, 100), (51, 100), (120, 150)] {
            let [elapsed, beat] = [elapsed, beat].map(Duration::from_millis);
            assert_eq!(next_beat(elapsed), beat);
        }
    }
}
