//! Birthday, Christmas and New Year.
//!
//! With another `once_key` (and key of the job) for every look, each of these tests failed: people were
//! greeted two and three times.

use clinicd_sdk::proto::notifications::v1::{
    Channel, GetPreferencesRequest, NotificationClass, PreferenceSwitch, UpdatePreferencesRequest,
};
use clinicd_server::kernel::kinds::AccountId;
use clinicd_server::kernel::locale::NoticeKind;
use clinicd_server::notifications::{Notice, notify};
use clinicd_tests::{Person, World, eventually};
use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use super::count;

/// Greets an account at once, whatever the day.
pub async fn greet(world: &World, account: &str, kind: &str) {
    let account = AccountId(account.parse().unwrap());
    let notice = Notice::new(NoticeKind::from_key(kind).unwrap(), account);
    notify(&world.app, world.app.ids.next(), notice).await.unwrap();
    world.settle().await;
}

/// The heads of all mails, as they were written.
pub fn mail_heads(world: &World) -> Vec<String> {
    let folder = std::fs::read_dir(world.app.config.data_dir.join("outbox/mail")).unwrap();
    let paths = folder.map(|entry| entry.unwrap().path());
    let mails = paths.filter(|path| path.extension().is_some_and(|extension| extension == "eml"));
    let heads = mails.map(|path| std::fs::read_to_string(path).unwrap());
    heads.map(|mail| mail.split("\r\n\r\n").next().unwrap().to_owned()).collect()
}

/// Somebody in a zone, written straight into the database: no mail, no phone.
async fn somebody(world: &World, zone: &str, born: &str) -> Uuid {
    let id = world.app.ids.next();
    world
        .batch(&format!(
            "INSERT INTO accounts (id, given_name, family_name, language, state, created_at, \
                updated_at) VALUES ('{id}', 'Kavya', 'Nair', 'en', 'active', now(), now()); \
             INSERT INTO patients (id, account_id, given_name, family_name, time_zone, birth_date, \
                created_at, updated_at) VALUES ('{id}', '{id}', 'Kavya', 'Nair', '{zone}', \
                '{born}', now(), now());"
        ))
        .await;
    id
}

/// Puts the clock to a moment, a later or an earlier one.
fn put_clock(world: &World, to: &str) {
    let to: Timestamp = to.parse().unwrap();
    world.advance(to.duration_since(world.app.clock.now().timestamp()));
}

/// Looks whose time has come, as the schedule does, some times at once.
async fn look(world: &World, times: usize) {
    let now = world.app.clock.now().timestamp();
    for _ in 0..times {
        let id = world.app.ids.next();
        world
            .sql(&format!(
                "INSERT INTO jobs (id, kind, payload, state, run_at, created_at) \
                 VALUES ('{id}', 'notifications.greetings', '{{}}', 'ready', '{now}', '{now}')"
            ))
            .await;
    }
    world.settle().await;
}

/// How often somebody was greeted for an occasion.
async fn greeted(world: &World, who: &Uuid, kind: &str) -> usize {
    count(world, &format!("notifications WHERE account_id = '{who}' AND kind = '{kind}'")).await
}

/// New York puts its clocks forward on that day.
#[tokio::test(flavor = "multi_thread")]
async fn each_zone_has_a_ten_o_clock_of_its_own() {
    let world = World::start().await;
    let tens = [
        ("Pacific/Kiritimati", "2027-03-13T20:00:00Z"),
        ("Asia/Kolkata", "2027-03-14T04:30:00Z"),
        ("America/New_York", "2027-03-14T14:00:00Z"),
        ("Pacific/Pago_Pago", "2027-03-14T21:00:00Z"),
    ];
    let mut people = Vec::new();
    for (zone, _) in tens {
        people.push(somebody(&world, zone, "1990-03-14").await);
    }
    for (at, ((zone, ten), who)) in tens.iter().zip(&people).enumerate() {
        put_clock(&world, ten);
        world.advance(SignedDuration::from_secs(-30));
        look(&world, 1).await;
        assert_eq!(greeted(&world, who, "birthday").await, 0, "{zone}: not yet");
        put_clock(&world, ten);
        look(&world, 1).await;
        assert_eq!(greeted(&world, who, "birthday").await, 1, "{zone}");
        assert_eq!(count(&world, "notifications WHERE kind = 'birthday'").await, at + 1);
    }
    put_clock(&world, "2027-03-15T08:30:00Z");
    look(&world, 1).await;
    assert_eq!(count(&world, "notifications WHERE kind = 'birthday'").await, 4);
    world.finish().await;
}

/// More people than one job looks at, two servers, a server that was down at ten, clocks that jump.
#[tokio::test(flavor = "multi_thread")]
async fn whatever_happens_everybody_is_greeted_once() {
    let world = World::start().await;
    let _second = world.second_server().await;
    world
        .batch(
            "INSERT INTO accounts (id, given_name, family_name, language, state, created_at, \
                updated_at) SELECT ('00000000-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid, \
                'Kavya', 'Nair', 'en', 'active', now(), now() FROM generate_series(1, 1100) n; \
             INSERT INTO patients (id, account_id, given_name, family_name, created_at, updated_at) \
                SELECT id, id, 'Kavya', 'Nair', now(), now() FROM accounts \
                WHERE given_name = 'Kavya';",
        )
        .await;
    // 10:00 was at 04:30.
    put_clock(&world, "2026-12-25T07:30:00Z");
    look(&world, 3).await;
    let all = "notifications WHERE kind = 'christmas'";
    assert_eq!(count(&world, all).await, 500, "others do not wait behind all of them");
    for _ in 0..2 {
        world.advance(SignedDuration::from_secs(30));
        world.settle().await;
    }
    assert_eq!(count(&world, all).await, 1_100);
    for minutes in [5, -5, -5, 5] {
        world.advance(SignedDuration::from_mins(minutes));
        look(&world, 1).await;
    }
    put_clock(&world, "2026-12-25T16:29:00Z");
    look(&world, 2).await;
    assert_eq!(count(&world, all).await, 1_100);
    let distinct = "(SELECT DISTINCT account_id FROM notifications WHERE kind = 'christmas') one";
    assert_eq!(count(&world, distinct).await, 1_100);
    let walks = "jobs WHERE kind = 'notifications.find_greeted' \
        AND payload->>'occasion' = 'christmas' AND payload->>'offset' = '19800'";
    assert_eq!(count(&world, walks).await, 3, "and looked at once, in three parts");
    let events = "events WHERE event_type = 'notification.created'";
    assert_eq!(count(&world, events).await, 1_100, "and everybody heard of it once");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_schedule_greets_at_ten_and_again_next_year() {
    let world = World::start().await;
    let asha = world.patient().await;
    let who = asha.id.parse().unwrap();
    put_clock(&world, "2026-12-31T04:29:58Z");
    assert_eq!(greeted(&world, &who, "new_year").await, 0);
    let came = async |times| greeted(&world, &who, "new_year").await == times;
    eventually("the greeting of the schedule", async || came(1).await).await;
    world.settle().await;
    let mails = || world.mails_to(&asha.email).len();
    let before = mails();
    let until = "notifications WHERE kind = 'new_year' AND send_until = '2026-12-31T16:30:00Z'";
    assert_eq!(count(&world, until).await, 1, "it is not sent at night");
    put_clock(&world, "2026-12-31T15:00:00Z");
    look(&world, 2).await;
    assert!(came(1).await);
    assert_eq!(mails(), before, "one mail, too");
    let heads = mail_heads(&world);
    let linked = heads.iter().filter(|head| head.contains("List-Unsubscribe:")).count();
    assert_eq!(linked, 1, "greetings alone can be switched off by a link");
    put_clock(&world, "2027-12-31T04:30:00Z");
    look(&world, 1).await;
    assert!(came(2).await);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn born_on_29_february_is_greeted_every_year() {
    let world = World::start().await;
    let leap = somebody(&world, "Asia/Kolkata", "2000-02-29").await;
    let eve = somebody(&world, "Asia/Kolkata", "2001-02-28").await;
    let days = [
        ("2027-02-28T05:00:00Z", 1, 1),
        ("2027-03-01T05:00:00Z", 1, 1),
        ("2028-02-28T05:00:00Z", 1, 2),
        ("2028-02-29T05:00:00Z", 2, 2),
        ("2028-03-01T05:00:00Z", 2, 2),
    ];
    for (day, leaps, eves) in days {
        put_clock(&world, day);
        look(&world, 1).await;
        let times =
            (greeted(&world, &leap, "birthday").await, greeted(&world, &eve, "birthday").await);
        assert_eq!(times, (leaps, eves), "{day}");
    }
    world.finish().await;
}

/// Closes these channels of greetings.
async fn close(person: &Person, channels: &[Channel]) {
    let before = person.client.send(GetPreferencesRequest {}).await.unwrap().preferences.unwrap();
    let switch = |channel: &Channel| PreferenceSwitch {
        class: NotificationClass::Greeting.into(),
        channel: (*channel).into(),
        enabled: false,
    };
    let switches = channels.iter().map(switch).collect();
    let request = UpdatePreferencesRequest { etag: before.etag, switches, ..Default::default() };
    person.client.send(request).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn only_active_people_who_want_it_are_greeted() {
    let world = World::start().await;
    let (wants, no_mail, wants_none) =
        (world.patient().await, world.patient().await, world.patient().await);
    close(&no_mail, &[Channel::Mail]).await;
    close(&wants_none, &[Channel::Mail, Channel::Push]).await;
    let mut gone = Vec::new();
    for state in ["blocked", "inactive"] {
        let who = somebody(&world, "Asia/Kolkata", "1990-12-25").await;
        world.sql(&format!("UPDATE accounts SET state = '{state}' WHERE id = '{who}'")).await;
        gone.push(who);
    }
    let closed = somebody(&world, "Asia/Kolkata", "1990-12-25").await;
    world
        .batch(&format!(
            "UPDATE accounts SET state = 'deleted', given_name = '', family_name = '' \
                WHERE id = '{closed}'; \
             UPDATE patients SET closed_at = now() WHERE id = '{closed}'; \
             INSERT INTO patients (id, account_id, given_name, family_name, birth_date, created_at, \
                updated_at) VALUES (gen_random_uuid(), '{}', 'Little', 'One', '2020-12-25', now(), \
                now());",
            wants.id
        ))
        .await;
    gone.push(closed);
    world.settle().await;
    let before = |person: &Person| world.mails_to(&person.email).len();
    let (one, two, three) = (before(&wants), before(&no_mail), before(&wants_none));
    put_clock(&world, "2026-12-25T05:00:00Z");
    look(&world, 2).await;
    for who in &gone {
        let any = format!("notifications WHERE account_id = '{who}'");
        assert_eq!(count(&world, &any).await, 0);
    }
    let christmas =
        async |person: &Person| greeted(&world, &person.id.parse().unwrap(), "christmas").await;
    assert_eq!((christmas(&wants).await, before(&wants)), (1, one + 1));
    assert_eq!((christmas(&no_mail).await, before(&no_mail)), (1, two), "in the inbox alone");
    assert_eq!((christmas(&wants_none).await, before(&wants_none)), (0, three));
    assert_eq!(count(&world, "notifications WHERE kind = 'birthday'").await, 0, "no dependants");
    world.finish().await;
}
