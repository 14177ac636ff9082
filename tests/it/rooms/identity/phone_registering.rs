//! Registration with a phone number.

use clinicd_sdk::Code;
use clinicd_sdk::proto::identity::v1::{
    GetMyAccountRequest, PhoneCode, RegisterAccountRequest, SignInRequest, VerifyOtpRequest,
    VerifyOtpResponse,
};
use clinicd_sdk::{Client, Error};
use clinicd_server::identity::jobs::SweepFailures;
use clinicd_server::kernel::jobs::Job;
use clinicd_tests::people::PASSWORD;
use clinicd_tests::{World, refused};
use jiff::SignedDuration;
use uuid::Uuid;

use super::registration;
use crate::rooms::fields;

const NUMBER: &str = "+919812345678";

/// A registration of Ravi Menon with this number.
fn with_phone(email: &str) -> RegisterAccountRequest {
    RegisterAccountRequest { phone: "098123 45678".to_owned(), ..registration(email) }
}

async fn register(world: &World, email: &str) -> PhoneCode {
    let challenge_id = world.client().send(with_phone(email)).await.unwrap().challenge_id;
    PhoneCode { challenge_id, code: world.code_sent_to(NUMBER).await }
}

async fn verify(client: &Client, code: PhoneCode) -> Result<VerifyOtpResponse, Error> {
    client.send(VerifyOtpRequest { phone_code: Some(code), ..Default::default() }).await
}

fn no_entry<T: std::fmt::Debug>(result: Result<T, Error>) {
    refused(result, Code::Unauthenticated, "INVALID_CREDENTIALS");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_alone_is_enough() {
    let world = World::start().await;
    let client = world.client();
    let mut neither = registration("");
    neither.password = String::new();
    let refusal = refused(client.send(neither).await, Code::InvalidArgument, "INVALID_FIELDS");
    assert_eq!(fields(&refusal), ["email", "phone"]);
    let weak = RegisterAccountRequest { password: "my 9812345678".to_owned(), ..with_phone("") };
    refused(client.send(weak).await, Code::InvalidArgument, "WEAK_PASSWORD");

    let code = register(&world, "").await;
    assert_eq!(world.sql("SELECT phone FROM accounts WHERE phone IS NOT NULL").await.len(), 0);
    let phone = || NUMBER.to_owned();
    let by_password =
        || SignInRequest { phone: phone(), password: PASSWORD.to_owned(), ..Default::default() };
    no_entry(client.sign_in_with(by_password()).await);
    let ravi = world.admitted(verify(&client, code).await.unwrap());
    let account = ravi.send(GetMyAccountRequest {}).await.unwrap().account.unwrap();
    assert_eq!((account.phone.as_str(), account.name.unwrap().given.as_str()), (NUMBER, "Ravi"));
    assert_eq!(world.sql("SELECT given_name FROM patients").await, [["Ravi"]]);
    client.sign_in_with(by_password()).await.unwrap();
    world.finish().await;
}

/// Nobody keeps a number from its owner by registering it.
#[tokio::test(flavor = "multi_thread")]
async fn a_number_belongs_to_whoever_confirms_it_first() {
    let world = World::start().await;
    let first = register(&world, "").await;
    world.advance(SignedDuration::from_secs(31));
    let second = register(&world, "").await;
    let answer = verify(&world.client(), second).await.unwrap();
    no_entry(verify(&world.client(), first).await);

    // Who registers it again gets the same answer, and its owner a message a day.
    let mut told = 0;
    for attempt in 0..3 {
        world.advance(SignedDuration::from_secs(31));
        let email = if attempt == 1 { "eve@example.org" } else { "" };
        let response = world.client().send(with_phone(email)).await.unwrap();
        Uuid::parse_str(&response.challenge_id).unwrap();
        let messages = world.sms_to(NUMBER).await;
        told = messages.iter().filter(|sms| sms.text.contains("already have an account")).count();
        assert_eq!(messages.iter().filter(|sms| sms.code().is_some()).count(), 2);
    }
    // Once more when a new day began meanwhile.
    assert!((1..=2).contains(&told), "{told}");
    let holders = world.sql("SELECT id FROM accounts WHERE phone IS NOT NULL").await;
    assert_eq!(holders, [[answer.account_id]]);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn beside_an_address_the_number_is_added() {
    let world = World::start().await;
    let (client, email) = (world.client(), "ravi@example.org");
    let code = register(&world, email).await;
    let waiting = verify(&client, code.clone()).await.unwrap();
    assert_eq!(waiting, VerifyOtpResponse::default(), "the link is still to be opened");
    no_entry(verify(&client, code).await);
    world.activate(email, None).await;
    world.advance(SignedDuration::from_secs(31));
    let code = world.otp(NUMBER).await;
    let by_code = world.admitted(verify(&client, code).await.unwrap());
    let by_password = client.sign_in(email, PASSWORD).await.unwrap();
    assert_eq!(by_code.account_id(), by_password.account_id());

    // The other way round the code comes too late: whoever has the phone is not let in by it.
    let phone = "+919812345699".to_owned();
    let request = RegisterAccountRequest { phone, ..registration("uma@example.org") };
    let challenge_id = client.send(request).await.unwrap().challenge_id;
    world.activate("uma@example.org", None).await;
    let code = PhoneCode { challenge_id, code: world.code_sent_to("+919812345699").await };
    no_entry(verify(&client, code).await);
    world.finish().await;
}

/// Whoever has a phone learns nothing of somebody's address by registering both.
#[tokio::test(flavor = "multi_thread")]
async fn the_code_tells_nothing_of_the_address() {
    let world = World::start().await;
    let asha = world.patient().await;
    let code = register(&world, &asha.email).await;
    assert_eq!(verify(&world.client(), code).await.unwrap(), VerifyOtpResponse::default());
    assert!(world.sql("SELECT 1 FROM accounts WHERE phone IS NOT NULL").await.is_empty());
    // The number is still free.
    world.advance(SignedDuration::from_secs(31));
    world.phone_patient(NUMBER).await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_was_never_opened_keeps_no_number() {
    let world = World::start().await;
    let code = register(&world, "mistyped@example.org").await;
    verify(&world.client(), code).await.unwrap();
    world.advance(SignedDuration::from_secs(30 * 60 + 1));
    let ravi = world.phone_patient(NUMBER).await;
    let holders = world.sql("SELECT id FROM accounts WHERE phone IS NOT NULL").await;
    assert_eq!(holders, [[ravi.id]]);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registration_that_was_never_confirmed_is_forgotten() {
    let world = World::start().await;
    register(&world, "").await;
    world.client().send(registration("slow@example.org")).await.unwrap();
    let names = "SELECT state, given_name, password_hash IS NULL FROM accounts ORDER BY id";
    let forget = async || SweepFailures {}.run(world.app.clone(), world.app.ids.next()).await;
    forget().await.unwrap();
    assert_eq!(world.sql(names).await[0][..2], ["inactive", "Ravi"]);
    world.advance(SignedDuration::from_secs(2 * 24 * 3_600 + 1));
    forget().await.unwrap();
    let rows = world.sql(names).await;
    assert_eq!(rows[0], ["deleted", "", "t"]);
    assert_eq!(rows[1][..2], ["inactive", "Ravi"], "an address keeps waiting for its link");
    world.finish().await;
}
