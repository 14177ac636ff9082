//! The prescription on paper: what is on it, that it stays the same, and what its code proves.

use clinicd_sdk::Error;
use clinicd_sdk::proto::identity::v1::DeleteUserRequest;
use clinicd_sdk::proto::prescriptions::v1::{
    IssuePrescriptionRequest, ListPrescriptionsRequest, VerifyPrescriptionRequest,
    VerifyPrescriptionResponse,
};
use clinicd_sdk::proto::profiles::v1::{GetMyDoctorProfileRequest, UpdateMyDoctorProfileRequest};
use clinicd_tests::{Code, Person, World, refused};
use lopdf::{Document, Object};

use super::prescriptions::{MEDICINE, issue, issuing, item};
use super::{days_ahead, hindi_patient, visit};

/// The text of all pages, with its words one space apart.
fn text(pdf: &[u8]) -> String {
    let pdf = Document::load_mem(pdf).unwrap();
    let pages: Vec<u32> = pdf.get_pages().keys().copied().collect();
    let text = pdf.extract_text(&pages).unwrap();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The link behind the printed code.
fn link(pdf: &[u8]) -> String {
    let pdf = Document::load_mem(pdf).unwrap();
    let uri = |object: &Object| {
        let action = object.as_dict().ok()?.get(b"A").ok()?;
        let (_, action) = pdf.dereference(action).ok()?;
        Some(action.as_dict().ok()?.get(b"URI").ok()?.as_str().ok()?.to_vec())
    };
    let link = pdf.objects.values().find_map(uri).unwrap();
    String::from_utf8(link).unwrap()
}

async fn verify(world: &World, code: &str) -> Result<VerifyPrescriptionResponse, Error> {
    world.client().send(VerifyPrescriptionRequest { code: code.to_owned() }).await
}

#[tokio::test(flavor = "multi_thread")]
async fn paper_holds_what_was_prescribed_and_stays_the_same() {
    let world = World::start().await;
    let (doctor, asha) = (world.doctor().await, world.patient().await);
    let begun = visit(&world, &doctor, &asha).await;
    let issued = issue(&doctor, issuing(&begun)).await.unwrap();
    let pdf = asha.client.download_prescription(&issued.id).await.unwrap();
    let text = text(&pdf);
    for printed in [
        MEDICINE,
        "Magnesium 365 mg",
        "With plenty of water.",
        "Less coffee.",
        "Lake View Clinic",
        "MMC-",
        &issued.number,
        &asha.name.family,
        &doctor.name.family,
    ] {
        assert!(text.contains(printed), "{printed}: {text}");
    }
    assert!(!text.contains("+9198765"), "the doctor's own number is not for patients");
    // What changes later does not change what was handed over.
    let profile = doctor.client.send(GetMyDoctorProfileRequest {}).await.unwrap().profile.unwrap();
    let moved = UpdateMyDoctorProfileRequest {
        etag: profile.etag,
        clinic_name: Some("Hill View Clinic".to_owned()),
        qualification: Some("Professor".to_owned()),
        ..Default::default()
    };
    doctor.client.send(moved).await.unwrap();
    world.advance(jiff::SignedDuration::from_hours(72));
    for who in [&asha, &doctor] {
        assert_eq!(who.client.download_prescription(&issued.id).await.unwrap(), pdf);
    }
    // Of a patient who has gone, everything but who it was.
    world.sql("UPDATE appointments SET state = 'completed'").await;
    let close = DeleteUserRequest { account_id: asha.id.clone(), ..Default::default() };
    world.admin().await.client.send(close).await.unwrap();
    let pdf = doctor.client.download_prescription(&issued.id).await.unwrap();
    let text = self::text(&pdf);
    assert!(text.contains(MEDICINE) && !text.contains(&asha.name.family), "{text}");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_printed_code_proves_itself_and_tells_nothing_else() {
    let world = World::start().await;
    let (doctor, asha) = (world.doctor().await, world.patient().await);
    let begun = visit(&world, &doctor, &asha).await;
    let mut codes = Vec::new();
    for _ in 0..2 {
        let issued = issue(&doctor, issuing(&begun)).await.unwrap();
        let pdf = asha.client.download_prescription(&issued.id).await.unwrap();
        let link = link(&pdf);
        let code = link.strip_prefix("http://127.0.0.1:7080/verify/").unwrap().to_owned();
        let answer = verify(&world, &code).await.unwrap();
        assert_eq!(answer.number, issued.number);
        assert_eq!(answer.issue_date, Some(super::date(days_ahead(&world, 0))));
        assert_eq!(answer.prescriber_name.as_ref(), Some(&doctor.name));
        assert!(answer.registration_number.starts_with("MMC-"));
        // Nothing else is in the answer: neither patient nor content.
        let bare = VerifyPrescriptionResponse {
            number: String::new(),
            issue_date: None,
            prescriber_name: None,
            registration_number: String::new(),
            ..answer
        };
        assert_eq!(bare, VerifyPrescriptionResponse { state: 1, ..Default::default() });
        codes.push((code, issued.id));
    }
    let [(one, id), (two, _)] = &codes[..] else { unreachable!() };
    let flipped = format!("{}{}", if one.starts_with('B') { "C" } else { "B" }, &one[1..]);
    let mixed = format!("{}{}", &one[..22], &two[22..]);
    for forged in [&flipped, &mixed, id, &format!("{one}A"), "x"] {
        refused(verify(&world, forged).await, Code::NotFound, "NOT_FOUND");
    }
    refused(verify(&world, "").await, Code::InvalidArgument, "INVALID_FIELDS");
    world.finish().await;
}

/// Whether anything was issued, logged as issued or told.
async fn nothing_was_issued(world: &World, doctor: &Person) {
    let list = ListPrescriptionsRequest::default();
    assert!(doctor.client.all(list).await.unwrap().is_empty());
    let left = "SELECT 1 FROM prescription_items UNION ALL SELECT 1 FROM audit_entries \
                WHERE method LIKE '%/IssuePrescription' AND outcome = 'allowed' \
                UNION ALL SELECT 1 FROM events WHERE event_type = 'prescription.issued'";
    assert!(world.sql(left).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_printed_is_not_issued() {
    let world = World::start().await;
    let (doctor, asha) = (world.doctor().await, world.patient().await);
    let begun = visit(&world, &doctor, &asha).await;
    let good = issuing(&begun);
    let tamil = "காலையில் ஒரு மாத்திரை";
    let in_text = IssuePrescriptionRequest { text: tamil.to_owned(), ..good.clone() };
    let in_item = IssuePrescriptionRequest { items: vec![item(tamil)], ..good };
    for request in [in_text, in_item] {
        let answer = issue(&doctor, request).await;
        let refusal = refused(answer, Code::FailedPrecondition, "FONT_MISSING");
        assert_eq!(refusal.metadata["script"], "Taml");
    }
    nothing_was_issued(&world, &doctor).await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prescription_speaks_the_patients_language_where_it_can() {
    let world = World::start().await;
    let (doctor, nisha) = (world.doctor().await, hindi_patient(&world, "निशा").await);
    let begun = visit(&world, &doctor, &nisha).await;
    let mut request = issuing(&begun);
    request.items[0].instructions = "खाने के बाद, पानी के साथ".to_owned();
    let answer = issue(&doctor, request).await;
    if world.app.fonts.has_devanagari() {
        let issued = answer.unwrap();
        let pdf = nisha.client.download_prescription(&issued.id).await.unwrap();
        assert!(text(&pdf).contains(MEDICINE));
        let pdf = Document::load_mem(&pdf).unwrap();
        assert_eq!(pdf.catalog().unwrap().get(b"Lang").unwrap().as_str().unwrap(), b"hi");
    } else {
        let refusal = refused(answer, Code::FailedPrecondition, "FONT_MISSING");
        assert_eq!(refusal.metadata["script"], "Deva");
        nothing_was_issued(&world, &doctor).await;
    }
    world.finish().await;
}
