//! Sign-in by phone: one account per number, and codes that nobody guesses.

use clinicd_sdk::proto::access::v1::Role;
use clinicd_sdk::proto::identity::v1::{
    AccountState, ChangePhoneRequest, ConfirmContactChangeRequest, GetMyAccountRequest, PhoneCode,
    SendOtpRequest, SignInRequest, VerifyOtpRequest, VerifyOtpResponse,
    confirm_contact_change_request::Proof,
};
use clinicd_sdk::{Client, Code, Error};
use clinicd_tests::people::PASSWORD;
use clinicd_tests::{Person, World, refused};
use futures_util::future::join_all;
use jiff::SignedDuration;

const NUMBER: &str = "+919812345678";
const CROWD: usize = 100;

fn verification(code: &PhoneCode) -> VerifyOtpRequest {
    VerifyOtpRequest { phone_code: Some(code.clone()), ..Default::default() }
}

async fn verify(client: &Client, code: &PhoneCode) -> Result<VerifyOtpResponse, Error> {
    client.send(verification(code)).await
}

fn wrong(code: &PhoneCode) -> PhoneCode {
    let digit = if code.code.starts_with('1') { "2" } else { "1" };
    PhoneCode { code: format!("{digit}{}", &code.code[1..]), ..code.clone() }
}

fn no_entry<T: std::fmt::Debug>(result: Result<T, Error>) {
    refused(result, Code::Unauthenticated, "INVALID_CREDENTIALS");
}

fn is_blocked<T: std::fmt::Debug>(result: Result<T, Error>) {
    refused(result, Code::ResourceExhausted, "TOO_MANY_ATTEMPTS");
}

async fn by_password(world: &World, number: &str) -> Result<Client, Error> {
    let (phone, password) = (number.to_owned(), PASSWORD.to_owned());
    world.client().sign_in_with(SignInRequest { phone, password, ..Default::default() }).await
}

/// Somebody with an address, a password and this number.
async fn reached_both_ways(world: &World, number: &str) -> Person {
    let asha = world.patient().await;
    let request = ChangePhoneRequest { phone: number.to_owned(), ..Default::default() };
    let challenge_id = asha.client.send(request).await.unwrap().challenge_id;
    let code = PhoneCode { challenge_id, code: world.code_sent_to(number).await };
    let proof = Some(Proof::PhoneCode(code));
    let request = ConfirmContactChangeRequest { proof, ..Default::default() };
    asha.client.send(request).await.unwrap();
    world.advance(SignedDuration::from_secs(31));
    asha
}

#[tokio::test(flavor = "multi_thread")]
async fn one_phone_is_one_account_however_it_is_written() {
    let world = World::start().await;
    let ravi = world.phone_patient(NUMBER).await;
    let account = ravi.client.send(GetMyAccountRequest {}).await.unwrap().account.unwrap();
    assert_eq!((account.phone.as_str(), account.email.as_str()), (NUMBER, ""));
    assert_eq!(account.state(), AccountState::Active);
    assert_eq!(account.roles().collect::<Vec<_>>(), [Role::Patient]);
    assert_eq!(account.name, Some(ravi.name.clone()));
    assert_eq!(world.sql("SELECT given_name FROM patients").await, [["Ravi"]]);

    let wide = "\u{ff0b}\u{ff19}\u{ff11}\u{ff19}\u{ff18}\u{ff11}\u{ff12}\u{ff13}\u{ff14}\u{ff15}\
                \u{ff16}\u{ff17}\u{ff18}";
    for form in ["+91 98123 45678", "09812345678", wide] {
        world.advance(SignedDuration::from_secs(31));
        let request = SendOtpRequest { phone: form.to_owned(), ..Default::default() };
        let challenge_id = world.client().send(request).await.unwrap().challenge_id;
        let code = PhoneCode { challenge_id, code: world.code_sent_to(NUMBER).await };
        let answer = verify(&world.client(), &code).await.unwrap();
        assert_eq!(answer.account_id, ravi.id, "{form}");
    }
    let request = SendOtpRequest { phone: "12".to_owned(), ..Default::default() };
    refused(world.client().send(request).await, Code::InvalidArgument, "INVALID_FIELDS");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_comes_in_the_language_of_whoever_reads_it() {
    let world = World::start().await;
    let ask = async |language: &str| {
        let (phone, language) = (NUMBER.to_owned(), language.to_owned());
        let request = SendOtpRequest { phone, language, ..Default::default() };
        let challenge_id = world.client().send(request).await.unwrap().challenge_id;
        let sms = world.sms_to(NUMBER).await.pop().unwrap();
        (PhoneCode { challenge_id, code: sms.code().unwrap().to_owned() }, sms.text)
    };
    let (code, text) = ask("hi-IN").await;
    assert!(text.contains("आपका कोड"), "{text}");
    // The account that it opens is in English, and so are its codes.
    verify(&world.client(), &code).await.unwrap();
    world.advance(SignedDuration::from_secs(31));
    assert!(ask("hi").await.1.contains("is your code"));
    let jobs = world.sql("SELECT payload FROM jobs WHERE kind = 'identity.send_code'").await;
    for payload in jobs.concat() {
        assert!(!payload.contains("98123") && !payload.contains(&code.code), "{payload}");
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_works_once_and_for_five_minutes() {
    let world = World::start().await;
    let code = world.otp(NUMBER).await;
    let mut request = verification(&code);
    request.request_id = world.app.ids.next().to_string();
    let first = world.client().send(request.clone()).await.unwrap();
    let again = world.client().send(request).await.unwrap();
    assert_eq!(first, again, "the same call has one effect and one answer");
    no_entry(verify(&world.client(), &code).await);
    assert_eq!(world.sql("SELECT count(*) FROM sessions").await, [["1"]]);

    world.advance(SignedDuration::from_secs(31));
    let late = world.otp(NUMBER).await;
    world.advance(SignedDuration::from_secs(5 * 60));
    no_entry(verify(&world.client(), &late).await);
    let other = PhoneCode { code: world.otp(NUMBER).await.code, ..code };
    no_entry(verify(&world.client(), &other).await);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_code_voids_the_one_before_it() {
    let world = World::start().await;
    let first = world.otp(NUMBER).await;
    world.advance(SignedDuration::from_secs(31));
    let second = world.otp(NUMBER).await;
    no_entry(verify(&world.client(), &first).await);
    verify(&world.client(), &second).await.unwrap();
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_five_tries_even_the_right_code_is_void() {
    let world = World::start().await;
    reached_both_ways(&world, NUMBER).await;
    let code = world.otp(NUMBER).await;
    for _ in 0..4 {
        no_entry(verify(&world.client(), &wrong(&code)).await);
    }
    // A right password takes the failures of the number away, not the tries of the code.
    by_password(&world, NUMBER).await.unwrap();
    no_entry(verify(&world.client(), &wrong(&code)).await);
    by_password(&world, NUMBER).await.unwrap();
    no_entry(verify(&world.client(), &code).await);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_codes_block_the_number_on_every_path() {
    let world = World::start().await;
    let asha = reached_both_ways(&world, NUMBER).await;
    let code = world.otp(NUMBER).await;
    for _ in 0..5 {
        no_entry(verify(&world.client(), &wrong(&code)).await);
    }
    is_blocked(verify(&world.client(), &code).await);
    is_blocked(by_password(&world, NUMBER).await);
    world.advance(SignedDuration::from_secs(60));
    let request = SendOtpRequest { phone: "09812345678".to_owned(), ..Default::default() };
    is_blocked(world.client().send(request).await);
    // The session and the other identifier are not concerned.
    asha.client.send(GetMyAccountRequest {}).await.unwrap();
    world.again(&asha).await;
    world.advance(SignedDuration::from_secs(10 * 60));
    by_password(&world, NUMBER).await.unwrap();
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_wrong_codes_in_a_row_close_the_way_by_phone() {
    let world = World::start().await;
    let asha = reached_both_ways(&world, NUMBER).await;
    let wrong_codes = async || world.sql("SELECT wrong_codes FROM accounts").await.concat();
    let code = world.otp(NUMBER).await;
    no_entry(verify(&world.client(), &wrong(&code)).await);
    assert_eq!(wrong_codes().await, ["1"]);
    verify(&world.client(), &code).await.unwrap();
    assert_eq!(wrong_codes().await, ["0"], "a right one ends the row");

    world.advance(SignedDuration::from_secs(31));
    let code = world.otp(NUMBER).await;
    world.sql(&format!("UPDATE accounts SET wrong_codes = 100 WHERE id = '{}'", asha.id)).await;
    no_entry(verify(&world.client(), &code).await);
    world.advance(SignedDuration::from_secs(31));
    let sent = world.sms_to(NUMBER).await.len();
    let request = SendOtpRequest { phone: NUMBER.to_owned(), ..Default::default() };
    world.client().send(request).await.unwrap();
    assert_eq!(world.sms_to(NUMBER).await.len(), sent, "the answer tells nothing, nothing is sent");
    by_password(&world, NUMBER).await.unwrap();
    world.advance(SignedDuration::from_secs(31));
    let code = world.otp(NUMBER).await;
    verify(&world.client(), &code).await.unwrap();
    world.finish().await;
}

/// With the condition taken out of `TakeAttempt` and the tries out of `TakeTry`, fifty were judged;
/// then the client address was blocked.
#[tokio::test(flavor = "multi_thread")]
async fn of_parallel_guesses_at_a_code_five_are_judged() {
    let world = World::start().await;
    let second = world.second_server().await;
    let code = world.otp(NUMBER).await;
    let guesses = (0..CROWD).map(|number| {
        let client = if number % 2 == 0 { world.client() } else { second.client() };
        let code = wrong(&code);
        tokio::spawn(async move { verify(&client, &code).await })
    });
    let mut judged = 0;
    for guess in join_all(guesses).await {
        match guess.unwrap().unwrap_err().reason() {
            Some("INVALID_CREDENTIALS") => judged += 1,
            Some("TOO_MANY_ATTEMPTS") => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(judged, 5);
    let tries = world.sql("SELECT tries FROM challenges").await;
    assert!(tries[0][0].parse::<i32>().unwrap() <= 5, "{tries:?}");
    world.finish().await;
}

/// Without `used_at IS NULL` in `TakeTry` and `UseChallenge`, all hundred signed in.
#[tokio::test(flavor = "multi_thread")]
async fn a_code_given_back_by_many_at_once_starts_one_session() {
    let world = World::start().await;
    let second = world.second_server().await;
    let code = world.otp(NUMBER).await;
    let uses = (0..CROWD).map(|number| {
        let client = if number % 2 == 0 { world.client() } else { second.client() };
        let code = code.clone();
        tokio::spawn(async move { verify(&client, &code).await })
    });
    let answers: Vec<_> = join_all(uses).await.into_iter().map(Result::unwrap).collect();
    let good = answers.iter().filter(|answer| answer.is_ok()).count();
    assert_eq!(good, 1);
    assert_eq!(world.sql("SELECT count(*) FROM sessions").await, [["1"]]);
    assert_eq!(world.sql("SELECT count(*) FROM accounts").await, [["1"]]);
    world.finish().await;
}
