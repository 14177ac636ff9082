//! Blocked accounts, and the last owner of the platform.

use std::time::Duration;

use clinicd_sdk::proto::feed::v1::WatchRequest;
use clinicd_sdk::proto::identity::v1::{
    Account, AccountState, BlockUserRequest, DeleteMyAccountRequest, UnblockUserRequest,
};
use clinicd_sdk::{Client, Code, Error};
use clinicd_server::identity;
use clinicd_tests::people::PASSWORD;
use clinicd_tests::wire::access_token;
use clinicd_tests::{Person, World, refused};
use futures_util::TryStreamExt as _;

use super::{opens, over, registration};
use crate::guarantees::{at_once, book, free_slots};
use crate::rooms::COUNTS;

async fn block(by: &Client, id: &str) -> Result<Account, Error> {
    let request = BlockUserRequest { account_id: id.to_owned(), ..Default::default() };
    by.send(request).await.map(|answer| answer.account.unwrap())
}

async fn unblock(by: &Client, id: &str) -> Result<Account, Error> {
    let request = UnblockUserRequest { account_id: id.to_owned(), ..Default::default() };
    by.send(request).await.map(|answer| answer.account.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blocked_person_is_out_everywhere_within_a_second() {
    let world = World::start().await;
    let (admin, asha) = (world.admin().await, world.patient().await);
    let second = world.second_server().await;
    let token = access_token(&asha);
    assert!(opens(world.url(), &token).await && opens(&second.url, &token).await);
    let mut feed = over(&second.client(), &asha).watch(WatchRequest::default());
    feed.try_next().await.unwrap();

    let blocked = block(&admin.client, &asha.id).await.unwrap();
    assert_eq!(blocked.state(), AccountState::Blocked);
    tokio::time::sleep(COUNTS).await;
    assert!(!opens(world.url(), &token).await && !opens(&second.url, &token).await);
    let ended = async {
        while feed.try_next().await?.is_some() {}
        Ok::<_, Error>(())
    };
    let ended = tokio::time::timeout(Duration::from_secs(5), ended).await;
    assert!(matches!(ended, Ok(Err(Error::SessionEnded(_)))), "{ended:?}");
    let signing_in = world.client().sign_in(&asha.email, PASSWORD).await;
    refused(signing_in, Code::Unauthenticated, "INVALID_CREDENTIALS");
    world.mail_to(&asha.email, |mail| mail.subject == "Your account is blocked").await;

    // Again: nothing changes.
    assert_eq!(block(&admin.client, &asha.id).await.unwrap(), blocked);
    let open = unblock(&admin.client, &asha.id).await.unwrap();
    assert_eq!(open.state(), AccountState::Active);
    assert_eq!(unblock(&admin.client, &asha.id).await.unwrap(), open);
    // The sessions of before stay ended.
    tokio::time::sleep(COUNTS).await;
    assert!(!opens(world.url(), &token).await);
    assert!(opens(world.url(), &access_token(&world.again(&asha).await)).await);
    world.settle().await;
    let mails = world.mails_to(&asha.email);
    let count = |text: &str| mails.iter().filter(|mail| mail.subject == text).count();
    assert_eq!((count("Your account is blocked"), count("Your account is open again")), (1, 1));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn admins_block_everybody_but_their_like() {
    let world = World::start().await;
    let (admin, superuser) = (world.admin().await, world.superuser().await);
    let colleague = world.new_admin().await;
    for high in [&colleague, &superuser] {
        for refusal in
            [block(&admin.client, &high.id).await, unblock(&admin.client, &high.id).await]
        {
            let refusal = refused(refusal, Code::PermissionDenied, "ROLE_REQUIRED");
            assert_eq!(refusal.metadata["roles"], "superuser");
        }
    }
    for own in [&admin, &superuser] {
        for refusal in [block(&own.client, &own.id).await, unblock(&own.client, &own.id).await] {
            refused(refusal, Code::PermissionDenied, "OWN_RECORD");
        }
    }
    block(&superuser.client, &colleague.id).await.unwrap();
    unblock(&superuser.client, &colleague.id).await.unwrap();

    world.client().send(registration("inactive@example.org")).await.unwrap();
    let inactive = &world.sql("SELECT id FROM accounts WHERE state = 'inactive'").await[0][0];
    let nobody = world.app.ids.next().to_string();
    for act in [block(&admin.client, inactive).await, unblock(&admin.client, inactive).await] {
        let refusal = refused(act, Code::FailedPrecondition, "WRONG_STATE");
        assert_eq!(refusal.metadata["state"], "inactive");
    }
    refused(block(&admin.client, &nobody).await, Code::NotFound, "NOT_FOUND");
    refused(unblock(&admin.client, &nobody).await, Code::NotFound, "NOT_FOUND");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_books_a_doctor_whose_account_is_blocked() {
    let world = World::start().await;
    let (doctor, asha, admin) = (world.doctor().await, world.patient().await, world.admin().await);
    let slots = free_slots(&world, &doctor.id, 2, 2).await;
    block(&admin.client, &doctor.id).await.unwrap();
    assert!(free_slots(&world, &doctor.id, 2, 2).await.is_empty());
    let refusal = asha.client.send(book(&doctor.id, slots[0])).await;
    refused(refusal, Code::FailedPrecondition, "DOCTOR_NOT_BOOKABLE");
    unblock(&admin.client, &doctor.id).await.unwrap();
    asha.client.send(book(&doctor.id, slots[0])).await.unwrap();
    world.finish().await;
}

async fn owner(world: &World, email: &str) -> Person {
    identity::create_superuser(&world.app, email, PASSWORD).await.unwrap();
    world.signed_in(email, clinicd_sdk::proto::r#type::v1::PersonName::default()).await
}

/// Addresses of the superusers that can sign in.
async fn owners(world: &World) -> Vec<String> {
    let active = "SELECT a.email FROM accounts a JOIN account_roles r ON r.account_id = a.id \
                  WHERE r.role = 'superuser' AND a.state = 'active'";
    world.sql(active).await.into_iter().flatten().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_owner_stays() {
    let world = World::start().await;
    let first = world.superuser().await;
    let delete = DeleteMyAccountRequest::default();
    let last = first.client.send(delete.clone()).await;
    refused(last, Code::FailedPrecondition, "LAST_SUPERUSER");
    let last = identity::revoke_superuser(&world.app, &first.email).await;
    assert_eq!(last.unwrap_err().to_string(), "LAST_SUPERUSER");

    // A blocked one does not count.
    let second = owner(&world, "second@example.org").await;
    block(&first.client, &second.id).await.unwrap();
    let last = first.client.send(delete.clone()).await;
    refused(last, Code::FailedPrecondition, "LAST_SUPERUSER");
    unblock(&first.client, &second.id).await.unwrap();
    let second = world.again(&second).await;
    block(&second.client, &first.id).await.unwrap();
    assert_eq!(owners(&world).await, ["second@example.org"]);
    unblock(&second.client, &first.id).await.unwrap();
    identity::revoke_superuser(&world.app, "SECOND@example.org").await.unwrap();
    assert_eq!(owners(&world).await, ["superuser@example.org"]);
    let gone = identity::revoke_superuser(&world.app, "second@example.org").await;
    assert_eq!(gone.unwrap_err().to_string(), "NOT_FOUND");
    world.finish().await;
}

/// Without `FOR UPDATE` in `LockSuperusers` both had lost their power after the first round.
#[tokio::test(flavor = "multi_thread")]
async fn of_two_owners_who_strip_each_other_one_is_left() {
    let world = World::start().await;
    let (first, second) =
        (owner(&world, "a@example.org").await, owner(&world, "b@example.org").await);
    let there = world.second_server().await;
    for round in 0..50 {
        let (one, two) = (world.again(&first).await, world.again(&second).await);
        let two_there = over(&there.client(), &two);
        let apps = (world.app.clone(), there.app.clone());
        let (one_id, two_id) = (one.id.clone(), two.id.clone());
        let first_call = async move {
            match round % 3 {
                0 => block(&one.client, &two_id).await.is_ok(),
                1 => one.client.send(DeleteMyAccountRequest::default()).await.is_ok(),
                _ => identity::revoke_superuser(&apps.0, "a@example.org").await.is_ok(),
            }
        };
        let second_call = async move {
            match round % 2 {
                0 => block(&two_there, &one_id).await.is_ok(),
                _ => identity::revoke_superuser(&apps.1, "b@example.org").await.is_ok(),
            }
        };
        let calls: [std::pin::Pin<Box<dyn Future<Output = bool> + Send>>; 2] =
            [Box::pin(first_call), Box::pin(second_call)];
        at_once(calls).await;
        let left = owners(&world).await;
        // Blocking each other hits the other one, so both may fail to be left only by a fault.
        assert!(!left.is_empty(), "round {round}");
        restore(&world, &first.id, "a@example.org").await;
        restore(&world, &second.id, "b@example.org").await;
    }
    world.finish().await;
}

/// Makes a person an owner again, past the server.
async fn restore(world: &World, id: &str, email: &str) {
    let hash = "(SELECT password_hash FROM accounts WHERE password_hash IS NOT NULL LIMIT 1)";
    world
        .sql(&format!(
            "UPDATE accounts SET state = 'active', email = '{email}', email_key = '{email}', \
             password_hash = {hash} WHERE id = '{id}'; \
             INSERT INTO account_roles (account_id, role, granted_at) \
             VALUES ('{id}', 'superuser', now()) ON CONFLICT DO NOTHING"
        ))
        .await;
}
