//! What the port refuses before a handler sees it, and what it says when a handler fails.

use std::time::{Duration, Instant};

use clinicd_proto::rpc::Rpc as _;
use clinicd_sdk::ApiError;
use clinicd_sdk::proto::directory::v1::{SearchDoctorsRequest, SearchDoctorsResponse};
use clinicd_sdk::proto::identity::v1::{RegisterAccountRequest, SignInRequest};
use clinicd_sdk::proto::r#type::v1::PersonName;
use clinicd_tests::people::PASSWORD;
use clinicd_tests::{Code, World, refused};
use prost::Message as _;
use tonic_types::StatusExt as _;

use super::{Answer, GRPC, Headers, WEB, frame, hold, native, native_with, plain, web_bytes};

const SEARCH: &str = SearchDoctorsRequest::PATH;
/// Largest request of most services, in bytes.
const LIMIT: usize = 64 * 1024;

/// The same call over native gRPC and grpc-web.
async fn both(world: &World, path: &str, body: &[u8], more: Headers<'_>) -> [Answer; 2] {
    let headers = |first| [&[first], more].concat();
    [
        native(world.url(), path, &headers(GRPC), body.to_vec()).await,
        web_bytes(world.url(), path, &headers(WEB), body.to_vec()).await,
    ]
}

fn refusal(answer: &Answer, code: Code, reason: &str) -> ApiError {
    refused(answer.messages::<SearchDoctorsResponse>(), code, reason)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_exist_is_told_so() {
    let world = World::start().await;
    for path in [
        "/clinicd.directory.v1.DirectoryService/Nothing",
        "/clinicd.nothing.v1.NothingService/Nothing",
        "/nothing",
        "/",
    ] {
        for answer in both(&world, path, &frame(&[]), &[]).await {
            refusal(&answer, Code::Unimplemented, "UNKNOWN_METHOD");
            assert!(answer.header("x-request-id").is_some(), "{answer:?}");
        }
    }
    world.finish().await;
}

/// A request of this many bytes: a field that nobody knows, which is skipped.
fn request_of(length: usize) -> Vec<u8> {
    let mut bytes = vec![0xfa, 0x3e];
    prost::encoding::encode_varint(u64::try_from(length - 5).unwrap(), &mut bytes);
    bytes.resize(length, 0);
    bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_over_the_limit_is_refused() {
    let world = World::start().await;
    for answer in both(&world, SEARCH, &frame(&request_of(LIMIT)), &[]).await {
        answer.messages::<SearchDoctorsResponse>().unwrap();
    }
    for answer in both(&world, SEARCH, &frame(&request_of(LIMIT + 1)), &[]).await {
        let refusal = refusal(&answer, Code::ResourceExhausted, "MESSAGE_TOO_LARGE");
        assert_eq!(refusal.metadata["limit_bytes"], LIMIT.to_string());
    }
    // What is only announced costs nothing.
    let announced = [&[0][..], &u32::MAX.to_be_bytes()].concat();
    for answer in both(&world, SEARCH, &announced, &[]).await {
        refusal(&answer, Code::ResourceExhausted, "MESSAGE_TOO_LARGE");
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_message_is_refused_without_a_word_about_it() {
    let world = World::start().await;
    let faults = [
        frame(&[0xff, 0xff, 0xff]),
        // Field 3, the query, as a number; and as text that is not UTF-8.
        frame(&[0x18, 0x01]),
        frame(&[0x1a, 0x02, 0xc3, 0x28]),
        // Said to be compressed, or cut short.
        [&[1][..], &frame(b"x")[1..]].concat(),
        frame(&[0; 10])[..8].to_vec(),
        // Two, where one is asked for.
        [frame(&[]), frame(&[])].concat(),
        Vec::new(),
    ];
    for fault in faults {
        for answer in both(&world, SEARCH, &fault, &[]).await {
            let refusal = refusal(&answer, Code::Internal, "INTERNAL");
            tells_nothing(&refusal);
        }
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_grpc_gets_no_grpc_answer() {
    let world = World::start().await;
    let json = ("content-type", "application/json");
    let like = ("content-type", "application/grpcfoo");
    for path in [SEARCH, "/", "/nothing"] {
        for answer in [
            native_with(world.url(), "GET", path, &[GRPC], Vec::new()).await,
            native_with(world.url(), "GET", path, &[], Vec::new()).await,
            native(world.url(), path, &[json], b"{}".to_vec()).await,
            native(world.url(), path, &[], frame(&[])).await,
            native(world.url(), path, &[like], frame(&[])).await,
            plain(world.url(), "GET", path, &[], &[]).await,
            plain(world.url(), "GET", path, &[WEB], &[]).await,
            plain(world.url(), "POST", path, &[json], b"{}").await,
            plain(world.url(), "POST", path, &[GRPC], &frame(&[])).await,
        ] {
            assert_eq!(answer.status / 100, 4, "{path}: {answer:?}");
            assert!(answer.header("grpc-status").is_none() && answer.body.is_empty());
        }
    }
    world.finish().await;
}

/// Seen to fail while the server waited for a timer even when no time was left: tonic's was quicker,
/// whose `CANCELLED` has no reason and not the headers that a browser needs.
#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_is_kept_and_said() {
    let app = "https://app.example.org";
    let world = World::start_with(|config| config.cors_origins = vec![app.to_owned()]).await;
    let asha = world.patient().await;
    let token = format!("Bearer {}", asha.client.tokens().unwrap().access_token);
    let more = |timeout| [("grpc-timeout", timeout), ("origin", app), ("authorization", &token)];
    // The work waits; and the check of the session.
    let me = "/clinicd.identity.v1.AccountService/GetMyAccount";
    for (path, table) in [(SEARCH, "doctors"), (me, "accounts")] {
        let lock = hold(world.database_url(), &format!("LOCK TABLE {table}")).await;
        for timeout in ["1n", "1m", "300m"] {
            let began = Instant::now();
            let answers = both(&world, path, &frame(&[]), &more(timeout)).await;
            assert!(began.elapsed() < Duration::from_secs(2), "{path} {timeout}");
            for answer in answers {
                is_late(&answer);
                assert_eq!(answer.header("access-control-allow-origin"), Some(app));
            }
        }
        lock.batch_execute("ROLLBACK").await.unwrap();
    }
    world.client().send(SearchDoctorsRequest::default()).await.unwrap();
    world.finish().await;
}

/// Asked without the SDK, which tells a deadline of the server and its own alike.
fn is_late(answer: &Answer) {
    let status = answer.outcome();
    let info = status.get_details_error_info().unwrap_or_else(|| panic!("{status:?}"));
    assert_eq!((status.code(), &*info.reason), (Code::DeadlineExceeded, "DEADLINE_EXCEEDED"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_missed_its_deadline_is_whole_or_nothing() {
    let world = World::start().await;
    let register = |table: &str| RegisterAccountRequest {
        request_id: world.app.ids.next().to_string(),
        email: format!("{table}@example.org"),
        password: PASSWORD.to_owned(),
        name: Some(PersonName { given: "Asha".to_owned(), family: "Rao".to_owned() }),
        ..Default::default()
    };
    let mut missed = Vec::new();
    let parts = "SELECT (SELECT count(*) FROM accounts), (SELECT count(*) FROM patients), \
                 (SELECT count(*) FROM challenges), (SELECT count(*) FROM account_roles)";
    // Wherever it stands when the time is up.
    for table in ["accounts", "account_roles", "patients", "events", "jobs"] {
        let lock = format!("LOCK TABLE {table} IN EXCLUSIVE MODE");
        let lock = hold(world.database_url(), &lock).await;
        let request = register(table);
        let (timeout, bytes) = ([GRPC, ("grpc-timeout", "200m")], frame(&request.encode_to_vec()));
        let answer = native(world.url(), RegisterAccountRequest::PATH, &timeout, bytes);
        is_late(&answer.await);
        missed.push(request);
        lock.batch_execute("ROLLBACK").await.unwrap();
        let found = world.sql(parts).await.remove(0);
        assert!(found.iter().all(|count| *count == found[0]), "{table}: {found:?}");
    }
    // Nobody knows, so the client repeats them: one account each, whatever happened before.
    for request in &missed {
        world.client().send(request.clone()).await.unwrap();
        world.activate(&request.email, None).await;
    }
    assert_eq!(world.sql(parts).await, [["5", "5", "5", "5"]]);
    world.finish().await;
}

/// Nothing in an answer of the server tells how it is built.
fn tells_nothing(refusal: &ApiError) {
    let text = format!("{refusal:?}").to_lowercase();
    for word in [
        "select",
        "insert",
        "update ",
        "relation",
        "column",
        "postgres",
        "diesel",
        "prost",
        "protobuf",
        "panick",
        ".rs",
        "/",
        "query",
        "accounts",
        "sign_in",
        "specialties",
    ] {
        assert!(!text.contains(word), "`{word}`: {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_tells_nothing_about_the_server() {
    let world = World::start().await;
    let asha = world.patient().await;
    world.settle().await;
    let request = SearchDoctorsRequest::default();
    let sign_in = SignInRequest {
        email: asha.email.clone(),
        password: PASSWORD.to_owned(),
        ..Default::default()
    };
    for (broken, mended) in [
        ("ALTER TABLE doctors RENAME TO away", "ALTER TABLE away RENAME TO doctors"),
        ("REVOKE ALL ON doctors FROM clinicd_app", "GRANT ALL ON doctors TO clinicd_app"),
    ] {
        world.sql(broken).await;
        tells_nothing(&refused(
            world.client().send(request.clone()).await,
            Code::Internal,
            "INTERNAL",
        ));
        world.sql(mended).await;
    }
    // In the middle of a change: the database refuses the row.
    world.sql("ALTER TABLE sessions ADD CONSTRAINT never CHECK (false) NOT VALID").await;
    tells_nothing(&refused(world.client().send(sign_in).await, Code::Internal, "INTERNAL"));
    world.sql("ALTER TABLE sessions DROP CONSTRAINT never").await;
    world.client().sign_in(&asha.email, PASSWORD).await.unwrap();
    world.finish().await;
}
