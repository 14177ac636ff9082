//! Operators and pharmacists.

use clinicd_sdk::Code;
use clinicd_sdk::proto::access::v1::Role;
use clinicd_sdk::proto::identity::v1::{
    AccountState, ConfirmActivationRequest, CreateStaffMemberRequest, GetMyAccountRequest,
};
use clinicd_sdk::proto::r#type::v1::PersonName;
use clinicd_tests::people::PASSWORD;
use clinicd_tests::{World, refused};
use jiff::SignedDuration;

use crate::rooms::fields;

fn member(email: &str, role: Role) -> CreateStaffMemberRequest {
    CreateStaffMemberRequest {
        email: email.to_owned(),
        name: Some(PersonName { given: "किरण".to_owned(), family: "शाह".to_owned() }),
        role: role.into(),
        language: "hi".to_owned(),
        ..Default::default()
    }
}

fn is_hindi(text: &str) -> bool {
    text.chars().any(|letter| ('\u{900}'..='\u{97f}').contains(&letter))
}

#[tokio::test(flavor = "multi_thread")]
async fn staff_are_invited_in_their_language_and_choose_a_password() {
    let world = World::start().await;
    let (admin, email) = (world.admin().await, "kiran@example.org");
    let request = member(email, Role::Pharmacist);
    let account = admin.client.send(request).await.unwrap().account.unwrap();
    assert_eq!(account.state(), AccountState::Inactive);
    assert_eq!(account.roles().collect::<Vec<_>>(), [Role::Pharmacist]);
    let mail = world.mail_to(email, |mail| mail.token().is_some()).await;
    assert!(is_hindi(&mail.subject) && is_hindi(&mail.text), "{mail:?}");
    assert!(mail.text.contains("किरण"), "{}", mail.text);
    let token = mail.link().unwrap().split_once("token=").unwrap().1;

    world.advance(SignedDuration::from_hours(7 * 24 - 1));
    let confirm = async |password: Option<&str>| {
        let request = ConfirmActivationRequest {
            activation_token: token.to_owned(),
            password: password.map(str::to_owned),
            ..Default::default()
        };
        world.client().send(request).await
    };
    let refusal = refused(confirm(None).await, Code::InvalidArgument, "INVALID_FIELDS");
    assert_eq!(fields(&refusal), ["password"]);
    refused(confirm(Some("short")).await, Code::InvalidArgument, "WEAK_PASSWORD");
    confirm(Some(PASSWORD)).await.unwrap();
    let kiran = world.client().sign_in(email, PASSWORD).await.unwrap();
    let account = kiran.send(GetMyAccountRequest {}).await.unwrap().account.unwrap();
    assert_eq!(account.name.unwrap().given, "किरण");
    refused(
        kiran.send(member("more@example.org", Role::Operator)).await,
        Code::PermissionDenied,
        "ROLE_REQUIRED",
    );
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invitation_lapses_after_a_week() {
    let world = World::start().await;
    let (superuser, email) = (world.superuser().await, "kiran@example.org");
    superuser.client.send(member(email, Role::Operator)).await.unwrap();
    let activation_token = world.token_in_mail(email).await;
    world.advance(SignedDuration::from_hours(7 * 24 + 1));
    let password = Some(PASSWORD.to_owned());
    let request = ConfirmActivationRequest { activation_token, password, ..Default::default() };
    let late = world.client().send(request).await;
    refused(late, Code::Unauthenticated, "INVALID_CREDENTIALS");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_new_addresses_and_staff_roles_are_taken() {
    let world = World::start().await;
    let (admin, asha) = (world.admin().await, world.patient().await);
    for email in [&asha.email, &asha.email.to_uppercase()] {
        let answer = admin.client.send(member(email, Role::Operator)).await;
        let refusal = refused(answer, Code::AlreadyExists, "ALREADY_EXISTS");
        assert_eq!(refusal.metadata["resource"], "account");
    }
    for role in [Role::Unspecified, Role::Patient, Role::Admin, Role::Superuser] {
        let answer = admin.client.send(member("kiran@example.org", role)).await;
        let refusal = refused(answer, Code::InvalidArgument, "INVALID_FIELDS");
        assert_eq!(fields(&refusal), ["role"]);
    }
    let unknown = CreateStaffMemberRequest { role: 99, ..member("not an address", Role::Operator) };
    let refusal =
        refused(admin.client.send(unknown).await, Code::InvalidArgument, "INVALID_FIELDS");
    assert!(fields(&refusal).starts_with(&["email", "role"]), "{refusal:?}");
    world.finish().await;
}
