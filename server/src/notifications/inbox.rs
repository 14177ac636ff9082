//! The own inbox: reading it, counting what is unread, marking it as read.

mod query;

use diesel::{OptionalExtension, sql_types};
use diesel_async::RunQueryDsl;
use serde_json::Value;
use uuid::Uuid;

use clinicd_proto::feed::v1::ResourceKind as WireKind;
use clinicd_proto::notifications::v1 as pb;

use self::query::{Count, Filter, InboxRow, Page};
use super::plan::{Class, plan};
use super::wording;
use crate::app::App;
use crate::identity;
use crate::kernel::access::Caller;
use crate::kernel::db::Conn;
use crate::kernel::db::statement::List;
use crate::kernel::error::{Error, Result};
use crate::kernel::events::{Event, ResourceKind};
use crate::kernel::kinds::{AccountId, Time, uuid_from_wire};
use crate::kernel::locale::{Locale, LocaleError, Locales, NoticeKind, negotiate, texts};
use crate::kernel::page::{PageRequest, Place, newest_first};
use crate::statement;

/// Unread messages are counted up to here.
const COUNTED: i64 = 100;

statement! {
    /// Unread messages, up to a number.
    CountUnread { account: AccountId, most: i64 } -> sql_types::Integer,
    "SELECT count(*)::integer FROM (SELECT FROM notifications \
        WHERE account_id = $1 AND in_inbox AND read_at IS NULL LIMIT $2) unread";

    /// Marks messages of an account, those named and all up to another one; the newest that this
    /// has changed.
    MarkRead { account: AccountId, ids: List<Uuid>, up_to: Option<Uuid>, now: Time }
        -> sql_types::Uuid,
    "WITH marked AS (UPDATE notifications SET read_at = $4 \
        WHERE account_id = $1 AND in_inbox AND read_at IS NULL \
          AND (id = ANY ($2) OR id <= (SELECT last.id FROM notifications last \
            WHERE last.id = $3 AND last.account_id = $1 AND last.in_inbox)) \
        RETURNING id) \
     SELECT id FROM marked ORDER BY id DESC LIMIT 1";
}

/// `ListNotifications`, in a language, or that of the account.
pub(super) async fn list(
    app: &App,
    caller: &Caller,
    request: pb::ListNotificationsRequest,
    language: Option<Locale>,
) -> Result<pb::ListNotificationsResponse> {
    let filter = Filter { account: caller.require_account()?, unread: request.unread };
    let direction = newest_first(&request.order_by)?;
    let page = app.pages.open::<Uuid>(&PageRequest {
        list: "notifications.inbox",
        page_size: request.page_size,
        page_token: &request.page_token,
        bound_to: &[
            filter.account.0.as_bytes(),
            format!("{} {direction:?}", request.unread).as_bytes(),
        ],
    })?;
    let after = page.after.unwrap_or_else(|| direction.before_all());
    let mut conn = app.db.read().await?;
    let query = Page { filter, place: Place { direction, after, limit: page.limit + 1 } };
    let rows: Vec<InboxRow> = query.get_results(&mut conn).await?;
    let mut total_size = None;
    if request.include_total {
        total_size = Some(Count(filter).get_result(&mut conn).await?);
    }
    let reader = Reader::of(&mut conn, filter.account, language).await?;
    let (rows, next_page_token) = page.close(rows, |row| row.id)?;
    let notifications = rows.into_iter().map(|row| reader.read(row)).collect();
    Ok(pb::ListNotificationsResponse { notifications, next_page_token, total_size })
}

/// `CountUnread`.
pub(super) async fn count_unread(app: &App, caller: &Caller) -> Result<pb::CountUnreadResponse> {
    let mut conn = app.db.read().await?;
    let unread = unread(&mut conn, caller.require_account()?).await?;
    Ok(pb::CountUnreadResponse { unread })
}

/// `MarkRead`. However many were marked, it is one event, about the newest of them.
pub(super) async fn mark_read(
    app: &App,
    caller: &Caller,
    request: pb::MarkReadRequest,
) -> Result<pb::MarkReadResponse> {
    let account = caller.require_account()?;
    let ids = request.notification_ids.iter().enumerate();
    let ids = ids.map(|(at, id)| uuid_from_wire(&format!("notification_ids[{at}]"), id));
    let ids = &ids.collect::<Result<Vec<_>>>()?;
    let up_to = Some(request.up_to_id.as_str()).filter(|id| !id.is_empty());
    let up_to = up_to.map(|id| uuid_from_wire("up_to_id", id)).transpose()?;
    app.once(caller, &request.request_id, &request, async |conn| {
        let mark = MarkRead { account, ids: List(ids.clone()), up_to, now: app.clock.now() };
        let newest: Option<Uuid> = mark.get_result(conn).await.optional()?;
        if let Some(newest) = newest {
            app.events.emit(conn, read_event(account, newest)).await?;
        }
        Ok(pb::MarkReadResponse { unread: unread(conn, account).await? })
    })
    .await
}

fn read_event(account: AccountId, notification: Uuid) -> Event {
    Event {
        event_type: "notification.read",
        kind: ResourceKind::Notification,
        resource: notification,
        account: Some(account),
        patient: None,
        doctor: None,
    }
}

async fn unread(conn: &mut Conn, account: AccountId) -> Result<i32> {
    Ok(CountUnread { account, most: COUNTED }.get_result(conn).await?)
}

/// Who reads, for the texts.
struct Reader {
    texts: &'static Locales,
    language: Locale,
    name: String,
}

impl Reader {
    async fn of(conn: &mut Conn, account: AccountId, language: Option<Locale>) -> Result<Self> {
        let contact = identity::contact(conn, account).await?;
        let (name, own) = contact.map(|contact| (contact.name, contact.language)).unzip();
        let own = || own.as_deref().map_or_else(Locale::default, negotiate);
        let texts = texts().map_err(|error| Error::internal(error.to_string()))?;
        let (language, name) = (language.unwrap_or_else(own), name.unwrap_or_default());
        Ok(Self { texts, language, name })
    }

    /// A message as its reader sees it. One that this version does not know has no text.
    fn read(&self, row: InboxRow) -> pb::Notification {
        let kind = NoticeKind::from_key(&row.kind);
        let class = kind.map(|kind| plan(kind).class);
        let (title, body) = match kind {
            // One that cannot be read does not hide the others.
            Some(kind) => self.texts(kind, row.values).unwrap_or_else(|error| {
                tracing::error!(notification = %row.id, error = %error, "a message has no text");
                Default::default()
            }),
            None => Default::default(),
        };
        pb::Notification {
            id: row.id.to_string(),
            create_time: Some(row.created_at.into()),
            kind: row.kind,
            class: class.map_or(0, <Class as Into<i32>>::into),
            title,
            body,
            resource_kind: row.resource_kind.map_or(WireKind::Unspecified.into(), Into::into),
            resource_id: row.resource.map(|id| id.to_string()).unwrap_or_default(),
            read_time: row.read_at.map(Into::into),
        }
    }

    fn texts(&self, kind: NoticeKind, mut values: Value) -> Result<(String, String), LocaleError> {
        if let Some(values) = values.as_object_mut() {
            values.entry("name").or_insert_with(|| self.name.clone().into());
            wording::put_into_words(self.texts, self.language, values);
        }
        self.texts.short(self.language, kind, &values)
    }
}
