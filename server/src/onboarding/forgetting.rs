//! What goes when an applicant closes the account, or a doctor leaves the staff.

use diesel_async::RunQueryDsl;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::applying::emit;
use super::rows::{ApplicationId, DropDocuments, EndApproval, ForgetApplications, KeptFiles};
use crate::app::App;
use crate::files;
use crate::kernel::events::Event;
use crate::kernel::jobs::{Job, JobError, NewJob};
use crate::kernel::kinds::{AccountId, FileId};

/// Ends the applications of a closed account that were not approved, and forgets what they said and
/// all files of the account. An approved one is kept: it is why somebody could practise.
#[derive(Debug, Serialize, Deserialize)]
pub struct ForgetApplicant {
    account: AccountId,
}

impl ForgetApplicant {
    /// Subscriber to `account.deleted`.
    #[must_use]
    pub fn on(event: &Event) -> NewJob {
        NewJob::now(&Self { account: AccountId(event.resource) })
    }
}

impl Job for ForgetApplicant {
    const KIND: &'static str = "onboarding.forget_applicant";

    async fn run(self, app: App, _id: Uuid) -> Result<(), JobError> {
        let (account, now) = (self.account, app.clock.now());
        app.db
            .transaction(async |conn| {
                DropDocuments { account }.execute(conn).await?;
                let forgotten: Vec<ApplicationId> =
                    ForgetApplications { account, now }.get_results(conn).await?;
                for id in forgotten {
                    emit(&app, conn, "application.withdrawn", id, account).await?;
                }
                let kept: Vec<FileId> = KeptFiles { account }.get_results(conn).await?;
                files::forget_all_but(conn, account, kept, now).await
            })
            .await?;
        Ok(())
    }
}

/// Ends the approved application of a doctor who was removed from the staff, so that she may apply
/// anew.
#[derive(Debug, Serialize, Deserialize)]
pub struct EndApproved {
    account: AccountId,
}

impl EndApproved {
    /// Subscriber to `account.staff_removed`.
    #[must_use]
    pub fn on(event: &Event) -> NewJob {
        NewJob::now(&Self { account: AccountId(event.resource) })
    }
}

impl Job for EndApproved {
    const KIND: &'static str = "onboarding.end_approved";

    async fn run(self, app: App, _id: Uuid) -> Result<(), JobError> {
        let (account, now) = (self.account, app.clock.now());
        app.db
            .transaction(async |conn| {
                let ended: Vec<ApplicationId> =
                    EndApproval { account, now }.get_results(conn).await?;
                for id in ended {
                    emit(&app, conn, "application.ended", id, account).await?;
                }
                Ok(())
            })
            .await?;
        Ok(())
    }
}
