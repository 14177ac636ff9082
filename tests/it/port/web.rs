//! Browsers: grpc-web and the rules of other origins.

use clinicd_proto::rpc::Rpc as _;
use clinicd_sdk::proto::directory::v1::{
    ListSpecialtiesRequest, ListSpecialtiesResponse, SearchDoctorsRequest,
};
use clinicd_sdk::proto::files::v1::download_file_response::Part;
use clinicd_sdk::proto::files::v1::{DownloadFileRequest, DownloadFileResponse};
use clinicd_sdk::proto::identity::v1::{
    GetMyAccountRequest, GetMyAccountResponse, RegisterAccountRequest, RegisterAccountResponse,
};
use clinicd_tests::doctors::picture;
use clinicd_tests::{Code, World, refused};

use super::{Answer, Headers, TRAILERS, WEB, frames, plain, web};

const ENCODINGS: [&str; 4] = [
    "application/grpc-web",
    "application/grpc-web+proto",
    "application/grpc-web-text",
    "application/grpc-web-text+proto",
];
const APP: &str = "https://app.example.org";
const OTHER: &str = "https://evil.example.org";
const ALLOWED: &str = "access-control-allow-origin";

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_meets_the_same_api_in_every_encoding() {
    let world = World::start().await;
    let asha = world.patient().await;
    let file = asha.client.upload("a.png", "image/png", &picture()).await.unwrap();
    let token = format!("Bearer {}", asha.client.tokens().unwrap().access_token);
    let list = ListSpecialtiesRequest { page_size: 3, ..Default::default() };
    let native = world.client().send(list.clone()).await.unwrap();
    for encoding in ENCODINGS {
        let headers = [("content-type", encoding), ("accept", encoding)];
        let answer = web(world.url(), &list, &headers).await;
        assert!(answer.header("content-type").unwrap().starts_with(encoding), "{answer:?}");
        assert!(answer.header("x-request-id").is_some(), "{answer:?}");
        assert_eq!(answer.messages::<ListSpecialtiesResponse>().unwrap().remove(0), native);
        let last = frames(&answer.body).pop().unwrap();
        assert_eq!(last.0, TRAILERS, "the trailers come in the body");

        let headers = [headers[0], headers[1], ("authorization", &token)];
        let answer = web(world.url(), &GetMyAccountRequest {}, &headers).await;
        let account = answer.messages::<GetMyAccountResponse>().unwrap().remove(0);
        assert_eq!(account.account.unwrap().email, asha.email);

        let download = DownloadFileRequest { file_id: file.id.clone() };
        let answer = web(world.url(), &download, &headers).await;
        let mut bytes = Vec::new();
        for message in answer.messages::<DownloadFileResponse>().unwrap() {
            if let Some(Part::Data(data)) = message.part {
                bytes.extend(data);
            }
        }
        assert_eq!(bytes.len(), usize::try_from(file.size_bytes).unwrap(), "{encoding}");
        let refusal = web(world.url(), &download, &headers[..2]).await;
        let refusal = refusal.messages::<DownloadFileResponse>();
        refused(refusal, Code::Unauthenticated, "UNAUTHENTICATED");
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_hears_the_whole_refusal_in_its_language() {
    let world = World::start().await;
    let nothing = RegisterAccountRequest { request_id: "x".to_owned(), ..Default::default() };
    for encoding in ENCODINGS {
        let headers =
            [("content-type", encoding), ("accept", encoding), ("accept-language", "hi-IN,en")];
        let answer = web(world.url(), &nothing, &headers).await;
        let answer = answer.messages::<RegisterAccountResponse>();
        let refusal = refused(answer, Code::InvalidArgument, "INVALID_FIELDS");
        let fields: Vec<_> = refusal.violations.iter().map(|(field, _)| field.as_str()).collect();
        assert!(["request_id", "name"].iter().all(|name| fields.contains(name)));
        assert!(refusal.request_id.is_some());
        is_hindi(refusal.localized.as_deref());
    }
    // And so does a client of ours.
    let client = world.client().with_language("hi").unwrap();
    let refusal = refused(
        client.send(GetMyAccountRequest {}).await,
        Code::Unauthenticated,
        "UNAUTHENTICATED",
    );
    is_hindi(refusal.localized.as_deref());
    let refusal = world.client().send(GetMyAccountRequest {}).await;
    let refusal = refused(refusal, Code::Unauthenticated, "UNAUTHENTICATED");
    assert!(refusal.localized.unwrap().is_ascii());
    world.finish().await;
}

fn is_hindi(text: Option<&str>) {
    let devanagari = |letter: char| ('\u{900}'..='\u{97f}').contains(&letter);
    assert!(text.is_some_and(|text| text.contains(devanagari)), "{text:?}");
}

async fn preflight(world: &World, origin: &str) -> Answer {
    let headers: Headers<'_> = &[
        ("origin", origin),
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "authorization,content-type,x-grpc-web"),
    ];
    plain(world.url(), "OPTIONS", SearchDoctorsRequest::PATH, headers, &[]).await
}

/// The names in a header that lists some.
fn names(answer: &Answer, header: &str) -> Vec<String> {
    let list = answer.header(header).unwrap_or_default().to_lowercase();
    list.split(',').map(|name| name.trim().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn browsers_call_from_listed_origins_only() {
    let world = World::start_with(|config| config.cors_origins = vec![APP.to_owned()]).await;
    let answer = preflight(&world, APP).await;
    assert_eq!((answer.status, answer.header(ALLOWED)), (200, Some(APP)));
    assert!(names(&answer, "access-control-allow-methods").contains(&"post".to_owned()));
    let allowed = names(&answer, "access-control-allow-headers");
    for name in [
        "authorization",
        "content-type",
        "accept-language",
        "grpc-timeout",
        "x-grpc-web",
        "x-user-agent",
    ] {
        assert!(allowed.contains(&name.to_owned()), "{name}: {allowed:?}");
    }
    for origin in
        [OTHER, "https://app.example.org.evil.example.org", "null", "http://app.example.org"]
    {
        assert_eq!(preflight(&world, origin).await.header(ALLOWED), None, "{origin}");
    }

    // Refusals as well: the app has to read their status.
    let call = web(world.url(), &SearchDoctorsRequest::default(), &[WEB, ("origin", APP)]).await;
    let refusal = web(world.url(), &GetMyAccountRequest {}, &[WEB, ("origin", APP)]).await;
    for answer in [call, refusal] {
        assert_eq!(answer.header(ALLOWED), Some(APP));
        let exposed = names(&answer, "access-control-expose-headers");
        for name in ["grpc-status", "grpc-message", "grpc-status-details-bin", "x-request-id"] {
            assert!(exposed.contains(&name.to_owned()), "{name}: {exposed:?}");
        }
    }
    let other = [WEB, ("origin", OTHER)];
    let answer = web(world.url(), &SearchDoctorsRequest::default(), &other).await;
    assert_eq!(answer.header(ALLOWED), None);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_settings_no_origin_is_listed() {
    let world = World::start().await;
    assert_eq!(preflight(&world, APP).await.header(ALLOWED), None);
    assert_eq!(preflight(&world, world.url()).await.header(ALLOWED), None);
    world.finish().await;
}
