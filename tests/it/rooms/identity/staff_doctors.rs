//! Doctors as members of the staff; the list of the staff, and leaving it.

use clinicd_sdk::proto::access::v1::Role;
use clinicd_sdk::proto::directory::v1::GetPublicDoctorRequest;
use clinicd_sdk::proto::identity::v1::{
    BlockDoctorRequest, CreateStaffMemberRequest, GetStaffMemberRequest, ListStaffRequest,
    RemoveStaffMemberRequest, StaffMember, UnblockDoctorRequest,
};
use clinicd_sdk::proto::onboarding::v1::ApproveApplicationRequest;
use clinicd_sdk::proto::profiles::v1::{
    GetDoctorRequest, GetMyDoctorProfileRequest, ListDoctorsRequest,
};
use clinicd_sdk::proto::r#type::v1::PersonName;
use clinicd_sdk::{Client, Code, Error};
use clinicd_tests::people::PASSWORD;
use clinicd_tests::wire::access_token;
use clinicd_tests::{Person, World, refused};

use super::opens;
use crate::guarantees::{book, cancel, free_slots};
use crate::rooms::{COUNTS, fields};

fn member(email: &str, role: Role, specialty_code: &str) -> CreateStaffMemberRequest {
    CreateStaffMemberRequest {
        email: email.to_owned(),
        name: Some(PersonName { given: "Meera".to_owned(), family: "Iyer".to_owned() }),
        role: role.into(),
        specialty_code: specialty_code.to_owned(),
        ..Default::default()
    }
}

async fn listed(by: &Client, request: ListStaffRequest) -> Vec<StaffMember> {
    by.all(ListStaffRequest { page_size: 2, ..request }).await.unwrap()
}

fn ids(members: &[StaffMember]) -> Vec<&str> {
    members.iter().map(|member| member.account.as_ref().unwrap().id.as_str()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn doctors_are_invited_with_their_specialty() {
    let world = World::start().await;
    let admin = world.admin().await;
    for (role, specialty) in [
        (Role::Doctor, ""),
        (Role::Doctor, "astrology"),
        (Role::Operator, "cardiology"),
        (Role::Pharmacist, "cardiology"),
    ] {
        let answer = admin.client.send(member("meera@example.org", role, specialty)).await;
        let refusal = refused(answer, Code::InvalidArgument, "INVALID_FIELDS");
        assert_eq!(fields(&refusal), ["specialty_code"], "{role:?} {specialty}");
    }
    let request = member("meera@example.org", Role::Doctor, "cardiology");
    let account = admin.client.send(request).await.unwrap().account.unwrap();
    assert_eq!(account.roles().collect::<Vec<_>>(), [Role::Doctor]);
    let mail = world.mail_to("meera@example.org", |mail| mail.token().is_some()).await;
    assert!(mail.text.contains("as a doctor (Cardiology)"), "{}", mail.text);
    admin.client.send(member("kiran@example.org", Role::Operator, "")).await.unwrap();
    let mail = world.mail_to("kiran@example.org", |mail| mail.token().is_some()).await;
    assert!(!mail.text.contains("doctor"), "{}", mail.text);

    world.activate("meera@example.org", Some(PASSWORD)).await;
    let meera = world.client().sign_in("meera@example.org", PASSWORD).await.unwrap();
    let profile = meera.send(GetMyDoctorProfileRequest {}).await.unwrap().profile.unwrap();
    assert_eq!((profile.specialty_code.as_str(), profile.id), ("cardiology", account.id));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_staff_is_listed_by_role_and_specialty() {
    let world = World::start().await;
    let (admin, operator, pharmacist) =
        (world.admin().await, world.operator().await, world.pharmacist().await);
    let (doctor, asha) = (world.approved_doctor().await, world.patient().await);
    let answer = admin.client.send(member("d@example.org", Role::Doctor, "neurology")).await;
    let neurologist = answer.unwrap().account.unwrap().id;
    // Two roles of one account are one member.
    let both = "INSERT INTO account_roles (account_id, role, granted_at) VALUES";
    world.sql(&format!("{both} ('{}', 'pharmacist', now())", operator.id)).await;

    let request = ListStaffRequest { include_total: true, ..Default::default() };
    let total = operator.client.send(request).await.unwrap().total_size;
    let all = listed(&operator.client, ListStaffRequest::default()).await;
    let mut expected = vec![&*operator.id, &*pharmacist.id, &*doctor.id, &*neurologist];
    expected.sort_unstable();
    assert_eq!((ids(&all), total), (expected, Some(4)));
    let down = ListStaffRequest { order_by: "id desc".to_owned(), ..Default::default() };
    let mut down = listed(&admin.client, down).await;
    down.reverse();
    assert_eq!(down, all);

    let with = |role: Option<Role>, specialty: Option<&str>| ListStaffRequest {
        role: role.map(Into::into),
        specialty_code: specialty.map(str::to_owned),
        ..Default::default()
    };
    for (role, specialty, found) in [
        (Some(Role::Operator), None, vec![&*operator.id]),
        (Some(Role::Pharmacist), None, vec![&*operator.id, &*pharmacist.id]),
        (Some(Role::Doctor), Some("cardiology"), vec![&*doctor.id]),
        (None, Some("neurology"), vec![&*neurologist]),
        (Some(Role::Operator), Some("neurology"), vec![]),
    ] {
        let members = listed(&admin.client, with(role, specialty)).await;
        assert_eq!(ids(&members), found, "{role:?} {specialty:?}");
    }
    let refusal = admin.client.send(with(Some(Role::Admin), None)).await;
    let refusal = refused(refusal, Code::InvalidArgument, "INVALID_FIELDS");
    assert_eq!(fields(&refusal), ["role"]);

    let get = |id: &str| GetStaffMemberRequest { account_id: id.to_owned() };
    let found = operator.client.send(get(&doctor.id)).await.unwrap().member.unwrap();
    assert_eq!((&*found.specialty_code, found.available_for_booking), ("cardiology", true));
    for id in [&asha.id, &admin.id] {
        refused(operator.client.send(get(id)).await, Code::NotFound, "NOT_FOUND");
    }
    let answer = asha.client.send(ListStaffRequest::default()).await;
    refused(answer, Code::PermissionDenied, "ROLE_REQUIRED");
    world.finish().await;
}

async fn set_bookable(by: &Person, doctor_id: &str, open: bool) -> Result<bool, Error> {
    let (request_id, doctor_id) = (String::new(), doctor_id.to_owned());
    let member = if open {
        by.client.send(UnblockDoctorRequest { request_id, doctor_id }).await?.member
    } else {
        by.client.send(BlockDoctorRequest { request_id, doctor_id }).await?.member
    };
    Ok(member.unwrap().available_for_booking)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blocked_doctor_takes_no_new_bookings_and_keeps_those_there_are() {
    let world = World::start().await;
    let (doctor, asha, admin) = (world.doctor().await, world.patient().await, world.admin().await);
    let slots = free_slots(&world, &doctor.id, 2, 2).await;
    let visit = asha.client.send(book(&doctor.id, slots[0])).await.unwrap().appointment.unwrap();
    assert!(!set_bookable(&admin, &doctor.id, false).await.unwrap());
    assert!(!set_bookable(&admin, &doctor.id, false).await.unwrap());
    let refusal = asha.client.send(book(&doctor.id, slots[1])).await;
    refused(refusal, Code::FailedPrecondition, "DOCTOR_NOT_BOOKABLE");
    let state = format!("SELECT state FROM appointments WHERE id = '{}'", visit.id);
    assert_eq!(world.sql(&state).await[0][0], "booked");
    assert!(set_bookable(&admin, &doctor.id, true).await.unwrap());
    asha.client.send(book(&doctor.id, slots[1])).await.unwrap();
    world.settle().await;
    let told: Vec<_> = world.mails_to(&doctor.email).into_iter().map(|mail| mail.subject).collect();
    let last = &told[told.len() - 2..];
    assert_eq!(last, ["You take no new bookings for now", "You can be booked again"]);

    refused(set_bookable(&admin, &asha.id, true).await, Code::NotFound, "NOT_FOUND");
    let refusal = set_bookable(&doctor, &doctor.id, false).await;
    refused(refusal, Code::PermissionDenied, "ROLE_REQUIRED");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_the_staff_stays_a_person() {
    let world = World::start().await;
    let (doctor, asha, admin) = (world.doctor().await, world.patient().await, world.admin().await);
    let remove = async |id: &str| {
        let request = RemoveStaffMemberRequest { account_id: id.to_owned(), ..Default::default() };
        admin.client.send(request).await.map(|answer| answer.account.unwrap())
    };
    let slot = free_slots(&world, &doctor.id, 2, 2).await[0];
    let visit = asha.client.send(book(&doctor.id, slot)).await.unwrap().appointment.unwrap();
    let live = remove(&doctor.id).await;
    let live = refused(live, Code::FailedPrecondition, "LIVE_BOOKINGS");
    assert_eq!(live.preconditions[0].0, format!("appointment/{}", visit.id));
    asha.client.send(cancel(&visit)).await.unwrap();

    let token = access_token(&doctor);
    assert!(opens(world.url(), &token).await);
    let left = remove(&doctor.id).await.unwrap();
    assert_eq!(left.roles().collect::<Vec<_>>(), [Role::Patient]);
    tokio::time::sleep(COUNTS).await;
    assert!(!opens(world.url(), &token).await);
    world.again(&doctor).await;
    let public = GetPublicDoctorRequest { doctor_id: doctor.id.clone() };
    refused(world.client().send(public).await, Code::NotFound, "NOT_FOUND");
    let refusal = asha.client.send(book(&doctor.id, slot)).await;
    refused(refusal, Code::FailedPrecondition, "DOCTOR_NOT_BOOKABLE");
    refused(set_bookable(&admin, &doctor.id, true).await, Code::NotFound, "NOT_FOUND");
    refused(remove(&doctor.id).await, Code::NotFound, "NOT_FOUND");
    refused(remove(&asha.id).await, Code::NotFound, "NOT_FOUND");

    let operator = world.operator().await;
    assert_eq!(remove(&operator.id).await.unwrap().roles, [0; 0]);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn admins_remove_none_above_them_and_nobody_themselves() {
    let world = World::start().await;
    let (doctor, admin) = (world.doctor().await, world.admin().await);
    for (id, role) in [(&doctor.id, "superuser"), (&admin.id, "operator")] {
        let also = "INSERT INTO account_roles (account_id, role, granted_at) VALUES";
        world.sql(&format!("{also} ('{id}', '{role}', now())")).await;
    }
    for open in [true, false] {
        let refusal = set_bookable(&admin, &doctor.id, open).await;
        refused(refusal, Code::PermissionDenied, "ROLE_REQUIRED");
    }
    for (id, reason) in [(&doctor.id, "ROLE_REQUIRED"), (&admin.id, "OWN_RECORD")] {
        let request = RemoveStaffMemberRequest { account_id: id.clone(), ..Default::default() };
        refused(admin.client.send(request).await, Code::PermissionDenied, reason);
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_left_may_apply_anew_and_is_a_doctor_again() {
    let world = World::start().await;
    let (doctor, asha, admin) = (world.doctor().await, world.patient().await, world.admin().await);
    let slot = free_slots(&world, &doctor.id, 2, 2).await[0];
    let request = RemoveStaffMemberRequest { account_id: doctor.id.clone(), ..Default::default() };
    admin.client.send(request).await.unwrap();
    world.settle().await;
    let doctor = world.again(&doctor).await;
    world.apply(&doctor).await;
    let application = world.submit(&doctor).await;
    let approve = ApproveApplicationRequest {
        application_id: application.id,
        etag: application.etag,
        ..Default::default()
    };
    admin.client.send(approve).await.unwrap();
    let public = GetPublicDoctorRequest { doctor_id: doctor.id.clone() };
    world.client().send(public).await.unwrap();
    asha.client.send(book(&doctor.id, slot)).await.unwrap();
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn staff_find_the_doctors_they_work_with() {
    let world = World::start().await;
    let (model, operator, pharmacist) =
        (world.doctor().await, world.operator().await, world.pharmacist().await);
    let others = world.doctors_like(&model, 3).await;
    for (id, change) in others.iter().zip([
        "given_name = 'Zoë', specialty_code = 'neurology'",
        "family_name = 'Zöller', clinic_city = 'Mumbai'",
        "available_for_booking = false",
    ]) {
        world.sql(&format!("UPDATE doctors SET {change} WHERE id = '{id}'")).await;
    }
    let text = |value: &str| Some(value.to_owned());
    let none = ListDoctorsRequest::default;
    for (request, expected) in [
        (none(), 4),
        (ListDoctorsRequest { name: text("ZO"), ..none() }, 2),
        (ListDoctorsRequest { name: text("zoll"), ..none() }, 1),
        (ListDoctorsRequest { city: text("pune"), ..none() }, 3),
        (ListDoctorsRequest { specialty_code: text("neurology"), ..none() }, 1),
        (ListDoctorsRequest { available_for_booking: Some(false), ..none() }, 1),
        (ListDoctorsRequest { name: text("zo"), city: text("Mumbai"), ..none() }, 1),
    ] {
        for order_by in ["id", "id desc"] {
            let order_by = order_by.to_owned();
            let request = ListDoctorsRequest { page_size: 2, order_by, ..request.clone() };
            let found = operator.client.all(request.clone()).await.unwrap();
            assert_eq!(found.len(), expected, "{request:?}");
        }
        let counted = ListDoctorsRequest { include_total: true, ..request };
        let total = pharmacist.client.send(counted).await.unwrap().total_size;
        assert_eq!(total, i64::try_from(expected).ok());
    }
    let get = |id: &str| GetDoctorRequest { doctor_id: id.to_owned() };
    let own = model.client.send(GetMyDoctorProfileRequest {}).await.unwrap().profile;
    assert_eq!(pharmacist.client.send(get(&model.id)).await.unwrap().doctor, own);
    let admin = world.admin().await;
    let request = RemoveStaffMemberRequest { account_id: model.id.clone(), ..Default::default() };
    admin.client.send(request).await.unwrap();
    refused(operator.client.send(get(&model.id)).await, Code::NotFound, "NOT_FOUND");
    assert_eq!(operator.client.all(none()).await.unwrap().len(), 3);
    let patient = world.patient().await.client.send(none()).await;
    refused(patient, Code::PermissionDenied, "ROLE_REQUIRED");
    world.finish().await;
}
