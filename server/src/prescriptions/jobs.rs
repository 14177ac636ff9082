//! What happens after a prescription is issued.

use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use super::rows::{self, PrescriptionId};
use crate::app::App;
use crate::kernel::error::Error;
use crate::kernel::events::{Event, ResourceKind};
use crate::kernel::jobs::{Job, JobError, NewJob};
use crate::kernel::locale::NoticeKind;
use crate::notifications::{Notice, notify};
use crate::profiles;

/// Tells the patient that there is a prescription, and nothing of what is in it.
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
        let notice = Notice {
            values,
            about: Some((ResourceKind::Prescription, self.prescription)),
            ..Notice::new(NoticeKind::PrescriptionIssued, patient.account)
        };
        notify(&app, id, notice).await
    }
}
