//! The commands of the key folder.

use std::fs::File;
use std::time::{Duration, SystemTime};

use clinicd_sdk::proto::identity::v1::GetMyAccountRequest;
use clinicd_tests::cluster::TestDatabase;
use clinicd_tests::eventually;
use clinicd_tests::people::PASSWORD;

use super::{Ended, Place, Server, run, run_with};
use crate::port;

fn keys(place: &Place, arguments: &[&str]) -> Ended {
    run(place.clinicd(&[&["keys", "--data-dir", "data"], arguments].concat()))
}

/// What `keys list` says of the signing keys: name and state.
fn listed(place: &Place) -> Vec<(String, String)> {
    let lines = keys(place, &["list"]).well();
    let lines = lines.lines().filter_map(|line| line.strip_prefix("signing "));
    let pair = |line: &str| {
        let (kid, state) = line.split_once(": ").unwrap();
        (kid.to_owned(), state.to_owned())
    };
    lines.map(pair).collect()
}

/// Turns the clock of a key's file back.
fn age(place: &Place, kid: &str, minutes: u64) {
    let file = place.dir.join(format!("data/keys/signing-{kid}.pem"));
    let file = File::options().append(true).open(file).unwrap();
    #[expect(clippy::disallowed_methods, reason = "the time of a file is that of the machine")]
    let now = SystemTime::now();
    file.set_modified(now - Duration::from_secs(minutes * 60)).unwrap();
}

async fn published(server: &Server) -> (String, Option<String>) {
    let answer = port::get(&server.url, "/.well-known/jwks.json").await;
    (answer.text(), answer.header("cache-control").map(str::to_owned))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_signing_key_changes_while_the_server_serves() {
    let (place, database) = (Place::new("keys"), TestDatabase::migrated().await);
    keys(&place, &["rotate-signing"]).refused(&["key folder", "missing"]);
    assert!(!place.dir.join("data/keys").exists(), "nothing is made in a wrong place");
    let with_database = |mut command: std::process::Command| {
        command.env("DATABASE_URL", &database.url);
        command
    };
    let create = ["admin", "create-superuser", "--password-stdin", "--data-dir", "data"];
    let create = place.clinicd(&[&create[..], &["--email", "meera@example.org"]].concat());
    run_with(with_database(create), PASSWORD).well();
    let server = Server::start(with_database(place.serve()));
    let meera = server.client().sign_in("meera@example.org", PASSWORD).await.unwrap();
    let old = listed(&place).remove(0);
    assert_eq!(old.1, "signs");

    let said = keys(&place, &["rotate-signing"]).well();
    let now = listed(&place);
    assert_eq!((now.len(), &now[0]), (2, &old));
    let (new, waits) = now[1].clone();
    assert!(said.contains(&new) && waits == "signs in 10 minutes", "{said} {waits}");
    eventually("the new key is published", async || published(&server).await.0.contains(&new))
        .await;
    let (text, cached) = published(&server).await;
    assert!(text.contains(&old.0));
    assert_eq!(cached.as_deref(), Some("public, max-age=300"));
    meera.send(GetMyAccountRequest {}).await.unwrap();

    keys(&place, &["retire-signing", "000009-x"]).refused(&["no signing key 000009-x"]);
    keys(&place, &["retire-signing", &new]).refused(&["rotate first"]);
    keys(&place, &["retire-signing", &old.0]).refused(&["for another 26 minutes"]);
    age(&place, &new, 11);
    assert_eq!(listed(&place)[0].1, "verifies");
    assert_eq!(listed(&place)[1].1, "signs");
    keys(&place, &["retire-signing", &old.0]).refused(&["for another 15 minutes"]);
    age(&place, &new, 27);
    keys(&place, &["retire-signing", &old.0]).well();
    eventually("the old key is gone", async || !published(&server).await.0.contains(&old.0)).await;
    // The client takes a token of the new key, and goes on.
    meera.send(GetMyAccountRequest {}).await.unwrap();
    server.stop().well();
    database.drop().await;
}
