//! Endpoints that do not take what they get.

use std::time::Duration;

use clinicd_sdk::proto::feed::v1::{
    EndpointState, ListEventsRequest, UpdateEndpointRequest, WebhookDelivery,
    WebhookDeliveryState as State,
};
use clinicd_tests::http_double::Answer;
use clinicd_tests::{HttpDouble, eventually};
use jiff::SignedDuration;

use super::{
    A_WHILE, came, change, deliveries, endpoint, fed, happen, id, now, partner, verify, world,
};

#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_taken_comes_again_under_its_id_with_a_new_signature() {
    let world = world().await;
    let (double, partner) = (HttpDouble::start().await, partner(&world).await);
    let made = endpoint(&partner.client, &double).await;
    let elsewhere = HttpDouble::start().await;
    double.next([
        Answer::status(500).body("what went wrong is nobody's business"),
        Answer::hang_up(),
        Answer::status(302).header("location", &elsewhere.url),
        Answer::ok().body(vec![b'x'; 1_000_000]),
    ]);
    let resource = world.app.ids.next();
    happen(&world.app, resource).await;
    for (count, status_code, reason) in
        [(1, 500, "STATUS"), (2, 0, "BROKEN_OFF"), (3, 302, "REDIRECT"), (4, 200, "")]
    {
        double.got(count).await;
        let told = async || deliveries(&partner.client, &id(&made)).await.remove(0);
        let attempts = i32::try_from(count).unwrap();
        eventually("the attempt is told of", async || told().await.attempts == attempts).await;
        let told = told().await;
        assert_eq!((told.status_code, told.reason.as_str()), (status_code, reason));
        assert_eq!(told.state() == State::Delivered, count == 4);
        assert_eq!(told.next_attempt_time.is_some(), count < 4);
        let failing = now(&partner.client, &id(&made)).await.failing_since_time;
        assert_eq!(failing.is_some(), count < 4);
        tokio::time::sleep(A_WHILE).await;
        assert_eq!(double.received().len(), count, "not before its time");
        world.advance(SignedDuration::from_mins(10));
    }
    let received = double.received();
    let events: Vec<_> = received.iter().map(|one| one.header("webhook-id").to_owned()).collect();
    assert_eq!(events, vec![fed(&world).await[&resource.to_string()][0].clone(); 4]);
    assert!(received.iter().all(|one| one.body == received[0].body));
    verify(&world, &made.secret, received.last().unwrap()).unwrap_err();
    world.advance(SignedDuration::from_mins(-10));
    verify(&world, &made.secret, received.last().unwrap()).unwrap();
    assert!(elsewhere.received().is_empty(), "redirects are not followed");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_ten_attempts_an_event_is_given_up_and_the_next_one_goes() {
    let world = world().await;
    let (double, partner) = (HttpDouble::start().await, partner(&world).await);
    let made = endpoint(&partner.client, &double).await;
    let (cursed, other) = (world.app.ids.next(), world.app.ids.next());
    // Its first event is never taken.
    let (name, first) = (cursed.to_string(), std::sync::OnceLock::new());
    double.rule(move |one| {
        let event = one.header("webhook-id");
        let is_cursed = one.json()["resource_id"] == name.as_str()
            && first.get_or_init(|| event.to_owned()) == event;
        Answer::status(if is_cursed { 500 } else { 200 })
    });
    let name = cursed.to_string();
    happen(&world.app, cursed).await;
    happen(&world.app, cursed).await;
    let all = async || deliveries(&partner.client, &id(&made)).await;
    for count in 1..=10 {
        // What others take shows that the endpoint lives.
        happen(&world.app, other).await;
        let tried = async || {
            let all = all().await;
            let taken = all.iter().filter(|one| one.state() == State::Delivered).count();
            let waits = |one: &WebhookDelivery| one.state() != State::Delivered;
            let tried = all.iter().any(|one| waits(one) && one.attempts >= count);
            tried && i32::try_from(taken).unwrap() >= count
        };
        eventually("another attempt", tried).await;
        world.advance(SignedDuration::from_hours(30));
    }
    double.got(21).await;
    eventually("all have ended", async || all().await.iter().all(|one| one.end_time.is_some()))
        .await;
    let told = all().await;
    let failed: Vec<_> = told.iter().filter(|one| one.state() == State::Failed).collect();
    assert_eq!(failed.len(), 1);
    assert_eq!((failed[0].attempts, failed[0].status_code), (10, 500));
    let came = came(&double.received());
    assert_eq!(came[&name].len(), 11);
    assert_eq!(came[&name].last(), fed(&world).await[&name].last());
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_fails_for_three_days_is_disabled_until_it_is_opened_again() {
    let world = world().await;
    let (double, partner) = (HttpDouble::start().await, partner(&world).await);
    let made = endpoint(&partner.client, &double).await;
    let id = id(&made);
    double.rule(|_| Answer::status(500));
    let resource = world.app.ids.next();
    happen(&world.app, resource).await;
    double.got(1).await;
    let failing = async || now(&partner.client, &id).await.failing_since_time.is_some();
    eventually("it fails", failing).await;
    for count in 2..=5 {
        world.advance(SignedDuration::from_hours(20));
        double.got(count).await;
        let attempts = i32::try_from(count).unwrap();
        let told = async || deliveries(&partner.client, &id).await[0].attempts == attempts;
        eventually("the attempt is told of", told).await;
    }
    let disabled = async || now(&partner.client, &id).await.state() == EndpointState::Disabled;
    eventually("it is disabled", disabled).await;
    assert_eq!(now(&partner.client, &id).await.problem, "FAILING");
    // An admin reads of it in the feed, under the account of the partner.
    let admin = world.again(&world.admin().await).await;
    eventually("the feed tells", async || {
        let list = ListEventsRequest { max_events: 1_000, ..Default::default() };
        let events = admin.client.send(list).await.unwrap().events;
        events.iter().any(|event| {
            event.r#type == "webhook_endpoint.disabled" && event.resource_id == partner.account
        })
    })
    .await;
    world.advance(SignedDuration::from_hours(24 * 3));
    happen(&world.app, resource).await;
    tokio::time::sleep(A_WHILE).await;
    assert_eq!(double.received().len(), 5, "nothing goes to it");

    double.rule(|_| Answer::ok());
    let state = Some(EndpointState::Active.into());
    let open = UpdateEndpointRequest { state, ..Default::default() };
    let opened = change(&partner.client, &id, open).await;
    assert_eq!((opened.problem.as_str(), opened.failing_since_time), ("", None));
    let received = double.got(7).await;
    assert_eq!(came(&received[5..]), fed(&world).await, "it goes on from where it was");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_is_gone_is_disabled_at_once() {
    let world = world().await;
    let (double, partner) = (HttpDouble::start().await, partner(&world).await);
    let made = endpoint(&partner.client, &double).await;
    let id = id(&made);
    double.next([Answer::status(410)]);
    happen(&world.app, world.app.ids.next()).await;
    eventually("it is disabled", async || now(&partner.client, &id).await.problem == "GONE").await;
    happen(&world.app, world.app.ids.next()).await;
    tokio::time::sleep(A_WHILE).await;
    assert_eq!(double.received().len(), 1);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_is_busy_is_left_alone_for_as_long_as_it_says() {
    let world = world().await;
    let (double, partner) = (HttpDouble::start().await, partner(&world).await);
    let made = endpoint(&partner.client, &double).await;
    double.next([Answer::status(429).header("retry-after", "600")]);
    happen(&world.app, world.app.ids.next()).await;
    double.got(1).await;
    let told = async || deliveries(&partner.client, &id(&made)).await[0].attempts == 1;
    eventually("the answer is known", told).await;
    happen(&world.app, world.app.ids.next()).await;
    world.advance(SignedDuration::from_mins(9));
    tokio::time::sleep(A_WHILE).await;
    assert_eq!(double.received().len(), 1, "also what is about something else");
    world.advance(SignedDuration::from_mins(2));
    double.got(3).await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_endpoint_gets_later_what_happened_meanwhile() {
    let world = world().await;
    let (double, partner) = (HttpDouble::start().await, partner(&world).await);
    let id = id(&endpoint(&partner.client, &double).await);
    let state = |state: EndpointState| UpdateEndpointRequest {
        state: Some(state.into()),
        ..Default::default()
    };
    change(&partner.client, &id, state(EndpointState::Paused)).await;
    for _ in 0..3 {
        happen(&world.app, world.app.ids.next()).await;
    }
    tokio::time::sleep(A_WHILE).await;
    assert!(double.received().is_empty());
    change(&partner.client, &id, state(EndpointState::Active)).await;
    assert_eq!(came(&double.got(3).await), fed(&world).await);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_slow_keeps_nobody_else_waiting() {
    let world = world().await;
    let (slow, quick) = (HttpDouble::start().await, HttpDouble::start().await);
    slow.rule(|_| Answer::ok().after(Duration::from_mins(1)));
    let partner = partner(&world).await;
    for _ in 0..5 {
        endpoint(&partner.client, &slow).await;
    }
    for _ in 0..20 {
        happen(&world.app, world.app.ids.next()).await;
    }
    slow.got(5 * 8).await;
    endpoint(&partner.client, &quick).await;
    let begun = std::time::Instant::now();
    for _ in 0..20 {
        happen(&world.app, world.app.ids.next()).await;
    }
    quick.got(20).await;
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    world.finish().await;
}
