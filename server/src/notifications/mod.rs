//! Messages to people: mails and text messages in the language of the account.
//!
//! Other rooms' jobs call [`send_mail`] and [`send_sms`] when they run; nothing is rendered
//! earlier, so no job holds personal data. The key of a message is the id of its job: a job that
//! runs twice sends one message where the provider can tell.

mod snapshot;

use serde_json::Value;
use uuid::Uuid;

use crate::app::App;
use crate::identity::{self, Contact};
use crate::kernel::error::Error;
use crate::kernel::jobs::JobError;
use crate::kernel::kinds::AccountId;
use crate::kernel::locale::{Locales, MailKind, SmsKind, negotiate, texts};
use crate::kernel::ports::{PortError, mail, sms};

pub use snapshot::notification_ids;

/// Sends a mail to the owner of an account. `values` are what the kind needs; `name` is added.
/// An account that no longer exists gets none.
pub async fn send_mail(
    app: &App,
    key: Uuid,
    account: AccountId,
    kind: MailKind,
    values: Value,
) -> Result<(), JobError> {
    match contact(app, account).await? {
        Some(owner) => send_mail_to(app, key, owner, kind, values).await,
        None => Ok(()),
    }
}

/// Sends a mail to somebody whom no account names, or not by this address. `values` are what the
/// kind needs; `name` is added. Without an address nothing is sent.
pub async fn send_mail_to(
    app: &App,
    key: Uuid,
    to: Contact,
    kind: MailKind,
    mut values: Value,
) -> Result<(), JobError> {
    let Contact { email: Some(email), name, language, .. } = to else { return Ok(()) };
    if let Some(values) = values.as_object_mut() {
        values.entry("name").or_insert_with(|| name.clone().into());
    }
    let mail = locales()?.mail(negotiate(&language), kind, &values).map_err(give)?;
    let message = mail::Message {
        key,
        at: app.clock.now().timestamp(),
        to_name: Some(name).filter(|name| !name.is_empty()),
        to_address: email,
        subject: mail.subject,
        text: mail.text,
        html: Some(mail.html),
    };
    app.ports.mail.send(&message).await.map_err(port_error)
}

/// Sends a text message to a phone number (E.164), in the language of the account that it
/// concerns. `values` are what the kind needs.
pub async fn send_sms(
    app: &App,
    key: Uuid,
    account: AccountId,
    phone: &str,
    kind: SmsKind,
    values: Value,
) -> Result<(), JobError> {
    match contact(app, account).await? {
        Some(owner) => send_sms_to(app, key, &owner.language, phone, kind, values).await,
        None => Ok(()),
    }
}

/// Sends a text message to a phone number (E.164), whoever has it, in this language (BCP 47).
/// `values` are what the kind needs.
pub async fn send_sms_to(
    app: &App,
    key: Uuid,
    language: &str,
    phone: &str,
    kind: SmsKind,
    values: Value,
) -> Result<(), JobError> {
    let text = locales()?.sms(negotiate(language), kind, &values).map_err(give)?;
    let at = app.clock.now().timestamp();
    let message = sms::Message { key, at, to: phone.to_owned(), text };
    app.ports.sms.send(&message).await.map_err(port_error)
}

async fn contact(app: &App, account: AccountId) -> Result<Option<Contact>, JobError> {
    let mut conn = app.db.read().await?;
    Ok(identity::contact(&mut conn, account).await?)
}

fn locales() -> Result<&'static Locales, JobError> {
    texts().map_err(|error| JobError::Give(Error::internal(error.to_string())))
}

/// A text and its values do not fit: no later attempt mends that.
fn give(error: impl std::error::Error + Send + Sync + 'static) -> JobError {
    JobError::Give(Error::internal(error))
}

/// A provider that is busy is asked again; one that refuses is not.
fn port_error(error: PortError) -> JobError {
    if error.is_temporary() {
        JobError::Retry(Error::unavailable().caused_by(error))
    } else {
        give(error)
    }
}
