//! What the public finds.

use clinicd_sdk::proto::directory::v1::{
    DoctorHit, GetPublicDoctorRequest, ListSpecialtiesRequest, SearchDoctorsRequest,
};
use clinicd_sdk::proto::profiles::v1::{GetMyDoctorProfileRequest, UpdateMyDoctorProfileRequest};
use clinicd_sdk::proto::r#type::v1::{Address, ConsultationMode};
use clinicd_sdk::{Client, Code};
use clinicd_tests::doctors::FEE;
use clinicd_tests::{Person, World, refused, wire};

use crate::rooms::fields;

fn text(query: &str) -> SearchDoctorsRequest {
    SearchDoctorsRequest { query: query.to_owned(), ..Default::default() }
}

async fn hits(client: &Client, request: SearchDoctorsRequest) -> Vec<DoctorHit> {
    client.send(request).await.unwrap().hits
}

/// The ids of the doctors that are found, best first.
async fn found(client: &Client, request: SearchDoctorsRequest) -> Vec<String> {
    hits(client, request).await.into_iter().map(|hit| hit.doctor.unwrap().id).collect()
}

/// Changes what a doctor may not change, past the server, and then something that they may, so
/// that the index is written anew.
async fn become_known(
    world: &World,
    doctor: &Person,
    name: [&str; 2],
    specialty: &str,
    city: &str,
) {
    let ([given, family], id) = (name, &doctor.id);
    world
        .sql(&format!(
            "UPDATE doctors SET given_name = '{given}', family_name = '{family}', \
             specialty_code = '{specialty}' WHERE id = '{id}'"
        ))
        .await;
    let etag = etag(doctor).await;
    let clinic_address = Some(Address {
        city: city.to_owned(),
        country_code: "IN".to_owned(),
        ..Default::default()
    });
    let request = UpdateMyDoctorProfileRequest {
        etag,
        clinic_address,
        clinic_name: Some(format!("{city} 100% Care_Centre")),
        qualification: Some("MBBS".to_owned()),
        ..Default::default()
    };
    doctor.client.send(request).await.unwrap();
}

async fn etag(doctor: &Person) -> String {
    doctor.client.send(GetMyDoctorProfileRequest {}).await.unwrap().profile.unwrap().etag
}

#[tokio::test(flavor = "multi_thread")]
async fn doctors_are_found_by_what_people_type() {
    let world = World::start().await;
    let (jose, anu) = (world.approved_doctor().await, world.approved_doctor().await);
    become_known(&world, &jose, ["José", "Sharma"], "dermatology", "Pondichéry").await;
    become_known(&world, &anu, ["अनुष्का", "Łukasiewicz"], "cardiology", "Pune").await;
    let client = world.client();
    for (query, expected) in [
        ("jose", &jose),
        ("JOSÉ sharma", &jose),
        ("sharma jos", &jose),
        ("Dr. Sharma", &jose),
        ("shrma", &jose),
        ("sharmma", &jose),
        ("dermatology", &jose),
        ("dermatolgy", &jose),
        ("derm", &jose),
        ("pondichery", &jose),
        ("अनुष्का", &anu),
        ("lukasiewicz", &anu),
        ("cardiology pune", &anu),
        ("cardiologist", &anu),
    ] {
        let ids = found(&client, text(query)).await;
        assert_eq!(ids.first(), Some(&expected.id), "{query}");
        assert_eq!(ids.len(), 1, "{query}");
    }
    // Both, and nobody; signs are no wild cards.
    assert_eq!(found(&client, text("")).await.len(), 2);
    assert_eq!(found(&client, text("100 care")).await.len(), 2);
    for query in ["%", "_", "' OR 1=1 --", "sharma pune", "zzzzzz", "\\"] {
        assert_eq!(found(&client, text(query)).await, [""; 0], "{query}");
    }
    let filtered = SearchDoctorsRequest { city: Some(" PONDICHERY ".to_owned()), ..text("") };
    assert_eq!(found(&client, filtered).await, [jose.id.as_str()]);
    let specialty_code = Some("cardiology".to_owned());
    let filtered = SearchDoctorsRequest { specialty_code, ..text("") };
    assert_eq!(found(&client, filtered).await, [anu.id.as_str()]);
    for city in ["%", "Pun", "P_ne"] {
        let filtered = SearchDoctorsRequest { city: Some(city.to_owned()), ..text("") };
        assert_eq!(found(&client, filtered).await, [""; 0], "{city}");
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_is_seen_at_once_and_a_blocked_doctor_not_at_all() {
    let world = World::start().await;
    let second = world.second_server().await;
    let (doctor, there) = (world.approved_doctor().await, second.client());
    assert_eq!(found(&there, text("nightingale")).await, [""; 0]);
    let clinic_name = Some("Nightingale House".to_owned());
    let request = UpdateMyDoctorProfileRequest {
        etag: etag(&doctor).await,
        clinic_name,
        ..Default::default()
    };
    doctor.client.send(request).await.unwrap();
    assert_eq!(found(&there, text("nightingale")).await, [doctor.id.as_str()]);
    assert_eq!(found(&there, text("lake view")).await, [""; 0], "the old name is gone");

    let video = SearchDoctorsRequest { mode: Some(ConsultationMode::Video.into()), ..text("") };
    assert_eq!(found(&there, video.clone()).await, [""; 0]);
    world.set_fees(&doctor, FEE).await;
    assert_eq!(found(&there, video).await, [doctor.id.as_str()]);

    let public = GetPublicDoctorRequest { doctor_id: doctor.id.clone() };
    there.send(public.clone()).await.unwrap();
    world.sql(&format!("UPDATE accounts SET state = 'blocked' WHERE id = '{}'", doctor.id)).await;
    for query in ["nightingale", ""] {
        assert_eq!(found(&there, text(query)).await, [""; 0]);
    }
    refused(there.send(public).await, Code::NotFound, "NOT_FOUND");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_public_sees_the_next_slot_and_nothing_private() {
    let world = World::start().await;
    let (doctor, unplanned) = (world.doctor().await, world.approved_doctor().await);
    let asha = world.patient().await;
    let client = world.client();
    let listed = hits(&client, text("")).await;
    let hit =
        |id: &str| listed.iter().find(|hit| hit.doctor.as_ref().unwrap().id == id).unwrap().clone();
    let slot = hit(&doctor.id).next_free_slot.unwrap();
    let (start, end) = (slot.start.unwrap(), slot.end.unwrap());
    assert_eq!(end.seconds - start.seconds, 30 * 60);
    assert!(start.seconds > world.app.clock.now().timestamp().as_second());
    assert_eq!(hit(&unplanned.id).next_free_slot, None);
    let price = hit(&doctor.id).doctor.unwrap().fees[0].amount.clone().unwrap();
    assert_eq!((price.units, price.currency_code.as_str()), (FEE, "INR"));

    let profile = doctor.client.send(GetMyDoctorProfileRequest {}).await.unwrap().profile.unwrap();
    let request = GetPublicDoctorRequest { doctor_id: doctor.id.clone() };
    let channel = wire::channel(world.url());
    for bytes in [
        wire::send(&channel, None, &request).await.unwrap(),
        wire::send(&channel, None, &text("")).await.unwrap(),
    ] {
        let holds = |part: &str| bytes.windows(part.len()).any(|at| at == part.as_bytes());
        assert!(holds(&doctor.name.family) && holds(&profile.clinic_name));
        for private in [&profile.mobile, &profile.mobile[3..], &doctor.email] {
            assert!(!holds(private));
        }
        assert!(!holds(&profile.registration_number));
    }
    // Who is no doctor is not there, whether an account or nobody.
    for id in [asha.id, world.app.ids.next().to_string()] {
        let answer = client.send(GetPublicDoctorRequest { doctor_id: id }).await;
        refused(answer, Code::NotFound, "NOT_FOUND");
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_are_complete_and_their_tokens_bound() {
    let world = World::start().await;
    for _ in 0..3 {
        world.approved_doctor().await;
    }
    let client = world.client();
    for query in ["", "meera", "mera", "cardiology"] {
        let request = SearchDoctorsRequest { page_size: 1, ..text(query) };
        let paged = client.all(request).await.unwrap();
        let mut ids: Vec<_> = paged.into_iter().map(|hit| hit.doctor.unwrap().id).collect();
        assert_eq!(ids, found(&client, text(query)).await, "{query}");
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), 3, "{query}");
    }
    let first = client.send(SearchDoctorsRequest { page_size: 1, ..text("meera") }).await.unwrap();
    let page_token = first.next_page_token;
    let bad = |answer| refused(answer, Code::InvalidArgument, "PAGE_TOKEN_INVALID");
    let next = SearchDoctorsRequest { page_token: page_token.clone(), ..text("meera") };
    for other in [
        SearchDoctorsRequest { query: "iyer".to_owned(), ..next.clone() },
        SearchDoctorsRequest { query: "%".to_owned(), ..next.clone() },
        SearchDoctorsRequest { city: Some("Pune".to_owned()), ..next.clone() },
        SearchDoctorsRequest { mode: Some(ConsultationMode::Video.into()), ..next.clone() },
        SearchDoctorsRequest { page_token: format!("{page_token}A"), ..next.clone() },
    ] {
        bad(client.send(other).await.map(drop));
    }
    assert_eq!(client.send(next).await.unwrap().hits.len(), 2);
    let elsewhere = ListSpecialtiesRequest { page_token, ..Default::default() };
    bad(client.send(elsewhere).await.map(drop));
    let request = SearchDoctorsRequest {
        page_size: -1,
        query: "x".repeat(201),
        mode: Some(99),
        ..Default::default()
    };
    let refusal = refused(client.send(request).await, Code::InvalidArgument, "INVALID_FIELDS");
    assert_eq!(fields(&refusal), ["page_size", "query", "mode"]);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn specialties_are_listed_by_name() {
    let world = World::start().await;
    let client = world.client();
    let list = async |query: &str, page_size: i32| {
        let query = query.to_owned();
        let request = ListSpecialtiesRequest { query, page_size, ..Default::default() };
        let listed = client.all(request).await.unwrap();
        listed.into_iter().map(|one| one.name).collect::<Vec<_>>()
    };
    let all = list("", 25).await;
    assert!(all.len() >= 40 && all.is_sorted());
    assert_eq!(list("", 7).await, all);
    assert_eq!(list("CARDIO", 1).await, ["Cardiology", "Cardiothoracic Surgery"]);
    assert_eq!(list("%", 5).await, [""; 0]);
    assert_eq!(list("_", 5).await, [""; 0]);
    world.finish().await;
}
