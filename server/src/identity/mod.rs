//! Accounts, credentials and sessions: who a person is and how they prove it.
//!
//! Owns `accounts`, `account_roles`, `api_keys`, `challenges`, `recovery_codes`, `refresh_tokens`,
//! `second_factors`, `sent_codes`, `sessions`, `sign_in_failures`, `sign_ins` and `stream_tickets`.
//! What holds at any time:
//! * One account per address, whatever its case, and per phone number. No answer of a public method,
//!   nor its time, tells whether an address or a number has one.
//! * Only an active account signs in or has a working session.
//! * No password, token or code can be read from the database: passwords are Argon2id hashes,
//!   refresh tokens and API keys SHA-256 hashes, links and codes are made again from a key that is not
//!   in the database, and with another one the secrets of second factors are sealed.
//! * A refresh token is exchanged once; one that comes back ends its session.
//! * Of one identifier at most five wrong answers are looked at within ten minutes, on whatever path.
//! * The platform has a superuser who can sign in: nothing that takes the last one's power is done.
//! * A closed account leads to nobody: no contact, no name, no role, no way in.
//!
//! Events: `account.registered`, `account.activated`, `account.updated`, `account.blocked`,
//! `account.unblocked`, `account.deleted`, `account.admin_granted`, `account.admin_revoked`,
//! `account.superuser_granted`, `account.superuser_revoked`, `account.staff_created`,
//! `account.staff_removed`, `account.sign_in_hidden`,
//! `account.recovery_started`, `account.password_changed`, `account.contact_changed`,
//! `account.second_factor_added`, `account.second_factor_removed`,
//! `account.recovery_codes_replaced`, `session.new_device`, `session.refresh_reused`. Of programs:
//! `service_account.created`, `api_key.created`, `api_key.revoked`.

mod accounts;
mod administration;
mod history;
pub mod jobs;
mod programs;
mod reaching;
mod registration;
mod rows;
mod rules;
mod service;
mod sessions;
mod sign_in;
mod snapshot;
mod staff;

use std::collections::HashSet;

use diesel_async::RunQueryDsl;
use serde::{Deserialize, Serialize};

pub use administration::last_message::{open_contact, seal_contact};
pub use administration::superusers::{FirstLogin, create_superuser, first_login, revoke_superuser};
pub use reaching::{Secret, living_sessions, secret};
pub use registration::contact_jobs;
pub use service::Service;
pub use sessions::living::SESSIONS;
pub use sign_in::passwords;
pub use snapshot::account_ids;

use crate::app::App;
use crate::kernel::db::Conn;
use crate::kernel::db::statement::List;
use crate::kernel::error::{Error, Reason, Result};
use crate::kernel::kinds::{AccountId, Role, Scope, Time};

/// Gives an account a role, at once; nothing when it has it. `by` is who granted it, `None` for
/// registration and the command line. The sessions that the account has end: its owner signs in anew,
/// for a session of the new role.
pub async fn grant_role(
    app: &App,
    conn: &mut Conn,
    account: AccountId,
    role: Role,
    by: Option<AccountId>,
) -> Result<()> {
    let now = app.clock.now();
    if (rows::InsertRole { account, role, by, now }).execute(conn).await? == 0 {
        return Ok(());
    }
    // A new role waits for whoever closes the account; this comes after.
    let closed = |row: &rows::AccountRow| row.state == rows::AccountState::Deleted;
    if rows::find(conn, account).await?.as_ref().is_some_and(closed) {
        return Err(Error::of(Reason::WrongState).with("state", "deleted"));
    }
    rows::TouchAccount { id: account, now }.execute(conn).await?;
    sessions::living::EndSessions { account, now }.execute(conn).await?;
    Ok(())
}

/// Notes whether the account has an onboarding application that is not approved yet: doctor-side
/// methods then say so when they refuse it.
pub async fn set_applicant(
    _app: &App,
    conn: &mut Conn,
    account: AccountId,
    applicant: bool,
) -> Result<()> {
    rows::SetApplicant { id: account, applicant }.execute(conn).await?;
    Ok(())
}

/// How to reach the owner of an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contact {
    /// Mail address, when there is one.
    pub email: Option<String>,
    /// Phone number in E.164, when there is one.
    pub phone: Option<String>,
    /// Given and family name.
    pub name: String,
    /// Preferred language, a BCP 47 tag.
    pub language: String,
}

/// How to reach the owner of an account; none when there is no such account, or it is closed.
pub async fn contact(conn: &mut Conn, account: AccountId) -> Result<Option<Contact>> {
    let account = rows::find(conn, account).await?;
    let open = account.filter(|account| account.state != rows::AccountState::Deleted);
    Ok(open.map(Contact::from))
}

/// Those of these accounts that are people who may sign in.
pub async fn active_people(conn: &mut Conn, accounts: Vec<AccountId>) -> Result<Vec<AccountId>> {
    Ok(rows::ActivePeople { accounts: List(accounts) }.get_results(conn).await?)
}

/// Which of these service accounts have a key at this time that works and has this scope.
pub async fn programs_with(
    conn: &mut Conn,
    accounts: Vec<AccountId>,
    scope: Scope,
    now: Time,
) -> Result<HashSet<AccountId>> {
    if accounts.is_empty() {
        return Ok(HashSet::new());
    }
    let accounts = List(accounts);
    let found: Vec<AccountId> =
        programs::api_keys::ProgramsWith { accounts, scope, now }.get_results(conn).await?;
    Ok(found.into_iter().collect())
}

impl From<rows::AccountRow> for Contact {
    fn from(row: rows::AccountRow) -> Self {
        Self {
            name: format!("{} {}", row.given_name, row.family_name).trim().to_owned(),
            email: row.email,
            phone: row.phone,
            language: row.language,
        }
    }
}
