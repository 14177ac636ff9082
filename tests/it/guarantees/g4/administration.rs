//! The changes of those who run the platform, and of the own account.

use clinicd_sdk::proto::access::v1::Role;
use clinicd_sdk::proto::identity::v1::{
    BlockDoctorRequest, BlockUserRequest, CreateStaffMemberRequest, DeleteMyAccountRequest,
    DeleteSignInRequest, DeleteUserRequest, GetMyAccountRequest, ListSignInsRequest,
    RemoveStaffMemberRequest, UnblockDoctorRequest, UnblockUserRequest, UpdateMyAccountRequest,
    UpdateUserRequest,
};
use clinicd_sdk::proto::r#type::v1::PersonName;
use clinicd_tests::Person;

use super::changes::NOTHING;
use super::{Actor, Trial};

pub(super) async fn accounts(trial: &mut Trial, doctor: &Person) {
    let (asha, admin) = (trial.world.patient().await, trial.world.admin().await);
    let (by, admin) = (trial.actor(&asha).await, trial.actor(&admin).await);
    let account = by.here.send(GetMyAccountRequest {}).await.unwrap().account.unwrap();
    let request = UpdateMyAccountRequest {
        etag: account.etag,
        language: Some("hi".into()),
        ..Default::default()
    };
    let other = |r: &mut UpdateMyAccountRequest| r.language = Some("en".into());
    let after = trial.change(&by, request, other, &[("events", 1)]).await.account.unwrap();

    let request = UpdateUserRequest {
        etag: after.etag,
        account_id: asha.id.clone(),
        city: Some("Pune".into()),
        ..Default::default()
    };
    let other = |r: &mut UpdateUserRequest| r.city = Some("Goa".into());
    trial.change(&admin, request, other, &[("events", 1), ("jobs", 1)]).await;
    blocking(trial, &admin, &asha, doctor).await;
    leaving(trial, &admin, &asha).await;
}

async fn blocking(trial: &mut Trial, admin: &Actor, asha: &Person, doctor: &Person) {
    let told = [("events", 1), ("jobs", 1)];
    let account_id = asha.id.clone();
    let request = BlockUserRequest { account_id: account_id.clone(), ..Default::default() };
    trial.change(admin, request, |r| r.account_id = NOTHING.into(), &told).await;
    let request = UnblockUserRequest { account_id: account_id.clone(), ..Default::default() };
    trial.change(admin, request, |r| r.account_id = NOTHING.into(), &told).await;

    let request = BlockDoctorRequest { doctor_id: doctor.id.clone(), ..Default::default() };
    trial.change(admin, request, |r| r.doctor_id = NOTHING.into(), &told).await;
    let request = UnblockDoctorRequest { doctor_id: doctor.id.clone(), ..Default::default() };
    trial.change(admin, request, |r| r.doctor_id = NOTHING.into(), &told).await;

    let list = ListSignInsRequest { account_id: Some(account_id), ..Default::default() };
    let sign_in_id = admin.here.send(list).await.unwrap().sign_ins.remove(0).id;
    let request = DeleteSignInRequest { sign_in_id, ..Default::default() };
    trial.change(admin, request, |r| r.sign_in_id = NOTHING.into(), &[("events", 1)]).await;
}

async fn leaving(trial: &mut Trial, admin: &Actor, asha: &Person) {
    let request = CreateStaffMemberRequest {
        email: "farid@example.org".to_owned(),
        name: Some(PersonName { given: "Farid".to_owned(), family: String::new() }),
        role: Role::Pharmacist.into(),
        ..Default::default()
    };
    let farid = admin.here.send(request).await.unwrap().account.unwrap().id;
    let request = RemoveStaffMemberRequest { account_id: farid, ..Default::default() };
    let effects = [("account_roles", -1), ("events", 1), ("jobs", 1)];
    trial.change(admin, request, |r| r.account_id = NOTHING.into(), &effects).await;

    let request = DeleteUserRequest { account_id: asha.id.clone(), ..Default::default() };
    let effects = [("account_roles", -1), ("challenges", -1), ("events", 2), ("jobs", 2)];
    trial.change(admin, request, |r| r.account_id = NOTHING.into(), &effects).await;

    let ravi = trial.world.patient().await;
    trial.ends_with(ravi.client, DeleteMyAccountRequest::default()).await;
}
