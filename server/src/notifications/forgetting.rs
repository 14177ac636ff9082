//! Messages are kept for a while, and those of an account no longer than the account.

use diesel_async::RunQueryDsl;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::rows::{ForgetDevices, ForgetMessages, ForgetOld, ForgetQuiet, ForgetSwitches};
use crate::app::App;
use crate::kernel::error::Error;
use crate::kernel::events::Event;
use crate::kernel::jobs::{Job, JobError, NewJob};
use crate::kernel::kinds::AccountId;
use crate::kernel::locale::NoticeKind;

/// How long messages and what became of them are kept, in days.
pub const KEPT_DAYS: i64 = 400;
/// Messages per round.
const BATCH: i64 = 2_000;

/// Forgets messages, preferences and devices of a closed account.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ForgetAccount {
    account: AccountId,
}

impl ForgetAccount {
    /// Subscriber to `account.deleted`.
    #[must_use]
    pub fn on(event: &Event) -> NewJob {
        NewJob::now(&Self { account: AccountId(event.resource) })
    }
}

impl Job for ForgetAccount {
    const KIND: &'static str = "notifications.forget_account";

    async fn run(self, app: App, _id: Uuid) -> Result<(), JobError> {
        let account = self.account;
        // The owner still hears that the account is closed.
        let but = NoticeKind::AccountDeleted.key();
        app.db
            .transaction(async |conn| {
                ForgetMessages { account, but }.execute(conn).await?;
                ForgetDevices { account }.execute(conn).await?;
                ForgetSwitches { account }.execute(conn).await?;
                ForgetQuiet { account }.execute(conn).await?;
                Ok(())
            })
            .await?;
        Ok(())
    }
}

/// The daily job that forgets old messages.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ForgetOldMessages {}

impl Job for ForgetOldMessages {
    const KIND: &'static str = "notifications.forget_old";

    async fn run(self, app: App, _id: Uuid) -> Result<(), JobError> {
        let before = app.clock.now().plus_seconds(-KEPT_DAYS * 24 * 3_600);
        loop {
            let mut conn = app.db.read().await?;
            let forget = ForgetOld { before, batch: BATCH };
            if forget.execute(&mut conn).await.map_err(Error::from)? == 0 {
                return Ok(());
            }
        }
    }
}
