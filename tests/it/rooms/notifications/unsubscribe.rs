//! Links that switch a class of messages off.

use clinicd_sdk::proto::identity::v1::{
    DeleteMyAccountRequest, GetMyAccountRequest, UpdateMyAccountRequest,
};
use clinicd_sdk::proto::notifications::v1::{
    GetPreferencesRequest, NotificationClass, PreferenceSwitch, Preferences,
    UpdatePreferencesRequest,
};
use clinicd_tests::{Code, Person, World, refused};

use super::count;
use crate::port::{get, post};

/// What a mail program sends, RFC 8058.
const ONE_CLICK: &str = "List-Unsubscribe=One-Click";

async fn preferences(person: &Person) -> Preferences {
    person.client.send(GetPreferencesRequest {}).await.unwrap().preferences.unwrap()
}

fn greetings(preferences: &Preferences) -> &[i32] {
    let class = i32::from(NotificationClass::Greeting);
    &preferences.classes.iter().find(|one| one.class == class).unwrap().channels
}

/// A greeting as it would come today, and the path of the link in its mail's head.
async fn greeted(world: &World, person: &Person) -> String {
    super::greetings::greet(world, &person.id, "birthday").await;
    let head = || {
        super::greetings::mail_heads(world)
            .into_iter()
            .find(|head| head.contains(&person.email) && head.contains("List-Unsubscribe:"))
    };
    let head = head().unwrap_or_else(|| panic!("no mail with such a link to {}", person.email));
    assert!(head.contains("List-Unsubscribe-Post: List-Unsubscribe=One-Click"), "{head}");
    let head = head.replace("\r\n ", "");
    let link = head.split("List-Unsubscribe: <").nth(1).unwrap().split('>').next().unwrap();
    let path = link.strip_prefix(&world.app.config.public_url).unwrap();
    assert!(path.starts_with("/unsubscribe/"), "{link}");
    path.to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_click_closes_the_class_and_again_changes_nothing() {
    let world = World::start().await;
    let (asha, ravi) = (world.patient().await, world.patient().await);
    let path = greeted(&world, &asha).await;
    let before = preferences(&asha).await;
    let page = get(world.url(), &path).await;
    assert_eq!(page.status, 200);
    assert!(page.text().contains("<form method=\"post\">"), "{}", page.text());
    assert!(page.header("content-security-policy").unwrap().contains("default-src 'none'"));
    assert_eq!(page.header("cache-control"), Some("no-store"));
    assert_eq!(preferences(&asha).await, before, "to look changes nothing: scanners open links");

    for _ in 0..2 {
        let done = post(world.url(), &path, ONE_CLICK).await;
        assert_eq!(done.status, 200, "{}", done.text());
        assert!(!done.text().contains("<form"), "{}", done.text());
        for told in [&asha.email, &asha.id, &asha.name.family] {
            assert!(!done.text().contains(told) && !page.text().contains(told), "{told}");
        }
    }
    let after = preferences(&asha).await;
    assert!(greetings(&after).is_empty() && !greetings(&before).is_empty());
    assert_eq!(after.classes[..5], before.classes[..5], "all other classes stay");
    assert_eq!(after.etag, "1", "changed once");
    assert_eq!(greetings(&preferences(&ravi).await), greetings(&before));
    let events = "events WHERE event_type = 'account.preferences_changed'";
    assert_eq!(count(&world, events).await, 1);

    let stale = UpdatePreferencesRequest { etag: before.etag.clone(), ..Default::default() };
    refused(asha.client.send(stale).await, Code::Aborted, "ETAG_MISMATCH");
    let channel = greetings(&before)[0];
    let open =
        PreferenceSwitch { class: NotificationClass::Greeting.into(), channel, enabled: true };
    let switches = vec![open];
    let request = UpdatePreferencesRequest { etag: after.etag, switches, ..Default::default() };
    let opened = asha.client.send(request).await.unwrap().preferences.unwrap();
    assert_eq!(greetings(&opened), [channel], "the app can take it back");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn for_a_closed_account_nothing_is_written() {
    let world = World::start().await;
    let asha = world.patient().await;
    let path = greeted(&world, &asha).await;
    asha.client.send(DeleteMyAccountRequest::default()).await.unwrap();
    world.settle().await;
    let again = "jobs WHERE kind = 'notifications.forget_account' AND state = 'ready'";
    assert_eq!(count(&world, again).await, 1, "it is looked at once more");
    let done = post(world.url(), &path, ONE_CLICK).await;
    assert!(done.status == 200 && !done.text().contains("<form"), "{}", done.text());
    assert_eq!(count(&world, "closed_channels").await, 0);
    assert_eq!(count(&world, "notification_preferences").await, 0);
    world.advance(jiff::SignedDuration::from_mins(11));
    world.settle().await;
    assert_eq!(count(&world, again).await, 0);
    world.finish().await;
}

/// Without the check of the code in the token, the one that names Ravi was taken.
#[tokio::test(flavor = "multi_thread")]
async fn a_forged_link_leads_nowhere() {
    let world = World::start().await;
    let (asha, ravi) = (world.patient().await, world.patient().await);
    let path = greeted(&world, &asha).await;
    let theirs = greeted(&world, &ravi).await;
    // The account of one and the code of the other.
    let (mine, his) =
        (path.trim_start_matches("/unsubscribe/"), theirs.trim_start_matches("/unsubscribe/"));
    let mixed = format!("{}{}", &his[..20], &mine[20..]);
    for token in [&mixed, "x", "", &mine[1..], &mine.to_lowercase(), &"A".repeat(2_000)] {
        let path = format!("/unsubscribe/{token}");
        for answer in [get(world.url(), &path).await, post(world.url(), &path, ONE_CLICK).await] {
            // Without a token it is no page at all.
            let nowhere: &[u16] = if token.is_empty() { &[400, 405] } else { &[404] };
            assert!(nowhere.contains(&answer.status), "{token}: {}", answer.status);
        }
    }
    assert_eq!(count(&world, "closed_channels").await, 0);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_speaks_the_language_of_the_account() {
    let world = World::start().await;
    let asha = world.patient().await;
    let path = greeted(&world, &asha).await;
    let etag = asha.client.send(GetMyAccountRequest {}).await.unwrap().account.unwrap().etag;
    let language = Some("hi".to_owned());
    let request = UpdateMyAccountRequest { etag, language, ..Default::default() };
    asha.client.send(request).await.unwrap();
    let page = get(world.url(), &path).await.text();
    assert!(page.contains("<html lang=\"hi\">") && page.contains('क'), "{page}");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_are_counted_like_public_reads() {
    let world = World::start_with(|config| {
        config.limits.public_reads_per_minute = 1;
        config.limits.public_reads_burst = 2;
    })
    .await;
    let path = "/unsubscribe/nothing";
    let mut answers = Vec::new();
    for _ in 0..3 {
        answers.push(get(world.url(), path).await);
    }
    let status: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
    assert_eq!(status, [404, 404, 429]);
    assert!(answers[2].header("retry-after").is_some());
    world.finish().await;
}
