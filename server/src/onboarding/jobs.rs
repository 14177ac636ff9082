//! Telling the applicant of every change of status.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use super::rows::{ApplicationId, ApplicationRow};
use super::rules::Step;
use crate::app::App;
use crate::identity::{self, Contact};
use crate::kernel::error::{Error, Result};
use crate::kernel::events::{Event, ResourceKind};
use crate::kernel::jobs::{Job, JobError, NewJob};
use crate::kernel::locale::{self, NoticeKind};
use crate::notifications::{Notice, To, notify};

pub use super::forgetting::{EndApproved, ForgetApplicant};

/// Tells the applicant of a status.
#[derive(Debug, Serialize, Deserialize)]
pub struct TellStatus {
    application: ApplicationId,
    status: String,
}

impl TellStatus {
    /// The job of an event `application.<status>`.
    #[must_use]
    pub fn on(event: &Event) -> NewJob {
        let (application, status) = subject(event);
        NewJob::now(&Self { application, status })
    }
}

fn subject(event: &Event) -> (ApplicationId, String) {
    let status = event.event_type.trim_start_matches("application.");
    (ApplicationId(event.resource), status.to_owned())
}

impl Job for TellStatus {
    const KIND: &'static str = "onboarding.tell_status";

    async fn run(self, app: App, id: Uuid) -> Result<(), JobError> {
        let kind = NoticeKind::from_key(&format!("onboarding_{}", self.status))
            .ok_or_else(|| JobError::Give(Error::internal("no message for this status")))?;
        let Some(row) = load(&app, self.application).await? else { return Ok(()) };
        let values = match kind {
            NoticeKind::OnboardingChangesRequested => {
                let steps = steps(&app, &row).await?;
                if steps.is_empty() {
                    // The applicant has mended all of it before this could be sent.
                    return Ok(());
                }
                json!({ "steps": steps })
            }
            NoticeKind::OnboardingRejected => json!({ "reason": row.rejection_reason }),
            _ => json!({}),
        };
        let Some(to) = to(&app, &row).await? else { return Ok(()) };
        let about = Some((ResourceKind::Application, row.id.0));
        let notice = Notice { about, values, to, ..Notice::new(kind, row.account_id) };
        notify(&app, id, notice).await
    }
}

async fn load(app: &App, application: ApplicationId) -> Result<Option<ApplicationRow>> {
    let mut conn = app.db.read().await?;
    ApplicationRow::find(&mut conn, application).await
}

/// Where the applicant is reached: at the address of the account, and the number of the application.
async fn to(app: &App, row: &ApplicationRow) -> Result<Option<To>> {
    let mut conn = app.db.read().await?;
    let Some(owner) = identity::contact(&mut conn, row.account_id).await? else { return Ok(None) };
    let phone = row.mobile.clone().or_else(|| owner.phone.clone());
    let contact = Contact { phone, ..owner };
    Ok(Some(To::Sealed(identity::seal_contact(app, row.account_id, &contact)?)))
}

/// The steps that were sent back, named in the applicant's language.
async fn steps(app: &App, row: &ApplicationRow) -> Result<Vec<Value>> {
    let mut conn = app.db.read().await?;
    let contact = identity::contact(&mut conn, row.account_id).await?;
    let language = locale::negotiate(contact.as_ref().map_or("", |contact| &contact.language));
    let texts = locale::texts().map_err(|error| Error::internal(error.to_string()))?;
    let named = Step::ALL.into_iter().map(|step| (step, row.requested_change(step)));
    Ok(named
        .filter(|(_, reason)| !reason.is_empty())
        .map(|(step, reason)| json!({ "step": texts.label(language, step.label()), "reason": reason }))
        .collect())
}
