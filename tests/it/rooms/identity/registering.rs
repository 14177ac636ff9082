//! Registration and the mailed link.

use clinicd_sdk::Code;
use clinicd_sdk::proto::access::v1::Role;
use clinicd_sdk::proto::identity::v1::{
    AccountState, ConfirmActivationRequest, GetMyAccountRequest, RegisterAccountRequest,
};
use clinicd_tests::people::PASSWORD;
use clinicd_tests::{World, refused, wire};
use futures_util::future::join_all;
use jiff::SignedDuration;

use super::registration;
use crate::rooms::fields;

fn confirmation(token: &str) -> ConfirmActivationRequest {
    ConfirmActivationRequest { activation_token: token.to_owned(), ..Default::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_opens_with_the_mailed_link() {
    let world = World::start().await;
    let (client, email) = (world.client(), "Ravi.Menon@Example.org");
    client.send(registration(email)).await.unwrap();
    let early = client.sign_in(email, PASSWORD).await;
    refused(early, Code::Unauthenticated, "INVALID_CREDENTIALS");

    world.activate(email, None).await;
    let ravi = client.sign_in(" ravi.menon@EXAMPLE.org ", PASSWORD).await.unwrap();
    let account = ravi.send(GetMyAccountRequest {}).await.unwrap().account.unwrap();
    assert_eq!(account.email, email, "as the person wrote it");
    assert_eq!(account.state(), AccountState::Active);
    assert_eq!(account.roles().collect::<Vec<_>>(), [Role::Patient]);
    assert_eq!(account.language, "en");
    world.mail_to(email, |mail| mail.subject == "Welcome").await;
    world.finish().await;
}

/// Without `used_at IS NULL` and the check of the state, all five uses succeeded.
#[tokio::test(flavor = "multi_thread")]
async fn a_link_works_once_and_for_half_an_hour() {
    let world = World::start().await;
    let client = world.client();
    let used_up = |result| refused(result, Code::Unauthenticated, "INVALID_CREDENTIALS");
    client.send(registration("one@example.org")).await.unwrap();
    client.send(registration("two@example.org")).await.unwrap();
    let one = world.token_in_mail("one@example.org").await;
    let two = world.token_in_mail("two@example.org").await;

    let forged = [
        format!("{one}x"),
        one[..one.len() - 2].to_owned(),
        format!("{}.{}", one.split('.').next().unwrap(), two.split('.').nth(1).unwrap()),
        "not a token".to_owned(),
    ];
    for token in forged {
        used_up(client.send(confirmation(&token)).await);
    }
    let password = Some("another-quiet-lantern".to_owned());
    let replaced = client.send(ConfirmActivationRequest { password, ..confirmation(&one) }).await;
    let refusal = refused(replaced, Code::InvalidArgument, "INVALID_FIELDS");
    assert_eq!(fields(&refusal), ["password"]);

    let uses = join_all((0..5).map(|_| client.send(confirmation(&one)))).await;
    let (good, bad): (Vec<_>, Vec<_>) = uses.into_iter().partition(Result::is_ok);
    assert_eq!(good.len(), 1);
    for result in bad {
        used_up(result);
    }
    used_up(client.send(confirmation(&one)).await);

    world.advance(SignedDuration::from_secs(30 * 60 + 1));
    used_up(client.send(confirmation(&two)).await);
    refused(
        client.sign_in("two@example.org", PASSWORD).await,
        Code::Unauthenticated,
        "INVALID_CREDENTIALS",
    );
    client.send(registration("two@example.org")).await.unwrap();
    let is_new = |mail: &clinicd_tests::mail::Mail| mail.token().is_some_and(|new| new != two);
    let again = world.mail_to("two@example.org", is_new).await;
    client.send(confirmation(again.token().unwrap())).await.unwrap();
    client.sign_in("two@example.org", PASSWORD).await.unwrap();
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_known_address_is_told_to_its_owner_and_to_nobody_else() {
    let world = World::start().await;
    let asha = world.patient().await;
    let channel = wire::channel(world.url());
    let mut answers = Vec::new();
    for email in ["new@example.org", &asha.email, &asha.email.to_uppercase()] {
        let request = RegisterAccountRequest {
            request_id: world.app.ids.next().to_string(),
            password: "another-quiet-lantern".to_owned(),
            ..registration(email)
        };
        answers.push(wire::send(&channel, None, &request).await.unwrap());
    }
    assert_eq!(answers, [Vec::<u8>::new(), Vec::new(), Vec::new()]);
    let told = |mail: &clinicd_tests::mail::Mail| mail.subject == "You already have an account";
    world.mail_to(&asha.email, told).await;
    world.settle().await;
    let mails = world.mails_to(&asha.email);
    assert_eq!(mails.iter().filter(|mail| told(mail)).count(), 1, "not with every attempt");
    world.again(&asha).await;
    let theirs = world.client().sign_in(&asha.email, "another-quiet-lantern").await;
    refused(theirs, Code::Unauthenticated, "INVALID_CREDENTIALS");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn weak_passwords_are_refused() {
    let world = World::start().await;
    let register = async |password: &str| {
        let request = RegisterAccountRequest {
            password: password.to_owned(),
            ..registration("ravi.menon@example.org")
        };
        world.client().send(request).await
    };
    let long = "ä".repeat(129);
    for weak in [
        "elevenchars",
        "Password2026!",
        "qwertyuiop12",
        "the menon lighthouse",
        "MyClinicD-2026",
        "ravi.menon@example.org",
        &long,
    ] {
        refused(register(weak).await, Code::InvalidArgument, "WEAK_PASSWORD");
    }
    let refusal = refused(register("").await, Code::InvalidArgument, "INVALID_FIELDS");
    assert_eq!(fields(&refusal), ["password"]);
    assert!(world.sql("SELECT 1 FROM accounts").await.is_empty());
    register("नमस्ते दोस्त, कैसे").await.unwrap();
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_fault_of_a_registration_is_told_at_once() {
    let world = World::start().await;
    let mut request = registration("not an address");
    request.request_id = "1".to_owned();
    request.password = "\0".to_owned();
    request.name.as_mut().unwrap().given = String::new();
    request.name.as_mut().unwrap().family = "x".repeat(201);
    let answer = world.client().send(request).await;
    let refusal = refused(answer, Code::InvalidArgument, "INVALID_FIELDS");
    assert_eq!(fields(&refusal), ["request_id", "email", "password", "name.given", "name.family"]);
    // What only the room can judge is told at once as well.
    let mut request = registration("ravi@example.org");
    request.name.as_mut().unwrap().given = " \u{3000} ".to_owned();
    request.name.as_mut().unwrap().family = "Men\u{202e}on".to_owned();
    request.language = "hindi language".to_owned();
    let answer = world.client().send(request).await;
    let refusal = refused(answer, Code::InvalidArgument, "INVALID_FIELDS");
    assert_eq!(fields(&refusal), ["name.given", "name.family", "language"]);
    world.finish().await;
}
