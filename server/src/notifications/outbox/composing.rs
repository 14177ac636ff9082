//! Making the message of a delivery at the moment at which it is sent: in the language that the person
//! has now, with a link or code that works now.

use std::collections::BTreeMap;

use serde_json::Value;
use uuid::Uuid;

use super::delivering::Outcome;
use super::recipients::{self, Recipient};
use super::rows::{self, Attempt};
use crate::app::App;
use crate::identity::{self, Contact};
use crate::kernel::db::Conn;
use crate::kernel::error::{Error, Result};
use crate::kernel::locale::{self, LocaleError, Locales, NoticeKind, negotiate};
use crate::kernel::ports::{mail, push, sms};
use crate::notifications::plan::{Channel, Class, plan};
use crate::notifications::{To, unsubscribing, wording};

/// A message, ready to be sent.
pub(in crate::notifications) enum Message {
    /// By mail.
    Mail(mail::Message),
    /// By SMS.
    Sms(sms::Message),
    /// To a device.
    Push(push::Message),
}

/// A message with the version of the template that it was made from.
pub(in crate::notifications) struct Composed {
    pub(in crate::notifications) message: Message,
    pub(in crate::notifications) version: String,
}

/// Makes the message of a delivery; or tells how the delivery ends, when there is none.
pub(in crate::notifications) async fn compose(
    app: &App,
    conn: &mut Conn,
    key: Uuid,
    attempt: &Attempt,
) -> Result<Result<Composed, Outcome>> {
    let Some(kind) = NoticeKind::from_key(&attempt.kind) else {
        return Ok(Err(Outcome::failed("NO_TEMPLATE", None)));
    };
    let to = match (attempt.challenge, &attempt.sealed) {
        (Some(id), _) => {
            To::Challenge { id, language: attempt.language.clone().unwrap_or_default() }
        }
        (None, Some(sealed)) => To::Sealed(sealed.clone()),
        (None, None) => To::Owner,
    };
    let recipient = match recipients::find(app, conn, kind, &to, attempt.account).await? {
        Ok(recipient) => recipient,
        Err(reason) => return Ok(Err(Outcome::skipped(reason))),
    };
    let device = match device(app, conn, attempt).await? {
        Ok(device) => device,
        Err(reason) => return Ok(Err(Outcome::skipped(reason))),
    };
    let texts = locale::texts().map_err(|error| Error::internal(error.to_string()))?;
    let version = texts.version(negotiate(&recipient.contact.language), kind).to_owned();
    Ok(match message(app, texts, key, kind, (attempt, device), recipient) {
        Ok(Some(message)) => Ok(Composed { message, version }),
        Ok(None) => Err(Outcome::skipped("NO_ADDRESS")),
        Err(error) => {
            tracing::error!(delivery = %key, error = %error, "a message cannot be made");
            Err(Outcome::failed("TEMPLATE_UNFIT", None))
        }
    })
}

/// The token of the device of a push message; empty of others. Or why there is none.
async fn device(
    app: &App,
    conn: &mut Conn,
    attempt: &Attempt,
) -> Result<Result<String, &'static str>> {
    if attempt.channel != Channel::Push {
        return Ok(Ok(String::new()));
    }
    let (Some(id), Some(account)) = (attempt.device, attempt.account) else {
        return Ok(Err("DEVICE_GONE"));
    };
    let Some((token, session)) = rows::device(conn, id, account).await? else {
        return Ok(Err("DEVICE_GONE"));
    };
    let living = identity::living_sessions(app, conn, vec![session]).await?;
    Ok(if living.is_empty() { Err("SESSION_ENDED") } else { Ok(token) })
}

/// The message; none when the recipient has no such address.
fn message(
    app: &App,
    texts: &Locales,
    key: Uuid,
    kind: NoticeKind,
    (attempt, device): (&Attempt, String),
    recipient: Recipient,
) -> Result<Option<Message>, LocaleError> {
    let Recipient { contact, secret } = recipient;
    let Contact { email, phone, name, language } = contact;
    let class = plan(kind).class;
    let unsubscribe = attempt.account.filter(|_| class == Class::Greeting);
    let unsubscribe = unsubscribe.map(|account| unsubscribing::link(app, account, class));
    let (locale, at) = (negotiate(&language), app.clock.now().timestamp());
    let mut values = values(attempt.values.clone(), &name, secret);
    if let Some(values) = values.as_object_mut() {
        wording::put_into_words(texts, locale, values);
        if let Some(link) = &unsubscribe {
            values.insert("unsubscribe".to_owned(), link.clone().into());
        }
    }
    Ok(match (attempt.channel, email, phone) {
        (Channel::Mail, Some(to_address), _) => {
            let notice = texts.notice(locale, kind, &values)?;
            Some(Message::Mail(mail::Message {
                key,
                at,
                to_name: Some(name).filter(|name| !name.is_empty()),
                to_address,
                subject: notice.title,
                text: notice.text,
                html: Some(notice.html),
                unsubscribe,
            }))
        }
        (Channel::Sms, _, Some(to)) => {
            let (_, text) = texts.short(locale, kind, &values)?;
            Some(Message::Sms(sms::Message { key, at, to, text }))
        }
        (Channel::Push, ..) => {
            let (title, body) = texts.short(locale, kind, &values)?;
            let data = data(attempt);
            Some(Message::Push(push::Message { key, at, device, title, body, data }))
        }
        (Channel::Mail | Channel::Sms, ..) => None,
    })
}

/// What the texts need: what the notice brought, the name, link or code.
fn values(mut values: Value, name: &str, secret: Value) -> Value {
    if let Some(values) = values.as_object_mut() {
        values.entry("name").or_insert_with(|| name.into());
        if let Value::Object(secret) = secret {
            values.extend(secret);
        }
    }
    values
}

/// What an app needs to open the right page: kinds and ids.
fn data(attempt: &Attempt) -> BTreeMap<String, String> {
    let mut data = BTreeMap::from([
        ("notification_id".to_owned(), attempt.notification.to_string()),
        ("kind".to_owned(), attempt.kind.clone()),
    ]);
    if let (Some(kind), Some(id)) = (attempt.resource_kind, attempt.resource) {
        data.insert("resource_kind".to_owned(), kind.as_str().to_owned());
        data.insert("resource_id".to_owned(), id.to_string());
    }
    data
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_texts_get_name_and_link() {
        let made = values(json!({ "doctor": "Dr. Iyer" }), "Asha", json!({ "code": "123456" }));
        assert_eq!(made, json!({ "doctor": "Dr. Iyer", "name": "Asha", "code": "123456" }));
    }
}
