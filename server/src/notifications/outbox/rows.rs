//! Messages and deliveries in the database.

use clinicd_proto::notifications::v1 as pb;
use diesel::OptionalExtension;
use diesel::sql_types::{
    Array, Bool, Integer, Jsonb, Nullable, Text, Timestamptz, Uuid as SqlUuid,
};
use diesel_async::RunQueryDsl;
use serde_json::Value;
use uuid::Uuid;

use super::rules::QuietHours;
use crate::kernel::db::Conn;
use crate::kernel::db::statement::List;
use crate::kernel::error::Result;
use crate::kernel::events::ResourceKind;
use crate::kernel::kinds::{AccountId, SessionId, Time, wire_enum};
use crate::notifications::plan::{Channel, Class};
use crate::statement;

wire_enum! {
    /// What became of a delivery.
    DeliveryState = pb::DeliveryState {
        /// It waits for its time, or for the next attempt.
        Pending = "pending",
        /// The provider took it.
        Sent = "sent",
        /// It was given up.
        Failed = "failed",
        /// There was nothing to send any more.
        Skipped = "skipped",
    }
}

statement! {
    /// What an account wants to hear of a class of messages, and its devices.
    FindWishes { account: AccountId, class: Class }
        -> (Array<Text>, Nullable<Integer>, Nullable<Integer>, Array<SqlUuid>, Array<SqlUuid>),
    "SELECT ARRAY(SELECT channel FROM closed_channels WHERE account_id = $1 AND class = $2), \
        extract(epoch FROM p.quiet_from)::integer / 60, \
        extract(epoch FROM p.quiet_until)::integer / 60, \
        ARRAY(SELECT id FROM devices WHERE account_id = $1 ORDER BY id), \
        ARRAY(SELECT session_id FROM devices WHERE account_id = $1 ORDER BY id) \
     FROM (SELECT) AS one LEFT JOIN notification_preferences p ON p.account_id = $1";

    /// A new message, unless one of its purpose was written before.
    InsertNotification {
        id: Uuid, account: Option<AccountId>, kind: &'static str, once_key: String,
        resource_kind: Option<ResourceKind>, resource: Option<Uuid>, values: Value,
        sealed: Option<String>, challenge: Option<Uuid>, language: Option<String>,
        in_inbox: bool, urgent: bool, until: Option<Time>, now: Time,
    },
    "INSERT INTO notifications (id, account_id, kind, once_key, resource_kind, resource_id, \
        template_values, sealed_contact, challenge_id, language, in_inbox, urgent, \
        send_until, created_at) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14) \
     ON CONFLICT (once_key) DO NOTHING";

    /// The deliveries of a new message.
    InsertDeliveries {
        notification: Uuid, account: Option<AccountId>, kind: &'static str, now: Time,
        ids: List<Uuid>, channels: List<Channel>, devices: List<Option<Uuid>>, send_at: List<Time>,
        jobs: List<Uuid>,
    },
    "INSERT INTO deliveries (id, notification_id, account_id, kind, channel, device_id, job_id, \
        state, send_at, created_at) \
     SELECT d.id, $1, $2, $3, d.channel, d.device_id, d.job_id, 'pending', d.send_at, $4 \
     FROM unnest($5, $6, $7, $8, $9) AS d (id, channel, device_id, send_at, job_id)";

    /// Counts an attempt, before it is made. No row when the delivery has ended, or is another job's.
    BeginAttempt { id: Uuid, job: Uuid } -> (
        Integer, Text, Nullable<SqlUuid>, SqlUuid, Text, Nullable<SqlUuid>, Jsonb, Nullable<Text>,
        Nullable<SqlUuid>, Nullable<Text>, Nullable<Text>, Nullable<SqlUuid>, Bool,
        Nullable<Timestamptz>, Timestamptz, SqlUuid,
    ),
    "UPDATE deliveries d SET attempts = d.attempts + 1 FROM notifications n \
     WHERE d.id = $1 AND d.job_id = $2 AND d.state = 'pending' AND n.id = d.notification_id \
     RETURNING d.attempts, d.channel, d.device_id, n.id, n.kind, n.account_id, n.template_values, \
        n.sealed_contact, n.challenge_id, n.language, n.resource_kind, n.resource_id, n.urgent, \
        n.send_until, d.send_at, d.job_id";

    /// Ends a delivery, unless a later attempt has begun: what was sent is sent, whatever has begun.
    /// How the person was reached before is forgotten, once no other delivery needs it.
    EndDelivery {
        id: Uuid, attempts: i32, state: DeliveryState, reason: &'static str, code: i32,
        version: String, now: Time, job: Uuid,
    },
    "WITH ended AS ( \
        UPDATE deliveries SET state = $3, reason = $4, provider_code = $5, template_version = $6, \
            ended_at = $7 \
        WHERE id = $1 AND (attempts = $2 AND job_id = $8 AND state = 'pending' \
            OR $3 = 'sent' AND state <> 'sent') \
        RETURNING notification_id, state) \
     UPDATE notifications n SET sealed_contact = NULL FROM ended \
     WHERE n.id = ended.notification_id AND ended.state <> 'failed' \
        AND n.sealed_contact IS NOT NULL AND NOT EXISTS ( \
            SELECT FROM deliveries WHERE notification_id = n.id AND id <> $1 \
                AND state IN ('pending', 'failed'))";

    /// Puts a delivery off and hands it to the job `next`, unless a later attempt has begun. `left`
    /// is the number of attempts to be counted.
    PutOff {
        id: Uuid, attempts: i32, left: i32, reason: &'static str, code: i32, send_at: Time,
        job: Uuid, next: Uuid,
    },
    "UPDATE deliveries SET attempts = $3, reason = $4, provider_code = $5, send_at = $6, \
        job_id = $8 \
     WHERE id = $1 AND attempts = $2 AND job_id = $7 AND state = 'pending'";

    /// Ends the deliveries of messages of one kind about one resource that have not gone yet, those
    /// that were given up too: nobody is to send them again.
    WithdrawAbout { kind: &'static str, resource: Uuid, now: Time },
    "UPDATE deliveries d SET state = 'skipped', reason = 'WITHDRAWN', ended_at = $3 \
     FROM notifications n \
     WHERE n.resource_id = $2 AND n.kind = $1 AND d.notification_id = n.id \
        AND d.state IN ('pending', 'failed')";

    /// A device of an account, with its session.
    FindDevice { id: Uuid, account: AccountId } -> (Text, SqlUuid),
    "SELECT token, session_id FROM devices WHERE id = $1 AND account_id = $2";

    /// Forgets a device that its provider no longer knows by this token.
    ForgetDevice { id: Uuid, token: String },
    "DELETE FROM devices WHERE id = $1 AND token = $2";

    /// Forgets what an account was told, but for the news of its end.
    ForgetMessages { account: AccountId, but: &'static str },
    "DELETE FROM notifications WHERE account_id = $1 AND kind <> $2";

    /// Forgets the devices of an account.
    ForgetDevices { account: AccountId }, "DELETE FROM devices WHERE account_id = $1";

    /// Forgets what an account has switched off.
    ForgetSwitches { account: AccountId }, "DELETE FROM closed_channels WHERE account_id = $1";

    /// Forgets when an account wanted quiet.
    ForgetQuiet { account: AccountId },
    "DELETE FROM notification_preferences WHERE account_id = $1";

    /// Forgets old messages, with their deliveries.
    ForgetOld { before: Time, batch: i64 },
    "DELETE FROM notifications WHERE id IN ( \
        SELECT id FROM notifications WHERE created_at < $1 ORDER BY created_at LIMIT $2)";
}

/// What an account wants to hear of a class of messages, and its devices.
#[derive(Debug, Clone, Default)]
pub(in crate::notifications) struct Wishes {
    /// Channels that are closed for the class.
    pub(in crate::notifications) closed: Vec<Channel>,
    /// When it wants to hear only what is urgent.
    pub(in crate::notifications) quiet: Option<QuietHours>,
    /// Devices with their sessions.
    pub(in crate::notifications) devices: Vec<(Uuid, SessionId)>,
}

type WishesRow = (Vec<Channel>, Option<i32>, Option<i32>, Vec<Uuid>, Vec<SessionId>);

/// What an account wants to hear of a class of messages, and its devices.
pub(in crate::notifications) async fn wishes(
    conn: &mut Conn,
    account: AccountId,
    class: Class,
) -> Result<Wishes> {
    let row: WishesRow = FindWishes { account, class }.get_result(conn).await?;
    let (closed, from, until, devices, sessions) = row;
    Ok(Wishes {
        closed,
        quiet: from.zip(until).map(|(from, until)| QuietHours { from, until }),
        devices: devices.into_iter().zip(sessions).collect(),
    })
}

/// A delivery of which an attempt is under way.
#[derive(Debug, Clone, diesel::Queryable)]
pub(in crate::notifications) struct Attempt {
    /// This attempt included.
    pub(in crate::notifications) attempts: i32,
    pub(in crate::notifications) channel: Channel,
    pub(in crate::notifications) device: Option<Uuid>,
    pub(in crate::notifications) notification: Uuid,
    pub(in crate::notifications) kind: String,
    pub(in crate::notifications) account: Option<AccountId>,
    pub(in crate::notifications) values: Value,
    pub(in crate::notifications) sealed: Option<String>,
    pub(in crate::notifications) challenge: Option<Uuid>,
    pub(in crate::notifications) language: Option<String>,
    pub(in crate::notifications) resource_kind: Option<ResourceKind>,
    pub(in crate::notifications) resource: Option<Uuid>,
    pub(in crate::notifications) urgent: bool,
    pub(in crate::notifications) until: Option<Time>,
    /// Not sent before this.
    pub(in crate::notifications) send_at: Time,
    /// The job that makes it.
    pub(in crate::notifications) job: Uuid,
}

/// Begins an attempt of this job; none when the delivery has ended, or is another job's.
pub(in crate::notifications) async fn begin_attempt(
    conn: &mut Conn,
    id: Uuid,
    job: Uuid,
) -> Result<Option<Attempt>> {
    Ok(BeginAttempt { id, job }.get_result(conn).await.optional()?)
}

/// The token and the session of a device, while it is this account's.
pub(in crate::notifications) async fn device(
    conn: &mut Conn,
    id: Uuid,
    account: AccountId,
) -> Result<Option<(String, SessionId)>> {
    Ok(FindDevice { id, account }.get_result(conn).await.optional()?)
}
