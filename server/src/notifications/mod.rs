//! Messages to people: mails and text messages in the language of the account.
//!
//! Other rooms' jobs call [`send_mail`] and [`send_sms`] when they run; nothing is rendered
//! earlier, so no job holds personal data. The key of a message is the id of its job: a job that
//! runs twice sends one message where the provider can tell.

use serde_json::Value;
use uuid::Uuid;

use crate::app::App;
use crate::identity::{self, Contact};
use crate::kernel::error::Error;
use crate::kernel::jobs::JobError;
use crate::kernel::kinds::AccountId;
use crate::kernel::locale::{Locales, MailKind, SmsKind, negotiate, texts};
use crate::kernel::ports::{PortError, mail, sms};

/// Sends a mail to the owner of an account. `values` are what the kind needs; `name` is added.
/// An account that no longer exists gets none.
pub async fn send_mail(
    app: &App,
    key: Uuid,
    account: AccountId,
    kind: MailKind,
    values: Value,
) -> Result<(), JobError> {
    let Some(Contact { email: Some(email), name, language, .. }) = contact(app, account).await?
    else {
        return Ok(());
    };
    send_mail_to(app, key, Recipient { email, name, language }, kind, values).await
}

/// Whom a mail goes to, where that is no longer known by an account.
#[derive(Debug, Clone)]
pub struct Recipient {
    /// Mail address.
    pub email: String,
    /// Given and family name.
    pub name: String,
    /// Preferred language, a BCP 47 tag.
    pub language: String,
}

/// Sends a mail to an address. `values` are what the kind needs; `name` is added.
pub async fn send_mail_to(
    app: &App,
    key: Uuid,
    to: Recipient,
    kind: MailKind,
    mut values: Value,
) -> Result<(), JobError> {
    if let Some(values) = values.as_object_mut() {
        values.entry("name").or_insert_with(|| to.name.clone().into());
    }
    let mail = locales()?.mail(negotiate(&to.language), kind, &values).map_err(give)?;
    let message = mail::Message {
        key,
        at: app.clock.now().timestamp(),
        to_name: Some(to.name),
        to_address: to.email,
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
    let Some(contact) = contact(app, account).await? else { return Ok(()) };
    let text = locales()?.sms(negotiate(&contact.language), kind, &values).map_err(give)?;
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
