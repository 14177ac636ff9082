//! A doctor's own profile.

use clinicd_sdk::proto::profiles::v1::{
    DoctorProfile, Fee, FeeList, GetMyDoctorProfileRequest, LanguageList,
    UpdateMyDoctorProfileRequest,
};
use clinicd_sdk::proto::r#type::v1::{Address, ConsultationMode, Money};
use clinicd_sdk::{Code, Error};
use clinicd_tests::{Person, World, refused};
use futures_util::future::join_all;

use crate::rooms::fields;

async fn mine(doctor: &Person) -> DoctorProfile {
    doctor.client.send(GetMyDoctorProfileRequest {}).await.unwrap().profile.unwrap()
}

async fn update(
    doctor: &Person,
    request: UpdateMyDoctorProfileRequest,
) -> Result<DoctorProfile, Error> {
    doctor.client.send(request).await.map(|answer| answer.profile.unwrap())
}

fn to(profile: &DoctorProfile) -> UpdateMyDoctorProfileRequest {
    UpdateMyDoctorProfileRequest { etag: profile.etag.clone(), ..Default::default() }
}

fn fee(mode: ConsultationMode, currency: &str, units: i64, nanos: i32) -> Fee {
    let currency_code = currency.to_owned();
    Fee { mode: mode.into(), amount: Some(Money { currency_code, units, nanos }) }
}

fn languages(codes: &[&str]) -> LanguageList {
    LanguageList { codes: codes.iter().map(|code| (*code).to_owned()).collect() }
}

#[tokio::test(flavor = "multi_thread")]
async fn absent_stays_present_sets_and_empty_clears() {
    use ConsultationMode::{InPerson, Phone, Video};
    let world = World::start().await;
    let doctor = world.approved_doctor().await;
    let fresh = mine(&doctor).await;
    assert_eq!(fresh.missing, ["bio", "languages", "fees"]);
    let fees = vec![
        fee(InPerson, "INR", 500, 0),
        fee(Video, "KWD", 1, 5_000_000),
        fee(Phone, "JPY", 3_000, 0),
    ];
    let request = UpdateMyDoctorProfileRequest {
        bio: Some(" Since 2001.\r\n\r\nहृदय रोग ".to_owned()),
        years_of_experience: Some(0),
        languages: Some(languages(&["mr", "EN-in"])),
        fees: Some(FeeList { fees: fees.clone() }),
        ..to(&fresh)
    };
    let full = update(&doctor, request).await.unwrap();
    assert_eq!(full.bio, "Since 2001.\n\nहृदय रोग");
    assert_eq!((full.languages.join(" "), full.years_of_experience), ("mr en-IN".to_owned(), 0));
    let sorted = |mut fees: Vec<Fee>| {
        fees.sort_by_key(|fee| fee.mode);
        fees
    };
    assert_eq!(sorted(full.fees.clone()), sorted(fees), "to the last minor unit");
    assert_eq!((full.completeness_percent, full.missing.len()), (100, 0));
    assert_eq!((&full.clinic_address, &full.mobile), (&fresh.clinic_address, &fresh.mobile));
    assert_eq!(mine(&doctor).await, full);
    assert_eq!(update(&doctor, to(&full)).await.unwrap(), full, "nothing present, nothing changed");

    let clear = UpdateMyDoctorProfileRequest {
        bio: Some(String::new()),
        qualification: Some(String::new()),
        clinic_name: Some(String::new()),
        languages: Some(languages(&[])),
        fees: Some(FeeList::default()),
        ..to(&full)
    };
    let cleared = update(&doctor, clear).await.unwrap();
    assert_eq!(cleared.missing, ["qualification", "bio", "languages", "fees", "clinic_name"]);
    assert_eq!((cleared.years_of_experience, &cleared.clinic_address), (0, &full.clinic_address));
    world.finish().await;
}

/// Without the version in the `UPDATE`, four of the parallel changes were taken.
#[tokio::test(flavor = "multi_thread")]
async fn a_stale_etag_changes_nothing() {
    let world = World::start().await;
    let doctor = world.approved_doctor().await;
    let seen = mine(&doctor).await;
    let change = |bio: String| UpdateMyDoctorProfileRequest { bio: Some(bio), ..to(&seen) };
    let changes = (0..8).map(|number| update(&doctor, change(format!("Number {number}"))));
    let (good, bad): (Vec<_>, Vec<_>) =
        join_all(changes).await.into_iter().partition(Result::is_ok);
    assert_eq!(good.len(), 1, "one of eight at the same moment");
    for answer in bad {
        refused(answer, Code::Aborted, "ETAG_MISMATCH");
    }
    assert_eq!(mine(&doctor).await, good.into_iter().next().unwrap().unwrap());
    world.finish().await;
}

/// Fees that cannot be, each with the field that is at fault.
fn bad_fees() -> [(Fee, &'static str); 11] {
    use ConsultationMode::{Unspecified, Video};
    [
        (fee(Video, "INR", -1, 0), "fees.fees[0].amount.units"),
        (fee(Video, "INR", 0, -10_000_000), "fees.fees[0].amount.nanos"),
        (fee(Video, "INR", 1, -10_000_000), "fees.fees[0].amount.nanos"),
        (fee(Video, "INR", 1, 5_000_000), "fees.fees[0].amount.nanos"),
        (fee(Video, "JPY", 1, 500_000_000), "fees.fees[0].amount.nanos"),
        (fee(Video, "INR", i64::MAX, 0), "fees.fees[0].amount.units"),
        (fee(Video, "XXX", 1, 0), "fees.fees[0].amount.currency_code"),
        (fee(Video, "inr", 1, 0), "fees.fees[0].amount.currency_code"),
        (fee(Video, "RUPEE", 1, 0), "fees.fees[0].amount.currency_code"),
        (fee(Unspecified, "INR", 1, 0), "fees.fees[0].mode"),
        (Fee { mode: Video.into(), amount: None }, "fees.fees[0].amount"),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn prices_languages_and_addresses_must_exist() {
    use ConsultationMode::Video;
    let world = World::start().await;
    let doctor = world.approved_doctor().await;
    let seen = mine(&doctor).await;
    let refuses = async |request: UpdateMyDoctorProfileRequest, expected: &[&str]| {
        let answer = update(&doctor, request).await;
        let refusal = refused(answer, Code::InvalidArgument, "INVALID_FIELDS");
        assert_eq!(fields(&refusal), expected, "{refusal:?}");
    };
    let priced =
        |fees: Vec<Fee>| UpdateMyDoctorProfileRequest { fees: Some(FeeList { fees }), ..to(&seen) };
    for (bad, field) in bad_fees() {
        refuses(priced(vec![bad]), &[field]).await;
    }
    let twice = vec![fee(Video, "INR", 1, 0), fee(Video, "INR", 2, 0)];
    refuses(priced(twice), &["fees.fees[1].mode"]).await;
    let spoken = |codes: &[&str]| UpdateMyDoctorProfileRequest {
        languages: Some(languages(codes)),
        ..to(&seen)
    };
    for bad in ["klingon", "en_IN", "xx", "en-IN-Latn"] {
        refuses(spoken(&["mr", bad]), &["languages.codes[1]"]).await;
    }
    refuses(spoken(&["en-IN", "EN-in"]), &["languages.codes[1]"]).await;
    let many: Vec<String> = (0..26).map(|number| format!("l{number}")).collect();
    refuses(spoken(&many.iter().map(String::as_str).collect::<Vec<_>>()), &["languages.codes"])
        .await;
    assert_eq!(mine(&doctor).await, seen);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_fault_of_a_change_is_told_at_once() {
    use ConsultationMode::Video;
    let world = World::start().await;
    let doctor = world.approved_doctor().await;
    let seen = mine(&doctor).await;
    let refuses = async |request: UpdateMyDoctorProfileRequest, expected: &[&str]| {
        let answer = update(&doctor, request).await;
        let refusal = refused(answer, Code::InvalidArgument, "INVALID_FIELDS");
        assert_eq!(fields(&refusal), expected, "{refusal:?}");
    };
    // Those that only the room can see.
    let room = UpdateMyDoctorProfileRequest {
        bio: Some("a\u{202e}b".to_owned()),
        qualification: Some("MB\nBS".to_owned()),
        languages: Some(languages(&["xx", "mr", "yy"])),
        clinic_name: Some("\u{feff}Lake".to_owned()),
        clinic_address: Some(Address {
            lines: vec![" ".to_owned()],
            city: "Pune".to_owned(),
            country_code: "XX".to_owned(),
            ..Default::default()
        }),
        fees: Some(FeeList { fees: vec![fee(Video, "XXX", 1, 0)] }),
        ..to(&seen)
    };
    refuses(
        room,
        &[
            "bio",
            "qualification",
            "languages.codes[0]",
            "languages.codes[2]",
            "clinic_name",
            "clinic_address.lines[0]",
            "clinic_address.country_code",
            "fees.fees[0].amount.currency_code",
        ],
    )
    .await;
    // Those that the message shows.
    let wire = UpdateMyDoctorProfileRequest {
        bio: Some("x".repeat(2_001)),
        qualification: Some("\0".to_owned()),
        years_of_experience: Some(81),
        ..Default::default()
    };
    refuses(wire, &["etag", "bio", "qualification", "years_of_experience"]).await;
    assert_eq!(mine(&doctor).await, seen);
    world.finish().await;
}
