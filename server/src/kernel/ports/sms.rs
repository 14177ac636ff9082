//! Text messages: through an HTTP provider, or as files in the outbox folder.

use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Request, header};
use http_body_util::Full;
use jiff::Timestamp;
use uuid::Uuid;

use super::PortError;
use super::http::{HttpClient, base};
use super::outbox::Outbox;
use crate::kernel::secret::Secret;

/// One text message to one phone.
pub struct Message {
    /// The id of the message (UUIDv7): the same key is the same message.
    pub key: Uuid,
    /// Now, from the application's clock.
    pub at: Timestamp,
    /// The phone number in E.164.
    pub to: String,
    /// The text. A provider bills per 160 characters, or per 70 outside the Latin alphabet.
    pub text: String,
}

/// An account with an SMS provider that speaks Twilio's API.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TwilioSettings {
    /// The address of the API, without the path: `https://api.twilio.com`.
    pub address: String,
    /// The account's id.
    pub account: String,
    /// The account's secret.
    pub token: Secret,
    /// The sender: a number in E.164 or a name that the provider has admitted.
    pub from: String,
    /// PEM file of the authorities of its certificate; those of the machine unless set.
    pub ca_certificate: Option<PathBuf>,
}

/// The way of text messages to phones. Cheap to clone.
#[derive(Clone)]
pub enum Sms {
    /// A provider with Twilio's API.
    Twilio(Arc<Twilio>),
    /// Files for development.
    Outbox(Outbox),
}

/// An account with a provider.
///
/// The key of a message is sent as `Idempotency-Key`. A provider that does not know this header
/// may send one message twice if the server dies between its answer and our note of it.
pub struct Twilio {
    client: HttpClient,
    url: String,
    login: header::HeaderValue,
    from: String,
}

impl Sms {
    /// Text messages through a provider. Does not connect yet.
    pub fn twilio(settings: &TwilioSettings) -> Result<Self, PortError> {
        let TwilioSettings { address, account, token, from, ca_certificate } = settings;
        if account.is_empty() || !account.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(PortError::Settings("the SMS account is letters and digits"));
        }
        let login = format!("Basic {}", STANDARD.encode(format!("{account}:{}", token.0)));
        let mut login = header::HeaderValue::try_from(login)
            .map_err(|_| PortError::Settings("the SMS token"))?;
        login.set_sensitive(true);
        Ok(Self::Twilio(Arc::new(Twilio {
            client: HttpClient::new(ca_certificate.as_deref())?,
            url: format!("{}/2010-04-01/Accounts/{account}/Messages.json", base(address)?),
            login,
            from: from.clone(),
        })))
    }

    /// Text messages into files: `outbox`/sms/`<time>_<key>.json`.
    pub fn outbox(outbox: &Path) -> Result<Self, PortError> {
        Ok(Self::Outbox(Outbox::open(outbox, "sms")?))
    }

    /// Hands a message over to the provider, or to the folder.
    pub async fn send(&self, message: &Message) -> Result<(), PortError> {
        match self {
            Self::Twilio(twilio) => twilio.send(message).await,
            Self::Outbox(outbox) => {
                let Message { key, at, to, text } = message;
                let file = serde_json::json!({ "key": key, "at": at, "to": to, "text": text });
                outbox.write(*key, "json", format!("{file:#}\n").into_bytes()).await
            }
        }
    }
}

impl Twilio {
    async fn send(&self, message: &Message) -> Result<(), PortError> {
        let form = form_urlencoded::Serializer::new(String::new())
            .append_pair("To", &message.to)
            .append_pair("From", &self.from)
            .append_pair("Body", &message.text)
            .finish();
        let request = Request::post(&self.url)
            .header(header::AUTHORIZATION, &self.login)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header("idempotency-key", message.key.to_string())
            .body(Full::new(Bytes::from(form)))
            .map_err(|_| PortError::permanent("the message cannot be written"))?;
        let answer = self.client.send(request).await?;
        if answer.status.is_success() {
            return Ok(());
        }
        let code = answer.field("/code").and_then(|code| u32::try_from(code.as_u64()?).ok());
        Err(answer.refusal(code))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::time::Duration;

    use super::super::testing::{Folder, at, http_server, key};
    use super::*;

    fn message() -> Message {
        Message {
            key: key(1),
            at: at(1),
            to: "+919800000001".to_owned(),
            text: "कोड 123 456 & more".to_owned(),
        }
    }

    fn twilio(address: String) -> Sms {
        Sms::twilio(&TwilioSettings {
            address,
            account: "AC1".to_owned(),
            token: Secret("secret".to_owned()),
            from: "+15550000000".to_owned(),
            ca_certificate: None,
        })
        .unwrap()
    }

    #[tokio::test]
    async fn speaks_twilios_form() {
        let (address, served) = http_server(vec![(201, "", r#"{"sid":"SM1"}"#.to_owned())]).await;
        twilio(address).send(&message()).await.unwrap();
        let request = served.await.unwrap().remove(0);
        assert!(request.starts_with("POST /2010-04-01/Accounts/AC1/Messages.json HTTP/1.1\r\n"));
        let login = format!("authorization: Basic {}\r\n", STANDARD.encode("AC1:secret"));
        assert!(request.contains(&login), "{request}");
        assert!(request.contains(&format!("idempotency-key: {}\r\n", key(1))), "{request}");
        let form = request.split("\r\n\r\n").nth(1).unwrap();
        let fields: Vec<_> = form_urlencoded::parse(form.as_bytes()).into_owned().collect();
        let field = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let expected = [
            field("To", "+919800000001"),
            field("From", "+15550000000"),
            field("Body", "कोड 123 456 & more"),
        ];
        assert_eq!(fields, expected);
    }

    #[tokio::test]
    async fn tells_later_from_never_and_repeats_no_number() {
        let refusal = r#"{"code":21211,"message":"'+919800000001' is not valid"}"#.to_owned();
        let (address, served) = http_server(vec![
            (400, "", refusal),
            (429, "retry-after: 7\r\n", String::new()),
            (503, "", "<html>".to_owned()),
            (401, "", String::new()),
        ])
        .await;
        let sms = twilio(address);
        let mut errors = Vec::new();
        for _ in 0..4 {
            errors.push(sms.send(&message()).await.unwrap_err());
        }
        served.await.unwrap();
        let temporary: Vec<bool> = errors.iter().map(PortError::is_temporary).collect();
        assert_eq!(temporary, [false, true, true, true]);
        assert!(matches!(errors[0], PortError::Permanent { code: Some(21211), .. }));
        assert!(!errors[0].to_string().contains("98000"));
        assert_eq!(errors[1].retry_after(), Some(Duration::from_secs(7)));
    }

    #[tokio::test]
    async fn a_provider_that_is_down_is_temporary() {
        let sms = twilio("http://127.0.0.1:1".to_owned());
        assert!(sms.send(&message()).await.unwrap_err().is_temporary());
    }

    #[tokio::test]
    async fn outbox_holds_one_file_per_message() {
        let folder = Folder::new();
        let sms = Sms::outbox(&folder.path).unwrap();
        sms.send(&message()).await.unwrap();
        sms.send(&message()).await.unwrap();
        let files = folder.files("sms");
        assert_eq!(files.len(), 1);
        let file: serde_json::Value = serde_json::from_slice(&files[0].1).unwrap();
        assert_eq!(file["to"], "+919800000001");
        assert_eq!(file["text"], "कोड 123 456 & more");
        assert_eq!(file["at"], "2026-11-20T10:00:01Z");
    }
}
