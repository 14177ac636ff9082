//! Closing an account for good.

use clinicd_sdk::proto::appointments::v1::{
    Appointment, BookAppointmentRequest, GetAppointmentRequest, ListAppointmentsRequest,
};
use clinicd_sdk::proto::directory::v1::GetPublicDoctorRequest;
use clinicd_sdk::proto::identity::v1::{
    AccountState, DeleteMyAccountRequest, DeleteUserRequest, GetUserRequest, ListUsersRequest,
};
use clinicd_sdk::proto::onboarding::v1::{ListApplicationsRequest, StartApplicationRequest};
use clinicd_sdk::proto::profiles::v1::{GetMyPatientRequest, UpdateMyPatientRequest};
use clinicd_sdk::proto::r#type::v1::Date;
use clinicd_sdk::{Client, Code, Error};
use clinicd_tests::people::PASSWORD;
use clinicd_tests::wire::access_token;
use clinicd_tests::{Person, World, refused};
use jiff::SignedDuration;

use super::opens;
use crate::guarantees::{book, cancel, free_slots};
use crate::rooms::COUNTS;

async fn delete_mine(client: &Client) -> Result<(), Error> {
    client.send(DeleteMyAccountRequest::default()).await.map(|_| ())
}

async fn delete(by: &Client, id: &str) -> Result<(), Error> {
    let request = DeleteUserRequest { account_id: id.to_owned(), ..Default::default() };
    by.send(request).await.map(|_| ())
}

async fn booked(world: &World, by: &Person, doctor: &Person, patient: Option<&str>) -> Appointment {
    let slot = free_slots(world, &doctor.id, 2, 3).await[0];
    let patient_id = patient.map(str::to_owned);
    let request = BookAppointmentRequest { patient_id, ..book(&doctor.id, slot) };
    by.client.send(request).await.unwrap().appointment.unwrap()
}
async fn tell_everything(asha: &Person) {
    let patient = asha.client.send(GetMyPatientRequest {}).await.unwrap().patient.unwrap();
    let request = UpdateMyPatientRequest {
        etag: patient.etag,
        birth_date: Some(Date { year: 1990, month: 2, day: 28 }),
        phone: Some("+919812345678".to_owned()),
        city: Some("Ahmednagar".to_owned()),
        country_code: Some("IN".to_owned()),
        ..Default::default()
    };
    asha.client.send(request).await.unwrap();
}

/// Tables in which a row holds a text.
async fn tables_with(world: &World, text: &str) -> Vec<String> {
    let tables = "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1";
    let mut found = Vec::new();
    for table in world.sql(tables).await.into_iter().flatten() {
        let holds = format!("SELECT count(*) FROM {table} t WHERE t::text ILIKE '%{text}%'");
        if world.sql(&holds).await[0][0] != "0" {
            found.push(table);
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_account_leads_to_nobody() {
    let world = World::start().await;
    let (doctor, admin) = (world.doctor().await, world.admin().await);
    // Her draft of an application, with its papers.
    let asha = world.applicant().await;
    tell_everything(&asha).await;
    let visit = booked(&world, &asha, &doctor, None).await;
    let visit = asha.client.send(cancel(&visit)).await.unwrap().appointment.unwrap();
    world.settle().await;
    let traces = [&*asha.email, &*asha.name.family, "9812345678", "Ahmednagar"];
    for trace in traces {
        assert!(!tables_with(&world, trace).await.is_empty(), "{trace}");
    }
    let second = world.second_server().await;
    let token = access_token(&asha);
    assert!(opens(&second.url, &token).await);

    delete_mine(&asha.client).await.unwrap();
    tokio::time::sleep(COUNTS).await;
    assert!(!opens(world.url(), &token).await && !opens(&second.url, &token).await);
    let signing_in = world.client().sign_in(&asha.email, PASSWORD).await;
    refused(signing_in, Code::Unauthenticated, "INVALID_CREDENTIALS");
    let mail = world.mail_to(&asha.email, |mail| mail.subject == "Your account is closed").await;
    assert!(mail.text.contains(&asha.name.family), "{mail:?}");
    world.settle().await;
    for trace in traces {
        assert_eq!(tables_with(&world, trace).await, [""; 0], "{trace}");
    }
    let left = "SELECT (SELECT count(*) FROM files WHERE owner_id = '{id}'), \
                (SELECT count(*) FROM challenges \
                WHERE account_id = '{id}'), (SELECT count(*) FROM account_roles WHERE account_id = '{id}')";
    let left = world.sql(&left.replace("{id}", &asha.id)).await;
    assert_eq!(left[0], ["0", "0", "0"]);

    // The doctor still has the visit, of a patient without a name.
    let request = GetAppointmentRequest { appointment_id: visit.id };
    let seen = doctor.client.send(request).await.unwrap().appointment.unwrap();
    let name = seen.patient_name.unwrap();
    assert_eq!((name.given.as_str(), name.family.len()), ("Patient", 8));
    assert!(!asha.id.replace('-', "").contains(&name.family));

    // Admins find it when they ask for it.
    let read = GetUserRequest { account_id: asha.id.clone() };
    let account = admin.client.send(read).await.unwrap().account.unwrap();
    assert_eq!((account.state(), &*account.email, account.name), (AccountState::Deleted, "", None));
    let deleted = |state: Option<AccountState>| ListUsersRequest {
        page_size: 25,
        state: state.map(Into::into),
        ..Default::default()
    };
    let listed = admin.client.send(deleted(Some(AccountState::Deleted))).await.unwrap().users;
    assert_eq!(listed.iter().map(|user| &user.id).collect::<Vec<_>>(), [&asha.id]);
    let others = admin.client.send(deleted(None)).await.unwrap().users;
    assert!(others.iter().all(|user| user.id != asha.id));

    // The same address, anew: nothing of before.
    let anew = world.registered(&asha.email, "Asha", "Again").await;
    assert_ne!(anew.id, asha.id);
    let list = ListAppointmentsRequest::default();
    assert!(anew.client.send(list).await.unwrap().appointments.is_empty());
    assert!(anew.client.send(StartApplicationRequest::default()).await.is_ok());
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_live_bookings_stays() {
    let world = World::start().await;
    let (doctor, asha) = (world.doctor().await, world.patient().await);
    let superuser = world.superuser().await;
    let child = world.app.ids.next().to_string();
    world
        .sql(&format!(
            "INSERT INTO patients (id, account_id, given_name, family_name, created_at, updated_at) \
             VALUES ('{child}', '{}', 'Mina', 'Rao', now(), now())",
            asha.id
        ))
        .await;
    let visits = [
        booked(&world, &asha, &doctor, None).await,
        booked(&world, &asha, &doctor, Some(&child)).await,
    ];
    let of = |visits: &[Appointment]| -> Vec<String> {
        visits.iter().map(|visit| format!("appointment/{}", visit.id)).collect()
    };
    for refusal in [
        delete_mine(&asha.client).await,
        delete(&superuser.client, &asha.id).await,
        delete_mine(&doctor.client).await,
        delete(&superuser.client, &doctor.id).await,
    ] {
        let refusal = refused(refusal, Code::FailedPrecondition, "LIVE_BOOKINGS");
        let subjects: Vec<_> = refusal.preconditions.into_iter().map(|one| one.0).collect();
        assert_eq!((subjects, refusal.metadata["count"].as_str()), (of(&visits), "2"));
    }
    asha.client.send(cancel(&visits[0])).await.unwrap();
    // Nobody began the other one, and it is over for more than a day.
    world.advance(SignedDuration::from_hours(5 * 24));
    delete(&superuser.client, &asha.id).await.unwrap();
    let names = world.sql("SELECT given_name FROM patients WHERE closed_at IS NOT NULL").await;
    assert_eq!(names.concat(), ["Patient", "Patient"]);

    let public = GetPublicDoctorRequest { doctor_id: doctor.id.clone() };
    assert!(world.client().send(public.clone()).await.is_ok());
    delete(&superuser.client, &doctor.id).await.unwrap();
    refused(world.client().send(public).await, Code::NotFound, "NOT_FOUND");
    // The name stands on what she has issued.
    let kept = world.sql("SELECT family_name <> '', mobile, bio FROM doctors").await;
    assert_eq!(kept.concat(), ["t", "", ""]);
    let seen = GetAppointmentRequest { appointment_id: visits[0].id.clone() };
    let seen = superuser.client.send(seen).await.unwrap().appointment.unwrap();
    assert_eq!(seen.doctor_name, Some(doctor.name));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_needs_a_recent_sign_in_or_the_right_rank() {
    let world = World::start().await;
    let (admin, asha) = (world.admin().await, world.patient().await);
    let superuser = world.superuser().await;
    let colleague = world.new_admin().await;
    for high in [&colleague, &superuser] {
        let refusal = delete(&admin.client, &high.id).await;
        refused(refusal, Code::PermissionDenied, "ROLE_REQUIRED");
    }
    let own = delete(&admin.client, &admin.id).await;
    refused(own, Code::PermissionDenied, "OWN_RECORD");
    let nobody = world.app.ids.next().to_string();
    refused(delete(&admin.client, &nobody).await, Code::NotFound, "NOT_FOUND");
    delete(&superuser.client, &colleague.id).await.unwrap();
    // Again: nothing changes.
    delete(&superuser.client, &colleague.id).await.unwrap();

    world.advance(SignedDuration::from_secs(5 * 60 + 1));
    let late = delete_mine(&asha.client).await;
    let late = refused(late, Code::FailedPrecondition, "REAUTH_REQUIRED");
    assert_eq!(late.metadata["seconds"], "300");
    delete_mine(&world.again(&asha).await.client).await.unwrap();

    // An application that was handed in goes too, and nobody can approve it any more.
    let ravi = world.applicant().await;
    world.submit(&ravi).await;
    delete(&admin.client, &ravi.id).await.unwrap();
    world.settle().await;
    let list = ListApplicationsRequest::default();
    let applications = admin.client.send(list).await.unwrap().applications;
    let left = applications.iter().find(|one| one.account_id == ravi.id);
    let left = left.map(|one| (one.status().as_str_name(), one.personal.is_some()));
    assert_eq!(left, Some(("APPLICATION_STATUS_REJECTED", false)));
    assert_eq!(world.sql("SELECT count(*) FROM files").await[0][0], "0");
    world.finish().await;
}
