//! Messages are kept for a while, and those of an account no longer than the account; how somebody was
//! reached before, and devices, no longer than they are of use.

use std::collections::BTreeSet;

use diesel::sql_types;
use diesel_async::RunQueryDsl;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::rows::{ForgetDevices, ForgetMessages, ForgetOld, ForgetQuiet, ForgetSwitches};
use crate::app::App;
use crate::identity;
use crate::kernel::db::statement::List;
use crate::kernel::error::{Error, Result};
use crate::kernel::events::Event;
use crate::kernel::jobs::{self, Job, JobError, NewJob};
use crate::kernel::kinds::{AccountId, SessionId, Time};
use crate::kernel::locale::NoticeKind;
use crate::notifications::devices;
use crate::statement;

/// How long messages and what became of them are kept, in days.
pub const KEPT_DAYS: i64 = 400;
/// How long it is kept how a person was reached before, when no message got there, in days.
pub const CONTACT_DAYS: i64 = 30;
const DAY_SECONDS: i64 = 24 * 3_600;
/// Messages per round.
const BATCH: i64 = 2_000;
/// Devices per round.
const DEVICES: i64 = 500;
/// When a closed account is looked at again, after the first time.
const AGAIN_SECONDS: i64 = 600;

statement! {
    /// Forgets how people were reached before; what was to go there ends.
    ForgetContacts { before: Time, now: Time },
    "WITH forgotten AS (UPDATE notifications SET sealed_contact = NULL \
        WHERE sealed_contact IS NOT NULL AND created_at < $1 RETURNING id) \
     UPDATE deliveries d SET state = 'skipped', reason = 'TOO_LATE', ended_at = $2 \
     FROM forgotten WHERE d.notification_id = forgotten.id AND d.state IN ('pending', 'failed')";

    /// Devices with their sessions, by id.
    DevicesAfter { after: Uuid, limit: i64 } -> (sql_types::Uuid, sql_types::Uuid),
    "SELECT id, session_id FROM devices WHERE id > $1 ORDER BY id LIMIT $2";

    /// Forgets these devices, if they are still of these sessions: one may have been taken over. Whose
    /// they were.
    ForgetDead { ids: List<Uuid>, sessions: List<SessionId> } -> sql_types::Uuid,
    "DELETE FROM devices d USING unnest($1, $2) AS dead (id, session_id) \
     WHERE d.id = dead.id AND d.session_id = dead.session_id RETURNING d.account_id";
}

/// Forgets messages, preferences and devices of a closed account.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ForgetAccount {
    account: AccountId,
    /// It is the second time: what was being written when the account was closed is there now.
    again: bool,
}

impl ForgetAccount {
    /// Subscriber to `account.deleted`.
    #[must_use]
    pub fn on(event: &Event) -> NewJob {
        NewJob::now(&Self { account: AccountId(event.resource), again: false })
    }
}

impl Job for ForgetAccount {
    const KIND: &'static str = "notifications.forget_account";

    async fn run(self, app: App, _id: Uuid) -> Result<(), JobError> {
        let Self { account, again } = self;
        let (app, now) = (&app, app.clock.now());
        // The owner still hears that the account is closed.
        let but = NoticeKind::AccountDeleted.key();
        app.db
            .transaction(async |conn| {
                ForgetMessages { account, but }.execute(conn).await?;
                ForgetDevices { account }.execute(conn).await?;
                ForgetSwitches { account }.execute(conn).await?;
                ForgetQuiet { account }.execute(conn).await?;
                if again {
                    return Ok(());
                }
                let next = NewJob::now(&Self { account, again: true });
                let next = next.at(now.plus_seconds(AGAIN_SECONDS));
                let next = next.once(format!("{}/{account}", Self::KIND));
                jobs::enqueue(conn, app.ids.next(), now, next).await
            })
            .await?;
        Ok(())
    }
}

/// The daily job that forgets old messages, old contacts, and devices whose session has ended.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ForgetOldMessages {}

impl Job for ForgetOldMessages {
    const KIND: &'static str = "notifications.forget_old";

    async fn run(self, app: App, _id: Uuid) -> Result<(), JobError> {
        let now = app.clock.now();
        let forget = ForgetContacts { before: now.plus_seconds(-CONTACT_DAYS * DAY_SECONDS), now };
        forget.execute(&mut *app.db.read().await?).await.map_err(Error::from)?;
        forget_devices(&app).await?;
        let before = now.plus_seconds(-KEPT_DAYS * DAY_SECONDS);
        loop {
            let mut conn = app.db.read().await?;
            let forget = ForgetOld { before, batch: BATCH };
            if forget.execute(&mut conn).await.map_err(Error::from)? == 0 {
                return Ok(());
            }
        }
    }
}

/// Forgets the devices whose session does not live.
async fn forget_devices(app: &App) -> Result<()> {
    let mut after = Uuid::nil();
    loop {
        let page = DevicesAfter { after, limit: DEVICES };
        let page: Vec<(Uuid, SessionId)> = page.get_results(&mut *app.db.read().await?).await?;
        let Some((last, _)) = page.last() else { return Ok(()) };
        after = *last;
        let page = &page;
        app.db
            .transaction(async |conn| {
                let sessions = page.iter().map(|(_, session)| *session).collect();
                let living = identity::living_sessions(app, conn, sessions).await?;
                let dead = page.iter().filter(|(_, session)| !living.contains(session));
                let (ids, sessions) = dead.copied().unzip();
                let forget = ForgetDead { ids: List(ids), sessions: List(sessions) };
                let owners: Vec<AccountId> = forget.get_results(conn).await?;
                for owner in owners.into_iter().collect::<BTreeSet<_>>() {
                    app.events.emit(conn, devices::removed(owner)).await?;
                }
                Ok(())
            })
            .await?;
    }
}
