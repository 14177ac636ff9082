//! No answer of a public method tells whether an address or a number has an account.

use clinicd_proto::rpc::Rpc;
use clinicd_sdk::Code;
use clinicd_sdk::proto::identity::v1::{
    ConfirmRecoveryRequest, PhoneCode, RegisterAccountRequest, RegisterAccountResponse,
    RequestRecoveryRequest, RequestRecoveryResponse, ResendActivationRequest, SendOtpRequest,
    SendOtpResponse, VerifyOtpRequest, confirm_recovery_request::Proof,
};
use clinicd_tests::people::PASSWORD;
use clinicd_tests::wire::{self, Refusal};
use clinicd_tests::{World, refused};
use jiff::SignedDuration;
use prost::Message;
use tonic::transport::Channel;

use super::registration;

/// Numbers of nobody, of an active, a blocked and a closed account, and one that an inactive account
/// has not confirmed.
const NUMBERS: [&str; 5] =
    ["+919812345670", "+919812345671", "+919812345672", "+919812345673", "+919812345674"];
/// The same with addresses.
const ADDRESSES: [&str; 5] = [
    "nobody@example.org",
    "active@example.org",
    "blocked@example.org",
    "closed@example.org",
    "inactive@example.org",
];

/// Accounts of every kind, each with its number and its address.
async fn accounts(world: &World) {
    for (number, address) in NUMBERS.into_iter().zip(ADDRESSES).skip(1) {
        world.client().send(registration(address)).await.unwrap();
        let state = match address {
            "active@example.org" | "closed@example.org" => "active",
            "blocked@example.org" => "blocked",
            _ => continue,
        };
        let wrong_codes = if address == "closed@example.org" { 100 } else { 0 };
        world
            .sql(&format!(
                "UPDATE accounts SET phone = '{number}', state = '{state}', \
                 wrong_codes = {wrong_codes} WHERE email = '{address}'"
            ))
            .await;
    }
    world.settle().await;
    world.advance(SignedDuration::from_secs(61));
}

fn id(world: &World) -> String {
    world.app.ids.next().to_string()
}

async fn answer<R: Rpc>(channel: &Channel, request: &R) -> Vec<u8> {
    wire::send(channel, None, request).await.unwrap()
}

async fn refusal<R: Rpc>(channel: &Channel, request: &R) -> Refusal {
    wire::send(channel, None, request).await.unwrap_err()
}

fn all_equal<T: PartialEq + std::fmt::Debug>(answers: &[T]) {
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_about_numbers_are_equal_to_the_byte() {
    let world = World::start().await;
    accounts(&world).await;
    let channel = wire::channel(world.url());
    let (mut codes, mut recoveries, mut registrations) = (Vec::new(), Vec::new(), Vec::new());
    for number in NUMBERS {
        let phone = number.to_owned();
        let request =
            SendOtpRequest { request_id: id(&world), phone: phone.clone(), ..Default::default() };
        let bytes = answer(&channel, &request).await;
        let mut code = SendOtpResponse::decode(&*bytes).unwrap();
        assert_eq!(code.encode_to_vec(), bytes);
        assert_eq!(code.challenge_id.len(), 36);
        let ends = code.expire_time.take().unwrap();
        let left = ends.seconds - world.app.clock.now().timestamp().as_second();
        assert!((290..=300).contains(&left));
        code.challenge_id.clear();
        codes.push(code);

        world.advance(SignedDuration::from_secs(31));
        let request = RequestRecoveryRequest {
            request_id: id(&world),
            phone: phone.clone(),
            ..Default::default()
        };
        let mut recovery =
            RequestRecoveryResponse::decode(&*answer(&channel, &request).await).unwrap();
        assert_eq!(recovery.challenge_id.len(), 36);
        recovery.challenge_id.clear();
        recoveries.push(recovery);

        world.advance(SignedDuration::from_secs(31));
        let request = RegisterAccountRequest { request_id: id(&world), phone, ..registration("") };
        let mut registration =
            RegisterAccountResponse::decode(&*answer(&channel, &request).await).unwrap();
        assert_eq!(registration.challenge_id.len(), 36);
        registration.challenge_id.clear();
        registrations.push(registration);
    }
    all_equal(&codes);
    all_equal(&recoveries);
    all_equal(&registrations);
    // What was sent is another matter: sign-in, recovery, registration.
    let mut sent = Vec::new();
    for number in NUMBERS {
        let messages = world.sms_to(number).await;
        sent.push(messages.iter().map(|sms| sms.code().is_some()).collect::<Vec<_>>());
    }
    let told = false;
    assert_eq!(
        sent,
        [vec![true, true], vec![true, true, told], vec![told], vec![told], vec![true, true],]
    );
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_about_addresses_are_empty() {
    let world = World::start().await;
    accounts(&world).await;
    let channel = wire::channel(world.url());
    for address in ADDRESSES {
        let (email, request_id) = (address.to_owned(), id(&world));
        let request = ResendActivationRequest { request_id, email: email.clone() };
        assert!(answer(&channel, &request).await.is_empty());
        let request =
            RequestRecoveryRequest { request_id: id(&world), email, ..Default::default() };
        assert!(answer(&channel, &request).await.is_empty());
        let request = RegisterAccountRequest { request_id: id(&world), ..registration(address) };
        assert!(answer(&channel, &request).await.is_empty());
    }
    world.settle().await;
    let subjects = |address: &str| {
        let mails = world.mails_to(address);
        mails.into_iter().skip(1).map(|mail| mail.subject).collect::<Vec<_>>()
    };
    let (exists, recovery) = ("You already have an account", "Choose a new password");
    for (address, expected) in ADDRESSES.into_iter().zip([
        vec![],
        vec![recovery, exists],
        vec![exists],
        vec![recovery, exists],
        // Sent again once; the registration came too soon after it.
        vec!["Activate your account"],
    ]) {
        let mut subjects = subjects(address);
        subjects.sort_unstable();
        assert_eq!(subjects, expected, "{address}");
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_wrong_with_a_code_the_refusal_is_the_same() {
    let world = World::start().await;
    accounts(&world).await;
    let channel = wire::channel(world.url());
    let mut refusals = Vec::new();
    let mut challenges = vec![id(&world)];
    for number in NUMBERS {
        let phone = number.to_owned();
        let request = SendOtpRequest { phone, ..Default::default() };
        challenges.push(world.client().send(request).await.unwrap().challenge_id);
    }
    let email = ADDRESSES[1].to_owned();
    let request = RequestRecoveryRequest { email, ..Default::default() };
    world.client().send(request).await.unwrap();
    let mailed = "SELECT id FROM challenges WHERE purpose = 'recovery'";
    challenges.push(world.sql(mailed).await[0][0].clone());
    for challenge_id in challenges {
        let code = PhoneCode { challenge_id, code: "no code".to_owned() };
        let request = VerifyOtpRequest {
            request_id: id(&world),
            phone_code: Some(code.clone()),
            ..Default::default()
        };
        refusals.push(refusal(&channel, &request).await);
        let request = ConfirmRecoveryRequest {
            request_id: id(&world),
            proof: Some(Proof::PhoneCode(code)),
            new_password: PASSWORD.to_owned(),
        };
        refusals.push(refusal(&channel, &request).await);
    }
    for token in ["nonsense", "01010101010101010101010101010101.x"] {
        let request = ConfirmRecoveryRequest {
            request_id: id(&world),
            proof: Some(Proof::RecoveryToken(token.to_owned())),
            new_password: PASSWORD.to_owned(),
        };
        refusals.push(refusal(&channel, &request).await);
    }
    all_equal(&refusals);
    let first = Err::<(), _>(refusals.swap_remove(0).into_error());
    refused(first, Code::Unauthenticated, "INVALID_CREDENTIALS");
    world.finish().await;
}
