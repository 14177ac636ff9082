//! Messages that prove or change how a person is reached: codes, links, and notices of changes.

use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use crate::app::App;
use crate::identity::administration::last_message;
use crate::identity::jobs::link;
use crate::identity::sign_in::challenges;
use crate::identity::{Contact, contact, rows, rules};
use crate::kernel::jobs::{Job, JobError};
use crate::kernel::kinds::AccountId;
use crate::kernel::locale::{MailKind, SmsKind};
use crate::notifications::{send_mail, send_mail_to, send_sms_to};

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
        let (challenge, account) = {
            let mut conn = app.db.read().await?;
            let Some(challenge) = challenges::find(&mut conn, self.challenge).await? else {
                return Ok(());
            };
            let account = match challenge.account {
                Some(account) => rows::find(&mut conn, account).await?,
                None => rows::find_by_phone(&mut conn, challenge.address.clone()).await?,
            };
            (challenge, account)
        };
        if !challenge.is_live(app.clock.now()) {
            return Ok(());
        }
        let language = account.map_or(self.language, |account| account.language);
        let code = challenge.code(&app.keys.macs);
        let values = json!({ "code": code, "valid_minutes": rules::CODE_SECONDS / 60 });
        let kind = SmsKind::OneTimeCode;
        send_sms_to(&app, id, &language, &challenge.address, kind, values).await
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
        let found = contact(&mut *app.db.read().await?, self.account).await?;
        let Some(Contact { phone: Some(phone), language, .. }) = found else { return Ok(()) };
        send_sms_to(&app, id, &language, &phone, SmsKind::AccountExists, json!({})).await
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
        let Some((_, account, mut values)) = link(&app, self.challenge, "recover").await? else {
            return Ok(());
        };
        values["valid_minutes"] = json!(rules::RECOVERY_SECONDS / 60);
        send_mail(&app, id, account, MailKind::AccountRecovery, values).await
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
        let found = link(&app, self.challenge, "confirm-email").await?;
        let Some((challenge, account, mut values)) = found else { return Ok(()) };
        values["valid_minutes"] = json!(rules::CONTACT_SECONDS / 60);
        let found = contact(&mut *app.db.read().await?, account).await?;
        let Some(owner) = found else { return Ok(()) };
        let owner = Contact { email: Some(challenge.address), ..owner };
        send_mail_to(&app, id, owner, MailKind::EmailChange, values).await
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
            Some(sealed) => Some(last_message::open(&app, self.account, sealed)?),
            None => contact(&mut *app.db.read().await?, self.account).await?,
        };
        let Some(owner) = owner else { return Ok(()) };
        let values = json!({ "contact": self.changed, "old": self.last.is_some() });
        match (self.by, &owner.phone) {
            (Way::Email, _) => {
                send_mail_to(&app, id, owner, MailKind::ContactChanged, values).await
            }
            (Way::Phone, Some(phone)) => {
                let kind = SmsKind::ContactChanged;
                send_sms_to(&app, id, &owner.language, phone, kind, values).await
            }
            (Way::Phone, None) => Ok(()),
        }
    }
}
