//! The history of attempts to sign in.

use clinicd_sdk::proto::identity::v1::{
    DeleteSignInRequest, ListMySignInsRequest, ListSignInsRequest, SignInMethod, SignInRecord,
};
use clinicd_sdk::{Code, Error};
use clinicd_tests::people::PASSWORD;
use clinicd_tests::{Person, World, refused};

use crate::rooms::fields;

async fn mine(person: &Person, request: ListMySignInsRequest) -> Vec<SignInRecord> {
    let request = ListMySignInsRequest { page_size: 2, ..request };
    person.client.all(request).await.unwrap()
}

fn ordered(order_by: &str) -> ListMySignInsRequest {
    ListMySignInsRequest { order_by: order_by.to_owned(), ..Default::default() }
}

/// Three right ones, the first with the registration, and two wrong ones between them.
async fn with_a_past(world: &World) -> Person {
    let asha = world.patient().await;
    for password in ["wrong-harbour-lantern-1", PASSWORD, "wrong-harbour-lantern-2", PASSWORD] {
        let _ = world.client().sign_in(&asha.email, password).await;
    }
    asha
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_sees_the_attempts_at_the_own_account() {
    let world = World::start().await;
    let (asha, ravi) = (with_a_past(&world).await, world.patient().await);
    let newest = mine(&asha, ordered("")).await;
    let right: Vec<bool> = newest.iter().map(|record| record.success).collect();
    assert_eq!(right, [true, false, true, false, true]);
    assert!(newest.iter().all(|record| record.account_id == asha.id
        && record.method() == SignInMethod::Password
        && !record.client_address.is_empty()));

    let ids = |records: &[SignInRecord]| -> Vec<String> {
        records.iter().map(|record| record.id.clone()).collect()
    };
    let reversed = ids(&newest).into_iter().rev().collect::<Vec<_>>();
    for (order_by, expected) in
        [("id desc", ids(&newest)), ("id", reversed.clone()), ("create_time", reversed)]
    {
        assert_eq!(ids(&mine(&asha, ordered(order_by)).await), expected, "{order_by}");
    }
    let newest_time = mine(&asha, ordered("create_time desc")).await;
    assert_eq!(ids(&newest_time), ids(&newest));
    for (order_by, expected) in [
        ("success", [false, false, true, true, true]),
        ("success desc", [true, true, true, false, false]),
    ] {
        let records = mine(&asha, ordered(order_by)).await;
        let right: Vec<bool> = records.iter().map(|record| record.success).collect();
        assert_eq!(right, expected, "{order_by}");
    }
    for success in [true, false] {
        let only = ListMySignInsRequest { success: Some(success), ..Default::default() };
        let expected: Vec<_> =
            newest.iter().filter(|record| record.success == success).cloned().collect();
        assert_eq!(mine(&asha, only).await, expected);
    }
    let request = ListMySignInsRequest { include_total: true, ..Default::default() };
    assert_eq!(asha.client.send(request).await.unwrap().total_size, Some(5));
    assert_eq!(mine(&ravi, ordered("")).await.len(), 1);
    for order_by in ["method", "id, success"] {
        let refusal = asha.client.send(ordered(order_by)).await;
        let refusal = refused(refusal, Code::InvalidArgument, "INVALID_FIELDS");
        assert_eq!(fields(&refusal), ["order_by"]);
    }
    let first = asha.client.send(ListMySignInsRequest { page_size: 1, ..ordered("") }).await;
    let page_token = first.unwrap().next_page_token;
    let other = ListMySignInsRequest { page_token, ..ordered("success") };
    refused(asha.client.send(other).await, Code::InvalidArgument, "PAGE_TOKEN_INVALID");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn admins_see_all_and_hide_what_need_not_be_seen() {
    let world = World::start().await;
    let (admin, asha) = (world.admin().await, with_a_past(&world).await);
    let _ = world.client().sign_in("nobody@example.org", PASSWORD).await;
    let all = async |request: ListSignInsRequest| {
        let request = ListSignInsRequest { page_size: 25, ..request };
        admin.client.all(request).await.unwrap()
    };
    let everything = all(ListSignInsRequest::default()).await;
    assert_eq!(everything[0].account_id, "", "of an address that has no account");
    let of_asha = ListSignInsRequest { account_id: Some(asha.id.clone()), ..Default::default() };
    let hers = all(of_asha.clone()).await;
    assert_eq!((hers.len(), &hers), (5, &mine(&asha, ordered("")).await));
    let failed = ListSignInsRequest { success: Some(false), ..Default::default() };
    assert_eq!(all(failed).await.len(), 3);

    let hide = async |id: &str| -> Result<(), Error> {
        let request = DeleteSignInRequest { sign_in_id: id.to_owned(), ..Default::default() };
        admin.client.send(request).await.map(|_| ())
    };
    // Nobody covers the own traces, and admins none of those above them.
    let superuser = world.superuser().await;
    for (of, reason) in [(&admin.id, "OWN_RECORD"), (&superuser.id, "ROLE_REQUIRED")] {
        let record = everything.iter().find(|record| record.account_id == *of).unwrap();
        refused(hide(&record.id).await, Code::PermissionDenied, reason);
    }
    hide(&hers[1].id).await.unwrap();
    let told = "SELECT count(*) FROM events WHERE event_type = 'account.sign_in_hidden'";
    assert_eq!(world.sql(told).await[0][0], "1");
    refused(hide(&hers[1].id).await, Code::NotFound, "NOT_FOUND");
    let nothing = world.app.ids.next().to_string();
    refused(hide(&nothing).await, Code::NotFound, "NOT_FOUND");
    let left: Vec<_> = hers.iter().filter(|record| record.id != hers[1].id).cloned().collect();
    assert_eq!((all(of_asha).await, mine(&asha, ordered("")).await), (left.clone(), left));
    // The record stays, with who hid it.
    let hidden = format!("SELECT hidden_by FROM sign_ins WHERE id = '{}'", hers[1].id);
    assert_eq!(world.sql(&hidden).await[0][0], admin.id);
    for forbidden in ["DELETE FROM sign_ins", "UPDATE sign_ins SET success = true"] {
        assert!(world.sql_as_server(forbidden).await.is_err(), "{forbidden}");
    }
    world.finish().await;
}
