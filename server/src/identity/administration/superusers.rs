//! Owners of the platform: made from the command line, or at the first start in development.

use diesel_async::RunQueryDsl;

use crate::app::App;
use crate::config::Environment;
use crate::identity::administration::managing;
use crate::identity::registration::registering::{NewPerson, event};
use crate::identity::rows::{
    self, AccountState, ActivateAccount, DeleteRole, SuperuserExists, TouchAccount,
};
use crate::identity::sessions::living::EndSessions;
use crate::identity::sign_in::passwords::PasswordUse;
use crate::identity::{grant_role, rules};
use crate::kernel::db::Conn;
use crate::kernel::error::{Error, Reason, Result};
use crate::kernel::kinds::{AccountId, Role};
use crate::profiles;

/// Address of the first superuser of a development installation.
const FIRST_EMAIL: &str = "owner@clinic.example";
/// What an owner is called until they say otherwise.
const OWNER_NAME: &str = "Owner";

/// What a fresh development installation signs in with.
pub struct FirstLogin {
    /// Address.
    pub email: String,
    /// Password.
    pub password: String,
}

/// Why the command line cannot make a superuser.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
enum Refused {
    #[error("this is not an e-mail address")]
    Email,
    #[error(
        "an account with this address exists and has another password: give that password to \
         make its owner a superuser"
    )]
    OtherPassword,
    #[error("the account with this address is blocked")]
    Blocked,
}

/// Makes the first superuser of a development installation; none when there is one, or in
/// production.
pub async fn first_login(app: &App) -> Result<Option<FirstLogin>> {
    if app.config.env != Environment::Development {
        return Ok(None);
    }
    let exists: bool = SuperuserExists {}.get_result(&mut app.db.read().await?).await?;
    if exists {
        return Ok(None);
    }
    let person = owner(FIRST_EMAIL);
    let password = app.random.token();
    let hash = app.passwords.hash(&password).await?;
    let made =
        app.db.transaction(async |conn| insert(app, conn, &person, hash.clone()).await).await?;
    Ok(made.then_some(FirstLogin { email: person.email, password }))
}

/// Makes a superuser. The owner of an existing account becomes one when the password is theirs,
/// or becomes theirs because they have none yet.
pub async fn create_superuser(app: &App, email: &str, password: &str) -> Result<()> {
    let email = email.trim();
    if email.parse::<lettre::Address>().is_err() {
        return Err(Error::field("email", "must be an e-mail address").caused_by(Refused::Email));
    }
    let person = owner(email);
    rules::check_password(password, &[&person.email], PasswordUse::Alone)?;
    let known = {
        let mut conn = app.db.read().await?;
        rows::find_by_email(&mut conn, rules::email_key(email)).await?
    };
    let refused = |why: Refused| Error::of(Reason::InvalidCredentials).caused_by(why);
    let Some(known) = &known else {
        let hash = app.passwords.hash(password).await?;
        let insert = async |conn: &mut Conn| insert(app, conn, &person, hash.clone()).await;
        if app.db.transaction(insert).await? {
            return Ok(());
        }
        return Err(refused(Refused::OtherPassword));
    };
    if known.state == AccountState::Blocked {
        return Err(refused(Refused::Blocked));
    }
    let hash = match &known.password_hash {
        None => Some(app.passwords.hash(password).await?),
        Some(stored) if app.passwords.verify(password, Some(stored)).await?.ok => None,
        Some(_) => return Err(refused(Refused::OtherPassword)),
    };
    app.db
        .transaction(async |conn| {
            let (id, now) = (known.id, app.clock.now());
            // Judged again: it may have been blocked, or taken by another password, meanwhile.
            let held =
                rows::lock(conn, id).await?.ok_or_else(|| refused(Refused::OtherPassword))?;
            if matches!(held.state, AccountState::Blocked | AccountState::Deleted) {
                return Err(refused(Refused::Blocked));
            }
            if held.password_hash != known.password_hash {
                return Err(refused(Refused::OtherPassword));
            }
            ActivateAccount { id, password_hash: hash.clone(), now }.execute(conn).await?;
            make_owner(app, conn, id, &known.given_name, &known.family_name).await
        })
        .await
}

/// Takes the ownership of the platform from the account with this address. Refuses when nobody who
/// can sign in would own it then. What else the account is, it stays.
pub async fn revoke_superuser(app: &App, email: &str) -> Result<()> {
    let key = &rules::email_key(email);
    app.db
        .transaction(async move |conn: &mut Conn| {
            let known = rows::find_by_email(conn, key.clone()).await?;
            let known = known.filter(|row| row.has(Role::Superuser));
            let id = known.ok_or_else(|| Error::not_found("superuser"))?.id;
            managing::lock_to_disempower(conn, id).await?;
            let now = app.clock.now();
            if (DeleteRole { account: id, role: Role::Superuser }).execute(conn).await? == 1 {
                TouchAccount { id, now }.execute(conn).await?;
                EndSessions { account: id, now }.execute(conn).await?;
                app.events.emit(conn, event("account.superuser_revoked", id)).await?;
            }
            Ok(())
        })
        .await
}

fn owner(email: &str) -> NewPerson {
    NewPerson {
        email: email.to_owned(),
        given_name: OWNER_NAME.to_owned(),
        family_name: String::new(),
        language: "en".to_owned(),
    }
}

/// A new, active account of a superuser; false when the address is taken.
async fn insert(app: &App, conn: &mut Conn, person: &NewPerson, hash: String) -> Result<bool> {
    let id = AccountId(app.ids.next());
    let account = person.account(app, id, Some(hash), AccountState::Active);
    if account.execute(conn).await? == 0 {
        return Ok(false);
    }
    make_owner(app, conn, id, &person.given_name, &person.family_name).await?;
    Ok(true)
}

/// Every person is a patient with a record of their own, owners too.
async fn make_owner(
    app: &App,
    conn: &mut Conn,
    account: AccountId,
    given: &str,
    family: &str,
) -> Result<()> {
    let before = rows::find(conn, account).await?;
    let was = |role| before.as_ref().is_some_and(|row| row.has(role));
    if !was(Role::Patient) {
        grant_role(app, conn, account, Role::Patient, None).await?;
        profiles::create_own_patient(app, conn, account, given, family).await?;
    }
    if was(Role::Superuser) {
        return Ok(());
    }
    grant_role(app, conn, account, Role::Superuser, None).await?;
    app.events.emit(conn, event("account.superuser_granted", account)).await
}
