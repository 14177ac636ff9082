//! What admins see of deliveries, and another try.

use clinicd_sdk::proto::notifications::v1::{
    Channel, Delivery, DeliveryState, ListDeliveriesRequest, RetryDeliveryRequest,
};
use clinicd_sdk::{Code, Error};
use clinicd_tests::{Person, World, refused};
use futures_util::future::join_all;

use super::count;

async fn list(admin: &Person, request: ListDeliveriesRequest) -> Vec<Delivery> {
    admin.client.all(ListDeliveriesRequest { page_size: 25, ..request }).await.unwrap()
}

async fn retry(admin: &Person, id: &str) -> Result<Delivery, Error> {
    let request = RetryDeliveryRequest { delivery_id: id.to_owned(), ..Default::default() };
    admin.client.send(request).await.map(|answer| answer.delivery.unwrap())
}

/// The first delivery of a kind to a person.
async fn delivery(admin: &Person, to: &Person, kind: &str) -> Delivery {
    let (account_id, kind) = (to.id.clone(), kind.to_owned());
    let request = ListDeliveriesRequest { account_id, kind, ..Default::default() };
    list(admin, request).await.remove(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn deliveries_are_found_by_what_is_known_of_them() {
    let world = World::start().await;
    let (admin, asha) = (world.admin().await, world.patient().await);
    world.phone_patient("+919812345678").await;
    world.settle().await;
    let all = list(&admin, ListDeliveriesRequest::default()).await;
    assert!(all.len() > 4 && all.is_sorted_by(|one, next| one.id > next.id), "newest first");
    assert!(all.iter().all(|one| one.state == i32::from(DeliveryState::Sent) && one.attempts == 1));
    assert!(all.iter().all(|one| !one.template_version.is_empty() && one.end_time.is_some()));

    let hers = ListDeliveriesRequest { account_id: asha.id.clone(), ..Default::default() };
    let hers = list(&admin, hers).await;
    assert!(!hers.is_empty() && hers.iter().all(|one| one.account_id == asha.id));
    let sms = ListDeliveriesRequest { channel: Channel::Sms.into(), ..Default::default() };
    let sms = list(&admin, sms).await;
    assert!(!sms.is_empty() && sms.iter().all(|one| one.channel == i32::from(Channel::Sms)));
    let welcome = ListDeliveriesRequest { kind: "welcome".to_owned(), ..Default::default() };
    let welcome = list(&admin, welcome).await;
    assert!(!welcome.is_empty() && welcome.iter().all(|one| one.kind == "welcome"));
    let failed =
        ListDeliveriesRequest { state: DeliveryState::Failed.into(), ..Default::default() };
    assert_eq!(list(&admin, failed).await, []);
    let both = ListDeliveriesRequest {
        account_id: asha.id.clone(),
        kind: "welcome".to_owned(),
        state: DeliveryState::Sent.into(),
        channel: Channel::Mail.into(),
        include_total: true,
        ..Default::default()
    };
    let both = admin.client.send(both).await.unwrap();
    assert_eq!((both.deliveries.len(), both.total_size), (1, Some(1)));

    let page = ListDeliveriesRequest { page_size: 2, ..Default::default() };
    let token = admin.client.send(page.clone()).await.unwrap().next_page_token;
    let moved = ListDeliveriesRequest { page_token: token, kind: "welcome".to_owned(), ..page };
    refused(admin.client.send(moved).await, Code::InvalidArgument, "PAGE_TOKEN_INVALID");
    let request = ListDeliveriesRequest::default();
    refused(asha.client.send(request).await, Code::PermissionDenied, "ROLE_REQUIRED");
    world.finish().await;
}

/// Gives a delivery up, as after seven attempts.
async fn give_up(world: &World, delivery: &Delivery) {
    world
        .sql(&format!(
            "UPDATE deliveries SET state = 'failed', attempts = 7, reason = 'PROVIDER_BUSY', \
                provider_code = 450, template_version = '', ended_at = now() WHERE id = '{}'",
            delivery.id
        ))
        .await;
}

/// Without the lock, all five parallel calls were taken.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_given_up_goes_again_with_its_key_once() {
    let world = World::start().await;
    let (admin, asha) = (world.admin().await, world.patient().await);
    world.settle().await;
    let sent = delivery(&admin, &asha, "welcome").await;
    refused(retry(&admin, &sent.id).await, Code::FailedPrecondition, "WRONG_STATE");
    give_up(&world, &sent).await;
    let mails = world.mails_to(&asha.email).len();

    let tries = join_all((0..5).map(|_| retry(&admin, &sent.id))).await;
    let (good, bad): (Vec<_>, Vec<_>) = tries.into_iter().partition(Result::is_ok);
    assert_eq!(good.len(), 1, "one of five at the same moment");
    for answer in bad {
        refused(answer, Code::FailedPrecondition, "WRONG_STATE");
    }
    let pending = good.into_iter().next().unwrap().unwrap();
    assert_eq!((pending.state, pending.attempts), (DeliveryState::Pending.into(), 0));
    assert_eq!((pending.reason.as_str(), pending.end_time), ("", None));
    world.settle().await;
    let again = delivery(&admin, &asha, "welcome").await;
    assert_eq!((again.state, again.attempts), (DeliveryState::Sent.into(), 1));
    assert_eq!(again.id, sent.id);
    assert_eq!(world.mails_to(&asha.email).len(), mails, "the folder knows the key");
    let events = "events WHERE event_type = 'notification.retried' AND account_id IS NULL";
    assert_eq!(count(&world, events).await, 1);
    world.finish().await;
}

/// What waits for a job that an admin has cancelled.
#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_a_job_that_will_not_run_can_go_again() {
    let world = World::start().await;
    let (admin, asha) = (world.admin().await, world.patient().await);
    world.settle().await;
    let sent = delivery(&admin, &asha, "welcome").await;
    let id = &sent.id;
    world
        .sql(&format!("UPDATE deliveries SET state = 'pending', ended_at = NULL WHERE id = '{id}'"))
        .await;
    let job = async |set: &str| {
        let of = format!("id = (SELECT job_id FROM deliveries WHERE id = '{id}')");
        world.sql(&format!("UPDATE jobs SET {set} WHERE {of}")).await;
    };
    job("state = 'ready', attempts = 0, run_at = run_at + interval '1 day', finished_at = NULL")
        .await;
    refused(retry(&admin, id).await, Code::FailedPrecondition, "WRONG_STATE");
    job("state = 'cancelled', finished_at = now()").await;
    assert_eq!(retry(&admin, id).await.unwrap().state, i32::from(DeliveryState::Pending));
    world.settle().await;
    assert_eq!(delivery(&admin, &asha, "welcome").await.state, i32::from(DeliveryState::Sent));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_retry_is_one_try() {
    let world = World::start().await;
    let (admin, asha) = (world.admin().await, world.patient().await);
    world.settle().await;
    let sent = delivery(&admin, &asha, "welcome").await;
    give_up(&world, &sent).await;
    let request = RetryDeliveryRequest {
        request_id: world.app.ids.next().to_string(),
        delivery_id: sent.id.clone(),
    };
    let answers = join_all((0..5).map(|_| admin.client.send(request.clone()))).await;
    let first = answers[0].as_ref().unwrap();
    assert!(answers.iter().all(|answer| answer.as_ref().unwrap() == first));
    let jobs = format!("jobs WHERE payload->>'delivery' = '{}'", sent.id);
    assert_eq!(count(&world, &jobs).await, 2, "the first one and the new one");
    let nobodys = world.app.ids.next().to_string();
    refused(retry(&admin, &nobodys).await, Code::NotFound, "NOT_FOUND");
    refused(retry(&asha, &sent.id).await, Code::PermissionDenied, "ROLE_REQUIRED");
    world.finish().await;
}
