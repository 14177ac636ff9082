//! Push messages to devices: through FCM's HTTP v1 API, or as files in the outbox folder.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::Full;
use jiff::Timestamp;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::Mutex;
use tokio::time::Instant;
use uuid::Uuid;

use super::PortError;
use super::http::{HttpClient, base};
use super::outbox::Outbox;
use crate::kernel::secret::Secret;

const SCOPE: &str = "https://www.googleapis.com/auth/firebase.messaging";
const GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
/// The longest life that the token service grants.
const GRANT_LIFE_SECONDS: i64 = 3600;
/// An access token is renewed this long before its end.
const RENEW_BEFORE: Duration = Duration::from_mins(1);

/// One message to one device.
pub struct Message {
    /// The id of the message (UUIDv7). A device shows messages of one key once.
    pub key: Uuid,
    /// Now, from the application's clock.
    pub at: Timestamp,
    /// The device's registration token.
    pub device: String,
    /// The title, shown on a locked screen: no medical content.
    pub title: String,
    /// The text, shown on a locked screen: no medical content.
    pub body: String,
    /// What the app needs to open the right page: ids and kinds only.
    pub data: BTreeMap<String, String>,
}

/// A service account of a Firebase project, as in its JSON key file.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FcmSettings {
    /// The address of the API, without the path: `https://fcm.googleapis.com`.
    pub address: String,
    /// The address of the token service: `https://oauth2.googleapis.com/token`.
    pub token_uri: String,
    /// The project's id.
    pub project: String,
    /// The account's address.
    pub client_email: String,
    /// The account's RSA key, PEM.
    pub private_key: Secret,
    /// PEM file of the authorities of both certificates; those of the machine unless set.
    pub ca_certificate: Option<PathBuf>,
}

/// The way of push messages to devices. Cheap to clone.
#[derive(Clone)]
pub enum Push {
    /// FCM's HTTP v1 API.
    Fcm(Arc<Fcm>),
    /// Files for development.
    Outbox(Outbox),
    /// None: nothing is sent.
    Closed,
}

/// A Firebase project.
pub struct Fcm {
    client: HttpClient,
    url: String,
    token_uri: String,
    client_email: String,
    key: EncodingKey,
    /// Held while a token is fetched, so that one call fetches for all.
    access: Mutex<Access>,
}

/// What the last login brought.
#[derive(Default)]
struct Access {
    /// The access token and its end.
    token: Option<(String, Instant)>,
    /// Why the last login failed, and when: so it did for all who waited for it, and they do not each
    /// try once more.
    failed: Option<(PortError, Instant)>,
}

impl Push {
    /// Push messages through FCM. Does not connect yet.
    pub fn fcm(settings: &FcmSettings) -> Result<Self, PortError> {
        let project = &settings.project;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        if project.is_empty() || !project.bytes().all(plain) {
            return Err(PortError::Settings("the push project is letters, digits and '-'"));
        }
        Ok(Self::Fcm(Arc::new(Fcm {
            client: HttpClient::new(settings.ca_certificate.as_deref())?,
            url: format!("{}/v1/projects/{project}/messages:send", base(&settings.address)?),
            token_uri: base(&settings.token_uri)?,
            client_email: settings.client_email.clone(),
            key: EncodingKey::from_rsa_pem(settings.private_key.0.as_bytes())
                .map_err(|_| PortError::Settings("the push account's key is not an RSA PEM"))?,
            access: Mutex::default(),
        })))
    }

    /// Push messages into files: `outbox`/push/`<time>_<key>.json`.
    pub fn outbox(outbox: &Path) -> Result<Self, PortError> {
        Ok(Self::Outbox(Outbox::open(outbox, "push")?))
    }

    /// Whether there is a way at all.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        !matches!(self, Self::Closed)
    }

    /// Hands a message over to FCM, or to the folder.
    /// [`PortError::RecipientGone`]: the device's token is to be forgotten.
    pub async fn send(&self, message: &Message) -> Result<(), PortError> {
        match self {
            Self::Fcm(fcm) => fcm.send(message).await,
            Self::Outbox(outbox) => {
                let Message { key, at, device, title, body, data } = message;
                let file = json!({
                    "key": key, "at": at, "device": device,
                    "title": title, "body": body, "data": data,
                });
                outbox.write(*key, "json", format!("{file:#}\n").into_bytes()).await
            }
            Self::Closed => Err(PortError::permanent("there is no push provider")),
        }
    }
}

impl Fcm {
    async fn send(&self, message: &Message) -> Result<(), PortError> {
        let access = self.access(message.at).await?;
        let key = message.key.to_string();
        let body = json!({ "message": {
            "token": message.device,
            "notification": { "title": message.title, "body": message.body },
            "data": message.data,
            // The same tag replaces what is shown, so a repeated message does not show twice.
            "android": { "notification": { "tag": key } },
            "apns": { "headers": { "apns-collapse-id": key } },
            "webpush": { "notification": { "tag": key } },
        }});
        let request = Request::post(&self.url)
            .header(header::AUTHORIZATION, format!("Bearer {access}"))
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body.to_string())))
            .map_err(|_| PortError::permanent("the message cannot be written"))?;
        let answer = self.client.send(request).await?;
        if answer.status.is_success() {
            return Ok(());
        }
        if answer.status == StatusCode::UNAUTHORIZED {
            self.access.lock().await.token = None;
        }
        if answer.field("/error").is_some_and(|error| is_gone(&error)) {
            return Err(PortError::RecipientGone);
        }
        Err(answer.refusal(None))
    }

    /// An access token, from the last call or fresh.
    async fn access(&self, now: Timestamp) -> Result<String, PortError> {
        let asked = Instant::now();
        let mut access = self.access.lock().await;
        if let Some((token, end)) = access.token.as_ref()
            && Instant::now() < *end
        {
            return Ok(token.clone());
        }
        if let Some((error, at)) = access.failed.as_ref()
            && *at >= asked
        {
            return Err(error.clone());
        }
        let fetched = self.log_in(now).await;
        let ended = Instant::now();
        access.failed = fetched.as_ref().err().map(|error| (error.clone(), ended));
        let (token, life) = fetched?;
        access.token = Some((token.clone(), ended + life));
        Ok(token)
    }

    /// A fresh access token, and how long to use it (RFC 7523).
    async fn log_in(&self, now: Timestamp) -> Result<(String, Duration), PortError> {
        let claims = json!({
            "iss": self.client_email,
            "scope": SCOPE,
            "aud": self.token_uri,
            "iat": now.as_second(),
            "exp": now.as_second() + GRANT_LIFE_SECONDS,
        });
        let grant = jsonwebtoken::encode(&Header::new(Algorithm::RS256), &claims, &self.key)
            .map_err(|_| PortError::temporary("the push account's key cannot sign"))?;
        let form = form_urlencoded::Serializer::new(String::new())
            .append_pair("grant_type", GRANT)
            .append_pair("assertion", &grant)
            .finish();
        let request = Request::post(&self.token_uri)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Full::new(Bytes::from(form)))
            .map_err(|_| PortError::temporary("the push login cannot be written"))?;
        let answer = self.client.send(request).await?;
        let token = answer.field("/access_token");
        let Some(token) = token.as_ref().and_then(|token| token.as_str()) else {
            // Never the message's fault.
            return Err(PortError::Temporary {
                what: "the push login was refused",
                code: Some(u32::from(answer.status.as_u16())),
                retry_after: answer.retry_after,
            });
        };
        let life = answer.field("/expires_in").and_then(|life| life.as_u64()).unwrap_or(0);
        let life = Duration::from_secs(life).saturating_sub(RENEW_BEFORE);
        Ok((token.to_owned(), life))
    }
}

/// Whether a refusal says that no message ever gets there by this token: it has ended, it is another
/// project's, or it is none.
fn is_gone(error: &serde_json::Value) -> bool {
    let details = error["details"].as_array().map(Vec::as_slice).unwrap_or_default();
    let has_code = |code: &str| details.iter().any(|one| one["errorCode"] == code);
    let names_token = || {
        let violations = details.iter().filter_map(|one| one["fieldViolations"].as_array());
        violations.flatten().any(|one| one["field"] == "message.token")
            || error["message"].as_str().is_some_and(|text| text.contains("registration token"))
    };
    has_code("UNREGISTERED")
        || has_code("SENDER_ID_MISMATCH")
        || (error["status"] == "INVALID_ARGUMENT" && names_token())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
    use aws_lc_rs::rsa::{KeyPair, KeySize};
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;

    use super::super::testing::{Folder, at, http_server, key};
    use super::*;

    fn message() -> Message {
        Message {
            key: key(1),
            at: at(1),
            device: "device-token".to_owned(),
            title: "A visit".to_owned(),
            body: "Your visit is tomorrow".to_owned(),
            data: BTreeMap::from([("kind".to_owned(), "appointment".to_owned())]),
        }
    }

    fn fcm(address: String) -> Push {
        let pair = KeyPair::generate(KeySize::Rsa2048).unwrap();
        let der: Pkcs8V1Der = pair.as_der().unwrap();
        let label = "PRIVATE KEY";
        let key = STANDARD.encode(der.as_ref());
        Push::fcm(&FcmSettings {
            token_uri: format!("{address}/token"),
            address,
            project: "clinic-1".to_owned(),
            client_email: "push@clinic.example".to_owned(),
            private_key: Secret(format!("-----BEGIN {label}-----\n{key}\n-----END {label}-----\n")),
            ca_certificate: None,
        })
        .unwrap()
    }

    fn login(token: &str) -> (u16, &'static str, String) {
        (200, "", json!({ "access_token": token, "expires_in": 3600 }).to_string())
    }

    #[tokio::test]
    async fn logs_in_once_and_again_when_refused() {
        let (address, served) = http_server(vec![
            login("one"),
            (200, "", "{}".to_owned()),
            (401, "", "{}".to_owned()),
            login("two"),
            (200, "", "{}".to_owned()),
        ])
        .await;
        let push = fcm(address);
        push.send(&message()).await.unwrap();
        assert!(push.send(&message()).await.unwrap_err().is_temporary());
        push.send(&message()).await.unwrap();
        let requests = served.await.unwrap();
        assert!(requests[0].starts_with("POST /token HTTP/1.1\r\n"), "{}", requests[0]);
        assert!(requests[0].contains("grant_type=urn%3Aietf%3Aparams%3Aoauth"));
        let send = &requests[1];
        assert!(send.starts_with("POST /v1/projects/clinic-1/messages:send HTTP/1.1\r\n"));
        assert!(send.contains("authorization: Bearer one\r\n"), "{send}");
        let body: serde_json::Value =
            serde_json::from_str(send.split("\r\n\r\n").nth(1).unwrap()).unwrap();
        assert_eq!(body["message"]["token"], "device-token");
        assert_eq!(body["message"]["notification"]["title"], "A visit");
        assert_eq!(body["message"]["data"]["kind"], "appointment");
        assert_eq!(body["message"]["apns"]["headers"]["apns-collapse-id"], key(1).to_string());
        assert!(requests[2].contains("Bearer one\r\n") && requests[4].contains("Bearer two\r\n"));
    }

    #[tokio::test]
    async fn a_login_that_fails_fails_for_all_who_wait_for_it() {
        let (address, served) =
            http_server(vec![(503, "", String::new()), login("one"), (200, "", "{}".to_owned())])
                .await;
        let push = fcm(address);
        let message = message();
        let waiting = [push.send(&message), push.send(&message), push.send(&message)];
        let failed = futures_util::future::join_all(waiting).await;
        assert!(failed.iter().all(|sent| sent.as_ref().unwrap_err().is_temporary()), "{failed:?}");
        push.send(&message).await.unwrap();
        assert_eq!(served.await.unwrap().len(), 3, "one login for the three");
    }

    #[tokio::test]
    async fn a_device_that_is_gone_is_told_apart() {
        let gone =
            json!({ "error": { "code": 404, "details": [{ "errorCode": "UNREGISTERED" }] } });
        let (address, served) = http_server(vec![
            login("one"),
            (404, "", gone.to_string()),
            (400, "", "{}".to_owned()),
            (503, "", String::new()),
        ])
        .await;
        let push = fcm(address);
        assert_eq!(push.send(&message()).await, Err(PortError::RecipientGone));
        assert!(!push.send(&message()).await.unwrap_err().is_temporary());
        assert!(push.send(&message()).await.unwrap_err().is_temporary());
        served.await.unwrap();
    }

    #[test]
    fn what_is_wrong_with_the_token_is_told_from_what_is_wrong_with_the_message() {
        let refusal = |status: &str, message: &str, detail: serde_json::Value| {
            is_gone(&json!({ "status": status, "message": message, "details": [detail] }))
        };
        let code = |code: &str| json!({ "errorCode": code });
        let field = |field: &str| json!({ "fieldViolations": [{ "field": field }] });
        assert!(refusal("PERMISSION_DENIED", "", code("SENDER_ID_MISMATCH")));
        assert!(refusal("INVALID_ARGUMENT", "", field("message.token")));
        let text = "The registration token is not a valid FCM registration token";
        assert!(refusal("INVALID_ARGUMENT", text, code("INVALID_ARGUMENT")));
        assert!(!refusal("INVALID_ARGUMENT", "", field("message.data")));
        assert!(!refusal("INVALID_ARGUMENT", "", code("INVALID_ARGUMENT")));
        assert!(!refusal("PERMISSION_DENIED", "", code("THIRD_PARTY_AUTH_ERROR")));
    }

    #[tokio::test]
    async fn outbox_holds_one_file_per_message() {
        let folder = Folder::new();
        let push = Push::outbox(&folder.path).unwrap();
        push.send(&message()).await.unwrap();
        push.send(&message()).await.unwrap();
        let files = folder.files("push");
        assert_eq!(files.len(), 1);
        let file: serde_json::Value = serde_json::from_slice(&files[0].1).unwrap();
        assert_eq!(file["device"], "device-token");
        assert_eq!(file["data"]["kind"], "appointment");
    }
}
