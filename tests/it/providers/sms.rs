//! Text messages through a provider with Twilio's API, against a double of it.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clinicd_server::kernel::ports::sms::{Message, TwilioSettings};
use clinicd_server::kernel::ports::{PortError, Sms};
use clinicd_server::kernel::secret::Secret;
use clinicd_tests::http_double::{Answer, HttpDouble, Received};
use clinicd_tests::{World, eventually, full};
use jiff::SignedDuration;
use uuid::Uuid;

const NUMBER: &str = "+919812345678";
const KEY: &str = "0198c0de-0000-7000-8000-000000000001";

fn settings(double: &HttpDouble) -> TwilioSettings {
    TwilioSettings {
        address: double.url.clone(),
        account: "AC42".to_owned(),
        token: Secret("egrets".to_owned()),
        from: "+15550000000".to_owned(),
        ca_certificate: None,
    }
}

async fn send(sms: &Sms) -> Result<(), PortError> {
    let message = Message {
        key: Uuid::try_parse(KEY).unwrap(),
        at: "2026-11-20T10:00:05Z".parse().unwrap(),
        to: NUMBER.to_owned(),
        text: "कोड 123 456 & more".to_owned(),
    };
    sms.send(&message).await
}

fn form(request: &Received) -> HashMap<String, String> {
    form_urlencoded::parse(&request.body).into_owned().collect()
}

/// What every request has to be.
fn check(request: &Received) {
    assert_eq!(request.method, "POST");
    assert_eq!(request.path, "/2010-04-01/Accounts/AC42/Messages.json");
    assert_eq!(
        request.header("authorization"),
        format!("Basic {}", STANDARD.encode("AC42:egrets"))
    );
    assert_eq!(request.header("content-type"), "application/x-www-form-urlencoded");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_provider_gets_the_message_and_its_key() {
    let double = HttpDouble::start().await;
    double.rule(|_| Answer::status(201).body(r#"{"sid": "SM1"}"#));
    let sms = Sms::twilio(&settings(&double)).unwrap();
    send(&sms).await.unwrap();
    let requests = double.received();
    let [request] = &requests[..] else { panic!("{requests:?}") };
    check(request);
    assert_eq!(request.header("idempotency-key"), KEY);
    let fields = [("To", NUMBER), ("From", "+15550000000"), ("Body", "कोड 123 456 & more")];
    let fields = fields.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(form(request), HashMap::from(fields));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_provider_answers_is_for_now_or_for_good() {
    let double = HttpDouble::start().await;
    let sms = Sms::twilio(&settings(&double)).unwrap();
    let number = r#"{"code": 21211, "message": "'+919812345678' is not a number"}"#;
    let busy = Answer::status(429).header("retry-after", "7");
    for (answer, temporary, code, pause) in [
        (Answer::status(400).body(number), false, Some(21_211), None),
        (Answer::status(404), false, Some(404), None),
        (Answer::status(401), true, Some(401), None),
        (busy, true, Some(429), Some(Duration::from_secs(7))),
        (Answer::status(500), true, Some(500), None),
        (Answer::status(503).body("<html>"), true, Some(503), None),
        (Answer::status(302).header("location", "https://example.org"), false, Some(302), None),
        (Answer::hang_up(), true, None, None),
        (Answer::status(500).body(vec![b'x'; 100_000]), true, None, None),
    ] {
        let status = answer.status;
        double.next([answer]);
        let error = send(&sms).await.unwrap_err();
        let (PortError::Temporary { code: given, .. } | PortError::Permanent { code: given, .. }) =
            error
        else {
            panic!("{error:?}")
        };
        assert_eq!((error.is_temporary(), given), (temporary, code), "{status}");
        assert_eq!(error.retry_after(), pause, "{status}");
        assert!(!error.to_string().contains("98123"), "{error}");
    }
    let requests = double.received();
    assert!(requests.iter().all(|request| request.header("idempotency-key") == KEY));
    send(&sms).await.unwrap();
}

/// It takes half a minute, so only where the long tests run.
#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_says_nothing_is_left_after_half_a_minute() {
    if !full() {
        return;
    }
    let double = HttpDouble::start().await;
    double.next([Answer::ok().after(Duration::from_mins(1))]);
    let begun = Instant::now();
    let error = send(&Sms::twilio(&settings(&double)).unwrap()).await.unwrap_err();
    assert!(error.is_temporary());
    assert!((29..35).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
}

/// The provider knows the key: what it has sent already it does not send again. Here it goes away in
/// the middle of its first answers.
#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_repeated_with_its_key_until_it_is_taken() {
    let double = HttpDouble::start().await;
    let world = World::start_with(|config| config.sms = Some(settings(&double))).await;
    double.next([
        Answer::status(429).header("retry-after", "3"),
        Answer::status(500),
        Answer::hang_up(),
    ]);
    world.welcome_by_sms(1).await;
    let taken = async || {
        world.advance(SignedDuration::from_secs(5));
        double.received().len() == 4
    };
    eventually("the message is taken", taken).await;
    world.settle().await;
    let requests = double.received();
    assert_eq!(requests.len(), 4);
    requests.iter().for_each(check);
    let keys: Vec<&str> =
        requests.iter().map(|request| request.header("idempotency-key")).collect();
    assert_eq!(keys, [keys[0]; 4]);
    assert!(Uuid::try_parse(keys[0]).is_ok());
    let first = form(&requests[0]);
    assert_eq!((first["To"].as_str(), first["From"].as_str()), ("+917000000001", "+15550000000"));
    assert!(!first["Body"].is_empty());
    assert!(requests.iter().all(|request| form(request) == first));
    world.finish().await;
}
