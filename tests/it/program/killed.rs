//! `kill -9` with the embedded database.

use std::process::Command;
use std::time::{Duration, Instant};

use clinicd_sdk::proto::access::v1::Role;
use clinicd_sdk::proto::identity::v1::CreateStaffMemberRequest;
use clinicd_sdk::proto::r#type::v1::PersonName;
use clinicd_sdk::{Client, Code, Error, RetryPolicy};
use clinicd_tests::full;

use super::start::{first_login, users};
use super::{Place, Server};

fn staff(number: usize) -> CreateStaffMemberRequest {
    CreateStaffMemberRequest {
        // An id of its own, known before the call.
        request_id: format!("0198c0de-0000-7000-8000-{number:012}"),
        email: format!("kiran{number}@example.org"),
        name: Some(PersonName { given: "Kiran".to_owned(), family: "Shah".to_owned() }),
        role: Role::Operator.into(),
        ..Default::default()
    }
}

/// Creates one after the other until the server does not answer; the number of the unanswered one.
async fn create_from(client: Client, mut number: usize) -> usize {
    let client = client.with_retry(RetryPolicy::NONE);
    loop {
        match client.send(staff(number)).await {
            Ok(_) => number += 1,
            Err(Error::Transport(_)) => return number,
            Err(other) => panic!("{other:?}"),
        }
    }
}

/// Seen to fail with the claim of `kernel/idempotency.rs` taken for given: the repeated call found
/// its own account (`ALREADY_EXISTS`).
#[tokio::test(flavor = "multi_thread")]
async fn what_was_begun_when_it_was_killed_has_one_effect() {
    let place = Place::new("begun");
    let data = place.dir.join("data");
    let mut number = 0;
    for cycle in 0..if full() { 10 } else { 2 } {
        let server = Server::start(place.serve());
        let superuser = first_login(&server, &data).await;
        let creating = tokio::spawn(create_from(superuser, number));
        tokio::time::sleep(Duration::from_millis(50 + 97 * cycle % 450)).await;
        server.kill();
        number = creating.await.unwrap();
    }
    let server = Server::start(place.serve());
    let superuser = first_login(&server, &data).await;
    superuser.send(staff(number)).await.unwrap();
    let mut found = users(&superuser).await.unwrap();
    found.retain(|email| email.starts_with("kiran"));
    found.sort();
    let mut expected: Vec<String> = (0..=number).map(|number| staff(number).email).collect();
    expected.sort();
    assert_eq!(found, expected);
    server.stop().well();
    place.is_quiet().await;
}

/// Seen to fail without the watch of `commands.rs`: it did not come back.
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_database_is_started_again() {
    let place = Place::new("restarted");
    let data = place.dir.join("data");
    let server = Server::start(place.serve());
    let superuser = first_login(&server, &data).await.with_retry(RetryPolicy::NONE);
    let lies = std::fs::read_to_string(data.join("pg/location"));
    let lies = lies.map_or(data.join("pg/data"), |path| path.trim().into());
    let pid = std::fs::read_to_string(lies.join("postmaster.pid")).unwrap();
    let pid = pid.lines().next().unwrap();
    assert!(Command::new("kill").args(["-9", pid]).status().unwrap().success());
    let killed = Instant::now();
    let mut unanswered = 0;
    loop {
        match superuser.send(staff(0)).await {
            // Before the children of the killed process have noticed, they still answer.
            Ok(_) if killed.elapsed() > Duration::from_secs(2) => break,
            Ok(_) => {}
            Err(Error::Api(error)) => {
                assert_eq!(error.code, Code::Unavailable, "{error:?}");
                unanswered += 1;
            }
            Err(other) => panic!("{other:?}"),
        }
        assert!(killed.elapsed() < Duration::from_secs(20), "it does not come back");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(unanswered > 0, "it was not away");
    server.stop().well();
    place.is_quiet().await;
}
