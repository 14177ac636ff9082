//! Push messages through FCM's HTTP v1 API, against a double of it.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::KeyPair as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clinicd_server::kernel::ports::push::{FcmSettings, Message};
use clinicd_server::kernel::ports::{PortError, Push};
use clinicd_server::kernel::secret::Secret;
use clinicd_tests::http_double::{Answer, HttpDouble, Received};
use clinicd_tests::{Person, World, eventually};
use jiff::SignedDuration;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::{Value, json};
use uuid::Uuid;

const KEY: &str = "0198c0de-0000-7000-8000-000000000001";

/// A project whose account this is.
struct Project {
    double: HttpDouble,
    push: Push,
    settings: FcmSettings,
    public: String,
}

fn pem(label: &str, der: &[u8]) -> String {
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der))
}

impl Project {
    async fn new() -> Self {
        let pair = KeyPair::generate(KeySize::Rsa2048).unwrap();
        let (private, public): (Pkcs8V1Der, PublicKeyX509Der) =
            (pair.as_der().unwrap(), pair.public_key().as_der().unwrap());
        let double = HttpDouble::start().await;
        let settings = FcmSettings {
            address: double.url.clone(),
            token_uri: format!("{}/token", double.url),
            project: "clinic-1".to_owned(),
            client_email: "push@clinic.example".to_owned(),
            private_key: Secret(pem("PRIVATE KEY", private.as_ref())),
            ca_certificate: None,
        };
        let push = Push::fcm(&settings).unwrap();
        let mut tokens = 0;
        double.rule(move |request| {
            if request.path != "/token" {
                return Answer::ok().body("{}");
            }
            tokens += 1;
            let token = format!("access-{tokens}");
            let answer = json!({ "access_token": token, "expires_in": 3600 });
            Answer::ok().body(answer.to_string())
        });
        Self { double, push, settings, public: pem("PUBLIC KEY", public.as_ref()) }
    }

    async fn send(&self) -> Result<(), PortError> {
        let message = Message {
            key: Uuid::try_parse(KEY).unwrap(),
            at: "2026-11-20T10:00:05Z".parse().unwrap(),
            device: "device-1".to_owned(),
            title: "A visit".to_owned(),
            body: "Your visit is tomorrow".to_owned(),
            data: BTreeMap::from([("kind".to_owned(), "appointment".to_owned())]),
        };
        self.push.send(&message).await
    }

    /// Sends while the provider answers so.
    async fn refused(&self, answer: Answer) -> PortError {
        self.double.next([answer]);
        self.send().await.unwrap_err()
    }

    fn sent(&self) -> Vec<Received> {
        let received = self.double.received();
        received.into_iter().filter(|request| request.path != "/token").collect()
    }

    fn logins(&self) -> Vec<Received> {
        let received = self.double.received();
        received.into_iter().filter(|request| request.path == "/token").collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_provider_gets_a_signed_login_and_the_message() {
    let project = Project::new().await;
    project.send().await.unwrap();
    project.send().await.unwrap();
    let (logins, sent) = (project.logins(), project.sent());
    assert_eq!((logins.len(), sent.len()), (1, 2), "one login for both");
    let form: HashMap<String, String> =
        form_urlencoded::parse(&logins[0].body).into_owned().collect();
    assert_eq!(form["grant_type"], "urn:ietf:params:oauth:grant-type:jwt-bearer");
    let key = DecodingKey::from_rsa_pem(project.public.as_bytes()).unwrap();
    let mut validation = Validation::new(Algorithm::RS256);
    validation.validate_exp = false;
    validation.set_audience(&[format!("{}/token", project.double.url)]);
    let claims = jsonwebtoken::decode::<Value>(&form["assertion"], &key, &validation).unwrap();
    assert_eq!(claims.claims["iss"], "push@clinic.example");
    assert_eq!(claims.claims["scope"], "https://www.googleapis.com/auth/firebase.messaging");
    for request in &sent {
        assert_eq!(request.method, "POST");
        assert_eq!(request.path, "/v1/projects/clinic-1/messages:send");
        assert_eq!(request.header("authorization"), "Bearer access-1");
        assert_eq!(request.header("content-type"), "application/json");
        // A phone shows what has one tag once, however often it came.
        let expected = json!({ "message": {
            "token": "device-1",
            "notification": { "title": "A visit", "body": "Your visit is tomorrow" },
            "data": { "kind": "appointment" },
            "android": { "notification": { "tag": KEY } },
            "apns": { "headers": { "apns-collapse-id": KEY } },
            "webpush": { "notification": { "tag": KEY } },
        }});
        assert_eq!(request.json(), expected);
    }
}

/// The detail may stand behind others. Seen to fail while only the first was looked at.
#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_is_gone_is_told_apart() {
    let project = Project::new().await;
    project.send().await.unwrap();
    let gone = |details: Value| {
        let error = json!({ "error": { "code": 404, "details": details } });
        Answer::status(404).body(error.to_string())
    };
    let unregistered = json!({ "errorCode": "UNREGISTERED" });
    for details in [json!([unregistered]), json!([{ "@type": "other" }, unregistered])] {
        assert_eq!(project.refused(gone(details)).await, PortError::RecipientGone);
    }
    let other = project.refused(gone(json!([{ "errorCode": "INVALID_ARGUMENT" }]))).await;
    assert!(matches!(other, PortError::Permanent { code: Some(404), .. }), "{other}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_provider_answers_is_for_now_or_for_good() {
    let project = Project::new().await;
    // Before the first login.
    assert!(project.refused(Answer::status(403)).await.is_temporary());
    assert!(project.refused(Answer::hang_up()).await.is_temporary());
    project.send().await.unwrap();
    let busy = project.refused(Answer::status(429).header("retry-after", "9")).await;
    assert_eq!((busy.is_temporary(), busy.retry_after()), (true, Some(Duration::from_secs(9))));
    assert!(project.refused(Answer::status(500)).await.is_temporary());
    assert!(project.refused(Answer::hang_up()).await.is_temporary());
    assert!(!project.refused(Answer::status(400)).await.is_temporary());
    // A login that was taken back is made again.
    let logins = project.logins().len();
    assert!(project.refused(Answer::status(401)).await.is_temporary());
    project.send().await.unwrap();
    assert_eq!(project.logins().len(), logins + 1);
    let last = project.sent().pop().unwrap();
    assert_eq!(last.header("authorization"), "Bearer access-2");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_provider_production_sends_none() {
    let project = Project::new().await;
    assert!(project.push.is_open() && !Push::Closed.is_open());
    let closed = Project { push: Push::Closed, ..project };
    assert!(!closed.send().await.unwrap_err().is_temporary());
    assert!(closed.double.received().is_empty());
}

/// The device of a patient, written past the server.
async fn device(world: &World, patient: &Person) {
    world
        .sql(&format!(
            "INSERT INTO devices (id, account_id, session_id, platform, token, token_hash, \
                created_at, updated_at) \
             SELECT gen_random_uuid(), account_id, id, 'android', 'device-1', '\\x01', now(), now() \
             FROM sessions WHERE account_id = '{}'",
            patient.id
        ))
        .await;
}

/// Something that their devices are told.
async fn tell(world: &World, patient: &Person) {
    world
        .sql(&format!(
            "INSERT INTO jobs (id, kind, payload, state, run_at, created_at) \
             VALUES (gen_random_uuid(), 'identity.send_password_changed', \
                '{{\"account\": \"{}\"}}', 'ready', now(), now())",
            patient.id
        ))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_message_is_repeated_with_its_key_until_the_device_is_gone() {
    let project = Project::new().await;
    let settings = project.settings.clone();
    let world = World::start_with(|config| config.push = Some(settings)).await;
    let asha = world.patient().await;
    device(&world, &asha).await;
    project.double.next([Answer::status(500), Answer::hang_up()]); // of the login
    tell(&world, &asha).await;
    let sent = async |count: usize| {
        let come = async || {
            world.advance(SignedDuration::from_secs(5));
            project.sent().len() == count
        };
        eventually(&format!("{count} messages"), come).await;
        world.settle().await;
    };
    sent(1).await;
    project.double.next([Answer::status(503), Answer::hang_up()]);
    tell(&world, &asha).await;
    sent(4).await;
    let tags: Vec<Value> = project
        .sent()
        .iter()
        .map(|request| request.json()["message"]["android"]["notification"]["tag"].clone())
        .collect();
    assert_eq!(tags[1..], [tags[1].clone(), tags[1].clone(), tags[1].clone()]);
    assert_ne!(tags[0], tags[1], "another message has another key");
    let message = &project.sent()[3].json()["message"];
    assert_eq!(message["token"], "device-1");
    assert_eq!(message["data"]["kind"], "password_changed");

    // The provider does not know the device any more, so nor do we.
    let gone = json!({ "error": { "details": [{ "errorCode": "UNREGISTERED" }] } });
    project.double.next([Answer::status(404).body(gone.to_string())]);
    tell(&world, &asha).await;
    sent(5).await;
    assert!(world.sql("SELECT FROM devices").await.is_empty());
    let deliveries = "SELECT state, reason FROM deliveries WHERE channel = 'push' ORDER BY id";
    let [first, second, third] = [("sent", ""), ("sent", ""), ("skipped", "DEVICE_GONE")]
        .map(|(state, reason)| vec![state.to_owned(), reason.to_owned()]);
    assert_eq!(world.sql(deliveries).await, [first, second, third]);
    tell(&world, &asha).await;
    world.settle().await;
    assert_eq!(project.sent().len(), 5, "there is no device to tell");
    world.finish().await;
}
