//! Who may change whose account, and what keeps the platform from being left without an owner.

use diesel::OptionalExtension;
use diesel::sql_types;
use diesel_async::RunQueryDsl;

use crate::identity::rows::{AccountRow, AccountSql, LockAccount, select_account};
use crate::kernel::access::Caller;
use crate::kernel::db::Conn;
use crate::kernel::error::{Error, Reason, Result};
use crate::kernel::kinds::{AccountId, Role};
use crate::statement;

statement! {
    /// The account of a person.
    PersonById { id: AccountId } -> AccountSql,
    select_account!("WHERE id = $1 AND kind = 'person'");

    /// Holds all superusers, in one order for everybody, so that two who take each other's power
    /// come one after the other.
    LockSuperusers {} -> sql_types::Uuid,
    "SELECT id FROM accounts \
     WHERE id IN (SELECT account_id FROM account_roles WHERE role = 'superuser') \
     ORDER BY id FOR UPDATE";

    /// Whether somebody else owns the platform and can sign in.
    IsAnotherSuperuser { id: AccountId } -> sql_types::Bool,
    "SELECT EXISTS (SELECT FROM accounts a JOIN account_roles r ON r.account_id = a.id \
     WHERE r.role = 'superuser' AND a.state = 'active' AND a.id <> $1)";
}

/// The account of a person.
pub(in crate::identity) async fn find(conn: &mut Conn, id: AccountId) -> Result<AccountRow> {
    let found = PersonById { id }.get_result(conn).await.optional()?;
    found.ok_or_else(|| Error::not_found("account"))
}

/// The account of a person, kept from changing.
pub(in crate::identity) async fn lock(conn: &mut Conn, id: AccountId) -> Result<AccountRow> {
    LockAccount { id }.execute(conn).await?;
    find(conn, id).await
}

/// The account of a person whose power over the platform is about to end, kept from changing.
/// Refuses when nobody who can sign in would own the platform then.
///
/// All superusers are locked before they are counted: of two who block, delete or strip each other
/// at the same time, the second counts after the first is done.
pub(in crate::identity) async fn lock_to_disempower(
    conn: &mut Conn,
    id: AccountId,
) -> Result<AccountRow> {
    if !find(conn, id).await?.has(Role::Superuser) {
        let account = lock(conn, id).await?;
        // Made one in between, from the command line: the call may simply be repeated.
        return if account.has(Role::Superuser) { Err(Error::unavailable()) } else { Ok(account) };
    }
    let _all: Vec<AccountId> = LockSuperusers {}.get_results(conn).await?;
    let account = lock(conn, id).await?;
    let another: bool = IsAnotherSuperuser { id }.get_result(conn).await?;
    if account.has(Role::Superuser) && !another {
        return Err(Error::of(Reason::LastSuperuser));
    }
    Ok(account)
}

/// Refuses callers who act on their own account.
pub(in crate::identity) fn require_other(caller: &Caller, id: AccountId) -> Result<()> {
    if caller.account() == Some(id) { Err(Error::of(Reason::OwnRecord)) } else { Ok(()) }
}

/// Refuses admins who act on the account of an admin or a superuser: superusers alone may.
pub(in crate::identity) fn require_rank(caller: &Caller, account: &AccountRow) -> Result<()> {
    let high = account.has(Role::Superuser) || account.has(Role::Admin);
    if high && !caller.is(Role::Superuser) {
        return Err(Error::of(Reason::RoleRequired).with("roles", Role::Superuser.as_str()));
    }
    Ok(())
}

/// What is not possible in the state of an account.
pub(in crate::identity) fn wrong_state(account: &AccountRow) -> Error {
    Error::of(Reason::WrongState).with("state", account.state.as_str())
}
