//! Messages that prove or change how a person is reached: codes, links, and notices of changes.

use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use crate::app::App;
use crate::identity::jobs::notify_challenge;
use crate::identity::sign_in::challenges;
use crate::identity::{Contact, contact, open_contact, seal_contact as seal};
use crate::kernel::jobs::{Job, JobError};
use crate::kernel::kinds::AccountId;
use crate::kernel::locale::NoticeKind;
use crate::notifications::{Notice, To, notify};

/// Sends the code of a challenge to its number.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SendCode {
    /// The challenge.
    pub challenge: Uuid,
    /// Language (BCP 47) for a number without an account.
    pub language: String,
}

impl Job for SendCode {
    const KIND: &'static str = "identity.send_code";

    async fn run(self, app: App, id: Uuid) -> Result<(), JobError> {
        let challenge = challenges::find(&mut *app.db.read().await?, self.challenge).await?;
        let Some(challenge) = challenge else { return Ok(()) };
        let notice = Notice {
            to: To::Challenge { id: challenge.id, language: self.language },
            ..Notice::new(NoticeKind::OneTimeCode, challenge.account)
        };
        notify(&app, id, notice).await
    }
}

/// Tells the owner of a number that somebody tried to register it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TellNumberExists {
    /// The account that has it.
    pub account: AccountId,
}

impl Job for TellNumberExists {
    const KIND: &'static str = "identity.tell_number_exists";

    async fn run(self, app: App, id: Uuid) -> Result<(), JobError> {
        let owner = contact(&mut *app.db.read().await?, self.account).await?;
        let Some(owner) = owner else { return Ok(()) };
        let to = To::Sealed(seal(&app, self.account, &by_one(owner, Way::Phone))?);
        let notice = Notice::new(NoticeKind::AccountExists, self.account);
        notify(&app, id, Notice { to, ..notice }).await
    }
}

/// Mails the link by which a lost password is replaced.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SendRecovery {
    /// The challenge.
    pub challenge: Uuid,
}

impl Job for SendRecovery {
    const KIND: &'static str = "identity.send_recovery";

    async fn run(self, app: App, id: Uuid) -> Result<(), JobError> {
        notify_challenge(&app, id, NoticeKind::AccountRecovery, self.challenge, json!({})).await
    }
}

/// Mails the link that confirms a new address, to that address.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SendEmailChange {
    /// The challenge.
    pub challenge: Uuid,
}

impl Job for SendEmailChange {
    const KIND: &'static str = "identity.send_email_change";

    async fn run(self, app: App, id: Uuid) -> Result<(), JobError> {
        notify_challenge(&app, id, NoticeKind::EmailChange, self.challenge, json!({})).await
    }
}

/// How a person is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// By mail.
    Email,
    /// By text message.
    Phone,
}

/// Tells the owner of an account that an address or number of it was changed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TellContactChanged {
    /// The account.
    pub account: AccountId,
    /// What was changed.
    pub changed: Way,
    /// How to tell it.
    pub by: Way,
    /// The contact that the account had before, sealed; none: tell it to what it has now.
    pub last: Option<String>,
}

impl Job for TellContactChanged {
    const KIND: &'static str = "identity.tell_contact_changed";

    async fn run(self, app: App, id: Uuid) -> Result<(), JobError> {
        let owner = match &self.last {
            Some(sealed) => Some(open_contact(&app, self.account, sealed)?),
            None => contact(&mut *app.db.read().await?, self.account).await?,
        };
        let Some(owner) = owner else { return Ok(()) };
        let notice = Notice {
            values: json!({ "contact": self.changed, "old": self.last.is_some() }),
            to: To::Sealed(seal(&app, self.account, &by_one(owner, self.by))?),
            ..Notice::new(NoticeKind::ContactChanged, self.account)
        };
        notify(&app, id, notice).await
    }
}

/// A contact by one way alone.
fn by_one(owner: Contact, way: Way) -> Contact {
    let Contact { email, phone, .. } = owner;
    let email = email.filter(|_| way == Way::Email);
    let phone = phone.filter(|_| way == Way::Phone);
    Contact { email, phone, ..owner }
}
