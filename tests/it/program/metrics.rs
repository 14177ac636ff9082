//! What operators can measure, and that it names nobody.

use std::net::TcpListener;

use clinicd_sdk::Client;
use clinicd_sdk::proto::directory::v1::SearchDoctorsRequest;
use clinicd_sdk::proto::feed::v1::WatchRequest;
use clinicd_sdk::proto::identity::v1::RegisterAccountRequest;
use clinicd_sdk::proto::r#type::v1::PersonName;
use clinicd_tests::cluster::TestDatabase;
use clinicd_tests::eventually;
use clinicd_tests::people::PASSWORD;

use super::{Place, Server};
use crate::port::get;

/// An address that was free a moment ago.
pub(super) fn free_address() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

/// The value of a series on the page.
pub(super) fn value(page: &str, series: &str) -> Option<f64> {
    let line = page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.map(|value| value.parse().unwrap())
}

/// What is there from the beginning.
const SERIES: [&str; 12] = [
    "clinicd_db_connections{state=\"idle\"}",
    "clinicd_db_connections{state=\"busy\"}",
    "clinicd_db_waits_total",
    "clinicd_db_timeouts_total",
    "clinicd_db_wait_milliseconds_total",
    "clinicd_job_seconds_count{kind=\"identity.send_activation\"}",
    "clinicd_jobs_due",
    "clinicd_jobs_oldest_seconds",
    "clinicd_jobs_running",
    "clinicd_jobs_failed",
    "clinicd_audit_unsealed_seconds",
    "process_resident_memory_bytes",
];

async fn superuser(server: &Server, place: &Place) -> Client {
    let text = std::fs::read_to_string(place.dir.join("data/first-login.txt")).unwrap();
    let mut words = text.split_whitespace().skip(1).step_by(2);
    server.client().sign_in(words.next().unwrap(), words.next().unwrap()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_tell_how_it_goes_and_name_nobody() {
    let (place, database) = (Place::new("measured"), TestDatabase::migrated().await);
    let metrics = free_address();
    let mut command = place.serve();
    command.env("DATABASE_URL", &database.url).env("CLINICD_METRICS_LISTEN", &metrics);
    let server = Server::start(command);
    let page = async || get(&format!("http://{metrics}"), "/metrics").await.text();
    let request = RegisterAccountRequest {
        email: "canary@example.org".to_owned(),
        password: PASSWORD.to_owned(),
        name: Some(PersonName { given: "Canary".to_owned(), family: "Canary".to_owned() }),
        ..Default::default()
    };
    server.client().send(request).await.unwrap();
    let query = "canary".to_owned();
    server.client().send(SearchDoctorsRequest { query, ..Default::default() }).await.unwrap();
    let superuser = superuser(&server, &place).await;
    let mut feed = superuser.stream(WatchRequest::default()).await.unwrap();
    feed.message().await.unwrap();
    let job = "clinicd_jobs_total{kind=\"identity.send_activation\",outcome=\"done\"}";
    eventually("the mail is sent", async || value(&page().await, job) == Some(1.0)).await;

    let seen = page().await;
    let account = superuser.account_id().unwrap().to_owned();
    for personal in ["canary", "Canary", &account, "127.0.0.1"] {
        assert!(!seen.contains(personal), "{personal}: {seen}");
    }
    assert!(!seen.contains("quantile"), "summaries grow; histograms do not: {seen}");
    let search = "method=\"/clinicd.directory.v1.DirectoryService/SearchDoctors\"";
    let search =
        if seen.contains(search) { search.to_owned() } else { search.replace("\"/", "\"") };
    assert_eq!(value(&seen, &format!("clinicd_rpc_seconds_count{{{search}}}")), Some(1.0));
    assert_eq!(
        value(&seen, &format!("clinicd_rpc_seconds_bucket{{{search},le=\"+Inf\"}}")),
        Some(1.0)
    );
    for series in SERIES {
        assert!(value(&seen, series).is_some(), "{series}: {seen}");
    }
    let hub = async || value(&page().await, "clinicd_watch_hub");
    assert_eq!(value(&seen, "clinicd_watch_streams"), Some(1.0));
    assert_eq!(hub().await, Some(1.0));
    drop(feed);
    let closed = async || value(&page().await, "clinicd_watch_streams") == Some(0.0);
    eventually("the stream is gone", closed).await;
    eventually("nobody reads the feed for it", async || hub().await == Some(0.0)).await;
    let mut feed = superuser.stream(WatchRequest::default()).await.unwrap();
    feed.message().await.unwrap();
    assert_eq!(hub().await, Some(1.0), "it comes back with the next one");
    drop(feed);
    server.stop().well();
    database.drop().await;
}
