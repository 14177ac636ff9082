//! Accounts, credentials and sessions: who a person is and how they prove it.

pub mod passwords;

use diesel_async::AsyncPgConnection;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use crate::app::App;
use crate::kernel::access::SessionFacts;
use crate::kernel::db::Conn;
use crate::kernel::error::Result;
use crate::kernel::kinds::{AccountId, Role, SessionId};

/// What a fresh development installation signs in with.
pub struct FirstLogin {
    /// Address.
    pub email: String,
    /// Password.
    pub password: String,
}

/// Placeholder.
pub async fn first_login(_app: &App) -> Result<Option<FirstLogin>> {
    Ok(None)
}
/// Placeholder.
pub async fn create_superuser(_app: &App, _email: &str, _password: &str) -> Result<()> {
    Ok(())
}
/// Placeholder.
pub fn session_facts(
    _conn: &mut AsyncPgConnection,
    _id: SessionId,
) -> BoxFuture<'_, Result<Option<SessionFacts>>> {
    async { Ok(None) }.boxed()
}

// STUBS of the onboarding branch, so that it compiles; the identity room has the real ones.

/// Stub.
#[expect(clippy::unused_async, reason = "stub")]
pub async fn grant_role(
    _app: &App,
    _conn: &mut Conn,
    _account: AccountId,
    _role: Role,
    _by: Option<AccountId>,
) -> Result<()> {
    Ok(())
}
/// Stub.
#[expect(clippy::unused_async, reason = "stub")]
pub async fn set_applicant(
    _app: &App,
    _conn: &mut Conn,
    _account: AccountId,
    _applicant: bool,
) -> Result<()> {
    Ok(())
}
/// Stub.
pub struct Contact {
    /// Address.
    pub email: String,
    /// Given and family name.
    pub name: String,
    /// Language tag.
    pub language: String,
}
/// Stub.
#[expect(clippy::unused_async, reason = "stub")]
pub async fn contact(_conn: &mut Conn, _account: AccountId) -> Result<Option<Contact>> {
    Ok(None)
}
