//! A patient's own record of person.

use clinicd_sdk::proto::profiles::v1::{GetMyPatientRequest, Patient, UpdateMyPatientRequest};
use clinicd_sdk::proto::r#type::v1::{Date, Gender, PersonName};
use clinicd_sdk::{Code, Error};
use clinicd_tests::{Person, World, refused};
use futures_util::future::join_all;

use crate::rooms::fields;

async fn mine(person: &Person) -> Patient {
    person.client.send(GetMyPatientRequest {}).await.unwrap().patient.unwrap()
}

async fn update(person: &Person, request: UpdateMyPatientRequest) -> Result<Patient, Error> {
    person.client.send(request).await.map(|answer| answer.patient.unwrap())
}

fn to(patient: &Patient) -> UpdateMyPatientRequest {
    UpdateMyPatientRequest { etag: patient.etag.clone(), ..Default::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn absent_stays_present_sets_and_empty_clears() {
    let world = World::start().await;
    let asha = world.patient().await;
    let fresh = mine(&asha).await;
    assert_eq!((fresh.id.as_str(), &fresh.name), (asha.id.as_str(), &Some(asha.name.clone())));
    assert_eq!((fresh.time_zone.as_str(), fresh.phone.as_str()), ("Asia/Kolkata", ""));
    assert_eq!((fresh.birth_date, fresh.gender()), (None, Gender::Unspecified));

    let filled = UpdateMyPatientRequest {
        name: Some(PersonName {
            given: " Aine\u{301} ".to_owned(),
            family: "Ní Bhriain".to_owned(),
        }),
        birth_date: Some(Date { year: 1988, month: 2, day: 29 }),
        gender: Some(Gender::Female.into()),
        phone: Some("098123 45678".to_owned()),
        time_zone: Some("europe/dublin".to_owned()),
        ..to(&fresh)
    };
    let full = update(&asha, filled).await.unwrap();
    assert_eq!(full.name.clone().unwrap().given, "Ainé");
    assert_eq!((full.phone.as_str(), full.time_zone.as_str()), ("+919812345678", "Europe/Dublin"));
    assert_ne!(full.etag, fresh.etag);
    assert_eq!(mine(&asha).await, full);

    // Nothing present: nothing changes, the etag neither.
    assert_eq!(update(&asha, to(&full)).await.unwrap(), full);
    let one = UpdateMyPatientRequest { gender: Some(Gender::Other.into()), ..to(&full) };
    let one = update(&asha, one).await.unwrap();
    let expected = Patient {
        gender: Gender::Other.into(),
        etag: one.etag.clone(),
        update_time: one.update_time,
        ..full
    };
    assert_eq!(one, expected);
    let clear = UpdateMyPatientRequest {
        gender: Some(Gender::Unspecified.into()),
        phone: Some(String::new()),
        time_zone: Some(String::new()),
        ..to(&one)
    };
    let cleared = update(&asha, clear).await.unwrap();
    assert_eq!((cleared.gender(), cleared.phone.as_str()), (Gender::Unspecified, ""));
    assert_eq!(cleared.time_zone, "Asia/Kolkata");
    assert_eq!((&cleared.name, cleared.birth_date), (&one.name, one.birth_date));
    world.finish().await;
}

/// Without the version in the `UPDATE`, four of the parallel changes were taken.
#[tokio::test(flavor = "multi_thread")]
async fn a_stale_etag_changes_nothing() {
    let world = World::start().await;
    let asha = world.patient().await;
    let seen = mine(&asha).await;
    let change = |given: &str| UpdateMyPatientRequest {
        name: Some(PersonName { given: given.to_owned(), family: String::new() }),
        ..to(&seen)
    };
    let names: Vec<_> = (0..8).map(|number| format!("Asha {number}")).collect();
    let answers = join_all(names.iter().map(|name| update(&asha, change(name)))).await;
    let (good, bad): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
    assert_eq!(good.len(), 1, "one of eight at the same moment");
    for answer in bad {
        refused(answer, Code::Aborted, "ETAG_MISMATCH");
    }
    assert_eq!(mine(&asha).await, good.into_iter().next().unwrap().unwrap());
    let unknown = UpdateMyPatientRequest { etag: "x".to_owned(), ..Default::default() };
    refused(update(&asha, unknown).await, Code::Aborted, "ETAG_MISMATCH");
    let refusal = update(&asha, UpdateMyPatientRequest::default()).await;
    let refusal = refused(refusal, Code::InvalidArgument, "INVALID_FIELDS");
    assert_eq!(fields(&refusal), ["etag"]);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_makes_no_sense_is_refused_all_at_once() {
    let world = World::start().await;
    let asha = world.patient().await;
    let seen = mine(&asha).await;
    let refuses = async |request: UpdateMyPatientRequest, expected: &[&str]| {
        let answer = update(&asha, request).await;
        let refusal = refused(answer, Code::InvalidArgument, "INVALID_FIELDS");
        assert_eq!(fields(&refusal), expected, "{refusal:?}");
    };
    for zone in ["Mars/Olympus", "+05:30", "../etc/passwd", "IST-5:30"] {
        let time_zone = Some(zone.to_owned());
        refuses(UpdateMyPatientRequest { time_zone, ..to(&seen) }, &["time_zone"]).await;
    }
    for phone in ["12", "hello", "+999123456789"] {
        let phone = Some(phone.to_owned());
        refuses(UpdateMyPatientRequest { phone, ..to(&seen) }, &["phone"]).await;
    }
    for (year, month, day) in [(2980, 1, 1), (2025, 2, 29), (1800, 1, 1)] {
        let birth_date = Some(Date { year, month, day });
        refuses(UpdateMyPatientRequest { birth_date, ..to(&seen) }, &["birth_date"]).await;
    }
    let wire = UpdateMyPatientRequest {
        name: Some(PersonName { given: String::new(), family: "\0".to_owned() }),
        birth_date: Some(Date { year: 2000, month: 13, day: 0 }),
        gender: Some(99),
        phone: Some("1".repeat(65)),
        ..to(&seen)
    };
    let expected =
        ["name.given", "name.family", "birth_date.month", "birth_date.day", "gender", "phone"];
    refuses(wire, &expected).await;
    let room = UpdateMyPatientRequest {
        name: Some(PersonName { given: "\u{200b}".to_owned(), family: "a\nb".to_owned() }),
        birth_date: Some(Date { year: 2025, month: 2, day: 29 }),
        phone: Some("12".to_owned()),
        time_zone: Some("Mars/Olympus".to_owned()),
        ..to(&seen)
    };
    let expected = ["name.given", "name.family", "time_zone", "birth_date", "phone"];
    refuses(room, &expected).await;
    assert_eq!(mine(&asha).await, seen);
    world.finish().await;
}
