//! The sign-in history: every attempt, right or wrong. Records can be hidden, never deleted: the
//! server's role may not.

use diesel_async::RunQueryDsl;
use uuid::Uuid;

use clinicd_proto::identity::v1 as pb;

use crate::app::App;
use crate::kernel::access::Caller;
use crate::kernel::db::Conn;
use crate::kernel::error::Result;
use crate::kernel::kinds::{AccountId, Time, wire_enum};
use crate::statement;

wire_enum! {
    /// How somebody proved, or tried to prove, who they are.
    SignInMethod = pb::SignInMethod {
        /// Password.
        Password = "password",
        /// A code sent to the phone.
        Otp = "otp",
        /// A code of the authenticator app.
        Totp = "totp",
        /// A recovery code in the place of the app.
        RecoveryCode = "recovery_code",
        /// Recovery of a lost password.
        Recovery = "recovery",
        /// An API key.
        ApiKey = "api_key",
        /// A refresh token that was used before.
        ReusedRefreshToken = "reused_refresh_token",
    }
}

statement! {
    /// Adds a record.
    InsertSignIn {
        id: Uuid, now: Time, account: Option<AccountId>, success: bool, method: SignInMethod,
        address: String, user_agent: String,
    },
    "INSERT INTO sign_ins (id, created_at, account_id, success, method, client_address, user_agent) \
     VALUES ($1, $2, $3, $4, $5, $6, $7)";
}

/// Writes an attempt to the history; a right one in the transaction that lets the person in.
pub(in crate::identity) async fn record(
    app: &App,
    conn: &mut Conn,
    caller: &Caller,
    method: SignInMethod,
    account: Option<AccountId>,
    success: bool,
) -> Result<()> {
    let record = InsertSignIn {
        id: app.ids.next(),
        now: app.clock.now(),
        account,
        success,
        method,
        address: caller.address.clone(),
        user_agent: caller.user_agent.clone(),
    };
    record.execute(conn).await?;
    Ok(())
}
