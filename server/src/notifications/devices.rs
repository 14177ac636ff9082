//! The devices that get push messages. A device belongs to the session that registered it, which has one
//! (a new token takes the place of the one before), and has
//! another id with every account, so that what was written for one account never reaches the next.

use diesel::{OptionalExtension, sql_types};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use clinicd_proto::notifications::v1 as pb;

use super::outbox::rows::ForgetDevice;
use super::preferences::changed;
use crate::app::App;
use crate::kernel::access::Caller;
use crate::kernel::crypto::sha256;
use crate::kernel::error::{Error, Result};
use crate::kernel::events::Event;
use crate::kernel::kinds::{AccountId, SessionId, Time, uuid_from_wire, wire_enum};
use crate::statement;

/// Devices of one account; the one registered longest ago gives way.
const MOST: i64 = 20;

wire_enum! {
    /// What a device runs.
    Platform = pb::DevicePlatform {
        /// Android.
        Android = "android",
        /// iOS or iPadOS.
        Ios = "ios",
        /// A browser.
        Web = "web",
    }
}

/// A device, without its token.
#[derive(Debug, Clone, diesel::Queryable)]
struct DeviceRow {
    id: Uuid,
    created_at: Time,
    updated_at: Time,
    platform: Platform,
}

type DeviceSql = (sql_types::Uuid, sql_types::Timestamptz, sql_types::Timestamptz, sql_types::Text);

statement! {
    /// One registration of a token, and of an account, at a time.
    LockDevices { token_hash: Vec<u8>, account: AccountId },
    "SELECT pg_advisory_xact_lock(hashtext('notifications.token'), hashtext($1::text)), \
        pg_advisory_xact_lock(hashtext('notifications.devices'), hashtext($2::text))";

    /// Whose device has this token.
    OwnerOfToken { token_hash: Vec<u8> } -> sql_types::Uuid,
    "SELECT account_id FROM devices WHERE token_hash = $1";

    /// Registers a device, or renews it. With another account it is another device.
    PutDevice {
        id: Uuid, account: AccountId, session: SessionId, platform: Platform, token: String,
        token_hash: Vec<u8>, now: Time,
    } -> DeviceSql,
    "INSERT INTO devices AS d \
        (id, account_id, session_id, platform, token, token_hash, created_at, updated_at) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $7) \
     ON CONFLICT (token_hash) DO UPDATE SET account_id = $2, session_id = $3, platform = $4, \
        updated_at = $7, \
        id = CASE WHEN d.account_id = $2 THEN d.id ELSE $1 END, \
        created_at = CASE WHEN d.account_id = $2 THEN d.created_at ELSE $7 END \
     RETURNING id, created_at, updated_at, platform";

    /// The devices of an account over its number give way.
    DropSurplus { account: AccountId, most: i64 },
    "DELETE FROM devices WHERE id IN (SELECT id FROM devices WHERE account_id = $1 \
        ORDER BY updated_at DESC, id DESC OFFSET $2)";

    /// The other devices of a session: their tokens have been replaced.
    DropReplaced { account: AccountId, session: SessionId, but: Uuid },
    "DELETE FROM devices WHERE account_id = $1 AND session_id = $2 AND id <> $3";

    /// Removes a device of an account.
    DeleteDevice { id: Uuid, account: AccountId },
    "DELETE FROM devices WHERE id = $1 AND account_id = $2";
}

/// `RegisterDevice`. A renewal is no event: apps make one at every start.
pub(super) async fn register(
    app: &App,
    caller: &Caller,
    request: pb::RegisterDeviceRequest,
) -> Result<pb::RegisterDeviceResponse> {
    let platform = Platform::from_wire(request.platform)
        .ok_or_else(|| Error::field("platform", "must be a platform"))?;
    let (account, session) = (caller.require_account()?, caller.signed_in()?.session);
    let request = &request;
    app.once(caller, &request.request_id, request, async |conn| {
        let token_hash = sha256(request.token.as_bytes()).to_vec();
        LockDevices { token_hash: token_hash.clone(), account }.execute(conn).await?;
        let before = OwnerOfToken { token_hash: token_hash.clone() };
        let before: Option<AccountId> = before.get_result(conn).await.optional()?;
        let put = PutDevice {
            id: app.ids.next(),
            account,
            session,
            platform,
            token: request.token.clone(),
            token_hash,
            now: app.clock.now(),
        };
        let row: DeviceRow = put.get_result(conn).await?;
        let dropped = DropReplaced { account, session, but: row.id }.execute(conn).await?
            + DropSurplus { account, most: MOST }.execute(conn).await?;
        if dropped > 0 {
            app.events.emit(conn, removed(account)).await?;
        }
        if before != Some(account) {
            if let Some(before) = before {
                app.events.emit(conn, removed(before)).await?;
            }
            app.events.emit(conn, changed("account.device_registered", account)).await?;
        }
        Ok(pb::RegisterDeviceResponse { device: Some(row.into()) })
    })
    .await
}

/// `RemoveDevice`.
pub(super) async fn remove(
    app: &App,
    caller: &Caller,
    request: pb::RemoveDeviceRequest,
) -> Result<pb::RemoveDeviceResponse> {
    let id = uuid_from_wire("device_id", &request.device_id)?;
    let account = caller.require_account()?;
    app.once(caller, &request.request_id, &request, async |conn| {
        if (DeleteDevice { id, account }).execute(conn).await? == 0 {
            return Err(Error::not_found("device"));
        }
        app.events.emit(conn, removed(account)).await?;
        Ok(pb::RemoveDeviceResponse {})
    })
    .await
}

/// Forgets a device that its provider no longer knows by this token.
pub(super) async fn forget(
    app: &App,
    id: Uuid,
    token: &str,
    account: Option<AccountId>,
) -> Result<()> {
    app.db
        .transaction(async |conn| {
            let forget = ForgetDevice { id, token: token.to_owned() };
            if let (1.., Some(account)) = (forget.execute(conn).await?, account) {
                app.events.emit(conn, removed(account)).await?;
            }
            Ok(())
        })
        .await
}

/// The event of an account that has lost a device, or several at once.
pub(super) fn removed(account: AccountId) -> Event {
    changed("account.device_removed", account)
}

impl From<DeviceRow> for pb::Device {
    fn from(row: DeviceRow) -> Self {
        Self {
            id: row.id.to_string(),
            create_time: Some(row.created_at.into()),
            update_time: Some(row.updated_at.into()),
            platform: row.platform.into(),
        }
    }
}
