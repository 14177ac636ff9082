//! Every event, once, and those of one resource in the order of the feed.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use clinicd_sdk::proto::feed::v1::{
    EndpointState, ListEventsRequest, ReplayFromRequest, UpdateEndpointRequest,
};
use clinicd_sdk::{Client, Code};
use clinicd_tests::http_double::Answer;
use clinicd_tests::{HttpDouble, World, eventually, refused};
use futures_util::future::join_all;
use uuid::Uuid;

use super::{
    A_WHILE, Partner, came, change, deliveries, endpoint, fed, happen, id, now, partner, verify,
    wish, world,
};

/// Changes of six resources at once, by two servers.
async fn storm(world: &World, second: &clinicd_server::app::App, count: usize) {
    let resources: Vec<Uuid> = (0..6).map(|_| world.app.ids.next()).collect();
    let changes = (0..count).map(|number| {
        let app = if number % 2 == 0 { &world.app } else { second };
        happen(app, resources[number % resources.len()])
    });
    join_all(changes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_event_comes_once_and_those_of_a_resource_in_feed_order() {
    let world = world().await;
    let (second, double) = (world.second_server().await, HttpDouble::start().await);
    let partner = partner(&world).await;
    let made = endpoint(&partner.client, &double).await;
    // Answers that take different times would change the order.
    let mut turn = 0_u64;
    double.rule(move |_| {
        turn = (turn + 7) % 40;
        Answer::status(204).after(Duration::from_millis(turn))
    });
    storm(&world, &second.app, 120).await;
    let received = double.got(120).await;
    tokio::time::sleep(A_WHILE).await;
    assert_eq!(double.received().len(), 120, "none comes twice");
    assert_eq!(came(&received), fed(&world).await);
    assert!(double.most_at_once() <= 8, "{}", double.most_at_once());
    assert!(double.most_at_once() > 1, "resources do not wait for each other");

    let one = &received[0];
    let event = verify(&world, &made.secret, one).unwrap();
    assert_eq!((one.method.as_str(), one.path.as_str()), ("POST", "/hooks"));
    assert_eq!(one.header("content-type"), "application/json");
    assert_eq!(one.header("webhook-id"), event.id);
    assert_eq!(event.event_type, "prescription.issued_in_a_test");
    let told = deliveries(&partner.client, &id(&made)).await;
    assert_eq!(told.len(), 120);
    assert!(told.iter().all(|one| one.status_code == 204 && one.attempts == 1), "{told:?}");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resource_that_is_not_taken_holds_up_itself_and_nobody_else() {
    let world = world().await;
    let (double, slow) = (HttpDouble::start().await, HttpDouble::start().await);
    let partner = partner(&world).await;
    endpoint(&partner.client, &double).await;
    // Its answers take longer than anybody has patience for.
    slow.rule(|_| Answer::ok().after(Duration::from_mins(1)));
    endpoint(&partner.client, &slow).await;
    let (blocked, other) = (world.app.ids.next(), world.app.ids.next());
    let refused = blocked.to_string();
    double.rule(move |one| {
        let is_refused = one.json()["resource_id"] == refused.as_str();
        Answer::status(if is_refused { 500 } else { 200 })
    });
    let begun = Instant::now();
    for resource in [blocked, blocked, other, other, other] {
        happen(&world.app, resource).await;
    }
    let received = double.got(4).await;
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    tokio::time::sleep(A_WHILE).await;
    assert_eq!(double.received().len(), 4, "the second one of the blocked resource waits");
    let (came, fed) = (came(&received), fed(&world).await);
    assert_eq!(came[&other.to_string()], fed[&other.to_string()]);
    assert_eq!(came[&blocked.to_string()], fed[&blocked.to_string()][..1]);
    // The slow one has only the first event of each resource.
    assert_eq!(slow.received().len(), 2);
    world.finish().await;
}

/// Tokens that are none, and those of before the horizon.
async fn wrong_places(
    world: &World,
    partner: &Partner,
    replay: impl Fn(&str) -> ReplayFromRequest,
    token: &str,
) {
    let damaged = if token.ends_with('A') {
        format!("{token}B")
    } else {
        format!("{}A", &token[..token.len() - 1])
    };
    let answer = partner.client.send(replay(&damaged)).await;
    refused(answer, Code::InvalidArgument, "FEED_TOKEN_INVALID");
    world
        .sql(
            "UPDATE feed_horizon SET (xid, seq) = (SELECT xid, seq FROM events \
               ORDER BY xid DESC, seq DESC LIMIT 1)",
        )
        .await;
    let answer = partner.client.send(replay(token)).await;
    refused(answer, Code::OutOfRange, "FEED_TOKEN_TOO_OLD");
}

/// The place behind everything that this client sees.
async fn end_of_feed(client: &Client) -> String {
    let mut token = String::new();
    loop {
        let list = ListEventsRequest { resume_token: token.clone(), ..Default::default() };
        let next = client.send(list).await.unwrap().resume_token;
        if next == token {
            return token;
        }
        token = next;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_sends_everything_again_from_its_place_on() {
    let world = world().await;
    let (double, admin) = (HttpDouble::start().await, world.admin().await);
    let partner = partner(&world).await;
    let made = endpoint(&partner.client, &double).await;
    let (one, other) = (world.app.ids.next(), world.app.ids.next());
    for resource in [one, other, one] {
        happen(&world.app, resource).await;
    }
    double.got(3).await;
    let token = end_of_feed(&admin.client).await;
    for resource in [other, one, one, other] {
        happen(&world.app, resource).await;
    }
    let before = double.got(7).await;
    // Some wait while the replay is asked for.
    double.rule(|_| Answer::status(500));
    for resource in [one, one, other] {
        happen(&world.app, resource).await;
    }
    double.got(9).await;
    double.rule(|_| Answer::ok());
    let replay = |resume_token: &str| ReplayFromRequest {
        endpoint_id: id(&made),
        resume_token: resume_token.to_owned(),
        ..Default::default()
    };
    partner.client.send(replay(&token)).await.unwrap();
    let again = double.got(16).await;
    tokio::time::sleep(A_WHILE).await;
    assert_eq!(double.received().len(), 16);
    let mut expected = fed(&world).await;
    expected.get_mut(&one.to_string()).unwrap().drain(..2);
    expected.get_mut(&other.to_string()).unwrap().drain(..1);
    assert_eq!(came(&again[9..]), expected);
    let ids = |received: &[clinicd_tests::http_double::Received]| -> HashSet<String> {
        received.iter().map(|one| one.header("webhook-id").to_owned()).collect()
    };
    assert!(ids(&before[3..]).is_subset(&ids(&again[9..])), "under the same ids");

    // Where it already is, nothing is sent twice; from the beginning, everything.
    partner.client.send(replay(&end_of_feed(&admin.client).await)).await.unwrap();
    tokio::time::sleep(A_WHILE).await;
    assert_eq!(double.received().len(), 16);
    partner.client.send(replay("")).await.unwrap();
    let all = double.got(26).await;
    assert_eq!(came(&all[16..]), fed(&world).await);

    wrong_places(&world, &partner, replay, &token).await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_left_the_feed_before_it_was_taken_over_is_told_of() {
    let world = world().await;
    let (double, partner) = (HttpDouble::start().await, partner(&world).await);
    let made = endpoint(&partner.client, &double).await;
    let id = id(&made);
    let state = |state: EndpointState| UpdateEndpointRequest {
        state: Some(state.into()),
        ..Default::default()
    };
    change(&partner.client, &id, state(EndpointState::Paused)).await;
    let resource = world.app.ids.next();
    happen(&world.app, resource).await;
    // As the sweep does after 30 days.
    world
        .batch(
            "UPDATE feed_horizon SET (xid, seq) = (SELECT xid, seq FROM events \
                    ORDER BY xid DESC, seq DESC LIMIT 1); \
                DELETE FROM events WHERE (xid, seq) <= (SELECT xid, seq FROM feed_horizon);",
        )
        .await;
    happen(&world.app, resource).await;
    assert!(now(&partner.client, &id).await.missed_events_time.is_none());
    change(&partner.client, &id, state(EndpointState::Active)).await;
    let received = double.got(1).await;
    assert_eq!(came(&received), fed(&world).await);
    let told = async || now(&partner.client, &id).await.missed_events_time.is_some();
    eventually("the gap is told of", told).await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_hears_of_the_kinds_that_it_named() {
    let world = world().await;
    let (double, all) = (HttpDouble::start().await, HttpDouble::start().await);
    let partner = partner(&world).await;
    endpoint(&partner.client, &double).await;
    let mut every = wish(&all.url);
    every.kinds.clear();
    partner.client.send(every).await.unwrap();
    let asha = world.patient().await;
    let prescription = world.app.ids.next();
    happen(&world.app, prescription).await;
    let received = double.got(1).await;
    assert_eq!(came(&received).keys().collect::<Vec<_>>(), [&prescription.to_string()]);
    eventually("the other one heard of the patient, too", async || {
        let came = came(&all.received());
        came.contains_key(&asha.id) && came.contains_key(&prescription.to_string())
    })
    .await;
    assert_eq!(double.received().len(), 1);
    world.finish().await;
}
