//! Accounts and their roles in the database.

use clinicd_proto::identity::v1 as pb;
use clinicd_proto::r#type::v1::PersonName;
use diesel::OptionalExtension;
use diesel::sql_types;
use diesel_async::RunQueryDsl;

use crate::kernel::db::Conn;
use crate::kernel::db::statement::List;
use crate::kernel::error::Result;
use crate::kernel::kinds::{AccountId, Role, Time, wire_enum};
use crate::statement;

wire_enum! {
    /// Whether an account may sign in.
    AccountState = pb::AccountState {
        /// Registered; the address is not confirmed yet.
        Inactive = "inactive",
        /// May sign in.
        Active = "active",
        /// Blocked by an admin.
        Blocked = "blocked",
        /// Closed for good; nothing identifies the person any more.
        Deleted = "deleted",
    }
}

/// An account with its roles.
#[derive(Debug, Clone, diesel::Queryable)]
pub(super) struct AccountRow {
    pub(super) id: AccountId,
    pub(super) email: Option<String>,
    pub(super) phone: Option<String>,
    pub(super) password_hash: Option<String>,
    pub(super) given_name: String,
    pub(super) family_name: String,
    pub(super) language: String,
    pub(super) state: AccountState,
    pub(super) version: i32,
    pub(super) created_at: Time,
    pub(super) updated_at: Time,
    pub(super) roles: Vec<Role>,
    /// A second factor is set up and confirmed.
    pub(super) second_factor: bool,
    /// The password is too short to sign in without it.
    pub(super) short_password: bool,
}

/// The SQL types of [`AccountRow`].
pub(super) type AccountSql = (
    sql_types::Uuid,
    sql_types::Nullable<sql_types::Text>,
    sql_types::Nullable<sql_types::Text>,
    sql_types::Nullable<sql_types::Text>,
    sql_types::Text,
    sql_types::Text,
    sql_types::Text,
    sql_types::Text,
    sql_types::Integer,
    sql_types::Timestamptz,
    sql_types::Timestamptz,
    sql_types::Array<sql_types::Text>,
    sql_types::Bool,
    sql_types::Bool,
);

/// The columns of [`AccountRow`], in its order.
macro_rules! select_account {
    ($rest:literal) => {
        concat!(
            "SELECT id, email, phone, password_hash, given_name, family_name, language, state, \
                version, created_at, updated_at, \
                ARRAY(SELECT role FROM account_roles WHERE account_id = accounts.id ORDER BY role), \
                EXISTS (SELECT FROM second_factors \
                    WHERE account_id = accounts.id AND confirmed_at IS NOT NULL), \
                short_password \
             FROM accounts ",
            $rest
        )
    };
}
pub(super) use select_account;

statement! {
    /// One account by id.
    AccountById { id: AccountId } -> AccountSql, select_account!("WHERE id = $1");

    /// One account by the key of its address.
    AccountByEmail { email_key: String } -> AccountSql, select_account!("WHERE email_key = $1");

    /// One account by its phone number.
    AccountByPhone { phone: String } -> AccountSql, select_account!("WHERE phone = $1");

    /// Keeps the account with the key of this address from changing until the transaction ends.
    LockAccountByEmail { email_key: String },
    "SELECT FROM accounts WHERE email_key = $1 FOR UPDATE";

    /// The same by its phone number.
    LockAccountByPhone { phone: String },
    "SELECT FROM accounts WHERE phone = $1 FOR UPDATE";

    /// The same by id.
    LockAccount { id: AccountId }, "SELECT FROM accounts WHERE id = $1 FOR UPDATE";

    /// Those of these accounts that are people who may sign in.
    ActivePeople { accounts: List<AccountId> } -> sql_types::Uuid,
    "SELECT id FROM accounts WHERE id = ANY ($1) AND state = 'active' AND kind = 'person'";

    /// A new account, unless the address is taken.
    InsertAccount {
        id: AccountId, email: Option<String>, email_key: Option<String>, password_hash: Option<String>,
        given_name: String, family_name: String, language: String, state: AccountState, now: Time,
    },
    "INSERT INTO accounts (id, email, email_key, password_hash, given_name, family_name, \
        language, state, created_at, updated_at) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9) ON CONFLICT (email_key) DO NOTHING";

    /// Lets an account sign in; sets its password when one is given.
    ActivateAccount { id: AccountId, password_hash: Option<String>, now: Time },
    "UPDATE accounts SET state = 'active', password_hash = coalesce($2, password_hash), \
        version = version + 1, updated_at = $3 WHERE id = $1";

    /// Stores a password at today's cost, unless it was changed meanwhile.
    RehashPassword { id: AccountId, old: String, new: String },
    "UPDATE accounts SET password_hash = $3 WHERE id = $1 AND password_hash = $2";

    /// Gives a role; nothing when the account has it.
    InsertRole { account: AccountId, role: Role, by: Option<AccountId>, now: Time },
    "INSERT INTO account_roles (account_id, role, granted_by, granted_at) \
     VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING";

    /// Takes a role.
    DeleteRole { account: AccountId, role: Role },
    "DELETE FROM account_roles WHERE account_id = $1 AND role = $2";

    /// Counts a change of an account.
    TouchAccount { id: AccountId, now: Time },
    "UPDATE accounts SET version = version + 1, updated_at = $2 WHERE id = $1";

    /// Notes whether an onboarding application is open.
    SetApplicant { id: AccountId, applicant: bool },
    "UPDATE accounts SET applicant = $2 WHERE id = $1 AND applicant <> $2";

    /// Whether the platform has an owner.
    SuperuserExists {} -> sql_types::Bool,
    "SELECT EXISTS (SELECT FROM account_roles WHERE role = 'superuser')";
}

impl AccountRow {
    pub(super) fn has(&self, role: Role) -> bool {
        self.roles.contains(&role)
    }

    /// What the person's password may not hold.
    pub(super) fn personal(&self) -> Vec<&str> {
        let contacts = [self.email.as_deref(), self.phone.as_deref()].into_iter().flatten();
        contacts.chain([&*self.given_name, &*self.family_name]).collect()
    }
}

impl From<AccountRow> for pb::Account {
    fn from(row: AccountRow) -> Self {
        Self {
            id: row.id.to_string(),
            create_time: Some(row.created_at.into()),
            update_time: Some(row.updated_at.into()),
            etag: row.version.to_string(),
            email: row.email.unwrap_or_default(),
            phone: row.phone.unwrap_or_default(),
            second_factor: row.second_factor,
            name: (!row.given_name.is_empty())
                .then_some(PersonName { given: row.given_name, family: row.family_name }),
            language: row.language,
            state: row.state.into(),
            roles: row.roles.into_iter().map(i32::from).collect(),
        }
    }
}

/// The account with this id.
pub(super) async fn find(conn: &mut Conn, id: AccountId) -> Result<Option<AccountRow>> {
    Ok(AccountById { id }.get_result(conn).await.optional()?)
}

/// The account with this id, kept from changing. Read after the lock, by a statement of its own: one
/// that waits for the lock shows the roles and the second factor from before it.
pub(super) async fn lock(conn: &mut Conn, id: AccountId) -> Result<Option<AccountRow>> {
    LockAccount { id }.execute(conn).await?;
    find(conn, id).await
}

/// The account with this address.
pub(super) async fn find_by_email(conn: &mut Conn, key: String) -> Result<Option<AccountRow>> {
    Ok(AccountByEmail { email_key: key }.get_result(conn).await.optional()?)
}

/// The account with this phone number (E.164).
pub(super) async fn find_by_phone(conn: &mut Conn, phone: String) -> Result<Option<AccountRow>> {
    Ok(AccountByPhone { phone }.get_result(conn).await.optional()?)
}

/// The account with this address, kept from changing.
pub(super) async fn lock_by_email(conn: &mut Conn, key: String) -> Result<Option<AccountRow>> {
    LockAccountByEmail { email_key: key.clone() }.execute(conn).await?;
    find_by_email(conn, key).await
}

/// The account with this phone number (E.164), kept from changing.
pub(super) async fn lock_by_phone(conn: &mut Conn, phone: String) -> Result<Option<AccountRow>> {
    LockAccountByPhone { phone: phone.clone() }.execute(conn).await?;
    find_by_phone(conn, phone).await
}
