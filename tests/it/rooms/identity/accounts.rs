//! The own account, and what admins change of others'.

use clinicd_sdk::proto::access::v1::Role;
use clinicd_sdk::proto::identity::v1::{
    Account, GetMyAccountRequest, GetMyRolesRequest, GetUserRequest, UpdateMyAccountRequest,
    UpdateUserRequest,
};
use clinicd_sdk::proto::profiles::v1::{GetMyPatientRequest, Patient};
use clinicd_sdk::proto::r#type::v1::{Date, Gender, PersonName};
use clinicd_sdk::{Client, Code};
use clinicd_tests::{World, refused};

use crate::rooms::fields;

async fn account(client: &Client) -> Account {
    client.send(GetMyAccountRequest {}).await.unwrap().account.unwrap()
}

async fn patient(client: &Client) -> Patient {
    client.send(GetMyPatientRequest {}).await.unwrap().patient.unwrap()
}

fn name(given: &str, family: &str) -> PersonName {
    PersonName { given: given.to_owned(), family: family.to_owned() }
}

#[tokio::test(flavor = "multi_thread")]
async fn people_change_what_they_are_called_and_written_to_in() {
    let world = World::start().await;
    let asha = world.patient().await;
    let before = account(&asha.client).await;
    let request = UpdateMyAccountRequest {
        etag: before.etag.clone(),
        language: Some("hi".to_owned()),
        ..Default::default()
    };
    let after = asha.client.send(request.clone()).await.unwrap().account.unwrap();
    assert_eq!((after.language.as_str(), &after.name), ("hi", &before.name));
    refused(asha.client.send(request).await, Code::Aborted, "ETAG_MISMATCH");

    let request = UpdateMyAccountRequest {
        etag: after.etag.clone(),
        name: Some(name(" आशा ", "")),
        ..Default::default()
    };
    let renamed = asha.client.send(request).await.unwrap().account.unwrap();
    assert_eq!((renamed.name.clone(), renamed.language.as_str()), (Some(name("आशा", "")), "hi"));
    assert_eq!(account(&asha.client).await, renamed);
    // The patient record has a name of its own.
    assert_eq!(patient(&asha.client).await.name, Some(asha.name.clone()));

    let bad = UpdateMyAccountRequest {
        etag: renamed.etag,
        name: Some(name(" ", "\u{200b}")),
        language: Some("?".to_owned()),
        ..Default::default()
    };
    let refusal = refused(asha.client.send(bad).await, Code::InvalidArgument, "INVALID_FIELDS");
    assert_eq!(fields(&refusal), ["name.given", "name.family", "language"]);
    let roles = asha.client.send(GetMyRolesRequest {}).await.unwrap();
    assert_eq!(roles.roles().collect::<Vec<_>>(), [Role::Patient]);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn admins_change_a_persons_details_and_the_person_is_told() {
    let world = World::start().await;
    let (admin, asha) = (world.admin().await, world.patient().await);
    let etag = account(&asha.client).await.etag;
    let request = UpdateUserRequest {
        etag: etag.clone(),
        account_id: asha.id.clone(),
        name: Some(name("Aasha", "Rao")),
        language: Some("hi".to_owned()),
        birth_date: Some(Date { year: 1990, month: 2, day: 28 }),
        gender: Some(Gender::Female.into()),
        city: Some("Pune".to_owned()),
        country_code: Some("IN".to_owned()),
        ..Default::default()
    };
    let after = admin.client.send(request.clone()).await.unwrap().account.unwrap();
    let read = GetUserRequest { account_id: asha.id.clone() };
    let user = admin.client.send(read.clone()).await.unwrap();
    assert_eq!((user.gender(), user.birth_date), (Gender::Female, request.birth_date));
    assert_eq!((user.city.as_str(), user.country_code.as_str()), ("Pune", "IN"));
    assert_eq!(user.account, Some(after.clone()));
    assert_eq!((after.name, after.language), (Some(name("Aasha", "Rao")), "hi".to_owned()));
    let record = patient(&asha.client).await;
    assert_eq!(record.name, Some(name("Aasha", "Rao")));
    assert_eq!((record.gender(), record.birth_date), (Gender::Female, request.birth_date));
    assert_eq!((record.city.as_str(), record.country_code.as_str()), ("Pune", "IN"));
    world.mail_to(&asha.email, |mail| mail.subject.contains("जानकारी")).await;

    let stale = admin.client.send(UpdateUserRequest { etag, ..request.clone() }).await;
    refused(stale, Code::Aborted, "ETAG_MISMATCH");
    // Present and empty clears, absent leaves.
    let clear = UpdateUserRequest {
        etag: after.etag.clone(),
        account_id: asha.id.clone(),
        city: Some(String::new()),
        country_code: Some(String::new()),
        ..Default::default()
    };
    let changed = admin.client.send(clear.clone()).await.unwrap().account.unwrap();
    assert_ne!(changed.etag, after.etag, "the etag covers the patient record");
    // Nothing to change, nobody to tell.
    let clear = UpdateUserRequest { etag: changed.etag.clone(), ..clear };
    let same = admin.client.send(clear.clone()).await.unwrap().account.unwrap();
    assert_eq!(same, changed);
    world.settle().await;
    let mails = world.mails_to(&asha.email);
    assert_eq!(mails.iter().filter(|mail| mail.subject.contains("जानकारी")).count(), 2);
    let cleared = patient(&asha.client).await;
    assert_eq!((cleared.city.as_str(), cleared.country_code.as_str()), ("", ""));
    assert_eq!((cleared.name, cleared.birth_date), (record.name, record.birth_date));
    let bad = UpdateUserRequest { country_code: Some("XX".to_owned()), ..clear };
    let refusal = refused(admin.client.send(bad).await, Code::InvalidArgument, "INVALID_FIELDS");
    assert_eq!(fields(&refusal), ["country_code"]);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn details_of_admins_are_changed_by_superusers_alone() {
    let world = World::start().await;
    let (admin, superuser) = (world.admin().await, world.superuser().await);
    let colleague = world.new_admin().await;
    let change = async |by: &Client, of: &Client| {
        let before = account(of).await;
        let request = UpdateUserRequest {
            etag: before.etag,
            account_id: before.id,
            language: Some("hi".to_owned()),
            ..Default::default()
        };
        by.send(request).await
    };
    for own in [&admin, &superuser] {
        let refusal = change(&own.client, &own.client).await;
        refused(refusal, Code::PermissionDenied, "OWN_RECORD");
    }
    for owner in [&colleague, &superuser] {
        let refusal = change(&admin.client, &owner.client).await;
        let refusal = refused(refusal, Code::PermissionDenied, "ROLE_REQUIRED");
        assert_eq!(refusal.metadata["roles"], "superuser");
    }
    change(&superuser.client, &colleague.client).await.unwrap();
    // Invited staff have no patient record that could hold it.
    let operator = world.operator().await;
    let request = UpdateUserRequest {
        etag: account(&operator.client).await.etag,
        account_id: operator.id.clone(),
        city: Some("Pune".to_owned()),
        ..Default::default()
    };
    let refusal = admin.client.send(request).await;
    let refusal = refused(refusal, Code::InvalidArgument, "INVALID_FIELDS");
    assert_eq!(fields(&refusal), ["city"]);
    let nobody = world.app.ids.next().to_string();
    let unknown = admin.client.send(GetUserRequest { account_id: nobody }).await;
    refused(unknown, Code::NotFound, "NOT_FOUND");
    world.finish().await;
}
