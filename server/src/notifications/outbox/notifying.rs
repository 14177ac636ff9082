//! Writing a message into the outbox: the message, its deliveries, a job for each, and the event that
//! shows it in the inbox, in one transaction.

use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::delivering::Deliver;
use super::rows::{self, InsertDeliveries, InsertNotification, Wishes, WithdrawAbout};
use super::rules::{self, Reach, Way};
use super::{pacing, recipients};
use crate::app::App;
use crate::kernel::db::Conn;
use crate::kernel::db::statement::List;
use crate::kernel::error::Result;
use crate::kernel::events::{Event, ResourceKind};
use crate::kernel::jobs::{self, JobError, NewJob};
use crate::kernel::kinds::{AccountId, Time};
use crate::kernel::locale::NoticeKind;
use crate::notifications::plan::{Channel, Plan, plan};
use crate::notifications::{Notice, To};
use crate::{identity, profiles};

/// Writes a message into the outbox, once: to be called by a job, whose id is the `key`. Whoever is
/// gone, or whose link was used meanwhile, is told nothing.
pub async fn notify(app: &App, key: Uuid, notice: Notice) -> Result<(), JobError> {
    let notice = &notice;
    app.db.transaction(async |conn| write(app, conn, key, notice).await).await?;
    Ok(())
}

/// Takes back what was written of this kind about a resource and has not gone yet: it is not true any
/// more. In the inbox it stays.
pub async fn withdraw(app: &App, kind: NoticeKind, resource: Uuid) -> Result<()> {
    let mut conn = app.db.read().await?;
    let withdraw = WithdrawAbout { kind: kind.key(), resource, now: app.clock.now() };
    withdraw.execute(&mut conn).await?;
    Ok(())
}

async fn write(app: &App, conn: &mut Conn, key: Uuid, notice: &Notice) -> Result<()> {
    let (plan, account) = (plan(notice.kind), notice.account);
    let found = recipients::find(app, conn, notice.kind, &notice.to, account).await?;
    let Ok(recipient) = found else { return Ok(()) };
    let wishes = match account {
        Some(account) => rows::wishes(conn, account, plan.class).await?,
        None => Wishes::default(),
    };
    let reach = Reach {
        mail: recipient.contact.email.is_some(),
        sms: recipient.contact.phone.is_some(),
        devices: if plan.channels.contains(&Channel::Push) && app.ports.push.is_open() {
            living_devices(app, conn, &wishes).await?
        } else {
            Vec::new()
        },
        closed: wishes.closed.clone(),
    };
    let ways = rules::ways(&plan, notice.kind.has_short(), &reach);
    if ways.is_empty() && !(plan.inbox && account.is_some()) {
        return Ok(());
    }
    let insert = insert(app, key, notice, &plan);
    let id = insert.id;
    if insert.execute(conn).await? == 0 {
        return Ok(());
    }
    if let (true, Some(account)) = (plan.inbox, account) {
        app.events.emit(conn, created(id, account)).await?;
    }
    let urgent = plan.urgent || notice.urgent;
    let quiet = if urgent { None } else { quiet_until(app, conn, account, &wishes).await? };
    // Last, for the sake of others that wait for a slot.
    deliver(app, conn, id, notice, &Times { ways, urgent, quiet }).await
}

/// The devices whose session lives.
async fn living_devices(app: &App, conn: &mut Conn, wishes: &Wishes) -> Result<Vec<Uuid>> {
    if wishes.devices.is_empty() {
        return Ok(Vec::new());
    }
    let sessions = wishes.devices.iter().map(|(_, session)| *session).collect();
    let living = identity::living_sessions(app, conn, sessions).await?;
    let lives = wishes.devices.iter().filter(|(_, session)| living.contains(session));
    Ok(lives.map(|(device, _)| *device).collect())
}

/// When the quiet hours of an account end; none when it has none at this moment.
pub(in crate::notifications) async fn quiet_until(
    app: &App,
    conn: &mut Conn,
    account: Option<AccountId>,
    wishes: &Wishes,
) -> Result<Option<Time>> {
    let (Some(account), Some(quiet)) = (account, wishes.quiet) else { return Ok(None) };
    let zone = profiles::time_zone(conn, account).await?;
    Ok(rules::quiet_until(app.clock.now(), &rules::zone(&zone), quiet))
}

fn insert(app: &App, key: Uuid, notice: &Notice, plan: &Plan) -> InsertNotification {
    let (sealed, challenge, language) = match &notice.to {
        To::Owner => (None, None, None),
        To::Sealed(sealed) => (Some(sealed.clone()), None, None),
        To::Challenge { id, language } => (None, Some(*id), Some(language.clone())),
    };
    InsertNotification {
        id: app.ids.next(),
        account: notice.account,
        kind: notice.kind.key(),
        once_key: notice.once.clone().unwrap_or_else(|| key.to_string()),
        resource_kind: notice.about.map(|(kind, _)| kind),
        resource: notice.about.map(|(_, resource)| resource),
        values: notice.values.clone(),
        sealed,
        challenge,
        language,
        in_inbox: plan.inbox && notice.account.is_some(),
        urgent: plan.urgent || notice.urgent,
        until: notice.until,
        now: app.clock.now(),
    }
}

fn created(id: Uuid, account: AccountId) -> Event {
    Event {
        event_type: "notification.created",
        kind: ResourceKind::Notification,
        resource: id,
        account: Some(account),
        patient: None,
        doctor: None,
    }
}

/// Which ways a message goes, and what decides when.
struct Times {
    ways: Vec<Way>,
    urgent: bool,
    quiet: Option<Time>,
}

/// Writes the deliveries of a message and their jobs. What quiet hours hold back takes its slot when
/// they end. What is urgent takes none: it would wait for the others that take one.
async fn deliver(
    app: &App,
    conn: &mut Conn,
    notification: Uuid,
    notice: &Notice,
    times: &Times,
) -> Result<()> {
    let now = app.clock.now();
    let mut rows = InsertDeliveries {
        notification,
        account: notice.account,
        kind: notice.kind.key(),
        now,
        ids: List(Vec::new()),
        channels: List(Vec::new()),
        devices: List(Vec::new()),
        send_at: List(Vec::new()),
        jobs: List(Vec::new()),
    };
    let mut jobs = Vec::new();
    for channel in Channel::ALL {
        let ways: Vec<&Way> = times.ways.iter().filter(|way| way.channel == channel).collect();
        let held = times.quiet.filter(|_| rules::waits_for_quiet(channel, times.urgent));
        let slots = match held {
            Some(end) => vec![end; ways.len()],
            None if times.urgent => vec![now; ways.len()],
            None => pacing::slots(app, conn, channel, ways.len()).await?,
        };
        for (way, send_at) in ways.into_iter().zip(slots) {
            let (delivery, job) = (app.ids.next(), app.ids.next());
            let deliver = Deliver { delivery, paced: held.is_none() };
            jobs.push((job, NewJob::now(&deliver).at(send_at)));
            rows.jobs.0.push(job);
            rows.ids.0.push(delivery);
            rows.channels.0.push(channel);
            rows.devices.0.push(way.device);
            rows.send_at.0.push(send_at);
        }
    }
    if jobs.is_empty() {
        return Ok(());
    }
    rows.execute(conn).await?;
    jobs::enqueue_all(conn, now, jobs).await
}
