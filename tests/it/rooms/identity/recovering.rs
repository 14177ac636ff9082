//! Lost passwords, and links that are sent again.

use clinicd_sdk::proto::identity::v1::{
    ConfirmActivationRequest, ConfirmRecoveryRequest, ConfirmRecoveryResponse, GetMyAccountRequest,
    PhoneCode, RequestRecoveryRequest, ResendActivationRequest, SignInRequest,
    StartRecoveryForRequest, VerifyOtpRequest, confirm_recovery_request::Proof,
};
use clinicd_sdk::{Client, Code, Error};
use clinicd_tests::mail::Mail;
use clinicd_tests::people::PASSWORD;
use clinicd_tests::{Person, World, eventually, refused, wire};
use futures_util::future::join_all;
use jiff::SignedDuration;

use super::registration;
use crate::rooms::COUNTS;

const NUMBER: &str = "+919812345678";
const NEW: &str = "another-quiet-lantern";

fn no_entry<T: std::fmt::Debug>(result: Result<T, Error>) {
    refused(result, Code::Unauthenticated, "INVALID_CREDENTIALS");
}

fn with_token(token: &str, new: &str) -> ConfirmRecoveryRequest {
    let proof = Some(Proof::RecoveryToken(token.to_owned()));
    ConfirmRecoveryRequest { proof, new_password: new.to_owned(), ..Default::default() }
}

async fn with_code(world: &World, code: &PhoneCode) -> Result<ConfirmRecoveryResponse, Error> {
    let (proof, new_password) = (Some(Proof::PhoneCode(code.clone())), NEW.to_owned());
    let request = ConfirmRecoveryRequest { proof, new_password, ..Default::default() };
    world.client().send(request).await
}

fn is_recovery(mail: &Mail) -> bool {
    mail.subject == "Choose a new password"
}

async fn ask(world: &World, email: &str) {
    let request = RequestRecoveryRequest { email: email.to_owned(), ..Default::default() };
    world.client().send(request).await.unwrap();
}

/// Asks for a link and returns its token.
async fn mailed(world: &World, email: &str) -> String {
    ask(world, email).await;
    world.settle().await;
    world.mail_to(email, is_recovery).await.token().unwrap().to_owned()
}

async fn code_for(world: &World, number: &str) -> PhoneCode {
    let request = RequestRecoveryRequest { phone: number.to_owned(), ..Default::default() };
    let challenge_id = world.client().send(request).await.unwrap().challenge_id;
    PhoneCode { challenge_id, code: world.code_sent_to(number).await }
}

#[tokio::test(flavor = "multi_thread")]
async fn recovery_sets_a_password_and_ends_every_session() {
    let world = World::start().await;
    let asha = world.patient().await;
    let second = world.second_server().await;
    let servers = [wire::channel(world.url()), wire::channel(&second.url)];
    let token = wire::access_token(&asha);
    for server in &servers {
        wire::send(server, Some(&token), &GetMyAccountRequest {}).await.unwrap();
    }
    let email = asha.email.to_uppercase();
    ask(&world, &email).await;
    let mail = world.mail_to(&asha.email, is_recovery).await;
    let link = mail.link().unwrap();
    assert!(link.contains("/recover?token="), "{link}");
    let recovery = mail.token().unwrap().to_owned();

    let weak = world.client().send(with_token(&recovery, "asha and the sea")).await;
    refused(weak, Code::InvalidArgument, "WEAK_PASSWORD");
    let short = world.client().send(with_token(&recovery, "eleven char")).await;
    refused(short, Code::InvalidArgument, "WEAK_PASSWORD");
    no_entry(world.client().send(with_token(&format!("{recovery}x"), NEW)).await);
    world.client().send(with_token(&recovery, NEW)).await.unwrap();
    tokio::time::sleep(COUNTS).await;
    for server in &servers {
        let ended = wire::send(server, Some(&token), &GetMyAccountRequest {}).await.unwrap_err();
        assert_eq!(ended.code, Code::Unauthenticated);
    }
    no_entry(world.client().send(with_token(&recovery, NEW)).await);
    no_entry(world.client().sign_in(&asha.email, PASSWORD).await);
    world.client().sign_in(&asha.email, NEW).await.unwrap();
    world.mail_to(&asha.email, |mail| mail.subject == "Your password has been changed").await;
    let history = "SELECT success FROM sign_ins WHERE method = 'recovery' ORDER BY id";
    assert_eq!(world.sql(history).await.concat(), ["f", "t", "f"]);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_works_once_for_half_an_hour_and_is_mailed_once_a_minute() {
    let world = World::start().await;
    let asha = world.patient().await;
    let first = mailed(&world, &asha.email).await;
    assert_eq!(mailed(&world, &asha.email).await, first, "not again within a minute");
    world.advance(SignedDuration::from_secs(61));
    let second = mailed(&world, &asha.email).await;
    no_entry(world.client().send(with_token(&first, NEW)).await);
    world.advance(SignedDuration::from_secs(30 * 60));
    no_entry(world.client().send(with_token(&second, NEW)).await);
    world.finish().await;
}

/// Without the count, seven links an hour were mailed.
#[tokio::test(flavor = "multi_thread")]
async fn an_address_gets_so_many_links_and_no_more() {
    let world = World::start().await;
    let asha = world.patient().await;
    let ravi = "ravi@example.org";
    world.client().send(registration(ravi)).await.unwrap();
    let mut sent = Vec::new();
    for attempt in 0..13 {
        // Seven in an hour, and then one an hour.
        world.advance(SignedDuration::from_secs(if attempt < 7 { 61 } else { 3_601 }));
        ask(&world, &asha.email).await;
        let request = ResendActivationRequest { email: ravi.to_owned(), ..Default::default() };
        world.client().send(request).await.unwrap();
        world.settle().await;
        let links = world.mails_to(&asha.email).iter().filter(|mail| is_recovery(mail)).count();
        sent.push((links, world.mails_to(ravi).len() - 1));
        if attempt == 6 {
            // The last one that was sent is still good.
            let last = world.mails_to(&asha.email).into_iter().rfind(is_recovery);
            let token = last.unwrap().token().unwrap().to_owned();
            world.client().send(with_token(&token, NEW)).await.unwrap();
        }
    }
    let counts = [1, 2, 3, 4, 5, 5, 5, 6, 7, 8, 9, 10, 10];
    assert_eq!(sent, counts.map(|count| (count, count)));
    // An admin who has seen the owner can still send one.
    world.advance(SignedDuration::from_secs(61));
    start(&world.superuser().await, &asha.id).await.unwrap();
    world.finish().await;
}

/// Without `used_at IS NULL` in `UseChallenge` and `is_live`, all twenty set a password.
#[tokio::test(flavor = "multi_thread")]
async fn of_parallel_uses_of_a_link_one_counts() {
    let world = World::start().await;
    let asha = world.patient().await;
    let token = mailed(&world, &asha.email).await;
    let second = world.second_server().await;
    let uses = (0..20).map(|number| {
        let client = if number % 2 == 0 { world.client() } else { second.client() };
        let request = with_token(&token, NEW);
        tokio::spawn(async move { client.send(request).await })
    });
    let uses: Vec<_> = join_all(uses).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(uses.iter().filter(|answer| answer.is_ok()).count(), 1);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_recovers_an_account_and_is_good_for_nothing_else() {
    let world = World::start().await;
    let ravi = world.phone_patient(NUMBER).await;
    world.advance(SignedDuration::from_secs(31));
    let recovery = code_for(&world, NUMBER).await;
    world.advance(SignedDuration::from_secs(31));
    let sign_in = world.otp(NUMBER).await;
    // A code to sign in recovers nothing, and the other way round.
    no_entry(with_code(&world, &sign_in).await);
    let request = VerifyOtpRequest { phone_code: Some(recovery.clone()), ..Default::default() };
    no_entry(world.client().send(request).await);

    with_code(&world, &recovery).await.unwrap();
    eventually("the session ends", async || {
        ravi.client.send(GetMyAccountRequest {}).await.is_err()
    })
    .await;
    no_entry(with_code(&world, &recovery).await);
    let request =
        SignInRequest { phone: NUMBER.to_owned(), password: NEW.to_owned(), ..Default::default() };
    world.client().sign_in_with(request).await.unwrap();
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_factor_is_still_asked_for_after_a_recovery() {
    let world = World::start().await;
    let asha = world.patient().await;
    world
        .sql(&format!(
            "INSERT INTO second_factors (account_id, sealed_secret, confirmed_at, created_at) \
             VALUES ('{}', 'x', now(), now())",
            asha.id
        ))
        .await;
    let token = mailed(&world, &asha.email).await;
    let short = "qu!et9sea";
    world.client().send(with_token(&token, short)).await.unwrap();
    let (email, password) = (asha.email.clone(), short.to_owned());
    let request = SignInRequest { email, password, ..Default::default() };
    let answer = world.client().send(request).await.unwrap();
    assert!(answer.tokens.is_none() && answer.second_factor.is_some());
    assert_eq!(world.sql("SELECT short_password FROM accounts").await, [["t"]]);
    world.finish().await;
}

async fn start(by: &Person, id: &str) -> Result<(), Error> {
    let request = StartRecoveryForRequest { account_id: id.to_owned(), ..Default::default() };
    by.client.send(request).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_admin_starts_a_recovery_and_learns_nothing_of_it() {
    let world = World::start().await;
    let (owner, admin) = (world.superuser().await, world.admin().await);
    let (asha, ravi) = (world.patient().await, world.phone_patient(NUMBER).await);
    let denied =
        |result: Result<(), Error>, reason: &str| refused(result, Code::PermissionDenied, reason);
    denied(start(&asha, &ravi.id).await, "ROLE_REQUIRED");
    denied(start(&admin, &admin.id).await, "OWN_RECORD");
    for other in [&owner.id, &world.new_admin().await.id] {
        let refusal = denied(start(&admin, other).await, "ROLE_REQUIRED");
        assert_eq!(refusal.metadata["roles"], "superuser");
    }
    let nobody = world.app.ids.next().to_string();
    refused(start(&admin, &nobody).await, Code::NotFound, "NOT_FOUND");
    let blocked = world.patient().await;
    world.sql(&format!("UPDATE accounts SET state = 'blocked' WHERE id = '{}'", blocked.id)).await;
    let refusal =
        refused(start(&admin, &blocked.id).await, Code::FailedPrecondition, "WRONG_STATE");
    assert_eq!(refusal.metadata["state"], "blocked");

    start(&admin, &asha.id).await.unwrap();
    let again = start(&admin, &asha.id).await;
    refused(again, Code::ResourceExhausted, "RATE_LIMITED");
    let mail = world.mail_to(&asha.email, is_recovery).await;
    world.client().send(with_token(mail.token().unwrap(), NEW)).await.unwrap();
    world.advance(SignedDuration::from_secs(31));
    start(&admin, &ravi.id).await.unwrap();
    let challenge = "SELECT id FROM challenges WHERE purpose = 'recovery' AND used_at IS NULL";
    let challenge_id = world.sql(challenge).await[0][0].clone();
    let code = PhoneCode { challenge_id, code: world.code_sent_to(NUMBER).await };
    with_code(&world, &code).await.unwrap();
    start(&owner, &admin.id).await.unwrap();

    let events = "SELECT resource_id, actor_id, stand_in FROM events \
                  WHERE event_type = 'account.recovery_started' ORDER BY seq";
    let event = |about: &Person, by: &Person| [about.id.clone(), by.id.clone(), "t".to_owned()];
    assert_eq!(
        world.sql(events).await,
        [event(&asha, &admin), event(&ravi, &admin), event(&admin, &owner)]
    );
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_activation_link_is_sent_again_once_a_minute() {
    let world = World::start().await;
    let email = "ravi@example.org";
    let resend = async || {
        let request = ResendActivationRequest { email: email.to_owned(), ..Default::default() };
        world.client().send(request).await.unwrap();
        world.settle().await;
        world.mails_to(email).len()
    };
    let confirm = async |client: &Client, mail: usize| {
        let activation_token = world.mails_to(email)[mail].token().unwrap().to_owned();
        client.send(ConfirmActivationRequest { activation_token, ..Default::default() }).await
    };
    world.client().send(registration(email)).await.unwrap();
    assert_eq!(resend().await, 1);
    world.advance(SignedDuration::from_secs(61));
    assert_eq!(resend().await, 2);
    assert_eq!(resend().await, 2);
    no_entry(confirm(&world.client(), 0).await);
    // One that is dead is replaced as well.
    world.advance(SignedDuration::from_secs(31 * 60));
    assert_eq!(resend().await, 3);
    no_entry(confirm(&world.client(), 1).await);
    confirm(&world.client(), 2).await.unwrap();
    world.client().sign_in(email, PASSWORD).await.unwrap();
    world.advance(SignedDuration::from_secs(61));
    let mails = world.mails_to(email).len();
    assert!(resend().await <= mails + 1, "nothing but the welcome");
    world.finish().await;
}
