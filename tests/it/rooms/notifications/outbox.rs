//! The outbox: what is written once, by which way it goes, and when.

use clinicd_sdk::proto::identity::v1::{BlockUserRequest, DeleteMyAccountRequest};
use clinicd_server::config::ChannelRates;
use clinicd_server::kernel::jobs::JobError;
use clinicd_server::kernel::locale::NoticeKind;
use clinicd_server::notifications::{Notice, notify};
use clinicd_tests::{Person, World, eventually};
use futures_util::future::join_all;
use jiff::civil::Time;
use jiff::{SignedDuration, ToSpan as _};
use serde_json::json;

use super::{account_id, count};

const NUMBER: &str = "+919812345678";
const ZONE: &str = "Asia/Kolkata";

/// A message to a person.
fn notice(kind: NoticeKind, person: &Person) -> Notice {
    let values = json!({ "doctor": "Dr. Meera Iyer" });
    Notice { values, ..Notice::new(kind, account_id(person)) }
}

async fn tell(world: &World, notice: Notice) -> Result<(), JobError> {
    notify(&world.app, world.app.ids.next(), notice).await
}

/// The channels and states of the deliveries of a kind, in their order.
async fn deliveries(world: &World, kind: &str) -> Vec<(String, String)> {
    let sql = format!("SELECT channel, state FROM deliveries WHERE kind = '{kind}' ORDER BY id");
    let rows = world.sql(&sql).await;
    rows.into_iter().map(|row| (row[0].clone(), row[1].clone())).collect()
}

/// Switches a channel off for a class.
async fn close(world: &World, person: &Person, class: &str, channel: &str) {
    let id = &person.id;
    world
        .sql(&format!(
            "INSERT INTO closed_channels (account_id, class, channel) \
             VALUES ('{id}', '{class}', '{channel}')"
        ))
        .await;
}

/// The time of day where people are, some minutes from now.
fn wall(world: &World, minutes: i64) -> Time {
    let now = world.app.clock.now().timestamp().in_tz(ZONE).unwrap();
    let then = now.checked_add(minutes.minutes()).unwrap();
    then.time().with().second(0).subsec_nanosecond(0).build().unwrap()
}

/// Quiet hours that began an hour ago and last so many more minutes.
async fn quiet(world: &World, person: &Person, minutes: i64) {
    let (id, from, until) = (&person.id, wall(world, -60), wall(world, minutes));
    world
        .sql(&format!(
            "INSERT INTO notification_preferences \
                (account_id, quiet_from, quiet_until, version, updated_at) \
             VALUES ('{id}', '{from}', '{until}', 1, now()) ON CONFLICT (account_id) \
             DO UPDATE SET quiet_from = '{from}', quiet_until = '{until}'"
        ))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_purpose_is_told_once_however_often_it_comes() {
    let world = World::start().await;
    let (asha, replica) = (world.patient().await, world.second_server().await);
    let purpose = |window: &str| Notice {
        once: Some(format!("checkup/{window}/{}", asha.id)),
        ..notice(NoticeKind::PrescriptionIssued, &asha)
    };
    let apps = [&world.app, &replica.app];
    let tries = (0..20).map(|number| {
        let app = apps[number % 2];
        notify(app, app.ids.next(), purpose("2026"))
    });
    for result in join_all(tries).await {
        result.unwrap();
    }
    world.settle().await;
    let of_kind = "notifications WHERE kind = 'prescription_issued'";
    assert_eq!(count(&world, of_kind).await, 1);
    assert_eq!(count(&world, "events WHERE event_type = 'notification.created'").await, 2);
    let ready = |mail: &&clinicd_tests::mail::Mail| mail.subject.contains("prescription");
    assert_eq!(world.mails_to(&asha.email).iter().filter(ready).count(), 1);
    tell(&world, purpose("2027")).await.unwrap();
    // A job that runs again after it was done writes nothing either.
    let key = world.app.ids.next();
    for _ in 0..2 {
        let again = notice(NoticeKind::PrescriptionIssued, &asha);
        notify(&world.app, key, again).await.unwrap();
    }
    world.settle().await;
    assert_eq!(world.mails_to(&asha.email).iter().filter(ready).count(), 3);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn quiet_hours_hold_back_what_is_not_urgent() {
    let world = World::start().await;
    let (ravi, asha) = (world.phone_patient(NUMBER).await, world.patient().await);
    for person in [&ravi, &asha] {
        quiet(&world, person, 120).await;
    }
    let before = world.sms_to(NUMBER).await.len();
    for kind in [NoticeKind::PrescriptionIssued, NoticeKind::PasswordChanged] {
        tell(&world, notice(kind, &ravi)).await.unwrap();
    }
    tell(&world, notice(NoticeKind::PrescriptionIssued, &asha)).await.unwrap();
    let sent = world.sms_to(NUMBER).await;
    assert_eq!(sent.len(), before + 1, "{sent:?}");
    let sms_waits = ("sms".to_owned(), "pending".to_owned());
    let mail_goes = ("mail".to_owned(), "sent".to_owned());
    assert_eq!(deliveries(&world, "prescription_issued").await, [sms_waits.clone(), mail_goes]);
    let inbox = format!("notifications WHERE account_id = '{}' AND in_inbox", ravi.id);
    assert_eq!(count(&world, &format!("{inbox} AND kind = 'prescription_issued'")).await, 1);

    world.advance(SignedDuration::from_mins(110));
    world.settle().await;
    assert_eq!(deliveries(&world, "prescription_issued").await[0], sms_waits);
    // They last longer now: what waits for their end waits on.
    quiet(&world, &ravi, 60).await;
    world.advance(SignedDuration::from_mins(11));
    eventually("it is put off", async || {
        let put_off = "deliveries WHERE channel = 'sms' AND state = 'pending' AND attempts = 0";
        count(&world, &format!("{put_off} AND send_at > created_at + interval '130 minutes'")).await
            == 1
    })
    .await;
    world.advance(SignedDuration::from_mins(60));
    eventually("it is sent", async || world.sms_to(NUMBER).await.len() == before + 2).await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_switched_off_lies_in_the_inbox_alone() {
    let world = World::start().await;
    let asha = world.patient().await;
    for class in ["record", "security"] {
        close(&world, &asha, class, "mail").await;
    }
    for kind in [NoticeKind::PrescriptionIssued, NoticeKind::PasswordChanged] {
        tell(&world, notice(kind, &asha)).await.unwrap();
    }
    world.settle().await;
    assert_eq!(deliveries(&world, "prescription_issued").await, []);
    assert_eq!(deliveries(&world, "password_changed").await.len(), 1, "it cannot be switched off");
    let inbox =
        "notifications WHERE in_inbox AND kind IN ('prescription_issued', 'password_changed')";
    assert_eq!(count(&world, inbox).await, 2);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_switched_off_while_it_waits_is_not_sent() {
    let world = World::start().await;
    let ravi = world.phone_patient(NUMBER).await;
    world.settle().await;
    quiet(&world, &ravi, 60).await;
    tell(&world, notice(NoticeKind::PrescriptionIssued, &ravi)).await.unwrap();
    let before = world.sms_to(NUMBER).await.len();
    close(&world, &ravi, "record", "sms").await;
    world.advance(SignedDuration::from_mins(61));
    eventually("it is skipped", async || {
        let skipped = "deliveries WHERE state = 'skipped' AND reason = 'SWITCHED_OFF'";
        count(&world, skipped).await == 1
    })
    .await;
    assert_eq!(world.sms_to(NUMBER).await.len(), before);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_no_address_is_told_by_text_message() {
    let world = World::start().await;
    let (admin, ravi) = (world.admin().await, world.phone_patient(NUMBER).await);
    let told = world.sms_to(NUMBER).await.len();
    let block = BlockUserRequest { account_id: ravi.id.clone(), ..Default::default() };
    admin.client.send(block).await.unwrap();
    let sms = world.sms_to(NUMBER).await;
    assert_eq!(sms.len(), told + 1, "{sms:?}");
    assert_eq!(deliveries(&world, "account_blocked").await.len(), 1);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_closed_account_only_the_news_of_its_end_is_kept() {
    let world = World::start().await;
    let asha = world.patient().await;
    close(&world, &asha, "record", "mail").await;
    quiet(&world, &asha, 120).await;
    asha.client.send(DeleteMyAccountRequest::default()).await.unwrap();
    world.settle().await;
    let left = world.sql("SELECT kind, sealed_contact FROM notifications").await;
    assert_eq!(left.len(), 1, "{left:?}");
    assert_eq!((&*left[0][0], &*left[0][1]), ("account_deleted", ""), "the address is forgotten");
    for table in ["closed_channels", "notification_preferences", "devices"] {
        assert_eq!(count(&world, table).await, 0, "{table}");
    }
    let closed = |mail: &&clinicd_tests::mail::Mail| mail.subject.contains("closed");
    assert_eq!(world.mails_to(&asha.email).iter().filter(closed).count(), 1);
    // What comes after is for nobody.
    tell(&world, notice(NoticeKind::Welcome, &asha)).await.unwrap();
    assert_eq!(count(&world, "notifications").await, 1);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_keep_to_the_rate_of_their_channel() {
    let world = World::start_with(|config| {
        config.rates = ChannelRates { mail: 2, ..ChannelRates::NONE };
    })
    .await;
    let asha = world.patient().await;
    let told = (0..6).map(|_| tell(&world, notice(NoticeKind::PrescriptionIssued, &asha)));
    for result in join_all(told).await {
        result.unwrap();
    }
    tell(&world, notice(NoticeKind::PasswordChanged, &asha)).await.unwrap();
    let gaps = world
        .sql(
            "SELECT extract(epoch FROM send_at - lag(send_at) OVER (ORDER BY send_at))::real \
             FROM deliveries WHERE kind = 'prescription_issued' ORDER BY send_at OFFSET 1",
        )
        .await;
    // Twice as much where her welcome has gone between them.
    let gaps: Vec<f32> = gaps.iter().map(|gap| gap[0].parse().unwrap()).collect();
    assert!(gaps.len() == 5 && gaps.iter().all(|gap| (0.5..=1.0).contains(gap)), "{gaps:?}");
    let at_once = "deliveries WHERE kind = 'password_changed' AND send_at = created_at";
    assert_eq!(count(&world, at_once).await, 1, "what is urgent does not wait");
    world.advance(SignedDuration::from_secs(10));
    eventually("all are sent", async || {
        count(&world, "deliveries WHERE state <> 'sent'").await == 0
    })
    .await;
    world.finish().await;
}
