//! The list of accounts, and its pages.

use clinicd_sdk::proto::access::v1::Role;
use clinicd_sdk::proto::identity::v1::{ListUsersRequest, ListUsersResponse};
use clinicd_sdk::proto::onboarding::v1::ListApplicationsRequest;
use clinicd_sdk::{Code, Error};
use clinicd_tests::{Person, World, refused};

use crate::rooms::fields;

async fn list(person: &Person, request: ListUsersRequest) -> Result<ListUsersResponse, Error> {
    person.client.send(request).await
}

fn ids(page: &ListUsersResponse) -> Vec<&str> {
    page.users.iter().map(|user| user.id.as_str()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_are_in_order_and_complete() {
    let world = World::start().await;
    let admin = world.admin().await;
    let rows = (1..=27).map(|number| {
        format!(
            "(gen_random_uuid(), 'u{number}@example.org', 'u{number}@example.org', 'U', '', \
             'en', 'inactive', 1, now(), now())"
        )
    });
    world
        .sql(&format!(
            "INSERT INTO accounts (id, email, email_key, given_name, family_name, language, state, \
             version, created_at, updated_at) VALUES {}",
            rows.collect::<Vec<_>>().join(", ")
        ))
        .await;
    let known: Vec<_> =
        world.sql("SELECT id FROM accounts ORDER BY id").await.into_iter().flatten().collect();
    for order_by in ["", "id", "id desc"] {
        let request =
            ListUsersRequest { page_size: 4, order_by: order_by.to_owned(), ..Default::default() };
        let mut listed: Vec<_> =
            admin.client.all(request).await.unwrap().into_iter().map(|user| user.id).collect();
        if order_by == "id desc" {
            listed.reverse();
        }
        assert_eq!(listed, known);
    }
    let count = async |page_size: i32| {
        let request = ListUsersRequest { page_size, include_total: true, ..Default::default() };
        let page = list(&admin, request).await.unwrap();
        assert_eq!(page.total_size, Some(i64::try_from(known.len()).unwrap()));
        page.users.len()
    };
    assert_eq!((count(0).await, count(1).await, count(1_000).await), (5, 1, 25));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_find_what_they_say() {
    let world = World::start().await;
    let (admin, asha, superuser) =
        (world.admin().await, world.patient().await, world.superuser().await);
    let by_email = |email: &str| ListUsersRequest {
        email: Some(email.to_owned()),
        include_total: true,
        ..Default::default()
    };
    let found = list(&admin, by_email(&asha.email.to_uppercase())).await.unwrap();
    assert_eq!((ids(&found), found.total_size), (vec![asha.id.as_str()], Some(1)));
    for email in ["asha", "%", "asha_@example.org", "nobody@example.org"] {
        let found = list(&admin, by_email(email)).await.unwrap();
        assert_eq!((ids(&found), found.total_size), (vec![], Some(0)), "{email}");
    }
    let by_role = |role: Role| ListUsersRequest { role: Some(role.into()), ..Default::default() };
    for (role, person) in [(Role::Admin, &admin), (Role::Superuser, &superuser)] {
        assert_eq!(ids(&list(&admin, by_role(role)).await.unwrap()), [person.id.as_str()]);
    }
    assert_eq!(list(&admin, by_role(Role::Patient)).await.unwrap().users.len(), 3);
    assert!(list(&admin, by_role(Role::Doctor)).await.unwrap().users.is_empty());
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_token_is_good_for_its_list_filter_order_and_caller() {
    let world = World::start().await;
    let (admin, superuser) = (world.admin().await, world.superuser().await);
    world.patient().await;
    let first =
        list(&admin, ListUsersRequest { page_size: 1, ..Default::default() }).await.unwrap();
    let token = first.next_page_token;
    let ask = |page_token: &str| ListUsersRequest {
        page_size: 1,
        page_token: page_token.to_owned(),
        ..Default::default()
    };
    // Another size is no other list.
    let wider = ListUsersRequest { page_size: 20, include_total: true, ..ask(&token) };
    assert_eq!(list(&admin, wider).await.unwrap().users.len(), 2);

    let bad = |answer| refused(answer, Code::InvalidArgument, "PAGE_TOKEN_INVALID");
    bad(list(&superuser, ask(&token)).await);
    let role = Some(Role::Patient.into());
    bad(list(&admin, ListUsersRequest { role, ..ask(&token) }).await);
    let email = Some(admin.email.clone());
    bad(list(&admin, ListUsersRequest { email, ..ask(&token) }).await);
    let order_by = "id desc".to_owned();
    bad(list(&admin, ListUsersRequest { order_by, ..ask(&token) }).await);
    let flipped = if token.starts_with('A') { "B" } else { "A" };
    for damaged in [
        &format!("{flipped}{}", &token[1..]),
        &token[..token.len() - 1],
        &format!("{token}A"),
        "garbage",
        "=",
    ] {
        bad(list(&admin, ask(damaged)).await);
    }
    let elsewhere = ListApplicationsRequest { page_token: token, ..Default::default() };
    let answer = admin.client.send(elsewhere).await;
    refused(answer, Code::InvalidArgument, "PAGE_TOKEN_INVALID");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sizes_and_orders_that_make_no_sense_are_refused() {
    let world = World::start().await;
    let admin = world.superuser().await;
    let refusal = async |request: ListUsersRequest| {
        refused(list(&admin, request).await, Code::InvalidArgument, "INVALID_FIELDS")
    };
    let negative = refusal(ListUsersRequest { page_size: -1, ..Default::default() }).await;
    assert_eq!(fields(&negative), ["page_size"]);
    for order_by in ["email", "id asc desc", "id,", "id; DROP TABLE accounts"] {
        let request = ListUsersRequest { order_by: order_by.to_owned(), ..Default::default() };
        assert_eq!(fields(&refusal(request).await), ["order_by"], "{order_by}");
    }
    let request = ListUsersRequest { role: Some(99), ..Default::default() };
    assert_eq!(fields(&refusal(request).await), ["role"]);
    world.finish().await;
}
