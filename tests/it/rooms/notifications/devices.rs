//! Devices that get push messages.

use clinicd_sdk::Code;
use clinicd_sdk::proto::notifications::v1::{
    Device, DevicePlatform, RegisterDeviceRequest, RemoveDeviceRequest,
};
use clinicd_tests::{Person, World, refused};
use futures_util::future::join_all;

use super::count;

fn registration(token: &str) -> RegisterDeviceRequest {
    RegisterDeviceRequest {
        token: token.to_owned(),
        platform: DevicePlatform::Android.into(),
        ..Default::default()
    }
}

async fn register(person: &Person, token: &str) -> Device {
    person.client.send(registration(token)).await.unwrap().device.unwrap()
}

async fn devices(world: &World, person: &Person) -> usize {
    count(world, &format!("devices WHERE account_id = '{}'", person.id)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_is_renewed_and_follows_the_session() {
    let world = World::start().await;
    let asha = world.patient().await;
    let first = register(&asha, "token 1").await;
    world.advance(jiff::SignedDuration::from_mins(5));
    let asha = world.again(&asha).await;
    let renewed = register(&asha, "token 1").await;
    assert_eq!((&renewed.id, renewed.create_time), (&first.id, first.create_time));
    assert!(renewed.update_time.unwrap().seconds >= first.update_time.unwrap().seconds + 300);
    assert_eq!(renewed.platform, i32::from(DevicePlatform::Android));
    let session = "devices d JOIN sessions s ON s.id = d.session_id \
        WHERE s.created_at > now() + interval '4 min'";
    assert_eq!(count(&world, session).await, 1, "it belongs to the session of the last call");
    let events = "events WHERE event_type = 'account.device_registered'";
    assert_eq!(count(&world, events).await, 1, "a renewal is no event");
    world.finish().await;
}

/// With the id kept in the `UPDATE`, the device had the same id for both.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_moves_to_who_has_the_device_now() {
    let world = World::start().await;
    let (asha, ravi) = (world.patient().await, world.patient().await);
    let hers = register(&asha, "shared").await;
    let his = register(&ravi, "shared").await;
    assert_ne!(hers.id, his.id, "what was written for her device never reaches his");
    assert_eq!((devices(&world, &asha).await, devices(&world, &ravi).await), (0, 1));
    let removed = RemoveDeviceRequest { device_id: hers.id, ..Default::default() };
    refused(asha.client.send(removed).await, Code::NotFound, "NOT_FOUND");
    let events = format!(
        "events WHERE event_type = 'account.device_removed' AND account_id = '{}'",
        asha.id
    );
    assert_eq!(count(&world, &events).await, 1);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_device_registered_longest_ago_gives_way() {
    let world = World::start().await;
    let asha = world.patient().await;
    with_dead_devices(&world, &asha, 20).await;
    let others = [world.again(&asha).await, world.again(&asha).await, world.again(&asha).await];
    let tokens = ["one", "two", "three"];
    join_all(others.iter().zip(tokens).map(|(person, token)| register(person, token))).await;
    register(&asha, "here").await;
    assert_eq!(devices(&world, &asha).await, 20);
    let left = "SELECT min(token) FROM devices WHERE token LIKE 'dead %'";
    assert_eq!(world.sql(left).await, [["dead 14"]], "the newest ones");
    let events = "events WHERE event_type = 'account.device_removed'";
    assert_eq!(count(&world, events).await, 4);
    world.finish().await;
}

/// Devices of sessions that are gone, written straight into the database: `dead 10` is the oldest.
async fn with_dead_devices(world: &World, person: &Person, number: usize) {
    world
        .sql(&format!(
            "INSERT INTO devices (id, account_id, session_id, platform, token, token_hash, \
                created_at, updated_at) \
             SELECT gen_random_uuid(), '{}', gen_random_uuid(), 'ios', 'dead ' || n, \
                decode(lpad(n::text, 64, '0'), 'hex'), now(), now() - interval '1 h' + n * interval '1 s' \
             FROM generate_series(10, {}) n",
            person.id,
            9 + number
        ))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_has_one_device_and_a_device_a_living_session() {
    let world = World::start().await;
    let (asha, ravi) = (world.patient().await, world.patient().await);
    register(&ravi, "his").await;
    let before = register(&asha, "before").await;
    let after = register(&asha, "after").await;
    assert_ne!(before.id, after.id);
    assert_eq!(devices(&world, &asha).await, 1);
    let removed = "events WHERE event_type = 'account.device_removed'";
    assert_eq!(count(&world, removed).await, 1);

    with_dead_devices(&world, &asha, 3).await;
    let old = world.app.ids.next();
    world
        .batch(&format!(
            "UPDATE notifications SET sealed_contact = 'sealed', \
                created_at = now() - interval '31 days' WHERE account_id = '{}'; \
             UPDATE deliveries SET state = 'failed' WHERE account_id = '{}'; \
             INSERT INTO jobs (id, kind, payload, state, run_at, created_at) \
             VALUES ('{old}', 'notifications.forget_old', '{{}}', 'ready', now(), now());",
            asha.id, asha.id
        ))
        .await;
    world.settle().await;
    assert_eq!(devices(&world, &asha).await, 1, "those whose session does not live are gone");
    assert_eq!(devices(&world, &ravi).await, 1);
    assert_eq!(count(&world, removed).await, 2, "one for all of them");
    assert_eq!(count(&world, "notifications WHERE sealed_contact IS NOT NULL").await, 0);
    let ended = format!("deliveries WHERE account_id = '{}' AND reason = 'TOO_LATE'", asha.id);
    assert!(count(&world, &ended).await > 0, "and no retry sends to somebody else");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_own_devices_are_removed_and_once() {
    let world = World::start().await;
    let (asha, ravi) = (world.patient().await, world.patient().await);
    let device_id = register(&asha, "hers").await.id;
    let remove = RemoveDeviceRequest {
        request_id: world.app.ids.next().to_string(),
        device_id: device_id.clone(),
    };
    refused(ravi.client.send(remove.clone()).await, Code::NotFound, "NOT_FOUND");
    asha.client.send(remove.clone()).await.unwrap();
    asha.client.send(remove.clone()).await.unwrap();
    assert_eq!(devices(&world, &asha).await, 0);
    let anew = RemoveDeviceRequest { request_id: String::new(), ..remove };
    refused(asha.client.send(anew).await, Code::NotFound, "NOT_FOUND");

    let request =
        RegisterDeviceRequest { request_id: world.app.ids.next().to_string(), ..registration("x") };
    let answers = join_all((0..6).map(|_| ravi.client.send(request.clone()))).await;
    let first = answers[0].as_ref().unwrap().device.clone();
    assert!(answers.iter().all(|answer| answer.as_ref().unwrap().device == first));
    let other = RegisterDeviceRequest { token: "y".to_owned(), ..request };
    refused(ravi.client.send(other).await, Code::InvalidArgument, "REQUEST_ID_REUSED");
    world.finish().await;
}
