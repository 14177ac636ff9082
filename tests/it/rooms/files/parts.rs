//! Uploads in parts.

use std::io::Cursor;

use clinicd_sdk::Code;
use clinicd_sdk::proto::files::v1::{
    AbortUploadRequest, DownloadFileRequest, FinishUploadRequest, GetUploadRequest,
    StartUploadRequest, Upload,
};
use clinicd_server::kernel::crypto::sha256;
use clinicd_tests::{Person, World, refused};
use futures_util::TryStreamExt as _;
use futures_util::future::join_all;
use jiff::SignedDuration;

use super::{PDF, announce, finish, long_pdf, pdf, put, start};
use crate::rooms::fields;

fn abort(upload: &Upload) -> AbortUploadRequest {
    AbortUploadRequest { upload_id: upload.id.clone(), ..Default::default() }
}

async fn status(person: &Person, upload: &Upload) -> Result<Upload, clinicd_sdk::Error> {
    let request = GetUploadRequest { upload_id: upload.id.clone() };
    person.client.send(request).await.map(|answer| answer.upload.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_may_overlap_and_be_repeated() {
    let world = World::start().await;
    let asha = world.patient().await;
    let (client, bytes) = (&asha.client, long_pdf(700_000));
    let upload = start(client, bytes.len()).await;
    assert_eq!(upload.received_bytes, 0);
    assert_eq!(upload.max_chunk_bytes, 512 * 1024);
    assert_eq!(put(client, &upload, 0, &bytes[..1_000]).await.unwrap(), 1_000);
    assert_eq!(put(client, &upload, 0, &bytes[..1_000]).await.unwrap(), 1_000);
    assert_eq!(put(client, &upload, 500, &bytes[500..9_000]).await.unwrap(), 9_000);
    assert_eq!(put(client, &upload, 10, &bytes[10..20]).await.unwrap(), 9_000);
    // The same part, many times at once.
    let parallel = (0..6).map(|_| put(client, &upload, 9_000, &bytes[9_000..500_000]));
    for held in join_all(parallel).await {
        assert_eq!(held.unwrap(), 500_000);
    }
    assert_eq!(status(&asha, &upload).await.unwrap().received_bytes, 500_000);
    put(client, &upload, 400_000, &bytes[400_000..]).await.unwrap();

    let file = finish(client, &upload, &bytes).await.unwrap();
    assert_eq!(file.sha256, sha256(&bytes));
    assert_eq!((file.file_name.as_str(), file.media_type.as_str()), ("scan.pdf", PDF));
    assert_eq!(usize::try_from(file.size_bytes).unwrap(), bytes.len());
    let request = DownloadFileRequest { file_id: file.id.clone() };
    let messages: Vec<_> = client.stream(request).await.unwrap().try_collect().await.unwrap();
    assert_eq!(messages.len(), 1 + bytes.len().div_ceil(256 * 1024));
    assert_eq!(client.download(&file.id).await.unwrap().bytes().await.unwrap(), bytes);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_upload_goes_on_where_it_stood() {
    let world = World::start().await;
    let asha = world.patient().await;
    let second = world.second_server().await;
    let bytes = long_pdf(600_000);
    let upload = start(&asha.client, bytes.len()).await;
    put(&asha.client, &upload, 0, &bytes[..300_000]).await.unwrap();
    // After the break: another session, another server.
    let later =
        second.client().sign_in(&asha.email, clinicd_tests::people::PASSWORD).await.unwrap();
    let mut steps = Vec::new();
    let file = later
        .resume_upload(&upload.id, Cursor::new(bytes.clone()), |progress| steps.push(progress.sent))
        .await
        .unwrap();
    assert_eq!(steps, [bytes.len() as u64], "only what was missing");
    assert_eq!(asha.client.download(&file.id).await.unwrap().bytes().await.unwrap(), bytes);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn gaps_and_surplus_are_refused() {
    let world = World::start().await;
    let asha = world.patient().await;
    let (client, bytes) = (&asha.client, pdf(""));
    let upload = start(client, bytes.len()).await;
    put(client, &upload, 0, &bytes[..10]).await.unwrap();
    let gap = put(client, &upload, 11, &bytes[11..]).await;
    let refusal = refused(gap, Code::FailedPrecondition, "UPLOAD_OFFSET");
    assert_eq!(refusal.metadata["received_bytes"], "10");
    let surplus = [&bytes[10..], b"x"].concat();
    let refusal = refused(
        put(client, &upload, 10, &surplus).await,
        Code::ResourceExhausted,
        "UPLOAD_TOO_LARGE",
    );
    assert_eq!(refusal.metadata["limit_bytes"], bytes.len().to_string());
    let empty = put(client, &upload, 10, b"").await;
    assert_eq!(fields(&refused(empty, Code::InvalidArgument, "INVALID_FIELDS")), ["data"]);
    let wide = put(client, &upload, 10, &vec![0; 512 * 1024 + 1]).await;
    assert_eq!(fields(&refused(wide, Code::InvalidArgument, "INVALID_FIELDS")), ["data"]);

    let early = finish(client, &upload, &bytes).await;
    let refusal = refused(early, Code::FailedPrecondition, "UPLOAD_INCOMPLETE");
    assert_eq!(refusal.metadata["received_bytes"], "10");
    put(client, &upload, 10, &bytes[10..]).await.unwrap();
    let wrong = finish(client, &upload, b"something else").await;
    refused(wrong, Code::InvalidArgument, "UPLOAD_HASH_MISMATCH");
    let request = FinishUploadRequest {
        upload_id: upload.id.clone(),
        sha256: vec![0; 31],
        ..Default::default()
    };
    let refusal = refused(client.send(request).await, Code::InvalidArgument, "INVALID_FIELDS");
    assert_eq!(fields(&refusal), ["sha256"]);
    finish(client, &upload, &bytes).await.unwrap();
    world.finish().await;
}

/// Without `FOR UPDATE` in `UploadRow::lock`, two files were made.
#[tokio::test(flavor = "multi_thread")]
async fn an_upload_becomes_one_file() {
    let world = World::start().await;
    let asha = world.patient().await;
    let (client, bytes) = (&asha.client, pdf(""));
    let upload = start(client, bytes.len()).await;
    put(client, &upload, 0, &bytes).await.unwrap();
    let request = FinishUploadRequest {
        request_id: world.app.ids.next().to_string(),
        upload_id: upload.id.clone(),
        sha256: sha256(&bytes).to_vec(),
    };
    // The same call twice, and three others.
    let same = (0..2).map(|_| client.send(request.clone()));
    let other = (0..3)
        .map(|_| client.send(FinishUploadRequest { request_id: String::new(), ..request.clone() }));
    let answers = join_all(same.chain(other)).await;
    let mut made = Vec::new();
    for answer in answers {
        match answer {
            Ok(answer) => made.push(answer.file.unwrap().id),
            Err(error) => assert_eq!(error.reason(), Some("WRONG_STATE"), "{error}"),
        }
    }
    made.dedup();
    assert_eq!(made.len(), 1);
    assert_eq!(world.sql("SELECT id FROM files").await, [[made[0].clone()]]);
    for late in [
        finish(client, &upload, &bytes).await.map(drop),
        client.send(abort(&upload)).await.map(drop),
    ] {
        let refusal = refused(late, Code::FailedPrecondition, "WRONG_STATE");
        assert_eq!(refusal.metadata["state"], "finished");
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_is_given_up_or_lapses() {
    let world = World::start().await;
    let asha = world.patient().await;
    let (client, bytes) = (&asha.client, pdf(""));
    let upload = start(client, bytes.len()).await;
    put(client, &upload, 0, &bytes).await.unwrap();
    client.send(abort(&upload)).await.unwrap();
    refused(status(&asha, &upload).await, Code::NotFound, "NOT_FOUND");
    refused(finish(client, &upload, &bytes).await, Code::FailedPrecondition, "WRONG_STATE");
    refused(put(client, &upload, 0, b"x").await, Code::FailedPrecondition, "WRONG_STATE");
    client.send(abort(&upload)).await.unwrap();

    let upload = start(client, bytes.len()).await;
    put(client, &upload, 0, &bytes).await.unwrap();
    world.advance(SignedDuration::from_hours(24) + SignedDuration::from_secs(1));
    refused(status(&asha, &upload).await, Code::NotFound, "NOT_FOUND");
    refused(finish(client, &upload, &bytes).await, Code::NotFound, "NOT_FOUND");
    refused(put(client, &upload, 0, b"x").await, Code::NotFound, "NOT_FOUND");
    world.finish().await;
}

/// Without `LockOwner`, 22 of the parallel ones began.
#[tokio::test(flavor = "multi_thread")]
async fn sizes_and_numbers_of_uploads_are_limited() {
    const LIMIT: i64 = 10 * 1024 * 1024;
    let world = World::start().await;
    let asha = world.patient().await;
    let large = announce(&asha.client, "scan.pdf", PDF, LIMIT + 1).await;
    let refusal = refused(large, Code::ResourceExhausted, "UPLOAD_TOO_LARGE");
    assert_eq!(refusal.metadata["limit_bytes"], LIMIT.to_string());
    for (size, kind) in [(0, PDF), (-1, PDF), (1, "text/html"), (1, "")] {
        let answer = announce(&asha.client, "scan", kind, size).await;
        refused(answer, Code::InvalidArgument, "INVALID_FIELDS");
    }
    // Twenty at a time, in parallel too.
    let starts = (0..25).map(|_| announce(&asha.client, "scan.pdf", PDF, LIMIT));
    let (open, refusals): (Vec<_>, Vec<_>) =
        join_all(starts).await.into_iter().partition(Result::is_ok);
    assert_eq!(open.len(), 20);
    for refusal in refusals {
        let refusal = refused(refusal, Code::ResourceExhausted, "RATE_LIMITED");
        assert!(refusal.retry_after.unwrap().as_secs() > 86_000);
    }
    asha.client.send(abort(open[0].as_ref().unwrap())).await.unwrap();
    start(&asha.client, 1).await;
    // Others have their own.
    start(&world.patient().await.client, 1).await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn names_are_text() {
    let world = World::start().await;
    let asha = world.patient().await;
    let bytes = pdf("");
    for name in
        ["../../x.pdf", "/etc/passwd.pdf", "C:\\x.pdf", "जाँच रिपोर्ट.pdf", "%2e%2e.pdf", "-rf.pdf"]
    {
        let file = asha.client.upload(name, PDF, &bytes).await.unwrap();
        assert_eq!(file.file_name, name);
        assert_eq!(asha.client.download(&file.id).await.unwrap().file.file_name, name);
    }
    let stored = world.app.config.files_dir().join("files");
    let count = std::fs::read_dir(stored).unwrap().count();
    assert_eq!(count, 6, "each under its own key");
    let long = format!("{}.pdf", "x".repeat(200));
    for name in ["scan\u{202e}fdp.exe", "a\0.pdf", "a\nb.pdf", "", " ", &long] {
        let request = StartUploadRequest {
            file_name: name.to_owned(),
            media_type: PDF.to_owned(),
            size_bytes: 1,
            ..Default::default()
        };
        let answer = asha.client.send(request).await;
        let refusal = refused(answer, Code::InvalidArgument, "INVALID_FIELDS");
        assert_eq!(fields(&refusal), ["file_name"], "{name:?}");
    }
    world.finish().await;
}
