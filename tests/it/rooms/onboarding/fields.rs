//! What may stand in the steps.

use clinicd_sdk::proto::onboarding::v1::save_application_step_request::Step;
use clinicd_sdk::proto::onboarding::v1::{
    AttachDocumentRequest, ClinicStep, PersonalStep, ProfessionalStep, SaveApplicationStepRequest,
};
use clinicd_sdk::proto::r#type::v1::{Address, Date, PersonName};
use clinicd_sdk::{Client, Code};
use clinicd_tests::{World, refused};

use super::{open, save};
use crate::rooms::fields;

fn personal() -> PersonalStep {
    PersonalStep {
        name: Some(PersonName { given: "Zoë".to_owned(), family: "O’Brien-Şahin".to_owned() }),
        mobile: "+919812345678".to_owned(),
        birth_date: Some(Date { year: 1980, month: 2, day: 29 }),
    }
}

fn professional() -> ProfessionalStep {
    ProfessionalStep {
        specialty_code: "cardiology".to_owned(),
        registration_number: "MMC/12-3".to_owned(),
        registration_council: "Maharashtra Medical Council".to_owned(),
        years_of_experience: 80,
        qualification: String::new(),
    }
}

fn clinic() -> ClinicStep {
    let address = Address {
        lines: vec!["12 Lake Road".to_owned()],
        city: "Pune".to_owned(),
        country_code: "IN".to_owned(),
        ..Default::default()
    };
    ClinicStep { name: "Lake View".to_owned(), address: Some(address) }
}

/// The step is refused, and exactly these fields are named.
async fn refuses(client: &Client, step: Step, expected: &[&str]) {
    let refusal = refused(save(client, step).await, Code::InvalidArgument, "INVALID_FIELDS");
    assert_eq!(fields(&refusal), expected, "{refusal:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn text_is_trimmed_and_composed_and_phones_take_one_form() {
    let world = World::start().await;
    let asha = world.patient().await;
    open(&asha.client).await;
    let name = PersonName { given: "  Jose\u{301} ".to_owned(), family: String::new() };
    let step =
        PersonalStep { name: Some(name), mobile: "098123 45678".to_owned(), birth_date: None };
    let saved = save(&asha.client, Step::Personal(step)).await.unwrap().personal.unwrap();
    assert_eq!(saved.name.unwrap().given, "José");
    assert_eq!((saved.mobile.as_str(), saved.birth_date), ("+919812345678", None));
    let saved = save(&asha.client, Step::Personal(personal())).await.unwrap().personal.unwrap();
    assert_eq!(saved, personal());
    let saved = save(&asha.client, Step::Professional(professional())).await.unwrap();
    assert_eq!(saved.professional, Some(professional()));
    let saved = save(&asha.client, Step::Clinic(clinic())).await.unwrap();
    assert_eq!((saved.clinic, saved.personal), (Some(clinic()), Some(personal())));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn days_phones_and_codes_must_exist() {
    let world = World::start().await;
    let asha = world.patient().await;
    let client = &asha.client;
    open(client).await;
    let tomorrow = world.app.clock.now().plus_seconds(86_400).timestamp().to_string();
    let part = |at: std::ops::Range<usize>| tomorrow[at].parse::<i32>().unwrap();
    for (year, month, day) in [
        (2980, 1, 1),
        (1980, 2, 30),
        (1981, 2, 29),
        (1800, 1, 1),
        (part(0..4), part(5..7), part(8..10)),
    ] {
        let birth_date = Some(Date { year, month, day });
        let step = PersonalStep { birth_date, ..personal() };
        refuses(client, Step::Personal(step), &["personal.birth_date"]).await;
    }
    for mobile in ["12", "hello", "+91", "+999123456789", "+919812345678;ext=5"] {
        let step = PersonalStep { mobile: mobile.to_owned(), ..personal() };
        refuses(client, Step::Personal(step), &["personal.mobile"]).await;
    }
    for code in ["astrology", "Cardiology", "cardiology' --"] {
        let step = ProfessionalStep { specialty_code: code.to_owned(), ..professional() };
        refuses(client, Step::Professional(step), &["professional.specialty_code"]).await;
    }
    for code in ["XX", "in", "1N"] {
        let mut step = clinic();
        step.address.as_mut().unwrap().country_code = code.to_owned();
        refuses(client, Step::Clinic(step), &["clinic.address.country_code"]).await;
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_fault_is_told_at_once() {
    let world = World::start().await;
    let asha = world.patient().await;
    let client = &asha.client;
    open(client).await;
    let step = PersonalStep {
        name: Some(PersonName { given: "a\0b".to_owned(), family: "x".repeat(201) }),
        mobile: String::new(),
        birth_date: Some(Date { year: 0, month: 13, day: 32 }),
    };
    let expected = [
        "personal.name.given",
        "personal.name.family",
        "personal.mobile",
        "personal.birth_date.year",
        "personal.birth_date.month",
        "personal.birth_date.day",
    ];
    refuses(client, Step::Personal(step), &expected).await;
    let step = ProfessionalStep { years_of_experience: 81, ..Default::default() };
    let expected = [
        "professional.specialty_code",
        "professional.registration_number",
        "professional.registration_council",
        "professional.years_of_experience",
    ];
    refuses(client, Step::Professional(step), &expected).await;
    let mut step = clinic();
    step.address.as_mut().unwrap().lines =
        vec![String::new(), "x".repeat(201), "ok".to_owned(), "\0".to_owned()];
    step.address.as_mut().unwrap().country_code = "IND".to_owned();
    let expected = [
        "clinic.address.lines[0]",
        "clinic.address.lines[1]",
        "clinic.address.lines[3]",
        "clinic.address.country_code",
    ];
    refuses(client, Step::Clinic(step), &expected).await;

    let request = AttachDocumentRequest { kind: 99, ..Default::default() };
    let refusal = refused(client.send(request).await, Code::InvalidArgument, "INVALID_FIELDS");
    assert_eq!(fields(&refusal), ["kind", "file_id"]);
    let refusal = client.send(SaveApplicationStepRequest::default()).await;
    let refusal = refused(refusal, Code::InvalidArgument, "INVALID_FIELDS");
    assert_eq!(fields(&refusal), ["step"]);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_that_only_the_room_sees_are_told_at_once_too() {
    let world = World::start().await;
    let asha = world.patient().await;
    let client = &asha.client;
    open(client).await;
    let step = PersonalStep {
        name: Some(PersonName { given: " ".to_owned(), family: "Ra\u{202e}o".to_owned() }),
        mobile: "12".to_owned(),
        birth_date: Some(Date { year: 1980, month: 2, day: 30 }),
    };
    let expected =
        ["personal.name.given", "personal.name.family", "personal.mobile", "personal.birth_date"];
    refuses(client, Step::Personal(step), &expected).await;
    let step = ProfessionalStep {
        specialty_code: "astrology".to_owned(),
        registration_number: " ".to_owned(),
        qualification: "MB\u{7}BS".to_owned(),
        ..professional()
    };
    let expected = [
        "professional.specialty_code",
        "professional.registration_number",
        "professional.qualification",
    ];
    refuses(client, Step::Professional(step), &expected).await;
    let mut step = clinic();
    step.name = "Lake\u{200b}View".to_owned();
    let address = step.address.as_mut().unwrap();
    address.lines = vec!["12 Lake Road".to_owned(), " ".to_owned()];
    address.city = "\u{feff}".to_owned();
    address.country_code = "XX".to_owned();
    let expected = [
        "clinic.name",
        "clinic.address.lines[1]",
        "clinic.address.city",
        "clinic.address.country_code",
    ];
    refuses(client, Step::Clinic(step), &expected).await;
    world.finish().await;
}
