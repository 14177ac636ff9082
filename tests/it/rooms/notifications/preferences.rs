//! What people want to be told.

use clinicd_sdk::proto::notifications::v1::{
    Channel, ClassPreference, GetPreferencesRequest, NotificationClass, PreferenceSwitch,
    Preferences, QuietHours, UpdatePreferencesRequest,
};
use clinicd_sdk::proto::profiles::v1::{GetMyPatientRequest, UpdateMyPatientRequest};
use clinicd_sdk::proto::r#type::v1::TimeOfDay;
use clinicd_sdk::{Code, Error};
use clinicd_tests::{Person, World, refused};
use futures_util::future::join_all;

use super::count;
use crate::rooms::fields;

async fn preferences(person: &Person) -> Preferences {
    person.client.send(GetPreferencesRequest {}).await.unwrap().preferences.unwrap()
}

async fn update(person: &Person, request: UpdatePreferencesRequest) -> Result<Preferences, Error> {
    person.client.send(request).await.map(|answer| answer.preferences.unwrap())
}

fn to(before: &Preferences) -> UpdatePreferencesRequest {
    UpdatePreferencesRequest { etag: before.etag.clone(), ..Default::default() }
}

fn switch(class: NotificationClass, channel: Channel, enabled: bool) -> PreferenceSwitch {
    PreferenceSwitch { class: class.into(), channel: channel.into(), enabled }
}

fn hours(start: i32, end: i32) -> QuietHours {
    let time = |hours| Some(TimeOfDay { hours, minutes: 30 });
    QuietHours { start: time(start), end: time(end) }
}

fn class(preferences: &Preferences, class: NotificationClass) -> ClassPreference {
    preferences.classes.iter().find(|one| one.class == i32::from(class)).unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_open_until_it_is_closed() {
    use NotificationClass::{Account, Booking, Greeting, Record, Reminder, Security};
    let world = World::start().await;
    let (asha, ravi) = (world.patient().await, world.patient().await);
    let fresh = preferences(&asha).await;
    assert_eq!((fresh.etag.as_str(), fresh.update_time, fresh.quiet_hours), ("0", None, None));
    assert_eq!(fresh.time_zone, "Asia/Kolkata");
    let required: Vec<bool> = [Security, Account, Booking, Record, Reminder, Greeting]
        .map(|one| class(&fresh, one).required)
        .into();
    assert_eq!(required, [true, true, true, false, false, false]);
    let greetings = class(&fresh, Greeting).channels;
    assert_eq!(greetings, [Channel::Mail, Channel::Sms, Channel::Push].map(i32::from));

    let switches =
        vec![switch(Greeting, Channel::Mail, false), switch(Booking, Channel::Mail, true)];
    let request =
        UpdatePreferencesRequest { switches, quiet_hours: Some(hours(22, 6)), ..to(&fresh) };
    let changed = update(&asha, request).await.unwrap();
    assert_eq!(class(&changed, Greeting).channels, [Channel::Sms, Channel::Push].map(i32::from));
    assert_eq!((changed.quiet_hours, changed.etag.as_str()), (Some(hours(22, 6)), "1"));
    assert!(changed.update_time.is_some());
    assert_eq!(preferences(&asha).await, changed);
    assert_eq!(preferences(&ravi).await, fresh, "nobody else's");

    let again = UpdatePreferencesRequest {
        switches: vec![switch(Greeting, Channel::Mail, false)],
        ..to(&changed)
    };
    assert_eq!(update(&asha, again).await.unwrap(), changed, "nothing new, nothing changed");
    let back = UpdatePreferencesRequest {
        switches: vec![switch(Greeting, Channel::Mail, true)],
        clear_quiet_hours: true,
        ..to(&changed)
    };
    let back = update(&asha, back).await.unwrap();
    assert_eq!((back.classes, back.quiet_hours), (fresh.classes, None));
    let events = format!(
        "events WHERE event_type = 'account.preferences_changed' AND account_id = '{}'",
        asha.id
    );
    assert_eq!(count(&world, &events).await, 2);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_chosen_is_named() {
    use NotificationClass::{Account, Greeting, Security};
    let world = World::start().await;
    let asha = world.patient().await;
    let fresh = preferences(&asha).await;
    let request = UpdatePreferencesRequest {
        switches: vec![
            switch(Security, Channel::Mail, false),
            switch(Greeting, Channel::Mail, false),
            switch(Greeting, Channel::Mail, true),
            switch(Account, Channel::Mail, false),
        ],
        quiet_hours: Some(hours(7, 7)),
        clear_quiet_hours: true,
        ..to(&fresh)
    };
    let refusal = refused(update(&asha, request).await, Code::InvalidArgument, "INVALID_FIELDS");
    let expected = [
        "switches[0].class",
        "switches[2].channel",
        "switches[3].class",
        "quiet_hours.end",
        "clear_quiet_hours",
    ];
    assert_eq!(fields(&refusal), expected);
    assert_eq!(preferences(&asha).await, fresh, "all or nothing");
    world.finish().await;
}

/// Without the version in the `UPDATE`, five of six parallel changes were taken.
#[tokio::test(flavor = "multi_thread")]
async fn a_stale_etag_changes_nothing() {
    let world = World::start().await;
    let asha = world.patient().await;
    for round in 0..2 {
        let seen = preferences(&asha).await;
        let change =
            |hour| UpdatePreferencesRequest { quiet_hours: Some(hours(hour, 12)), ..to(&seen) };
        let changes = (round * 6..round * 6 + 6).map(|hour| update(&asha, change(hour)));
        let (good, bad): (Vec<_>, Vec<_>) =
            join_all(changes).await.into_iter().partition(Result::is_ok);
        assert_eq!(good.len(), 1, "one of six at the same moment");
        for answer in bad {
            refused(answer, Code::Aborted, "ETAG_MISMATCH");
        }
        assert_eq!(preferences(&asha).await, good.into_iter().next().unwrap().unwrap());
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn quiet_hours_are_meant_in_the_zone_of_the_patient() {
    let world = World::start().await;
    let asha = world.patient().await;
    let patient = asha.client.send(GetMyPatientRequest {}).await.unwrap().patient.unwrap();
    let request = UpdateMyPatientRequest {
        etag: patient.etag,
        time_zone: Some("America/New_York".to_owned()),
        ..Default::default()
    };
    asha.client.send(request).await.unwrap();
    assert_eq!(preferences(&asha).await.time_zone, "America/New_York");
    world.finish().await;
}
