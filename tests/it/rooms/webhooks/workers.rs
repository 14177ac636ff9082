//! Several workers at one endpoint, and workers that die.

use std::time::Duration;

use clinicd_sdk::proto::feed::v1::WebhookDeliveryState as State;
use clinicd_tests::http_double::Answer;
use clinicd_tests::{HttpDouble, Process, World, eventually};
use futures_util::future::join_all;

use super::{A_WHILE, came, deliveries, endpoint, fed, happen, id, partner, verify, world};

#[tokio::test(flavor = "multi_thread")]
async fn three_workers_send_no_event_twice() {
    let world = world().await;
    let (second, third) = (world.second_server().await, world.second_server().await);
    let (double, partner) = (HttpDouble::start().await, partner(&world).await);
    endpoint(&partner.client, &double).await;
    double.rule(|_| Answer::ok().after(Duration::from_millis(150)));
    let apps = [&world.app, &second.app, &third.app];
    let resources: Vec<_> = (0..12).map(|_| world.app.ids.next()).collect();
    for round in 0..5 {
        let changes = resources.iter().enumerate();
        join_all(changes.map(|(at, resource)| happen(apps[(at + round) % 3], *resource))).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let received = double.got(60).await;
    tokio::time::sleep(A_WHILE).await;
    assert_eq!(double.received().len(), 60, "none comes twice");
    assert_eq!(came(&received), fed(&world).await);
    assert!(double.most_at_once() <= 8);
    world.finish().await;
}

/// A process that sends webhooks to this machine.
async fn process(world: &World) -> Process {
    Process::start_with(world, |command| {
        command.env("CLINICD_WEBHOOKS__ALLOWED_NETWORKS", "[\"127.0.0.0/8\"]");
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_killed_after_the_post_leaves_the_event_to_be_sent_again_under_its_id() {
    let world = World::start_with(|config| {
        config.webhooks.allowed_networks = vec!["127.0.0.0/8".parse().unwrap()];
        config.worker = false;
    })
    .await;
    let double = HttpDouble::start().await;
    let owner = world.superuser().await.client;
    let made = endpoint(&owner, &double).await;
    let first = process(&world).await;
    double.next([Answer::ok().after(Duration::from_secs(5))]);
    let resource = world.app.ids.next();
    happen(&world.app, resource).await;
    double.got(1).await;
    first.kill();
    let sent = deliveries(&owner, &id(&made)).await;
    assert!(sent.iter().all(|one| one.attempts == 0), "the end was not recorded: {sent:?}");

    happen(&world.app, resource).await;
    let second = process(&world).await;
    tokio::time::sleep(A_WHILE).await;
    assert_eq!(double.received().len(), 1, "the lease of the dead one holds");
    // As it does by itself after 20 seconds.
    world.sql("UPDATE webhook_endpoints SET lease_until = now() WHERE lease_id IS NOT NULL").await;
    let received = double.got(3).await;
    let ids: Vec<_> = received.iter().map(|one| one.header("webhook-id").to_owned()).collect();
    assert_eq!(ids[0], ids[1]);
    assert_eq!(ids[1..], fed(&world).await[&resource.to_string()]);
    verify(&world, &made.secret, &received[1]).unwrap();
    eventually("both are recorded", async || {
        let sent = deliveries(&owner, &id(&made)).await;
        sent.iter().all(|one| one.state() == State::Delivered)
    })
    .await;
    assert!(second.terminate().await.success());
    world.finish().await;
}
