//! What happens after a prescription is issued.

use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use super::rows::{self, PrescriptionId};
use crate::app::App;
use crate::kernel::error::Error;
use crate::kernel::events::Event;
use crate::kernel::jobs::{Job, JobError, NewJob};
use crate::kernel::locale::MailKind;
use crate::{notifications, profiles};

/// Tells the patient by mail that there is a prescription, and nothing of what is in it.
#[derive(Debug, Serialize, Deserialize)]
pub struct MailIssued {
    /// The prescription.
    pub prescription: Uuid,
}

impl MailIssued {
    /// Subscriber to `prescription.issued`.
    #[must_use]
    pub fn on(event: &Event) -> NewJob {
        NewJob::now(&Self { prescription: event.resource })
    }
}

impl Job for MailIssued {
    const KIND: &'static str = "prescriptions.mail_issued";

    async fn run(self, app: App, id: Uuid) -> Result<(), JobError> {
        let mut conn = app.db.read().await?;
        let row = rows::find_any(&mut conn, PrescriptionId(self.prescription)).await?;
        let row = row.ok_or_else(|| JobError::Give(Error::internal("no such prescription")))?;
        let Some(patient) = profiles::patient(&mut conn, row.patient).await? else {
            return Ok(());
        };
        drop(conn);
        let values = json!({ "doctor": row.printed()?.prescriber_name()? });
        let kind = MailKind::PrescriptionIssued;
        notifications::send_mail(&app, id, patient.account, kind, values).await
    }
}
