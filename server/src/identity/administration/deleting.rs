//! Closing an account for good.
//!
//! In one transaction the account loses everything by which its owner could be known or reached, the
//! patients and the doctor of the account get a pseudonym, and every way in ends. What other rooms
//! keep of the person besides (documents, unfinished applications) goes by the event
//! `account.deleted`.

use diesel_async::RunQueryDsl;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use clinicd_proto::identity::v1 as pb;

use crate::app::App;
use crate::identity::administration::managing::{self, require_other, require_rank};
use crate::identity::registration::registering::{enqueue, event};
use crate::identity::rows::{AccountRow, AccountState};
use crate::identity::sign_in::second_factor::DropFactor;
use crate::identity::{Contact, rules, seal_contact};
use crate::kernel::access::Caller;
use crate::kernel::db::Conn;
use crate::kernel::error::Result;
use crate::kernel::jobs::{Job, JobError, NewJob};
use crate::kernel::kinds::{AccountId, Time};
use crate::kernel::locale::NoticeKind;
use crate::notifications::{Notice, To, notify};
use crate::{appointments, profiles, statement};

statement! {
    /// Closes an account: the id is left, and when it came and went.
    CloseAccount { id: AccountId, now: Time },
    "UPDATE accounts SET state = 'deleted', email = NULL, email_key = NULL, phone = NULL, \
        password_hash = NULL, given_name = '', family_name = '', short_password = false, \
        wrong_codes = 0, applicant = false, version = version + 1, updated_at = $2 \
     WHERE id = $1";

    /// Takes all roles.
    DropRoles { account: AccountId }, "DELETE FROM account_roles WHERE account_id = $1";

    /// Forgets where links and codes were sent to; none of them works any more.
    DropChallenges { account: AccountId }, "DELETE FROM challenges WHERE account_id = $1";

    /// Ends all sessions, and forgets from where they were used.
    CloseSessions { account: AccountId, now: Time },
    "UPDATE sessions SET ended_at = coalesce(ended_at, $2), device_name = '', \
        client_address = '', user_agent = '' \
     WHERE account_id = $1";
}

/// `DeleteMyAccount`.
pub(in crate::identity) async fn delete_mine(
    app: &App,
    caller: &Caller,
    request: pb::DeleteMyAccountRequest,
) -> Result<pb::DeleteMyAccountResponse> {
    let id = caller.require_account()?;
    rules::require_recent_sign_in(caller.signed_in()?, app.clock.now())?;
    app.once(caller, &request.request_id, &request, async |conn| {
        let account = managing::lock_to_disempower(conn, id).await?;
        close(app, conn, account).await?;
        Ok(pb::DeleteMyAccountResponse {})
    })
    .await
}

/// `DeleteUser`. Deleting a deleted account changes nothing.
pub(in crate::identity) async fn delete_user(
    app: &App,
    caller: &Caller,
    request: pb::DeleteUserRequest,
) -> Result<pb::DeleteUserResponse> {
    let id = AccountId::from_wire("account_id", &request.account_id)?;
    app.once(caller, &request.request_id, &request, async |conn| {
        let known = managing::find(conn, id).await?;
        require_other(caller, id)?;
        require_rank(caller, &known)?;
        let account = managing::lock_to_disempower(conn, id).await?;
        require_rank(caller, &account)?;
        if account.state != AccountState::Deleted {
            close(app, conn, account).await?;
        }
        Ok(pb::DeleteUserResponse {})
    })
    .await
}

/// Closes an account that is locked, unless its people have live visits.
async fn close(app: &App, conn: &mut Conn, account: AccountRow) -> Result<()> {
    let (id, now) = (account.id, app.clock.now());
    let patients = profiles::lock_people(conn, id).await?;
    appointments::require_none_live(app, conn, id).await?;
    CloseAccount { id, now }.execute(conn).await?;
    DropRoles { account: id }.execute(conn).await?;
    DropChallenges { account: id }.execute(conn).await?;
    DropFactor { account: id }.execute(conn).await?;
    CloseSessions { account: id, now }.execute(conn).await?;
    profiles::close_people(app, conn, id, patients).await?;
    app.events.emit(conn, event("account.deleted", id)).await?;
    let sealed = seal_contact(app, id, &Contact::from(account))?;
    enqueue(app, conn, NewJob::now(&SendClosed { account: id, sealed })).await
}

/// Tells the owner of a closed account, once.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SendClosed {
    account: AccountId,
    sealed: String,
}

impl Job for SendClosed {
    const KIND: &'static str = "identity.send_closed";

    async fn run(self, app: App, id: Uuid) -> Result<(), JobError> {
        let notice = Notice::new(NoticeKind::AccountDeleted, self.account);
        notify(&app, id, Notice { to: To::Sealed(self.sealed), ..notice }).await
    }
}
