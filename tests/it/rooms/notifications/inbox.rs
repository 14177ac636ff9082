//! The own inbox.

use clinicd_sdk::Code;
use clinicd_sdk::proto::feed::v1::{ResourceKind, WatchRequest};
use clinicd_sdk::proto::identity::v1::{GetMyAccountRequest, UpdateMyAccountRequest};
use clinicd_sdk::proto::notifications::v1::{
    CountUnreadRequest, ListNotificationsRequest, ListNotificationsResponse, MarkReadRequest,
    Notification, NotificationClass,
};
use clinicd_tests::{Person, World, refused};
use futures_util::TryStreamExt as _;
use futures_util::future::join_all;

use super::{count, written};

async fn list(person: &Person, request: ListNotificationsRequest) -> ListNotificationsResponse {
    person.client.send(request).await.unwrap()
}

async fn all(person: &Person) -> Vec<Notification> {
    person.client.all(ListNotificationsRequest::default()).await.unwrap()
}

async fn unread(person: &Person) -> i32 {
    person.client.send(CountUnreadRequest {}).await.unwrap().unread
}

async fn mark(person: &Person, ids: &[&String], up_to: &str) -> i32 {
    let request = MarkReadRequest {
        notification_ids: ids.iter().map(|id| (*id).clone()).collect(),
        up_to_id: up_to.to_owned(),
        ..Default::default()
    };
    person.client.send(request).await.unwrap().unread
}

fn ids(notifications: &[Notification]) -> Vec<&str> {
    notifications.iter().map(|notification| notification.id.as_str()).collect()
}

/// An empty inbox: what a registration wrote is out of the way.
async fn empty(world: &World) -> Person {
    let person = world.patient().await;
    world.settle().await;
    world.sql(&format!("DELETE FROM notifications WHERE account_id = '{}'", person.id)).await;
    person
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_come_newest_first_page_by_page() {
    let world = World::start().await;
    let (asha, ravi) = (empty(&world).await, empty(&world).await);
    let mut mine = Vec::new();
    for _ in 0..12 {
        mine.push(written(&world, &asha.id, "welcome").await);
        written(&world, &ravi.id, "welcome").await;
    }
    mine.reverse();
    assert_eq!(ids(&all(&asha).await), mine, "over all pages, and nobody else's");
    let request = ListNotificationsRequest { include_total: true, ..Default::default() };
    let first = list(&asha, request.clone()).await;
    assert_eq!((first.notifications.len(), first.total_size), (5, Some(12)));
    let message = &first.notifications[0];
    assert_eq!((message.kind.as_str(), message.read_time), ("welcome", None));
    assert!(!message.title.is_empty() && !message.body.is_empty(), "{message:?}");
    assert_eq!(message.class, i32::from(NotificationClass::Account));
    let oldest = ListNotificationsRequest { order_by: "id".to_owned(), ..Default::default() };
    assert_eq!(list(&asha, oldest).await.notifications[0].id, mine[11]);

    let page_token = first.next_page_token;
    let moved = ListNotificationsRequest { page_token, unread: true, ..Default::default() };
    refused(asha.client.send(moved.clone()).await, Code::InvalidArgument, "PAGE_TOKEN_INVALID");
    let moved = ListNotificationsRequest { unread: false, ..moved };
    refused(ravi.client.send(moved).await, Code::InvalidArgument, "PAGE_TOKEN_INVALID");
    let by_kind = ListNotificationsRequest { order_by: "kind".to_owned(), ..Default::default() };
    refused(asha.client.send(by_kind).await, Code::InvalidArgument, "INVALID_FIELDS");
    world.finish().await;
}

/// Without `account_id` in the `UPDATE`, Ravi's message was marked.
#[tokio::test(flavor = "multi_thread")]
async fn marking_reaches_own_messages_alone() {
    let world = World::start().await;
    let (asha, ravi) = (empty(&world).await, empty(&world).await);
    let mut mine = Vec::new();
    for _ in 0..5 {
        mine.push(written(&world, &asha.id, "welcome").await);
    }
    let his = written(&world, &ravi.id, "welcome").await;
    let nobodys = world.app.ids.next().to_string();
    assert_eq!(mark(&asha, &[&his, &nobodys], "").await, 5, "passed over");
    assert_eq!(mark(&asha, &[], &his).await, 5, "not even as a bound of what is older");
    assert_eq!((unread(&ravi).await, unread(&asha).await), (1, 5));

    assert_eq!(mark(&asha, &[&mine[4], &his], "").await, 4);
    assert_eq!(mark(&asha, &[], &mine[1]).await, 2, "and all older ones");
    let read = all(&asha).await;
    let is_read: Vec<bool> = read.iter().map(|message| message.read_time.is_some()).collect();
    assert_eq!(is_read, [true, false, false, true, true]);
    let request =
        ListNotificationsRequest { unread: true, include_total: true, ..Default::default() };
    let left = list(&asha, request).await;
    assert_eq!((ids(&left.notifications), left.total_size), (vec![&*mine[3], &*mine[2]], Some(2)));

    let when = read[4].read_time;
    mark(&asha, &[&mine[0]], &mine[4]).await;
    let again = all(&asha).await;
    assert_eq!(again[4].read_time, when, "the first reading counts");
    assert_eq!((unread(&ravi).await, unread(&asha).await), (1, 0));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unread_messages_are_counted_up_to_a_hundred() {
    let world = World::start().await;
    let asha = empty(&world).await;
    world
        .sql(&format!(
            "INSERT INTO notifications (id, account_id, kind, once_key, template_values, in_inbox, \
                urgent, created_at) SELECT gen_random_uuid(), '{}', 'welcome', 'many ' || n, '{{}}', \
                n <= 150, false, now() FROM generate_series(1, 200) n",
            asha.id
        ))
        .await;
    assert_eq!(unread(&asha).await, 100);
    let request = ListNotificationsRequest { include_total: true, ..Default::default() };
    assert_eq!(
        list(&asha, request).await.total_size,
        Some(150),
        "what is in no inbox is not shown"
    );
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_cannot_be_worded_hides_no_other() {
    let world = World::start().await;
    let asha = empty(&world).await;
    written(&world, &asha.id, "welcome").await;
    written(&world, &asha.id, "appointment_cancelled").await;
    let inbox = all(&asha).await;
    let titles: Vec<bool> = inbox.iter().map(|message| message.title.is_empty()).collect();
    assert_eq!(titles, [true, false], "it has no values");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_marking_is_one_change() {
    let world = World::start().await;
    let asha = empty(&world).await;
    let id = written(&world, &asha.id, "welcome").await;
    let request = MarkReadRequest {
        request_id: world.app.ids.next().to_string(),
        notification_ids: vec![id.clone()],
        ..Default::default()
    };
    let answers = join_all((0..8).map(|_| asha.client.send(request.clone()))).await;
    assert!(answers.into_iter().all(|answer| answer.unwrap().unread == 0));
    mark(&asha, &[&id], &id).await;
    let events = format!("events WHERE event_type = 'notification.read' AND resource_id = '{id}'");
    assert_eq!(count(&world, &events).await, 1);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_language_is_that_of_the_call_or_of_the_account() {
    let world = World::start().await;
    let asha = empty(&world).await;
    written(&world, &asha.id, "welcome").await;
    let english = all(&asha).await.remove(0);
    let etag = asha.client.send(GetMyAccountRequest {}).await.unwrap().account.unwrap().etag;
    let language = Some("hi-IN".to_owned());
    let request = UpdateMyAccountRequest { etag, language, ..Default::default() };
    asha.client.send(request).await.unwrap();
    let hindi = all(&asha).await.remove(0);
    let devanagari = |text: &str| text.chars().any(|c| ('\u{900}'..='\u{97f}').contains(&c));
    assert!(!devanagari(&english.body) && devanagari(&hindi.body) && devanagari(&hindi.title));
    let asked = asha.client.with_language("en-GB").unwrap();
    let asked = asked.all(ListNotificationsRequest::default()).await.unwrap();
    assert_eq!(asked[0].body, english.body);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_device_hears_that_a_message_was_read() {
    let world = World::start().await;
    let (asha, ravi) = (empty(&world).await, empty(&world).await);
    let kinds = vec![ResourceKind::Notification.into()];
    let mut feed = asha.client.watch(WatchRequest { kinds, ..Default::default() });
    feed.try_next().await.unwrap();
    let (his, hers) =
        (written(&world, &ravi.id, "welcome").await, written(&world, &asha.id, "welcome").await);
    mark(&ravi, &[&his], "").await;
    mark(&asha, &[&hers], "").await;
    loop {
        let message = feed.try_next().await.unwrap().unwrap();
        let Some(event) = message.event else { continue };
        assert_eq!((event.r#type.as_str(), event.resource_id), ("notification.read", hers.clone()));
        break;
    }
    drop(feed);
    world.finish().await;
}
