//! What codes may cost: beyond a limit there is a refusal and no message.

use std::time::Duration;

use clinicd_sdk::proto::identity::v1::{
    RegisterAccountRequest, RequestRecoveryRequest, SendOtpRequest, SendOtpResponse,
};
use clinicd_sdk::{Code, Error};
use clinicd_tests::{World, refused};
use futures_util::future::join_all;
use jiff::SignedDuration;

use super::registration;

const NUMBER: &str = "+919812345678";
const CROWD: usize = 100;

/// Asks for a code; it is sent when this returns, whatever becomes of the clock.
async fn ask(world: &World, number: &str) -> Result<SendOtpResponse, Error> {
    let request = SendOtpRequest { phone: number.to_owned(), ..Default::default() };
    let answer = world.client().send(request).await;
    world.settle().await;
    answer
}

fn over(result: Result<SendOtpResponse, Error>) -> Duration {
    let refusal = refused(result, Code::ResourceExhausted, "RATE_LIMITED");
    refusal.retry_after.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_gets_so_many_codes_and_no_more() {
    let world = World::start().await;
    ask(&world, NUMBER).await.unwrap();
    let wait = over(ask(&world, NUMBER).await).as_secs();
    assert!((25..=30).contains(&wait), "{wait}");
    world.advance(SignedDuration::from_secs(10));
    // Nor on another way, nor in another form.
    let phone = "098123 45678".to_owned();
    let recovery = RequestRecoveryRequest { phone: phone.clone(), ..Default::default() };
    let recovery = world.client().send(recovery).await;
    refused(recovery, Code::ResourceExhausted, "RATE_LIMITED");
    let register = RegisterAccountRequest { phone, ..registration("ravi@example.org") };
    let register = world.client().send(register).await;
    refused(register, Code::ResourceExhausted, "RATE_LIMITED");
    assert!(world.sql("SELECT 1 FROM accounts").await.is_empty());

    for _ in 0..4 {
        world.advance(SignedDuration::from_secs(31));
        ask(&world, NUMBER).await.unwrap();
    }
    world.advance(SignedDuration::from_secs(31));
    let wait = over(ask(&world, NUMBER).await).as_secs();
    assert!((3_400..3_450).contains(&wait), "{wait}");
    for _ in 0..5 {
        world.advance(SignedDuration::from_secs(3_601));
        ask(&world, NUMBER).await.unwrap();
    }
    world.advance(SignedDuration::from_secs(3_601));
    let wait = over(ask(&world, NUMBER).await).as_secs();
    assert!((17 * 3_600..18 * 3_600).contains(&wait), "{wait}");
    assert_eq!(world.sms_to(NUMBER).await.len(), 10);
    world.advance(SignedDuration::from_secs(i64::try_from(wait).unwrap()));
    ask(&world, NUMBER).await.unwrap();
    world.finish().await;
}

/// Without the gap in `CountSent`, five were sent.
#[tokio::test(flavor = "multi_thread")]
async fn of_parallel_requests_one_sends_a_code() {
    let world = World::start().await;
    let second = world.second_server().await;
    let asked = (0..CROWD).map(|number| {
        let client = if number % 2 == 0 { world.client() } else { second.client() };
        let request = SendOtpRequest { phone: NUMBER.to_owned(), ..Default::default() };
        tokio::spawn(async move { client.send(request).await })
    });
    let answers: Vec<_> = join_all(asked).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
    for answer in answers.into_iter().filter(Result::is_err) {
        over(answer);
    }
    assert_eq!(world.sms_to(NUMBER).await.len(), 1);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn networks_and_countries_have_limits_too() {
    let world = World::start_with(|config| {
        config.otp.per_network_an_hour = 3;
        config.otp.per_country_a_day = 4;
    })
    .await;
    let day = 24 * 3_600;
    let past_midnight = day - world.app.clock.now().timestamp().as_second() % day + 60;
    world.advance(SignedDuration::from_secs(past_midnight));
    let number = |last: u32| format!("+91981234560{last}");
    for last in 0..3 {
        ask(&world, &number(last)).await.unwrap();
    }
    let wait = over(ask(&world, &number(3)).await).as_secs();
    assert!((3_500..=3_600).contains(&wait), "{wait}");
    world.advance(SignedDuration::from_secs(3_601));
    ask(&world, &number(3)).await.unwrap();
    let refusal =
        refused(ask(&world, &number(4)).await, Code::ResourceExhausted, "SMS_COUNTRY_CLOSED");
    let wait = refusal.retry_after.unwrap();
    assert!(wait > Duration::from_hours(22) && wait < Duration::from_hours(23), "{wait:?}");
    assert!(world.sms_to(&number(4)).await.is_empty());
    // What was refused by one limit counts for none.
    world.advance(SignedDuration::from_secs(23 * 3_600));
    for last in [4, 5, 6] {
        ask(&world, &number(last)).await.unwrap();
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_codes_go_to_countries_that_are_not_open() {
    let world = World::start().await;
    for number in ["+447400123456", "+14165550123", "+97150 123 4567"] {
        let answer = ask(&world, number).await;
        refused(answer, Code::ResourceExhausted, "SMS_COUNTRY_CLOSED");
    }
    let phone = "+447400123456".to_owned();
    let register = RegisterAccountRequest { phone, ..registration("ravi@example.org") };
    let register = world.client().send(register).await;
    refused(register, Code::ResourceExhausted, "SMS_COUNTRY_CLOSED");
    assert!(world.sql("SELECT 1 FROM challenges").await.is_empty());
    assert!(world.sql("SELECT 1 FROM jobs").await.is_empty());
    world.finish().await;
}
