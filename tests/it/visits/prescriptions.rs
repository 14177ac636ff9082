//! Prescriptions: issued once, seen by their people, printed the same each time.

use clinicd_sdk::Error;
use clinicd_sdk::proto::appointments::v1::Appointment;
use clinicd_sdk::proto::audit::v1::ListMyAccessLogRequest;
use clinicd_sdk::proto::prescriptions::v1::{
    GetPrescriptionRequest, IssuePrescriptionRequest, ListPrescriptionsRequest, Prescription,
    PrescriptionItem,
};
use clinicd_tests::{Code, Person, World, refused};

use super::{NOBODY, advance_to, book, next_free, shown, start, visit};

pub(super) const MEDICINE: &str = "Metoprolol succinate 25 mg";

pub(super) fn item(medication: &str) -> PrescriptionItem {
    PrescriptionItem {
        medication: medication.to_owned(),
        dose: "1 tablet".to_owned(),
        route: "by mouth".to_owned(),
        frequency: "once a day, in the morning".to_owned(),
        duration: "30 days".to_owned(),
        quantity: "30 tablets".to_owned(),
        refills: 1,
        instructions: "With plenty of water.".to_owned(),
    }
}

pub(super) fn issuing(of: &Appointment) -> IssuePrescriptionRequest {
    IssuePrescriptionRequest {
        appointment_id: of.id.clone(),
        items: vec![item(MEDICINE), item("Magnesium 365 mg")],
        text: "Less coffee. Come again in four weeks.".to_owned(),
        ..Default::default()
    }
}

pub(super) async fn issue(
    doctor: &Person,
    request: IssuePrescriptionRequest,
) -> Result<Prescription, Error> {
    Ok(doctor.client.send(request).await?.prescription.unwrap())
}

async fn get(who: &Person, id: &str) -> Result<Prescription, Error> {
    let request = GetPrescriptionRequest { prescription_id: id.to_owned() };
    Ok(who.client.send(request).await?.prescription.unwrap())
}

async fn list(who: &Person) -> Vec<Prescription> {
    who.client.all(ListPrescriptionsRequest::default()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prescription_is_seen_by_its_people_and_staff() {
    let world = World::start().await;
    let (doctor, other) = (world.doctor().await, world.doctor().await);
    let (asha, ravi) = (world.patient().await, world.patient().await);
    let (operator, pharmacist) = (world.operator().await, world.pharmacist().await);
    let admin = world.admin().await;
    let begun = visit(&world, &doctor, &asha).await;
    let request = issuing(&begun);
    let issued = issue(&doctor, request.clone()).await.unwrap();
    assert_eq!((&issued.items, &issued.text), (&request.items, &request.text));
    assert_eq!((&issued.patient_id, &issued.prescriber_id), (&asha.id, &doctor.id));
    assert_eq!(issued.appointment_id, begun.id);
    assert!(issued.number.starts_with("RX-20") && issued.number.len() == 16, "{}", issued.number);
    let mut staff = Vec::new();
    for who in [&operator, &pharmacist, &admin] {
        staff.push(world.again(who).await);
    }
    for who in staff.iter().chain([&asha, &doctor]) {
        assert_eq!(get(who, &issued.id).await.unwrap(), issued);
        assert_eq!(list(who).await, std::slice::from_ref(&issued));
        let pdf = who.client.download_prescription(&issued.id).await;
        if who.id == operator.id {
            refused(pdf, Code::PermissionDenied, "ROLE_REQUIRED");
        } else {
            assert!(pdf.unwrap().starts_with(b"%PDF-"));
        }
    }
    for who in [&ravi, &other] {
        let answers = [get(who, &issued.id).await, get(who, NOBODY).await];
        let [hidden, absent] = answers.map(|a| shown(a, Code::NotFound, "NOT_FOUND"));
        assert_eq!(hidden, absent);
        let hidden = who.client.download_prescription(&issued.id).await;
        let absent = who.client.download_prescription(NOBODY).await;
        let [hidden, absent] = [hidden, absent].map(|a| shown(a, Code::NotFound, "NOT_FOUND"));
        assert_eq!(hidden, absent);
        assert!(list(who).await.is_empty());
        let patient_id = Some(asha.id.clone());
        let of_asha = ListPrescriptionsRequest { patient_id, ..Default::default() };
        assert!(who.client.all(of_asha).await.unwrap().is_empty());
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_issues_nothing() {
    let world = World::start().await;
    let (doctor, other, asha) = (world.doctor().await, world.doctor().await, world.patient().await);
    let slot = next_free(&world, &doctor).await.unwrap();
    let booked = book(&asha, &doctor, slot).await;
    let early = issue(&doctor, issuing(&booked)).await;
    let refusal = refused(early, Code::FailedPrecondition, "WRONG_STATE");
    assert_eq!(refusal.metadata["state"], "not_begun");
    advance_to(&world, slot);
    let begun = start(&doctor, &booked).await;
    let good = issuing(&begun);
    let with = |items: Vec<PrescriptionItem>, text: &str| IssuePrescriptionRequest {
        items,
        text: text.to_owned(),
        ..good.clone()
    };
    let refills = PrescriptionItem { refills: 100, ..item(MEDICINE) };
    for (request, field) in [
        (with(Vec::new(), ""), "items"),
        (with(Vec::new(), " \n\t"), "items"),
        (with(vec![item(MEDICINE), item(" ")], ""), "items[1].medication"),
        (with(vec![item("")], "x"), "items[0].medication"),
        (with(vec![item(&"x".repeat(201))], ""), "items[0].medication"),
        (with(vec![item(MEDICINE), refills], ""), "items[1].refills"),
        (with(vec![item(MEDICINE); 51], ""), "items"),
        (with(Vec::new(), &"x".repeat(20_001)), "text"),
    ] {
        let answer = issue(&doctor, request).await;
        let refusal = refused(answer, Code::InvalidArgument, "INVALID_FIELDS");
        assert_eq!(refusal.violations[0].0, field);
    }
    refused(issue(&other, good.clone()).await, Code::NotFound, "NOT_FOUND");
    refused(issue(&asha, good.clone()).await, Code::PermissionDenied, "ROLE_REQUIRED");
    let unknown = IssuePrescriptionRequest { appointment_id: NOBODY.to_owned(), ..good.clone() };
    refused(issue(&doctor, unknown).await, Code::NotFound, "NOT_FOUND");
    assert!(list(&doctor).await.is_empty());
    issue(&doctor, with(Vec::new(), "Rest.")).await.unwrap();
    issue(&doctor, with(vec![item(MEDICINE); 50], &"Rest. ".repeat(3_000))).await.unwrap();
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_are_newest_first_and_logged_for_each_patient() {
    let world = World::start().await;
    let doctor = world.doctor().await;
    let pharmacist = world.pharmacist().await;
    let (asha, ravi) = (world.patient().await, world.patient().await);
    let mut issued = Vec::new();
    for patient in [&asha, &ravi] {
        let begun = visit(&world, &doctor, patient).await;
        for _ in 0..4 {
            issued.push(issue(&doctor, issuing(&begun)).await.unwrap());
        }
    }
    issued.reverse();
    let pharmacist = world.again(&pharmacist).await;
    let first = ListPrescriptionsRequest { page_size: 3, ..Default::default() };
    let mut sizes = Vec::new();
    let (mut found, mut request) = (Vec::new(), first.clone());
    loop {
        let page = pharmacist.client.send(request.clone()).await.unwrap();
        sizes.push(page.prescriptions.len());
        found.extend(page.prescriptions);
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    assert_eq!((found, sizes), (issued.clone(), vec![3, 3, 2]));
    let patient_id = Some(asha.id.clone());
    let moved = ListPrescriptionsRequest { patient_id, ..request.clone() };
    refused(pharmacist.client.send(moved).await, Code::InvalidArgument, "PAGE_TOKEN_INVALID");
    refused(doctor.client.send(request).await, Code::InvalidArgument, "PAGE_TOKEN_INVALID");
    // Both patients learn that the pharmacist saw the second page, and neither of the other's.
    for (patient, own) in [(&ravi, &issued[..4]), (&asha, &issued[4..])] {
        let entries = patient.client.all(ListMyAccessLogRequest::default()).await.unwrap();
        let seen = entries.iter().filter(|entry| entry.actor_id == pharmacist.id);
        let mut seen: Vec<_> = seen.flat_map(|entry| entry.record_ids.clone()).collect();
        let mut own: Vec<_> = own.iter().map(|prescription| prescription.id.clone()).collect();
        seen.sort();
        own.sort();
        assert_eq!(seen, own);
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issued_prescription_never_changes() {
    let world = World::start().await;
    let (doctor, asha) = (world.doctor().await, world.patient().await);
    let begun = visit(&world, &doctor, &asha).await;
    let issued = issue(&doctor, issuing(&begun)).await.unwrap();
    let line = format!(
        "INSERT INTO prescription_items SELECT prescription_id, 9, 'Morphine', dose, route, \
         frequency, duration, quantity, refills, instructions FROM prescription_items \
         WHERE prescription_id = '{}' AND position = 1",
        issued.id
    );
    for statement in [
        "UPDATE prescriptions SET body_text = ''",
        "DELETE FROM prescription_items",
        "UPDATE prescription_items SET refills = 9",
        "TRUNCATE prescriptions CASCADE",
        &line,
    ] {
        world.sql_as_server(statement).await.unwrap_err();
    }
    assert_eq!(get(&asha, &issued.id).await.unwrap(), issued);
    world.settle().await;
    let mails = world.mails_to(&asha.email);
    assert_eq!(mails.len(), 4, "activation, welcome, booking, prescription: {mails:?}");
    for told in ["Metoprolol", "coffee", "tablet", &issued.number] {
        assert!(!mails.iter().any(|mail| mail.text.contains(told)), "{told}");
    }
    world.finish().await;
}
