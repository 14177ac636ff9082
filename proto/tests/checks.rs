//! The generated checks, run on messages that use every rule (`testdata/sample`), the reasons why
//! the build refuses other protos (`testdata/faults`), and the codec in a client and a server.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;

use clinicd_proto::prost_types::{Duration, Timestamp};
// The generated code calls these as modules of its crate.
use clinicd_proto::{check, codec};
use tonic::codegen::tokio_stream;
use tonic::{Code, Request, Response, Status};
use tonic_types::StatusExt as _;

use generated::sample::v1::sample_service_client::SampleServiceClient;
use generated::sample::v1::sample_service_server::{SampleService, SampleServiceServer};
use generated::sample::v1::send_request::{Reference, Subject};
use generated::sample::v1::{
    Kind, Part, SendRequest, SendResponse, WatchRequest, WatchResponse, part,
};

#[allow(
    clippy::all,
    clippy::pedantic,
    clippy::allow_attributes,
    reason = "generated code; what it needs of these depends on the protos"
)]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/testdata/clinicd.rs"));
    include!(concat!(env!("OUT_DIR"), "/testdata/checks.rs"));
}

/// A request that breaks no rule, at the lower boundary of many.
fn valid() -> SendRequest {
    SendRequest {
        id: Some("01890a5d-ac96-774b-bcce-b302099a8057".to_owned()),
        content: vec![0],
        small: -1,
        large: -1,
        kind: Kind::First.into(),
        kinds: vec![Kind::Unspecified.into()],
        time: Some(Timestamp::default()),
        subject: Some(Subject::Nothing(())),
        ..SendRequest::default()
    }
}

/// The broken rules of a valid request after a change, as `field rule`.
fn broken(change: impl FnOnce(&mut SendRequest)) -> Vec<String> {
    let mut request = valid();
    change(&mut request);
    let violations = check::check_message(&request).err().unwrap_or_default();
    violations.iter().map(|violation| format!("{} {}", violation.field, violation.rule)).collect()
}

fn part(dose: i32) -> Part {
    Part { dose, ..Part::default() }
}

#[test]
fn boundaries_are_inside() {
    assert!(broken(|_| {}).is_empty());
    let upper = broken(|request| {
        request.note = "äöüß".to_owned();
        request.language = "en".to_owned();
        request.email = Some("a@example.org".to_owned());
        request.code = Some("abc".to_owned());
        request.content = vec![0, 0];
        request.small = 1;
        request.large = 5_000_000_000;
        request.count = Some(1);
        request.share = 1.0;
        request.kind = Kind::Second.into();
        request.second_kind = Some(Kind::First.into());
        request.parts = vec![part(1), part(9), part(5)];
        request.tags = vec!["a".to_owned(), "abc".to_owned()];
        request.kinds = vec![Kind::First.into(), Kind::First.into()];
        request.labels = BTreeMap::from([("colour".to_owned(), "red".to_owned())]);
        request.part_numbers = BTreeMap::from([(-1, part(1)), (7, part(9))]);
        request.length = Some(Duration { seconds: 3600, nanos: 0 });
        request.subject = Some(Subject::SubjectText("abc".to_owned()));
        request.nested = Some(part(1));
    });
    assert_eq!(upper, Vec::<String>::new());
}

#[test]
fn text_outside_its_limits_is_refused() {
    assert_eq!(broken(|r| r.note = "12345".to_owned()), ["note string.max_len"]);
    assert_eq!(broken(|r| r.note = "a\0".to_owned()), ["note string.nul"]);
    assert_eq!(broken(|r| r.language = "fr".to_owned()), ["language string.in"]);
    assert_eq!(broken(|r| r.email = Some("a".to_owned())), ["email string.email"]);
    assert_eq!(broken(|r| r.id = Some("1".to_owned())), ["id string.uuid"]);
    assert_eq!(broken(|r| r.code = Some("ab".to_owned())), ["code string.len"]);
    assert_eq!(broken(|r| r.content.clear()), ["content bytes.min_len"]);
    assert_eq!(broken(|r| r.content = vec![0; 3]), ["content bytes.max_len"]);
}

#[test]
fn presence_decides_whether_rules_apply() {
    assert_eq!(broken(|r| r.id = None), ["id required"]);
    assert_eq!(broken(|r| r.id = Some(String::new())), ["id string.uuid"]);
    assert_eq!(broken(|r| r.email = Some(String::new())), ["email string.email"]);
    assert_eq!(broken(|r| r.code = Some(String::new())), ["code string.len"]);
    assert_eq!(broken(|r| r.count = Some(0)), ["count uint32.gte"]);
    assert_eq!(broken(|r| r.large = 0), ["large required"]);
    assert_eq!(broken(|r| r.time = None), ["time required"]);
}

#[test]
fn a_zero_value_can_be_ignored_where_nothing_tracks_presence() {
    let empty = String::new;
    assert!(broken(|r| r.language = empty()).is_empty());
    assert!(broken(|r| r.ids = vec![empty(), empty()]).is_empty());
    assert_eq!(broken(|r| r.ids = vec![empty(), "1".to_owned()]), ["ids[1] string.uuid"]);
}

#[test]
fn numbers_outside_their_limits_are_refused() {
    assert_eq!(broken(|r| r.small = -2), ["small int32.gt"]);
    assert_eq!(broken(|r| r.small = 2), ["small int32.lt"]);
    assert_eq!(broken(|r| r.large = 5_000_000_001), ["large int64.lte"]);
    assert_eq!(broken(|r| r.share = 1.5), ["share double.lte"]);
    assert_eq!(broken(|r| r.share = -0.5), ["share double.gte"]);
    let nan = ["share double.finite", "share double.gte", "share double.lte"];
    assert_eq!(broken(|r| r.share = f64::NAN), nan);
}

#[test]
fn enums_outside_their_values_are_refused() {
    assert_eq!(broken(|r| r.kind = 0), ["kind enum.not_in"]);
    assert_eq!(broken(|r| r.kind = 3), ["kind enum.defined_only"]);
    assert_eq!(broken(|r| r.second_kind = Some(2)), ["second_kind enum.in"]);
    assert_eq!(broken(|r| r.second_kind = Some(0)), ["second_kind enum.in"]);
    assert_eq!(broken(|r| r.kinds = vec![1, -1]), ["kinds[1] enum.defined_only"]);
}

#[test]
fn lists_and_their_items_are_checked() {
    assert_eq!(broken(|r| r.kinds.clear()), ["kinds repeated.min_items"]);
    assert_eq!(broken(|r| r.kinds = vec![1; 3]), ["kinds repeated.max_items"]);
    let tags = |tags: [&str; 2]| broken(|r| r.tags = tags.map(str::to_owned).to_vec());
    assert_eq!(tags(["a", "a"]), ["tags repeated.unique"]);
    assert_eq!(tags(["a", ""]), ["tags[1] string.min_len"]);
    assert_eq!(tags(["abcd", "\0"]), ["tags[0] string.max_len", "tags[1] string.nul"]);
    assert_eq!(broken(|r| r.parts = vec![part(1), part(10)]), ["parts[1].dose int32.lte"]);
}

#[test]
fn maps_keys_and_values_are_checked() {
    let labels = |pairs: &[(&str, &str)]| {
        let pairs = pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        broken(|r| r.labels = pairs.collect())
    };
    assert_eq!(labels(&[("a", ""), ("b", ""), ("c", "")]), ["labels map.max_pairs"]);
    assert_eq!(labels(&[("colours", "red")]), [r#"labels["colours"] string.max_len"#]);
    assert_eq!(labels(&[("colour", "blue")]), [r#"labels["colour"] string.max_len"#]);
    assert_eq!(labels(&[("", "")]), ["labels[…] string.min_len"]);
    let numbers = broken(|r| r.part_numbers = BTreeMap::from([(7, part(0))]));
    assert_eq!(numbers, ["part_numbers[7].dose int32.gte"]);
}

#[test]
fn times_are_checked() {
    let nanos = |nanos| broken(|r| r.time = Some(Timestamp { seconds: 0, nanos }));
    assert!(nanos(999_999_999).is_empty());
    assert_eq!(nanos(1_000_000_000), ["time timestamp.range"]);
    let length = |seconds, nanos| broken(|r| r.length = Some(Duration { seconds, nanos }));
    assert_eq!(length(0, 0), ["length duration.gt"]);
    assert_eq!(length(3600, 1), ["length duration.lte"]);
    assert_eq!(length(1, -1), ["length duration.range"]);
}

#[test]
fn oneofs_are_checked() {
    let subject = |subject| broken(|r| r.subject = subject);
    assert_eq!(subject(None), ["subject required"]);
    let text = |text: &str| subject(Some(Subject::SubjectText(text.to_owned())));
    assert_eq!(text(""), ["subject_text string.min_len"]);
    assert_eq!(text("abcd"), ["subject_text string.max_len"]);
    assert_eq!(subject(Some(Subject::SubjectPart(part(0)))), ["subject_part.dose int32.gte"]);
    let code =
        |code: &str| broken(|r| r.reference = Some(Reference::ReferenceCode(code.to_owned())));
    assert!(code("abc").is_empty());
    assert_eq!(code(""), ["reference_code string.len"]);
}

#[test]
fn paths_lead_into_nested_messages() {
    let inside = part::Inside { text: "abc".to_owned() };
    let inner = Part { dose: 1, inside: Some(inside), ..Part::default() };
    let outer = Part { dose: 0, inner: Some(Box::new(inner)), ..Part::default() };
    let paths = ["parts[0].dose int32.gte", "parts[0].inner.inside.text string.max_len"];
    assert_eq!(broken(|r| r.parts = vec![outer]), paths);
}

#[test]
fn a_violation_says_what_is_allowed_and_not_what_came() {
    let mut request = valid();
    request.note = "secret".to_owned();
    let violations = check::check_message(&request).unwrap_err();
    assert_eq!(violations[0].message, "must have at most 4 characters");
}

#[test]
fn the_build_refuses_what_has_no_limit() {
    let refusals = include_str!(concat!(env!("OUT_DIR"), "/testdata/refusals.txt"));
    assert_eq!(refusals, include_str!("refusals.txt"));
}

#[test]
fn the_descriptors_keep_the_rules() {
    // The number 1159 of the options, length-delimited, as a varint.
    let tag = [0xba, 0x48];
    assert!(clinicd_proto::FILE_DESCRIPTOR_SET.windows(2).any(|bytes| bytes == tag));
}

/// Answers with what no request may hold.
struct Sample;

#[tonic::async_trait]
impl SampleService for Sample {
    type WatchStream = tonic::codegen::BoxStream<WatchResponse>;

    async fn send(&self, _: Request<SendRequest>) -> Result<Response<SendResponse>, Status> {
        let response = SendResponse { text: "\0".to_owned(), part: Some(part(0)) };
        Ok(Response::new(response))
    }

    async fn watch(&self, _: Request<WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        Ok(Response::new(Box::pin(tokio_stream::empty())))
    }
}

#[tokio::test]
async fn a_valid_request_arrives_and_the_answer_is_not_checked() {
    let mut client = SampleServiceClient::new(SampleServiceServer::new(Sample));
    let response = client.send(valid()).await.unwrap().into_inner();
    assert_eq!(response.part, Some(part(0)));
    assert!(client.watch(WatchRequest {}).await.is_ok());
}

#[tokio::test]
async fn an_invalid_request_ends_with_every_violation() {
    let mut client = SampleServiceClient::new(SampleServiceServer::new(Sample));
    let request = SendRequest { note: "12345".to_owned(), parts: vec![part(0)], ..valid() };
    let status = client.send(request).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert_eq!(status.message(), "2 fields are invalid: note, parts[0].dose");
    let details = status.get_error_details();
    let info = details.error_info().unwrap();
    assert_eq!((info.reason.as_str(), info.domain.as_str()), ("INVALID_FIELDS", "clinicd"));
    assert_eq!(info.metadata["field"], "note");
    let violations = &details.bad_request().unwrap().field_violations;
    assert_eq!(violations.len(), 2);
    assert_eq!(violations[1].field, "parts[0].dose");
    assert_eq!(violations[1].reason, "INT32_GTE");
    assert_eq!(violations[1].description, "must be at least 1");
}

#[tokio::test]
async fn what_is_not_protobuf_keeps_the_status_of_tonic() {
    let mut client = tonic::client::Grpc::new(SampleServiceServer::new(Sample));
    let path =
        tonic::codegen::http::uri::PathAndQuery::from_static("/sample.v1.SampleService/Send");
    // The first field of a part is a number, that of the request a text.
    let codec = tonic_prost::ProstCodec::<Part, SendResponse>::default();
    let status = client.unary(Request::new(part(1)), path, codec).await.unwrap_err();
    assert_eq!(status.code(), Code::Internal);
}
