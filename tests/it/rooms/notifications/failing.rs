//! Providers that fail: what is tried again, when it is given up, and that a message keeps its key.

use std::collections::BTreeSet;

use clinicd_sdk::proto::identity::v1::SendOtpRequest;
use clinicd_server::kernel::jobs::Job as _;
use clinicd_server::kernel::locale::NoticeKind;
use clinicd_server::kernel::ports::sms::TwilioSettings;
use clinicd_server::kernel::secret::Secret;
use clinicd_server::notifications::{Deliver, Notice, notify};
use clinicd_tests::http_double::{Answer, HttpDouble};
use clinicd_tests::{World, eventually};
use jiff::SignedDuration;
use uuid::Uuid;

use super::count;

const NUMBER: &str = "+919812345678";

/// A world that sends its text messages through a double.
async fn world() -> (World, HttpDouble) {
    let double = HttpDouble::start().await;
    let sms = TwilioSettings {
        address: double.url.clone(),
        account: "AC42".to_owned(),
        token: Secret("egrets".to_owned()),
        from: "+15550000000".to_owned(),
        ca_certificate: None,
    };
    let world = World::start_with(|config| config.sms = Some(sms)).await;
    (world, double)
}

/// Somebody with a number and no address, who is told something.
async fn told(world: &World) {
    let id = world.app.ids.next();
    world
        .sql(&format!(
            "INSERT INTO accounts (id, phone, given_name, family_name, language, state, \
                created_at, updated_at) \
             VALUES ('{id}', '{NUMBER}', 'Ravi', 'Menon', 'en', 'active', now(), now())"
        ))
        .await;
    let account = clinicd_server::kernel::kinds::AccountId(id);
    notify(&world.app, world.app.ids.next(), Notice::new(NoticeKind::AccountUnblocked, account))
        .await
        .unwrap();
}

/// State, attempts, reason and the provider's number of the one delivery.
async fn delivery(world: &World) -> [String; 4] {
    let sql = "SELECT state, attempts, reason, provider_code FROM deliveries";
    world.sql(sql).await.remove(0).try_into().unwrap()
}

fn is(state: &str, attempts: i32, reason: &str, code: i32) -> [String; 4] {
    [state.to_owned(), attempts.to_string(), reason.to_owned(), code.to_string()]
}

#[tokio::test(flavor = "multi_thread")]
async fn after_seven_attempts_a_message_is_given_up() {
    let (world, double) = world().await;
    double.rule(|_| Answer::status(503));
    told(&world).await;
    for attempt in 1..=7 {
        let state = if attempt < 7 { "pending" } else { "failed" };
        let wanted = is(state, attempt, "PROVIDER_BUSY", 503);
        eventually("an attempt", async || delivery(&world).await == wanted).await;
        world.settle().await;
        world.advance(SignedDuration::from_hours(5));
    }
    world.settle().await;
    let requests = double.received();
    let keys: BTreeSet<&str> = requests.iter().map(|one| one.header("idempotency-key")).collect();
    let id = world.sql("SELECT id FROM deliveries").await.remove(0).remove(0);
    assert_eq!((requests.len(), keys), (7, BTreeSet::from([&*id])));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_provider_refuses_is_not_repeated() {
    let (world, double) = world().await;
    double.rule(|_| Answer::status(400).body(r#"{"code": 21211, "message": "no number"}"#));
    told(&world).await;
    let refused = is("failed", 1, "PROVIDER_REFUSED", 21_211);
    eventually("it is refused", async || delivery(&world).await == refused).await;
    world.advance(SignedDuration::from_hours(30));
    world.settle().await;
    assert_eq!(double.received().len(), 1);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_is_left_alone_for_as_long_as_it_wants() {
    let (world, double) = world().await;
    double.next([Answer::status(429).header("retry-after", "900")]);
    told(&world).await;
    let busy = is("pending", 1, "PROVIDER_BUSY", 429);
    eventually("it is put off", async || delivery(&world).await == busy).await;
    let later = "deliveries WHERE send_at >= created_at + interval '900 seconds'";
    assert_eq!(count(&world, later).await, 1);
    world.advance(SignedDuration::from_mins(14));
    world.settle().await;
    assert_eq!(double.received().len(), 1);
    world.advance(SignedDuration::from_mins(2));
    eventually("it is sent", async || delivery(&world).await == is("sent", 2, "", 0)).await;
    world.finish().await;
}

/// As if the process had died after the provider's answer, before the note of it.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_sent_and_not_noted_is_sent_again_with_its_key() {
    let (world, double) = world().await;
    told(&world).await;
    eventually("it is sent", async || delivery(&world).await == is("sent", 1, "", 0)).await;
    world.settle().await;
    world.sql("UPDATE deliveries SET state = 'pending', ended_at = NULL").await;
    let id = world.sql("SELECT id FROM deliveries").await.remove(0).remove(0);
    for _ in 0..2 {
        // The second time there is nothing to do.
        run(&world, &id, job(&world).await).await;
    }
    assert_eq!(delivery(&world).await, is("sent", 2, "", 0));
    let requests = double.received();
    assert_eq!(requests.len(), 2);
    assert!(requests.iter().all(|request| request.header("idempotency-key") == id));
    world.finish().await;
}

/// Runs a job of a delivery, as a worker does.
async fn run(world: &World, delivery: &str, job: Uuid) {
    let deliver = Deliver { delivery: Uuid::try_parse(delivery).unwrap(), paced: true };
    deliver.run(world.app.clone(), job).await.unwrap();
}

/// The job that may send the one delivery.
async fn job(world: &World) -> Uuid {
    let id = world.sql("SELECT job_id FROM deliveries").await.remove(0).remove(0);
    Uuid::try_parse(&id).unwrap()
}

/// As after a cancelled job that runs again too early, or a clock that went back.
#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_is_never_without_a_job_nor_sent_by_two() {
    let (world, double) = world().await;
    told(&world).await;
    eventually("it is sent", async || delivery(&world).await == is("sent", 1, "", 0)).await;
    world.settle().await;
    let later = "UPDATE deliveries SET state = 'pending', ended_at = NULL, attempts = 0, \
                 send_at = send_at + interval '1 hour'";
    world.sql(later).await;
    let (id, early) =
        (world.sql("SELECT id FROM deliveries").await.remove(0).remove(0), job(&world).await);
    run(&world, &id, early).await;
    assert_eq!(delivery(&world).await, is("pending", 0, "", 0), "it is put off, uncounted");
    let next = job(&world).await;
    assert_ne!(next, early);
    let waits = format!(
        "jobs j JOIN deliveries d ON d.job_id = j.id AND d.send_at = j.run_at \
                         WHERE j.id = '{next}' AND j.state = 'ready'"
    );
    assert_eq!(count(&world, &waits).await, 1);
    // Due now, by another job.
    world.sql("UPDATE deliveries SET send_at = created_at").await;
    run(&world, &id, early).await;
    assert_eq!(delivery(&world).await, is("pending", 0, "", 0));
    assert_eq!(double.received().len(), 1);
    world.advance(SignedDuration::from_mins(61));
    eventually("it is sent", async || delivery(&world).await == is("sent", 1, "", 0)).await;
    world.settle().await;
    assert_eq!(double.received().len(), 2);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_that_came_too_late_is_not_sent() {
    let (world, double) = world().await;
    double.rule(|_| Answer::status(503));
    let request = SendOtpRequest { phone: NUMBER.to_owned(), ..Default::default() };
    world.client().send(request).await.unwrap();
    let busy = is("pending", 1, "PROVIDER_BUSY", 503);
    eventually("the provider is busy", async || {
        count(&world, "deliveries").await == 1 && delivery(&world).await == busy
    })
    .await;
    double.rule(|_| Answer::ok());
    world.advance(SignedDuration::from_mins(10));
    let skipped = is("skipped", 2, "LINK_USED", 0);
    eventually("it is skipped", async || delivery(&world).await == skipped).await;
    assert_eq!(double.received().len(), 1);
    let code = "notifications WHERE template_values::text ~ '[0-9]{6}'";
    assert_eq!(count(&world, code).await, 0, "no code lies in the database");
    world.finish().await;
}
