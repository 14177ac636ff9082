//! The last mail of an account that has no address any more.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use super::registering::enqueue;
use crate::app::App;
use crate::kernel::crypto::Purpose;
use crate::kernel::db::Conn;
use crate::kernel::error::{Error, Result};
use crate::kernel::jobs::{Job, JobError, NewJob};
use crate::kernel::locale::MailKind;
use crate::notifications::{Recipient, send_mail_to};

/// What a sealed message is bound to.
const BOUND_TO: &[u8] = b"identity.last_message";

/// A mail to an address that nothing in the database leads to any more.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct LastMessage {
    pub(super) email: String,
    pub(super) name: String,
    pub(super) language: String,
    /// Key of the [`MailKind`], one that needs nothing but the name.
    pub(super) kind: String,
}

/// Mails a [`LastMessage`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SendLastMessage {
    /// The message, sealed by a key outside the database, in base64: jobs hold no personal data.
    sealed: String,
}

impl LastMessage {
    /// Has it sent once the transaction is committed.
    pub(super) async fn enqueue(&self, app: &App, conn: &mut Conn) -> Result<()> {
        let text = serde_json::to_vec(self).map_err(Error::internal)?;
        let sealed = app.keys.macs.seal(Purpose::LastMessage, &text, BOUND_TO);
        let sealed = STANDARD.encode(sealed.map_err(Error::internal)?);
        enqueue(app, conn, NewJob::now(&SendLastMessage { sealed })).await
    }
}

impl SendLastMessage {
    fn open(&self, app: &App) -> Result<(LastMessage, MailKind)> {
        let sealed = STANDARD.decode(&self.sealed).map_err(Error::internal)?;
        let text = app.keys.macs.open(Purpose::LastMessage, &sealed, BOUND_TO);
        let message: LastMessage = serde_json::from_slice(&text.map_err(Error::internal)?)
            .map_err(|_| Error::internal("a last message is not readable"))?;
        let kind = MailKind::from_key(&message.kind);
        Ok((message, kind.ok_or_else(|| Error::internal("no such mail"))?))
    }
}

impl Job for SendLastMessage {
    const KIND: &'static str = "identity.send_last_message";

    async fn run(self, app: App, id: Uuid) -> Result<(), JobError> {
        let (message, kind) = self.open(&app).map_err(JobError::Give)?;
        let LastMessage { email, name, language, .. } = message;
        send_mail_to(&app, id, Recipient { email, name, language }, kind, json!({})).await
    }
}
