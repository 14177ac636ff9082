//! What an account wants to be told, how, and when not.

pub(super) mod rules;

use diesel::{OptionalExtension, sql_types};
use diesel_async::RunQueryDsl;

use clinicd_proto::notifications::v1 as pb;

use self::rules::Chosen;
use super::plan::{Channel, Class};
use crate::app::App;
use crate::kernel::access::Caller;
use crate::kernel::db::Conn;
use crate::kernel::db::statement::List;
use crate::kernel::error::{Error, Reason, Result};
use crate::kernel::events::{Event, ResourceKind};
use crate::kernel::kinds::{AccountId, Time};
use crate::profiles;
use crate::statement;

/// The version of an account's choice, and quiet hours in minutes of the day.
type ChoiceSql = (
    sql_types::Integer,
    sql_types::Timestamptz,
    sql_types::Nullable<sql_types::Integer>,
    sql_types::Nullable<sql_types::Integer>,
);

statement! {
    /// The choice of an account; none before the first.
    FindChoice { account: AccountId } -> ChoiceSql,
    "SELECT version, updated_at, (extract(epoch FROM quiet_from) / 60)::integer, \
        (extract(epoch FROM quiet_until) / 60)::integer \
     FROM notification_preferences WHERE account_id = $1";

    /// What an account has switched off.
    FindClosed { account: AccountId } -> (sql_types::Text, sql_types::Text),
    "SELECT class, channel FROM closed_channels WHERE account_id = $1";

    /// Stores quiet hours and the next version, unless someone changed the choice meanwhile.
    PutChoice {
        account: AccountId, version: i32, quiet_from: Option<i32>, quiet_until: Option<i32>,
        now: Time,
    },
    "INSERT INTO notification_preferences AS p \
        (account_id, version, quiet_from, quiet_until, updated_at) \
     VALUES ($1, $2 + 1, make_time($3 / 60, $3 % 60, 0), make_time($4 / 60, $4 % 60, 0), $5) \
     ON CONFLICT (account_id) DO UPDATE SET version = p.version + 1, updated_at = $5, \
        quiet_from = excluded.quiet_from, quiet_until = excluded.quiet_until \
     WHERE p.version = $2";

    /// The next version of a choice whose quiet hours stay.
    TouchChoice { account: AccountId, now: Time },
    "INSERT INTO notification_preferences AS p (account_id, version, updated_at) \
     VALUES ($1, 1, $2) \
     ON CONFLICT (account_id) DO UPDATE SET version = p.version + 1, updated_at = $2";

    /// Switches channels off.
    CloseChannels { account: AccountId, classes: List<Class>, channels: List<Channel> },
    "INSERT INTO closed_channels (account_id, class, channel) \
     SELECT $1, class, channel FROM unnest($2, $3) AS closed (class, channel) \
     ON CONFLICT DO NOTHING";

    /// Switches channels on.
    OpenChannels { account: AccountId, classes: List<Class>, channels: List<Channel> },
    "DELETE FROM closed_channels WHERE account_id = $1 \
        AND (class, channel) IN (SELECT class, channel FROM unnest($2, $3) AS o (class, channel))";
}

/// A choice with its version; 0 before the first.
struct Kept {
    version: i32,
    updated_at: Option<Time>,
    chosen: Chosen,
}

/// `GetPreferences`.
pub(super) async fn get(app: &App, caller: &Caller) -> Result<pb::GetPreferencesResponse> {
    let account = caller.require_account()?;
    app.db
        .transaction(async |conn| {
            let kept = find(conn, account).await?;
            let preferences = Some(to_wire(conn, account, kept).await?);
            Ok(pb::GetPreferencesResponse { preferences })
        })
        .await
}

/// `UpdatePreferences`.
pub(super) async fn update(
    app: &App,
    caller: &Caller,
    request: pb::UpdatePreferencesRequest,
) -> Result<pb::UpdatePreferencesResponse> {
    let account = caller.require_account()?;
    let request = &request;
    app.once(caller, &request.request_id, request, async |conn| {
        let mut kept = find(conn, account).await?;
        if request.etag != kept.version.to_string() {
            return Err(Error::of(Reason::EtagMismatch));
        }
        let chosen = rules::change(&kept.chosen, request)?;
        if chosen != kept.chosen {
            let now = app.clock.now();
            store(conn, account, &kept, &chosen, now).await?;
            app.events.emit(conn, changed("account.preferences_changed", account)).await?;
            kept = Kept { version: kept.version + 1, updated_at: Some(now), chosen };
        }
        let preferences = Some(to_wire(conn, account, kept).await?);
        Ok(pb::UpdatePreferencesResponse { preferences })
    })
    .await
}

/// Closes every channel of a class that can be switched off, whatever the version; whether that
/// changed anything.
pub(super) async fn close_class(
    app: &App,
    conn: &mut Conn,
    account: AccountId,
    class: Class,
) -> Result<bool> {
    let channels = rules::channels_of(class);
    let classes = List(vec![class; channels.len()]);
    let close = CloseChannels { account, classes, channels: List(channels) };
    if class.is_required() || close.execute(conn).await? == 0 {
        return Ok(false);
    }
    TouchChoice { account, now: app.clock.now() }.execute(conn).await?;
    app.events.emit(conn, changed("account.preferences_changed", account)).await?;
    Ok(true)
}

/// The event of a change that concerns an account alone.
pub(super) fn changed(event_type: &'static str, account: AccountId) -> Event {
    Event {
        event_type,
        kind: ResourceKind::Account,
        resource: account.0,
        account: Some(account),
        patient: None,
        doctor: None,
    }
}

async fn find(conn: &mut Conn, account: AccountId) -> Result<Kept> {
    let row: Option<(i32, Time, Option<i32>, Option<i32>)> =
        FindChoice { account }.get_result(conn).await.optional()?;
    let closed: Vec<(Class, Channel)> = FindClosed { account }.get_results(conn).await?;
    let closed = closed.into_iter().collect();
    Ok(match row {
        Some((version, updated_at, from, until)) => {
            let chosen = Chosen { closed, quiet: from.zip(until) };
            Kept { version, updated_at: Some(updated_at), chosen }
        }
        None => Kept { version: 0, updated_at: None, chosen: Chosen { closed, quiet: None } },
    })
}

async fn store(
    conn: &mut Conn,
    account: AccountId,
    before: &Kept,
    chosen: &Chosen,
    now: Time,
) -> Result<()> {
    let (quiet_from, quiet_until) = chosen.quiet.unzip();
    let put = PutChoice { account, version: before.version, quiet_from, quiet_until, now };
    if put.execute(conn).await? == 0 {
        return Err(Error::of(Reason::EtagMismatch));
    }
    let (classes, channels) = chosen.closed.difference(&before.chosen.closed).copied().unzip();
    let (classes, channels) = (List(classes), List(channels));
    CloseChannels { account, classes, channels }.execute(conn).await?;
    let (classes, channels) = before.chosen.closed.difference(&chosen.closed).copied().unzip();
    let (classes, channels) = (List(classes), List(channels));
    OpenChannels { account, classes, channels }.execute(conn).await?;
    Ok(())
}

async fn to_wire(conn: &mut Conn, account: AccountId, kept: Kept) -> Result<pb::Preferences> {
    Ok(pb::Preferences {
        etag: kept.version.to_string(),
        update_time: kept.updated_at.map(Into::into),
        classes: rules::classes(&kept.chosen),
        quiet_hours: kept.chosen.quiet.map(rules::quiet_to_wire),
        time_zone: profiles::time_zone(conn, account).await?,
    })
}
