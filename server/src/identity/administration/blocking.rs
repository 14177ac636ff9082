//! Blocking an account, and opening it again.

use diesel_async::RunQueryDsl;

use clinicd_proto::identity::v1 as pb;

use crate::app::App;
use crate::identity::administration::managing::{self, require_other, require_rank, wrong_state};
use crate::identity::registration::registering::event;
use crate::identity::rows::{AccountRow, AccountState};
use crate::identity::sessions::living::EndSessions;
use crate::kernel::access::Caller;
use crate::kernel::db::Conn;
use crate::kernel::error::Result;
use crate::kernel::kinds::{AccountId, Time};
use crate::statement;

statement! {
    /// Opens an account or closes it for sign-in.
    SetState { id: AccountId, state: AccountState, now: Time },
    "UPDATE accounts SET state = $2, version = version + 1, updated_at = $3 WHERE id = $1";
}

/// `BlockUser`. The sessions end with it.
pub(in crate::identity) async fn block(
    app: &App,
    caller: &Caller,
    request: pb::BlockUserRequest,
) -> Result<pb::BlockUserResponse> {
    let id = AccountId::from_wire("account_id", &request.account_id)?;
    app.once(caller, &request.request_id, &request, async |conn| {
        let known = managing::find(conn, id).await?;
        require_other(caller, id)?;
        require_rank(caller, &known)?;
        let account = managing::lock_to_disempower(conn, id).await?;
        require_rank(caller, &account)?;
        let account = match account.state {
            AccountState::Blocked => account,
            AccountState::Active => {
                EndSessions { account: id, now: app.clock.now() }.execute(conn).await?;
                set(app, conn, id, AccountState::Blocked, "account.blocked").await?
            }
            AccountState::Inactive | AccountState::Deleted => return Err(wrong_state(&account)),
        };
        Ok(pb::BlockUserResponse { account: Some(account.into()) })
    })
    .await
}

/// `UnblockUser`.
pub(in crate::identity) async fn unblock(
    app: &App,
    caller: &Caller,
    request: pb::UnblockUserRequest,
) -> Result<pb::UnblockUserResponse> {
    let id = AccountId::from_wire("account_id", &request.account_id)?;
    app.once(caller, &request.request_id, &request, async |conn| {
        let account = managing::lock(conn, id).await?;
        require_other(caller, id)?;
        require_rank(caller, &account)?;
        let account = match account.state {
            AccountState::Active => account,
            AccountState::Blocked => {
                set(app, conn, id, AccountState::Active, "account.unblocked").await?
            }
            AccountState::Inactive | AccountState::Deleted => return Err(wrong_state(&account)),
        };
        Ok(pb::UnblockUserResponse { account: Some(account.into()) })
    })
    .await
}

async fn set(
    app: &App,
    conn: &mut Conn,
    id: AccountId,
    state: AccountState,
    event_type: &'static str,
) -> Result<AccountRow> {
    SetState { id, state, now: app.clock.now() }.execute(conn).await?;
    app.events.emit(conn, event(event_type, id)).await?;
    managing::find(conn, id).await
}
