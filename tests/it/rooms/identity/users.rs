//! The list of accounts, and its pages.

use clinicd_sdk::proto::access::v1::Role;
use clinicd_sdk::proto::identity::v1::{
    BlockUserRequest, GetUserRequest, ListUsersRequest, ListUsersResponse,
};
use clinicd_sdk::proto::onboarding::v1::ListApplicationsRequest;
use clinicd_sdk::proto::r#type::v1::{Date, Gender};
use clinicd_sdk::{Code, Error};
use clinicd_tests::{Person, World, refused};
use jiff::{ToSpan as _, civil};

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

/// Three people of different names, ages and places.
async fn become_known(world: &World, people: &[Person], today: civil::Date) {
    let years = |years: i16, days: i32| (today - years.years() - days.days()).to_string();
    let known = [
        ("José", "D'Souza", years(30, 0), "female", "Pune", "IN"),
        ("Josefine", "Müller", years(31, -1), "other", "pune", "DE"),
        ("Ravi", "100%_", years(30, -1), "male", "Köln", "DE"),
    ];
    for (person, (given, family, born, gender, city, country)) in people.iter().zip(&known) {
        let family = family.replace('\'', "''");
        world
            .sql(&format!(
                "UPDATE accounts SET given_name = '{given}', family_name = '{family}', \
                    phone = '+9198123456{}' WHERE id = '{id}'; \
                 UPDATE patients SET birth_date = '{born}', gender = '{gender}', city = '{city}', \
                    country_code = '{country}' WHERE id = '{id}'",
                10 + given.len(),
                id = person.id,
            ))
            .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn people_are_found_by_what_is_known_of_them() {
    let world = World::start().await;
    let (admin, people) = (world.admin().await, world.crowd(3).await);
    let today = world.app.clock.now().timestamp().in_tz("UTC").unwrap().date();
    become_known(&world, &people, today).await;
    let text = |value: &str| Some(value.to_owned());
    let none = ListUsersRequest::default;
    for (what, request, expected) in [
        ("given", ListUsersRequest { given_name: text("jose"), ..none() }, vec![0, 1]),
        ("given", ListUsersRequest { given_name: text("JOSÉF"), ..none() }, vec![1]),
        ("family", ListUsersRequest { family_name: text("d'"), ..none() }, vec![0]),
        ("family", ListUsersRequest { family_name: text("100%"), ..none() }, vec![2]),
        ("family", ListUsersRequest { family_name: text("%"), ..none() }, vec![]),
        ("city", ListUsersRequest { city: text("PUNE"), ..none() }, vec![0, 1]),
        ("city", ListUsersRequest { city: text("koln"), ..none() }, vec![2]),
        ("city", ListUsersRequest { city: text("pun"), ..none() }, vec![]),
        ("country", ListUsersRequest { country_code: text("DE"), ..none() }, vec![1, 2]),
        ("gender", ListUsersRequest { gender: Some(Gender::Male.into()), ..none() }, vec![2]),
        ("min", ListUsersRequest { min_age: Some(30), ..none() }, vec![0, 1]),
        ("max", ListUsersRequest { max_age: Some(29), ..none() }, vec![2]),
        ("30", ListUsersRequest { min_age: Some(30), max_age: Some(30), ..none() }, vec![0, 1]),
        ("31", ListUsersRequest { min_age: Some(31), ..none() }, vec![]),
        ("phone", ListUsersRequest { phone: text("9812345614"), ..none() }, vec![2]),
        (
            "both",
            ListUsersRequest { city: text("Pune"), country_code: text("DE"), ..none() },
            vec![1],
        ),
    ] {
        for order_by in ["", "id desc"] {
            let order_by = order_by.to_owned();
            let request = ListUsersRequest { order_by, page_size: 1, ..request.clone() };
            let mut found: Vec<String> =
                admin.client.all(request).await.unwrap().into_iter().map(|user| user.id).collect();
            found.sort();
            let mut expected: Vec<_> = expected.iter().map(|at| people[*at].id.clone()).collect();
            expected.sort();
            assert_eq!(found, expected, "{what}");
        }
        let counted = ListUsersRequest { include_total: true, ..request };
        let expected = i64::try_from(expected.len()).unwrap();
        assert_eq!(list(&admin, counted).await.unwrap().total_size, Some(expected), "{what}");
    }
    let born = today - 30.years();
    let date =
        Date { year: born.year().into(), month: born.month().into(), day: born.day().into() };
    let found = list(&admin, ListUsersRequest { birth_date: Some(date), ..none() }).await.unwrap();
    assert_eq!(ids(&found), [people[0].id.as_str()]);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_are_not_people() {
    let world = World::start().await;
    let admin = world.admin().await;
    let id = world.app.ids.next().to_string();
    world
        .sql(&format!(
            "INSERT INTO accounts (id, kind, given_name, family_name, language, state, created_at, \
             updated_at) VALUES ('{id}', 'service', 'Lab', '', 'en', 'active', now(), now())"
        ))
        .await;
    let found = list(&admin, ListUsersRequest { page_size: 25, ..Default::default() }).await;
    assert!(found.unwrap().users.iter().all(|user| user.id != id));
    let read = admin.client.send(GetUserRequest { account_id: id.clone() }).await;
    refused(read, Code::NotFound, "NOT_FOUND");
    let block = BlockUserRequest { account_id: id, ..Default::default() };
    refused(admin.client.send(block).await, Code::NotFound, "NOT_FOUND");
    world.finish().await;
}
