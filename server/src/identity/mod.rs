//! Accounts, credentials and sessions: who a person is and how they prove it.

pub mod passwords;

use diesel_async::AsyncPgConnection;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use crate::app::App;
use crate::kernel::access::SessionFacts;
use crate::kernel::error::Result;
use crate::kernel::kinds::SessionId;

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
/// stub
pub struct Contact {
    /// x
    pub email: String,
    /// x
    pub name: String,
    /// x
    pub language: String,
}
/// stub
pub async fn contact(
    _conn: &mut AsyncPgConnection,
    _a: crate::kernel::kinds::AccountId,
) -> Result<Option<Contact>> {
    Ok(None)
}
