//! The table of all messages in `docs/notifications.md` says what the code does, and each of them
//! arrives.

use std::collections::BTreeSet;

use clinicd_sdk::proto::notifications::v1::{
    Channel as Way, DevicePlatform, RegisterDeviceRequest,
};
use clinicd_sdk::proto::sandbox::v1::ListOutboxRequest;
use clinicd_server::kernel::events::{Event, ResourceKind};
use clinicd_server::kernel::locale::{Locale, Locales, NoticeKind};
use clinicd_server::notifications::{Channel, Notice, notify, plan};
use clinicd_server::work;
use clinicd_tests::World;
use uuid::Uuid;

use super::account_id;

const DOCUMENT: &str = include_str!("../../../../docs/notifications.md");
/// What stands in the place of a kind that nothing sends yet.
const NOT_YET: &str = "not there yet";
/// The jobs that tell nobody anything, or send what others have written.
const TELL_NOBODY: [&str; 15] = [
    "appointments.plan_reminders",
    "feed.remove_endpoint",
    "feed.sweep",
    "feed.sweep_webhooks",
    "files.sweep",
    "identity.sweep_failures",
    "kernel.forget_answers",
    "kernel.forget_jobs",
    "notifications.deliver",
    "notifications.find_greeted",
    "notifications.forget_account",
    "notifications.forget_old",
    "notifications.greet",
    "onboarding.end_approved",
    "onboarding.forget_applicant",
];

/// A row of the table.
struct Row {
    when: &'static str,
    kind: &'static str,
    class: &'static str,
    ways: &'static str,
    inbox: &'static str,
    at_once: &'static str,
    spec: &'static str,
}

fn table() -> Vec<Row> {
    let rows = DOCUMENT.split_once("## All messages").unwrap().1;
    let rows = rows.lines().filter(|line| line.starts_with('|')).skip(2);
    rows.map(|line| {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        let [when, _tells, _whom, kind, class, ways, inbox, at_once, spec] = cells[..] else {
            panic!("{line}")
        };
        Row { when, kind: kind.trim_matches('`'), class, ways, inbox, at_once, spec }
    })
    .collect()
}

/// The jobs that an event makes and that tell somebody.
fn jobs_of(event_type: &str) -> Vec<&'static str> {
    let event = Event {
        event_type: "test.made",
        kind: ResourceKind::Account,
        resource: Uuid::nil(),
        account: None,
        patient: None,
        doctor: None,
    };
    let of = work::subscriptions().into_iter().filter(|(name, _)| *name == event_type);
    let jobs = of.map(|(_, subscriber)| subscriber(&event).kind());
    jobs.filter(|job| !TELL_NOBODY.contains(job)).collect()
}

#[test]
fn each_row_is_as_the_code_has_it() {
    let yes = |answer: &str| match answer {
        "yes" => true,
        "no" => false,
        other => panic!("{other}"),
    };
    for row in table() {
        assert!(!row.spec.is_empty(), "{}", row.when);
        if row.kind == NOT_YET {
            assert!(!row.when.contains('`'), "{} is there", row.when);
            continue;
        }
        let kind = NoticeKind::from_key(row.kind).unwrap();
        let plan = plan(kind);
        let channels = plan.channels.iter().map(|channel| channel.as_str());
        assert_eq!(row.class, plan.class.as_str(), "{}", row.kind);
        assert_eq!(row.ways, channels.collect::<Vec<_>>().join(", "), "{}", row.kind);
        assert_eq!(yes(row.inbox), plan.inbox, "{}", row.kind);
        assert_eq!(yes(row.at_once), plan.urgent, "{}", row.kind);

        let (what, name) = row.when.split_once(' ').unwrap();
        let name = name.trim_matches('`');
        let found = match what {
            "event" => !jobs_of(name).is_empty(),
            "job" => work::kinds().iter().any(|kind| kind.name == name),
            "schedule" => work::schedules().iter().any(|schedule| schedule.name == name),
            other => panic!("{other}"),
        };
        assert!(found, "{}", row.when);
    }
}

#[test]
fn nothing_that_is_told_is_missing_in_the_table() {
    let table = table();
    for kind in NoticeKind::ALL {
        assert!(table.iter().any(|row| row.kind == kind.key()), "{}", kind.key());
    }
    let told: BTreeSet<&str> = table
        .iter()
        .filter_map(|row| row.when.split_once(' '))
        .flat_map(|(what, name)| {
            let name = name.trim_matches('`');
            if what == "event" { jobs_of(name) } else { vec![name] }
        })
        .collect();
    for kind in work::kinds().iter() {
        assert_ne!(told.contains(kind.name), TELL_NOBODY.contains(&kind.name), "{}", kind.name);
    }
    for (event, _) in work::subscriptions() {
        let row = format!("event `{event}`");
        assert!(
            jobs_of(event).is_empty() || table.iter().any(|other| other.when == row),
            "{event}"
        );
    }
}

/// Whatever a kind normally goes by: each is sent to the owner, with its made-up values.
#[tokio::test(flavor = "multi_thread")]
async fn every_message_arrives_by_every_way_in_every_language() {
    let world = World::start().await;
    let locales = Locales::load().unwrap();
    for (locale, number) in Locale::ALL.into_iter().zip(["+919812345601", "+919812345602"]) {
        let person = world.patient().await;
        let token = format!("device {number}");
        let platform = DevicePlatform::Android.into();
        let register =
            RegisterDeviceRequest { token: token.clone(), platform, ..Default::default() };
        person.client.send(register).await.unwrap();
        let (tag, id) = (locale.tag(), &person.id);
        world
            .sql(&format!(
                "UPDATE accounts SET language = '{tag}', phone = '{number}' WHERE id = '{id}'"
            ))
            .await;
        for &kind in NoticeKind::ALL {
            let values = locales.sample(locale, kind);
            let notice = Notice { values, ..Notice::new(kind, account_id(&person)) };
            notify(&world.app, world.app.ids.next(), notice).await.unwrap();
        }
        world.settle().await;
        for &kind in NoticeKind::ALL {
            let expected = locales.preview(locale, kind).unwrap();
            for channel in plan(kind).channels {
                let (recipient, way) = match channel {
                    Channel::Mail => (&person.email, Way::Mail),
                    Channel::Sms => (&number.to_owned(), Way::Sms),
                    Channel::Push => (&token, Way::Push),
                };
                let request = ListOutboxRequest {
                    channel: way.into(),
                    recipient: recipient.clone(),
                    max_messages: 100,
                };
                let sent = world.client().send(request).await.unwrap().messages;
                let arrived = sent.iter().any(|message| match channel {
                    Channel::Mail => {
                        let body = expected.text.lines().next().unwrap();
                        message.subject == expected.title && message.text.starts_with(body)
                    }
                    Channel::Sms => message.text == expected.short,
                    Channel::Push => {
                        message.subject == expected.title && message.text == expected.short
                    }
                });
                assert!(arrived, "{tag} {} by {}: {sent:?}", kind.key(), channel.as_str());
            }
        }
    }
    world.finish().await;
}
