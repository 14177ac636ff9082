//! From the first start to the last signal.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use clinicd_sdk::proto::access::v1::Role;
use clinicd_sdk::proto::directory::v1::SearchDoctorsRequest;
use clinicd_sdk::proto::feed::v1::WatchRequest;
use clinicd_sdk::proto::identity::v1::{CreateStaffMemberRequest, ListUsersRequest};
use clinicd_sdk::proto::r#type::v1::PersonName;
use clinicd_sdk::{Client, Error};
use clinicd_tests::cluster::TestDatabase;
use clinicd_tests::eventually;
use clinicd_tests::people::PASSWORD;
use tonic::transport::Endpoint;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use super::{Ended, Place, Server, processes_of, run, run_with};
use crate::port::{get, hold};

/// Signs the first superuser in, with what its file says.
pub(super) async fn first_login(server: &Server, data: &Path) -> Client {
    let text = std::fs::read_to_string(data.join("first-login.txt")).unwrap();
    let value = |key: &str| {
        text.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_else(|| panic!("{text}"))
    };
    server.client().sign_in(value("email: "), value("password: ")).await.unwrap()
}

pub(super) async fn users(client: &Client) -> Result<Vec<String>, Error> {
    let users = client.all(ListUsersRequest { page_size: 25, ..Default::default() }).await?;
    Ok(users.into_iter().map(|user| user.email).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_start_needs_nothing_and_commands_join_it() {
    let place = Place::new("first");
    let data = place.dir.join("data");
    let server = Server::start(place.serve());
    let file = data.join("first-login.txt");
    let login = std::fs::read_to_string(&file).unwrap();
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(users(&first_login(&server, &data).await).await.unwrap().len(), 1);

    let joined = |arguments: &[&str]| {
        run_with(place.clinicd(&[arguments, &["--data-dir", "data"]].concat()), PASSWORD)
    };
    assert!(joined(&["audit", "verify"]).well().contains("is whole"));
    assert!(joined(&["migrate"]).well().contains("up to date"));
    let owner = ["admin", "create-superuser", "--email", "meera@example.org", "--password-stdin"];
    joined(&owner).well();
    let meera = server.client().sign_in("meera@example.org", PASSWORD).await.unwrap();
    assert_eq!(users(&meera).await.unwrap().len(), 2);

    run(place.serve()).refused(&["already serves", "CLINICD_DATA_DIR"]);

    let (url, said) = (server.url.clone(), server.stop().well());
    let (before, line) = said.trim_end().rsplit_once('\n').unwrap();
    assert_eq!(line, format!("listening on {url}"));
    assert!(!before.contains("listening on"), "{said}");
    assert!(before.contains("first-login.txt") && !said.contains(login.trim_end()), "{said}");
    let port = url.strip_prefix("http://127.0.0.1:").unwrap().parse::<u16>().unwrap();
    assert_ne!(port, 0);

    let again = Server::start(place.serve());
    assert_eq!(std::fs::read_to_string(&file).unwrap(), login);
    first_login(&again, &data).await;
    let url = again.url.clone();
    assert_eq!(again.stop().well(), format!("listening on {url}\n"));
    place.is_quiet().await;
}

/// Seen to fail with a supervisor that waits an hour for other users: PostgreSQL stayed.
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_server_leaves_nothing_behind_and_loses_nothing() {
    let place = Place::new("killed");
    let data = place.dir.join("data");
    let server = Server::start(place.serve());
    let superuser = first_login(&server, &data).await;
    let running = processes_of(&data.join("pg"));
    assert!(running.iter().any(|line| line.contains("postgres")), "{running:?}");
    let mut acknowledged = Vec::new();
    for number in 0..3 {
        let email = format!("kiran{number}@example.org");
        let request = CreateStaffMemberRequest {
            email: email.clone(),
            name: Some(PersonName { given: "Kiran".to_owned(), family: "Shah".to_owned() }),
            role: Role::Operator.into(),
            ..Default::default()
        };
        superuser.send(request).await.unwrap();
        acknowledged.push(email);
    }
    server.kill();
    place.is_quiet().await;

    let again = Server::start(place.serve());
    let found = users(&first_login(&again, &data).await).await.unwrap();
    assert!(acknowledged.iter().all(|email| found.contains(email)), "{found:?}");
    again.stop().well();
    place.is_quiet().await;
}

/// `clinicd serve` on a database of the tests.
fn on(place: &Place, database: &TestDatabase) -> Server {
    let mut command = place.serve();
    command.env("DATABASE_URL", &database.url);
    Server::start(command)
}

/// Seen to fail while those who watch the health were not let go: it took the whole 25 s.
#[tokio::test(flavor = "multi_thread")]
async fn told_to_stop_it_says_so_and_finishes_what_it_has_begun() {
    let (place, database) = (Place::new("stopped"), TestDatabase::migrated().await);
    let server = on(&place, &database);
    let asks = HealthCheckRequest::default();
    let channel = Endpoint::from_shared(server.url.clone()).unwrap().connect_lazy();
    let mut health = HealthClient::new(channel);
    let mut health = health.watch(asks).await.unwrap().into_inner();
    let first = health.message().await.unwrap().unwrap();
    assert_eq!(first.status(), ServingStatus::Serving);
    let superuser = first_login(&server, &place.dir.join("data")).await;
    let mut feed = superuser.stream(WatchRequest::default()).await.unwrap();
    feed.message().await.unwrap();

    let lock = hold(&database.url, "LOCK TABLE doctors").await;
    let client = server.client();
    let search = tokio::spawn(async move { client.send(SearchDoctorsRequest::default()).await });
    let waiting = "SELECT FROM pg_locks WHERE NOT granted AND relation = 'doctors'::regclass";
    eventually("the search waits", async || !database.sql(waiting).await.is_empty()).await;
    let told = Instant::now();
    let stopping = tokio::task::spawn_blocking(move || server.stop());
    let last = health.message().await.unwrap().unwrap();
    assert_eq!(last.status(), ServingStatus::NotServing);
    lock.batch_execute("ROLLBACK").await.unwrap();
    search.await.unwrap().unwrap();
    let ended: Ended = stopping.await.unwrap();
    ended.well();
    assert!(told.elapsed() < Duration::from_secs(8), "open streams hold it up");
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_have_a_port_of_their_own() {
    let (place, database) = (Place::new("metrics"), TestDatabase::migrated().await);
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut command = place.serve();
    command.env("DATABASE_URL", &database.url).env("CLINICD_METRICS_LISTEN", free.to_string());
    let server = Server::start(command);
    server.client().send(SearchDoctorsRequest::default()).await.unwrap();
    let page = get(&format!("http://{free}"), "/metrics").await.text();
    let line = page.lines().find(|line| line.starts_with("clinicd_rpc_total{"));
    let line = line.unwrap_or_else(|| panic!("{page}"));
    assert!(line.contains("DirectoryService/SearchDoctors") && line.ends_with(" 1"), "{line}");
    assert_eq!(get(&server.url, "/metrics").await.status / 100, 4, "not for everybody");
    server.stop().well();

    // The port of another program.
    let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = other.local_addr().unwrap().to_string();
    let mut command = place.serve();
    command.env("DATABASE_URL", &database.url).env("CLINICD_METRICS_LISTEN", &taken);
    run(command).refused(&[&taken, "--metrics-listen"]);
    database.drop().await;
}

/// A server that chose the language of messages (`lc_messages`), as only a superuser may, was
/// refused by PostgreSQL.
#[tokio::test(flavor = "multi_thread")]
async fn its_login_needs_membership_in_the_servers_role_alone() {
    let (place, database) = (Place::new("member"), TestDatabase::migrated().await);
    let login = format!("member_{}", std::process::id());
    database.sql(&format!("CREATE ROLE {login} LOGIN IN ROLE clinicd_app")).await;
    let mut command = place.serve();
    command
        .env("DATABASE_URL", database.url.replacen("postgres@", &format!("{login}@"), 1))
        .env("CLINICD_MIGRATION_DATABASE_URL", &database.url);
    let server = Server::start(command);
    let superuser = first_login(&server, &place.dir.join("data")).await;
    assert_eq!(users(&superuser).await.unwrap().len(), 1);
    server.stop().well();
    database.sql(&format!("DROP ROLE {login}")).await;
    database.drop().await;
}
