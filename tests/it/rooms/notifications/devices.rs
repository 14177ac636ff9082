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
    let oldest = register(&asha, "oldest").await;
    let renewed = register(&asha, "renewed").await;
    let tokens: Vec<String> = (0..18).map(|number| format!("token {number}")).collect();
    join_all(tokens.iter().map(|token| register(&asha, token))).await;
    register(&asha, "renewed").await;
    assert_eq!(devices(&world, &asha).await, 20);
    let more: Vec<String> = (0..6).map(|number| format!("more {number}")).collect();
    join_all(more.iter().map(|token| register(&asha, token))).await;
    assert_eq!(devices(&world, &asha).await, 20);
    let is_there = async |id: &str| count(&world, &format!("devices WHERE id = '{id}'")).await == 1;
    assert!(!is_there(&oldest.id).await && is_there(&renewed.id).await);
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
