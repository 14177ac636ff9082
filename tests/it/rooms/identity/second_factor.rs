//! The second factor: set up, asked for, lost, removed.

use clinicd_sdk::proto::identity::v1::{
    ChangePasswordRequest, ConfirmSecondFactorRequest, EnrollSecondFactorRequest,
    EnrollSecondFactorResponse, GetMyAccountRequest, RegenerateRecoveryCodesRequest,
    RemoveSecondFactorRequest, SecondFactorChallenge,
};
use clinicd_sdk::{Client, Code, Error};
use clinicd_tests::people::PASSWORD;
use clinicd_tests::{Person, World, refused};
use futures_util::future::join_all;
use jiff::SignedDuration;
use totp_rs::{Secret, Totp};

use crate::rooms::COUNTS;

/// Somebody with an authenticator app.
struct Owner {
    person: Person,
    app: Totp,
    recovery_codes: Vec<String>,
}

/// What the app shows.
fn shown(world: &World, app: &Totp) -> String {
    let seconds = world.app.clock.now().timestamp().as_second();
    app.generate(u64::try_from(seconds).unwrap()).to_string()
}

fn app_of(enrolled: &EnrollSecondFactorResponse) -> Totp {
    assert!(enrolled.otpauth_uri.contains(&format!("secret={}", enrolled.secret)));
    let secret = Secret::try_from_base32(&enrolled.secret).unwrap();
    totp_rs::Builder::new().with_secret(secret).build().unwrap()
}

async fn confirm(client: &Client, code: String) -> Result<Vec<String>, Error> {
    let request = ConfirmSecondFactorRequest { code, ..Default::default() };
    client.send(request).await.map(|answer| answer.recovery_codes)
}

async fn owner(world: &World) -> Owner {
    let person = world.patient().await;
    let enrolled = person.client.send(EnrollSecondFactorRequest::default()).await.unwrap();
    let app = app_of(&enrolled);
    let recovery_codes = confirm(&person.client, shown(world, &app)).await.unwrap();
    // The next code is another one.
    world.advance(SignedDuration::from_secs(30));
    Owner { person, app, recovery_codes }
}

/// Signs in with the password; the question for the second factor.
async fn asked(world: &World, person: &Person) -> SecondFactorChallenge {
    match world.client().sign_in(&person.email, PASSWORD).await {
        Err(Error::SecondFactor(challenge)) => challenge,
        other => panic!("no second factor was asked for: {other:?}"),
    }
}

async fn answer(
    world: &World,
    challenge: &SecondFactorChallenge,
    code: &str,
) -> Result<Client, Error> {
    world.client().complete_second_factor(challenge, code).await
}

fn wrong<T: std::fmt::Debug>(result: Result<T, Error>) {
    refused(result, Code::Unauthenticated, "INVALID_CREDENTIALS");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_is_set_up_and_asked_for() {
    let world = World::start().await;
    let asha = world.patient().await;
    let other = world.again(&asha).await;
    refused(
        confirm(&asha.client, "123456".to_owned()).await,
        Code::FailedPrecondition,
        "WRONG_STATE",
    );
    let first = asha.client.send(EnrollSecondFactorRequest::default()).await.unwrap();
    let second = asha.client.send(EnrollSecondFactorRequest::default()).await.unwrap();
    assert_ne!(first.secret, second.secret);
    let app = app_of(&second);
    wrong(confirm(&asha.client, shown(&world, &app_of(&first))).await);
    // Not asked for before it is confirmed.
    world.again(&asha).await;
    let codes = confirm(&asha.client, shown(&world, &app)).await.unwrap();
    assert_eq!(codes.len(), 10);
    let again = asha.client.send(EnrollSecondFactorRequest::default()).await;
    refused(again, Code::FailedPrecondition, "WRONG_STATE");
    let account = asha.client.send(GetMyAccountRequest {}).await.unwrap().account.unwrap();
    assert!(account.second_factor);
    tokio::time::sleep(COUNTS).await;
    wrong(other.client.send(GetMyAccountRequest {}).await);
    world.mail_to(&asha.email, |mail| mail.subject.contains("second factor")).await;

    let challenge = asked(&world, &asha).await;
    // The code that confirmed it is used up.
    wrong(answer(&world, &challenge, &shown(&world, &app)).await);
    world.advance(SignedDuration::from_secs(30));
    let client = answer(&world, &challenge, &shown(&world, &app)).await.unwrap();
    assert_eq!(client.account_id(), Some(&*asha.id));
    client.send(GetMyAccountRequest {}).await.unwrap();
    // The challenge is used up, and so is its code.
    wrong(answer(&world, &challenge, &shown(&world, &app)).await);
    wrong(answer(&world, &asked(&world, &asha).await, &shown(&world, &app)).await);
    // The secret stands nowhere in the database.
    let stored = world.sql("SELECT encode(sealed_secret, 'escape') FROM second_factors").await;
    assert!(!stored[0][0].contains(&second.secret));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_challenge_ends_after_five_minutes_and_is_no_token_of_its_own() {
    let world = World::start().await;
    let asha = owner(&world).await;
    let challenge = asked(&world, &asha.person).await;
    let mut forged = challenge.clone();
    forged.challenge_token.replace_range(40..41, "-");
    wrong(answer(&world, &forged, &shown(&world, &asha.app)).await);
    world.advance(SignedDuration::from_secs(301));
    wrong(answer(&world, &challenge, &shown(&world, &asha.app)).await);
    // A newer challenge takes the place of the one before.
    let (old, new) = (asked(&world, &asha.person).await, asked(&world, &asha.person).await);
    wrong(answer(&world, &old, &shown(&world, &asha.app)).await);
    answer(&world, &new, &shown(&world, &asha.app)).await.unwrap();
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recovery_code_works_once_in_the_place_of_the_app() {
    let world = World::start().await;
    let asha = owner(&world).await;
    let code = asha.recovery_codes[3].to_lowercase().replace('-', " ");
    let client = answer(&world, &asked(&world, &asha.person).await, &code).await.unwrap();
    wrong(answer(&world, &asked(&world, &asha.person).await, &code).await);
    let regenerate = |code: String| RegenerateRecoveryCodesRequest { code, ..Default::default() };
    wrong(client.send(regenerate("x".to_owned())).await);
    let request = regenerate(shown(&world, &asha.app));
    let fresh = client.send(request).await.unwrap().recovery_codes;
    wrong(answer(&world, &asked(&world, &asha.person).await, &asha.recovery_codes[4]).await);
    answer(&world, &asked(&world, &asha.person).await, &fresh[0]).await.unwrap();
    world.finish().await;
}

/// With a limit of 5,000 failures, 50 were judged (and then the address was blocked).
#[tokio::test(flavor = "multi_thread")]
async fn codes_are_guessed_five_times_at_most() {
    let world = World::start().await;
    let second = world.second_server().await;
    let asha = owner(&world).await;
    let challenges = [asked(&world, &asha.person).await];
    let right = shown(&world, &asha.app);
    let guesses = (0..100).map(|number| {
        let client = if number % 2 == 0 { world.client() } else { second.client() };
        let (challenge, mut guess) = (challenges[0].clone(), format!("{:06}", 1_000 * number));
        if guess == right {
            guess = "999999".to_owned();
        }
        tokio::spawn(async move { client.complete_second_factor(&challenge, &guess).await })
    });
    let answers = join_all(guesses).await.into_iter().map(Result::unwrap);
    let judged = answers
        .filter(|answer| answer.as_ref().unwrap_err().reason() == Some("INVALID_CREDENTIALS"));
    assert_eq!(judged.count(), 5);
    // The right code during the block, of a new challenge, on the other server.
    let challenge = asked(&world, &asha.person).await;
    let blocked = second.client().complete_second_factor(&challenge, &right).await;
    let refusal = refused(blocked, Code::ResourceExhausted, "TOO_MANY_ATTEMPTS");
    assert!(refusal.retry_after.unwrap().as_secs() > 500);
    world.advance(SignedDuration::from_secs(601));
    let challenge = asked(&world, &asha.person).await;
    answer(&world, &challenge, &shown(&world, &asha.app)).await.unwrap();
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_second_factor_is_removed_with_a_code_after_a_recent_sign_in() {
    let world = World::start().await;
    let asha = owner(&world).await;
    let client = &asha.person.client;
    let remove = |code: String| RemoveSecondFactorRequest { code, ..Default::default() };
    wrong(client.send(remove("000000".to_owned())).await);
    // Eight characters are enough beside a second factor, and too few without one.
    let change = ChangePasswordRequest {
        current_password: PASSWORD.to_owned(),
        new_password: "blue-fox".to_owned(),
        ..Default::default()
    };
    client.send(change).await.unwrap();
    let answer = client.send(remove(shown(&world, &asha.app))).await;
    let refusal = refused(answer, Code::FailedPrecondition, "WRONG_STATE");
    assert_eq!(refusal.metadata["state"], "short_password");
    let change = ChangePasswordRequest {
        current_password: "blue-fox".to_owned(),
        new_password: PASSWORD.to_owned(),
        ..Default::default()
    };
    client.send(change).await.unwrap();
    client.send(remove(shown(&world, &asha.app))).await.unwrap();
    let again = world.again(&asha.person).await;
    world.advance(SignedDuration::from_secs(301));
    let code = "000000".to_owned();
    let regenerate = RegenerateRecoveryCodesRequest { code, ..Default::default() };
    for refusal in [
        again.client.send(EnrollSecondFactorRequest::default()).await.map(drop),
        again.client.send(remove("000000".to_owned())).await.map(drop),
        again.client.send(regenerate).await.map(drop),
        confirm(&again.client, "000000".to_owned()).await.map(drop),
    ] {
        refused(refusal, Code::FailedPrecondition, "REAUTH_REQUIRED");
    }
    world.finish().await;
}
