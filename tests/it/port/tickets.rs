//! Tickets open one stream, for clients that cannot send headers on it.

use std::time::Duration;

use clinicd_proto::rpc::Rpc as _;
use clinicd_sdk::proto::feed::v1::{WatchRequest, WatchResponse};
use clinicd_sdk::proto::files::v1::{DownloadFileRequest, DownloadFileResponse};
use clinicd_sdk::proto::identity::v1::{
    GetMyAccountRequest, GetMyAccountResponse, IssueStreamTicketRequest,
};
use clinicd_sdk::{Client, Error};
use clinicd_tests::doctors::picture;
use clinicd_tests::wire::access_token;
use clinicd_tests::{Code, World, refused};
use futures_util::future::join_all;
use jiff::SignedDuration;
use prost::Message as _;

use super::{Answer, GRPC, Headers, WEB, frame, native, web_bytes};

const DOWNLOAD: &str = "clinicd.files.v1.FileService/DownloadFile";
const WATCH: &str = "clinicd.feed.v1.FeedService/Watch";

fn ask(method: &str) -> IssueStreamTicketRequest {
    IssueStreamTicketRequest { method: method.to_owned(), ..Default::default() }
}

async fn ticket(client: &Client, method: &str) -> String {
    let answer = client.send(ask(method)).await.unwrap();
    assert_eq!(answer.ticket.len(), 43);
    answer.ticket
}

/// A file of somebody, and how it is downloaded.
async fn file(client: &Client) -> DownloadFileRequest {
    let file = client.upload("a.png", "image/png", &picture()).await.unwrap();
    DownloadFileRequest { file_id: file.id }
}

/// Opens the download with this in the query.
async fn open(
    url: &str,
    request: &DownloadFileRequest,
    query: &str,
    headers: Headers<'_>,
    from_browser: bool,
) -> Result<Vec<DownloadFileResponse>, Error> {
    let path = format!("{}?{query}", DownloadFileRequest::PATH);
    let body = frame(&request.encode_to_vec());
    let answer: Answer = if from_browser {
        web_bytes(url, &path, &[&[WEB], headers].concat(), body).await
    } else {
        native(url, &path, &[&[GRPC], headers].concat(), body).await
    };
    answer.messages()
}

fn shut<T: std::fmt::Debug>(answer: Result<T, Error>) {
    refused(answer, Code::Unauthenticated, "UNAUTHENTICATED");
}

/// Without `used_at IS NULL` all ten were let in.
#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_opens_one_stream_of_its_method_once() {
    let world = World::start().await;
    let asha = world.patient().await;
    let download = file(&asha.client).await;
    for browser in [false, true] {
        let ticket = ticket(&asha.client, DOWNLOAD).await;
        let query = format!("ticket={ticket}");
        // Not for another method, nor for what is no stream; and it is not used up by that.
        let watch = frame(&WatchRequest::default().encode_to_vec());
        let path = format!("{}?{query}", WatchRequest::PATH);
        let answer = native(world.url(), &path, &[GRPC], watch).await;
        shut(answer.messages::<WatchResponse>());
        let path = format!("{}?{query}", GetMyAccountRequest::PATH);
        let answer = native(world.url(), &path, &[GRPC], frame(&[])).await;
        shut(answer.messages::<GetMyAccountResponse>());
        // Whoever sends a token is judged by it.
        let wrong = [("authorization", "Bearer x")];
        shut(open(world.url(), &download, &query, &wrong, browser).await);
        for forged in [format!("ticket={}", "A".repeat(43)), "ticket=".to_owned(), String::new()] {
            shut(open(world.url(), &download, &forged, &[], browser).await);
        }
        let query = format!("a=b&{query}");
        let calls = (0..10).map(|_| open(world.url(), &download, &query, &[], browser));
        let (opened, refusals): (Vec<_>, Vec<_>) =
            join_all(calls).await.into_iter().partition(Result::is_ok);
        assert_eq!((opened.len(), refusals.len()), (1, 9));
        refusals.into_iter().for_each(shut);
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_lives_a_minute_and_no_longer_than_its_session() {
    let world = World::start().await;
    let asha = world.patient().await;
    let download = file(&asha.client).await;
    let late = format!("ticket={}", ticket(&asha.client, DOWNLOAD).await);
    world.advance(SignedDuration::from_secs(61));
    shut(open(world.url(), &download, &late, &[], true).await);
    let in_time = format!("ticket={}", ticket(&asha.client, DOWNLOAD).await);
    world.advance(SignedDuration::from_secs(58));
    let second = world.second_server().await;
    open(&second.url, &download, &in_time, &[], true).await.unwrap();

    // An open stream ends with the session, and a ticket that was not used opens nothing.
    let unused = format!("ticket={}", ticket(&asha.client, DOWNLOAD).await);
    let path = format!("{}?ticket={}", WatchRequest::PATH, ticket(&asha.client, WATCH).await);
    let (url, watch) = (world.url().to_owned(), frame(&WatchRequest::default().encode_to_vec()));
    let stream = tokio::spawn(async move { web_bytes(&url, &path, &[WEB], watch).await });
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!stream.is_finished(), "{stream:?}");
    asha.client.sign_out().await.unwrap();
    let answer = tokio::time::timeout(Duration::from_secs(3), stream).await.unwrap().unwrap();
    shut(answer.messages::<WatchResponse>());
    for url in [world.url(), &second.url] {
        shut(open(url, &download, &unused, &[], false).await);
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tickets_are_for_streams_that_the_caller_may_open() {
    let world = World::start().await;
    let asha = world.patient().await;
    for method in [
        "clinicd.identity.v1.AccountService/GetMyAccount",
        "clinicd.feed.v1.FeedService/Nothing",
        "/clinicd.feed.v1.FeedService/Watch",
        "grpc.health.v1.Health/Watch",
        "nothing",
    ] {
        let refusal = asha.client.send(ask(method)).await;
        let refusal = refused(refusal, Code::InvalidArgument, "INVALID_FIELDS");
        assert_eq!(refusal.violations[0].0, "method");
    }
    let request_id = world.app.ids.next().to_string();
    let once = IssueStreamTicketRequest { request_id, ..ask(WATCH) };
    let first = asha.client.send(once.clone()).await.unwrap();
    assert_eq!(asha.client.send(once).await.unwrap(), first);
    // Without headers, nobody gets one.
    let token = access_token(&asha);
    let path = format!("{}?ticket={token}", IssueStreamTicketRequest::PATH);
    let answer = native(world.url(), &path, &[GRPC], frame(&ask(WATCH).encode_to_vec())).await;
    shut(answer.messages::<WatchResponse>());
    world.finish().await;
}
