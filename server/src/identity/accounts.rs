//! The own account.

use diesel_async::RunQueryDsl;

use clinicd_proto::identity::v1 as pb;
use clinicd_proto::r#type::v1::PersonName;

use crate::app::App;
use crate::identity::registration::registering::event;
use crate::identity::rows::{self, AccountRow};
use crate::identity::rules;
use crate::kernel::access::Caller;
use crate::kernel::db::Conn;
use crate::kernel::error::{Error, Faults, Reason, Result};
use crate::kernel::kinds::{AccountId, Time};
use crate::kernel::text;
use crate::statement;

statement! {
    /// Stores what a person is called and written to in.
    ChangeAccount {
        id: AccountId, given_name: String, family_name: String, language: String, now: Time,
    },
    "UPDATE accounts SET given_name = $2, family_name = $3, language = $4, \
        version = version + 1, updated_at = $5 WHERE id = $1";
}

/// `GetMyAccount`.
pub(super) async fn get_mine(
    app: &App,
    caller: &Caller,
    _request: pb::GetMyAccountRequest,
) -> Result<pb::GetMyAccountResponse> {
    let mut conn = app.db.read().await?;
    let account = rows::find(&mut conn, caller.require_account()?).await?;
    let account = account.ok_or_else(|| Error::not_found("account"))?;
    Ok(pb::GetMyAccountResponse { account: Some(account.into()) })
}

/// `UpdateMyAccount`.
pub(super) async fn update_mine(
    app: &App,
    caller: &Caller,
    request: pb::UpdateMyAccountRequest,
) -> Result<pb::UpdateMyAccountResponse> {
    let id = caller.require_account()?;
    let change = Change::read(request.name.as_ref(), request.language.as_deref())?;
    let change = &change;
    app.once(caller, &request.request_id, &request, async |conn| {
        let account = rows::lock(conn, id).await?.ok_or_else(|| Error::not_found("account"))?;
        require_etag(&account, &request.etag)?;
        let account = change.store(app, conn, account).await?;
        Ok(pb::UpdateMyAccountResponse { account: Some(account.into()) })
    })
    .await
}

/// `GetMyRoles`.
pub(super) async fn my_roles(
    app: &App,
    caller: &Caller,
    _request: pb::GetMyRolesRequest,
) -> Result<pb::GetMyRolesResponse> {
    let mut conn = app.db.read().await?;
    let account = rows::find(&mut conn, caller.require_account()?).await?;
    let roles = account.into_iter().flat_map(|account| account.roles).map(i32::from).collect();
    Ok(pb::GetMyRolesResponse { roles })
}

/// Refuses a change of an account that has changed since it was read.
pub(super) fn require_etag(account: &AccountRow, etag: &str) -> Result<()> {
    if etag == account.version.to_string() { Ok(()) } else { Err(Error::of(Reason::EtagMismatch)) }
}

/// What is to be changed of an account; what is absent stays.
#[derive(Debug, Clone, Default)]
pub(super) struct Change {
    name: Option<(String, String)>,
    language: Option<String>,
}

impl Change {
    /// Cleans what was typed.
    pub(super) fn read(name: Option<&PersonName>, language: Option<&str>) -> Result<Self> {
        let mut faults = Faults::default();
        let name = name.map(|name| {
            let given = faults.keep(text::required_line("name.given", &name.given));
            (given, faults.keep(text::line("name.family", &name.family)))
        });
        let language = language.map(|tag| faults.keep(rules::language("language", tag)));
        faults.check()?;
        Ok(Self { name, language })
    }

    /// Stores it in an account that is locked; its row as it is then.
    pub(super) async fn store(
        &self,
        app: &App,
        conn: &mut Conn,
        mut account: AccountRow,
    ) -> Result<AccountRow> {
        let before = (account.given_name, account.family_name, account.language);
        let (given, family) = self.name.clone().unwrap_or((before.0.clone(), before.1.clone()));
        let language = self.language.clone().unwrap_or_else(|| before.2.clone());
        let changed = before != (given.clone(), family.clone(), language.clone());
        (account.given_name, account.family_name, account.language) = (given, family, language);
        if changed {
            let now = app.clock.now();
            let change = ChangeAccount {
                id: account.id,
                given_name: account.given_name.clone(),
                family_name: account.family_name.clone(),
                language: account.language.clone(),
                now,
            };
            change.execute(conn).await?;
            (account.version, account.updated_at) = (account.version + 1, now);
            app.events.emit(conn, event("account.updated", account.id)).await?;
        }
        Ok(account)
    }
}
