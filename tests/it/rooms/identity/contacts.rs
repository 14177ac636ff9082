//! A new address or number: confirmed by whoever reads it, told to the old one too.

use clinicd_sdk::proto::identity::v1::{
    ChangeEmailRequest, ChangePhoneRequest, ConfirmContactChangeRequest,
    ConfirmContactChangeResponse, PhoneCode, RequestRecoveryRequest,
    confirm_contact_change_request::Proof,
};
use clinicd_sdk::{Client, Code, Error};
use clinicd_tests::mail::Mail;
use clinicd_tests::people::PASSWORD;
use clinicd_tests::{Person, World, refused};
use jiff::SignedDuration;

use super::registration;

const OLD: &str = "+919812345678";
const NEW: &str = "+919812345679";

fn no_entry<T: std::fmt::Debug>(result: Result<T, Error>) {
    refused(result, Code::Unauthenticated, "INVALID_CREDENTIALS");
}

async fn change_email(client: &Client, email: &str) -> Result<(), Error> {
    let request = ChangeEmailRequest { email: email.to_owned(), ..Default::default() };
    client.send(request).await.map(drop)
}

async fn change_phone(client: &Client, phone: &str) -> Result<String, Error> {
    let request = ChangePhoneRequest { phone: phone.to_owned(), ..Default::default() };
    client.send(request).await.map(|answer| answer.challenge_id)
}

async fn confirm(client: &Client, proof: Proof) -> Result<ConfirmContactChangeResponse, Error> {
    client.send(ConfirmContactChangeRequest { proof: Some(proof), ..Default::default() }).await
}

/// The token of the newest link that was mailed to a new address.
async fn mailed(world: &World, email: &str) -> Proof {
    world.settle().await;
    let is_it = |mail: &Mail| mail.subject == "Confirm your new address";
    let mail = world.mail_to(email, is_it).await;
    assert!(mail.link().unwrap().contains("/confirm-email?token="));
    Proof::EmailToken(mail.token().unwrap().to_owned())
}

async fn texted(world: &World, person: &Person, number: &str) -> Proof {
    let challenge_id = change_phone(&person.client, number).await.unwrap();
    Proof::PhoneCode(PhoneCode { challenge_id, code: world.code_sent_to(number).await })
}

/// The notices of a change that an address has got.
async fn notices(world: &World, email: &str) -> Vec<String> {
    world.settle().await;
    let mails = world.mails_to(email).into_iter();
    let notices = mails.filter(|mail| mail.subject == "Your contact details have been changed");
    notices.map(|mail| mail.text).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_address_is_confirmed_and_told_to_the_old_one() {
    let world = World::start().await;
    let (asha, eve) = (world.patient().await, world.patient().await);
    let new = "Asha.New@Example.org";
    change_email(&asha.client, "asha.first@example.org").await.unwrap();
    let first = mailed(&world, "asha.first@example.org").await;
    change_email(&asha.client, new).await.unwrap();
    let proof = mailed(&world, new).await;
    no_entry(confirm(&asha.client, first).await);
    no_entry(confirm(&eve.client, proof.clone()).await);
    world.client().sign_in(&asha.email, PASSWORD).await.unwrap();
    // A link to the old address must not open the account later.
    let request = RequestRecoveryRequest { email: asha.email.clone(), ..Default::default() };
    world.client().send(request).await.unwrap();

    let account = confirm(&asha.client, proof.clone()).await.unwrap().account.unwrap();
    assert_eq!(account.email, new);
    no_entry(confirm(&asha.client, proof).await);
    no_entry(world.client().sign_in(&asha.email, PASSWORD).await);
    world.client().sign_in(&new.to_lowercase(), PASSWORD).await.unwrap();
    let (old_told, new_told) = (notices(&world, &asha.email).await, notices(&world, new).await);
    assert!(old_told.len() == 1 && old_told[0].contains("no longer belongs"), "{old_told:?}");
    assert!(new_told.len() == 1 && !new_told[0].contains("no longer belongs"), "{new_told:?}");
    let open = "SELECT 1 FROM challenges WHERE used_at IS NULL AND account_id";
    assert!(world.sql(&format!("{open} = '{}'", asha.id)).await.is_empty());
    for payload in world.sql("SELECT payload FROM jobs").await.concat() {
        assert!(!payload.contains('@'), "{payload}");
    }
    let events = "SELECT account_id FROM events WHERE event_type = 'account.contact_changed'";
    assert_eq!(world.sql(events).await, [[asha.id]]);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_of_somebody_else_gets_the_same_answer() {
    let world = World::start().await;
    let (asha, uma) = (world.patient().await, world.patient().await);
    change_email(&asha.client, &uma.email.to_uppercase()).await.unwrap();
    world.settle().await;
    let subjects: Vec<_> =
        world.mails_to(&uma.email).into_iter().map(|mail| mail.subject).collect();
    assert!(subjects.contains(&"You already have an account".to_owned()), "{subjects:?}");
    assert!(!subjects.contains(&"Confirm your new address".to_owned()), "{subjects:?}");
    // Taken by somebody while the link was on its way.
    change_email(&asha.client, "late@example.org").await.unwrap();
    let proof = mailed(&world, "late@example.org").await;
    world.client().send(registration("late@example.org")).await.unwrap();
    no_entry(confirm(&asha.client, proof).await);
    world.again(&asha).await;
    for attempt in 0..3 {
        change_email(&asha.client, &format!("other{attempt}@example.org")).await.unwrap();
    }
    let over = change_email(&asha.client, "sixth@example.org").await;
    refused(over, Code::ResourceExhausted, "RATE_LIMITED");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_number_is_confirmed_and_told_to_the_old_one() {
    let world = World::start().await;
    let ravi = world.phone_patient(OLD).await;
    let told = async |number: &str| {
        let messages = world.sms_to(number).await;
        messages
            .into_iter()
            .filter(|sms| sms.code().is_none() && !sms.text.contains("is active"))
            .map(|sms| sms.text)
            .collect::<Vec<_>>()
    };
    let proof = texted(&world, &ravi, NEW).await;
    let account = confirm(&ravi.client, proof.clone()).await.unwrap().account.unwrap();
    assert_eq!(account.phone, NEW);
    no_entry(confirm(&ravi.client, proof).await);
    let (old_told, new_told) = (told(OLD).await, told(NEW).await);
    assert!(old_told.len() == 1 && old_told[0].contains("no longer belongs"), "{old_told:?}");
    assert!(new_told.len() == 1 && new_told[0].contains("has been changed"), "{new_told:?}");

    // The old number is free for another person, whose it stays.
    world.advance(SignedDuration::from_secs(61));
    let uma = world.phone_patient(OLD).await;
    assert_ne!(uma.id, ravi.id);
    world.advance(SignedDuration::from_secs(31));
    let sent = world.sms_to(OLD).await.len();
    change_phone(&ravi.client, OLD).await.unwrap();
    let messages = world.sms_to(OLD).await;
    assert_eq!(messages.len(), sent + 1);
    assert!(messages[sent].text.contains("already have an account"), "{:?}", messages[sent]);

    // A first address is told to the number.
    change_email(&ravi.client, "ravi@example.org").await.unwrap();
    let proof = mailed(&world, "ravi@example.org").await;
    confirm(&ravi.client, proof).await.unwrap();
    assert_eq!(told(NEW).await.len(), 2);
    assert_eq!(notices(&world, "ravi@example.org").await.len(), 1);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_contact_changes_only_after_a_recent_sign_in() {
    let world = World::start().await;
    let asha = world.patient().await;
    world.advance(SignedDuration::from_secs(5 * 60 + 1));
    let late = change_email(&asha.client, "new@example.org").await;
    refused(late, Code::FailedPrecondition, "REAUTH_REQUIRED");
    let late = change_phone(&asha.client, NEW).await;
    refused(late, Code::FailedPrecondition, "REAUTH_REQUIRED");
    let asha = world.again(&asha).await;
    let proof = texted(&world, &asha, NEW).await;
    // Wrong codes block the number here too.
    let Proof::PhoneCode(code) = &proof else { unreachable!() };
    let wrong = PhoneCode { code: "wrong".to_owned(), ..code.clone() };
    for _ in 0..5 {
        no_entry(confirm(&asha.client, Proof::PhoneCode(wrong.clone())).await);
    }
    let blocked = confirm(&asha.client, proof).await;
    refused(blocked, Code::ResourceExhausted, "TOO_MANY_ATTEMPTS");
    assert_eq!(
        world.sql("SELECT phone, wrong_codes FROM accounts").await.concat().last().unwrap(),
        "0"
    );
    world.finish().await;
}
