//! Telling the applicant of every change of status, by mail and by SMS.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use super::rows::{ApplicationId, ApplicationRow};
use super::rules::Step;
use crate::app::App;
use crate::kernel::error::{Error, Result};
use crate::kernel::events::Event;
use crate::kernel::jobs::{Job, JobError, NewJob};
use crate::kernel::locale::{self, MailKind, SmsKind};
use crate::{identity, notifications};

pub use super::forgetting::{EndApproved, ForgetApplicant};

/// Sends the mail about a status.
#[derive(Debug, Serialize, Deserialize)]
pub struct MailStatus {
    application: ApplicationId,
    status: String,
}

/// Sends the SMS about a status.
#[derive(Debug, Serialize, Deserialize)]
pub struct TextStatus {
    application: ApplicationId,
    status: String,
}

impl MailStatus {
    /// The job of an event `application.<status>`.
    #[must_use]
    pub fn on(event: &Event) -> NewJob {
        let (application, status) = subject(event);
        NewJob::now(&Self { application, status })
    }
}

impl TextStatus {
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

impl Job for MailStatus {
    const KIND: &'static str = "onboarding.mail_status";

    async fn run(self, app: App, id: Uuid) -> Result<(), JobError> {
        let kind = MailKind::from_key(&format!("onboarding_{}", self.status))
            .ok_or_else(|| JobError::Give(Error::internal("no mail for this status")))?;
        let Some(row) = load(&app, self.application).await? else { return Ok(()) };
        let values = match kind {
            MailKind::OnboardingChangesRequested => {
                let steps = steps(&app, &row).await?;
                if steps.is_empty() {
                    // The applicant has mended all of it before this mail could be sent.
                    return Ok(());
                }
                json!({ "steps": steps })
            }
            MailKind::OnboardingRejected => json!({ "reason": row.rejection_reason }),
            _ => json!({}),
        };
        notifications::send_mail(&app, id, row.account_id, kind, values).await
    }
}

impl Job for TextStatus {
    const KIND: &'static str = "onboarding.text_status";

    async fn run(self, app: App, id: Uuid) -> Result<(), JobError> {
        let Some(row) = load(&app, self.application).await? else { return Ok(()) };
        let Some(mobile) = &row.mobile else { return Ok(()) };
        let values = json!({ "status": self.status });
        let kind = SmsKind::OnboardingStatus;
        notifications::send_sms(&app, id, row.account_id, mobile, kind, values).await
    }
}

async fn load(app: &App, application: ApplicationId) -> Result<Option<ApplicationRow>> {
    let mut conn = app.db.read().await?;
    ApplicationRow::find(&mut conn, application).await
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
