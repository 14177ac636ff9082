//! Who runs the platform.

use clinicd_sdk::proto::access::v1::Role;
use clinicd_sdk::proto::identity::v1::{GrantAdminRequest, ListUsersRequest, RevokeAdminRequest};
use clinicd_sdk::{Client, Code, Error};
use clinicd_tests::{World, refused};

use super::{over, registration};
use crate::rooms::COUNTS;

fn grant(account_id: &str) -> GrantAdminRequest {
    GrantAdminRequest { account_id: account_id.to_owned(), ..Default::default() }
}

fn revoke(account_id: &str) -> RevokeAdminRequest {
    RevokeAdminRequest { account_id: account_id.to_owned(), ..Default::default() }
}

/// Does what admins may do.
async fn list(client: &Client) -> Result<(), Error> {
    client.send(ListUsersRequest::default()).await.map(|_| ())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_admins_rights_come_and_go_everywhere_within_a_second() {
    let world = World::start().await;
    let (asha, superuser) = (world.patient().await, world.superuser().await);
    let second = world.second_server().await;
    let there = over(&second.client(), &asha);
    refused(list(&there).await, Code::PermissionDenied, "ROLE_REQUIRED");

    let account = superuser.client.send(grant(&asha.id)).await.unwrap().account.unwrap();
    assert_eq!(account.roles().collect::<Vec<_>>(), [Role::Admin, Role::Patient]);
    tokio::time::sleep(COUNTS).await;
    // The sessions from before end: a right that was not there is not in them.
    for client in [&there, &asha.client] {
        assert!(matches!(list(client).await, Err(Error::SessionEnded(_))));
    }
    let asha = world.again(&asha).await;
    let there = over(&second.client(), &asha);
    list(&there).await.unwrap();
    list(&asha.client).await.unwrap();
    world.mail_to(&asha.email, |mail| mail.subject == "You are now an administrator").await;

    // Again: nothing changes.
    let again = superuser.client.send(grant(&asha.id)).await.unwrap().account.unwrap();
    assert_eq!(again, account);

    let account = superuser.client.send(revoke(&asha.id)).await.unwrap().account.unwrap();
    assert_eq!(account.roles().collect::<Vec<_>>(), [Role::Patient]);
    tokio::time::sleep(COUNTS).await;
    for client in [&there, &asha.client] {
        assert!(matches!(list(client).await, Err(Error::SessionEnded(_))));
    }
    let anew = world.again(&asha).await;
    refused(list(&anew.client).await, Code::PermissionDenied, "ROLE_REQUIRED");
    world.settle().await;
    let mails = world.mails_to(&asha.email);
    let told: Vec<_> = mails.iter().map(|mail| mail.subject.as_str()).collect();
    let mut told: Vec<_> = told.into_iter().filter(|text| text.contains("administrator")).collect();
    // Two servers sent them, each into its own outbox.
    told.sort_unstable();
    assert_eq!(told, ["You are no longer an administrator", "You are now an administrator"]);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_superuser_makes_admins_of_active_accounts() {
    let world = World::start().await;
    let (asha, admin, superuser) =
        (world.patient().await, world.admin().await, world.superuser().await);
    for person in [&asha, &admin] {
        let refusal = person.client.send(grant(&asha.id)).await;
        let refusal = refused(refusal, Code::PermissionDenied, "ROLE_REQUIRED");
        assert_eq!(refusal.metadata["roles"], "superuser");
        let refusal = person.client.send(revoke(&admin.id)).await;
        refused(refusal, Code::PermissionDenied, "ROLE_REQUIRED");
    }
    let nobody = world.app.ids.next().to_string();
    refused(superuser.client.send(grant(&nobody)).await, Code::NotFound, "NOT_FOUND");
    refused(superuser.client.send(revoke(&nobody)).await, Code::NotFound, "NOT_FOUND");

    world.client().send(registration("inactive@example.org")).await.unwrap();
    let inactive = world.sql("SELECT id FROM accounts WHERE state = 'inactive'").await;
    let refusal = superuser.client.send(grant(&inactive[0][0])).await;
    let refusal = refused(refusal, Code::FailedPrecondition, "WRONG_STATE");
    assert_eq!(refusal.metadata["state"], "inactive");

    // To take from somebody what they do not have changes nothing and ends no session.
    superuser.client.send(revoke(&asha.id)).await.unwrap();
    tokio::time::sleep(COUNTS).await;
    refused(list(&asha.client).await, Code::PermissionDenied, "ROLE_REQUIRED");
    // A superuser who loses the role admin stays superuser.
    superuser.client.send(grant(&superuser.id)).await.unwrap();
    let superuser = world.again(&superuser).await;
    superuser.client.send(revoke(&superuser.id)).await.unwrap();
    list(&world.again(&superuser).await.client).await.unwrap();
    world.finish().await;
}
