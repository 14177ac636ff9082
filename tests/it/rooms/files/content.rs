//! What may be in a file.

use clinicd_sdk::Code;
use clinicd_server::kernel::crypto::sha256;
use clinicd_tests::doctors::picture;
use clinicd_tests::{World, refused};

use super::{PDF, PNG, announce, finish, pdf, put};

/// A chunk of a PNG.
fn chunk(kind: [u8; 4], data: &[u8]) -> Vec<u8> {
    let sum = [kind.as_slice(), data].concat().iter().fold(!0_u32, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| {
            (sum >> 1) ^ (0xEDB8_8320 & (sum & 1).wrapping_neg())
        })
    });
    let length = u32::try_from(data.len()).unwrap().to_be_bytes();
    [&length, kind.as_slice(), data, &(!sum).to_be_bytes()].concat()
}

/// The picture with something behind its header, which has 33 bytes.
fn picture_with(chunks: &[u8]) -> Vec<u8> {
    let picture = picture();
    [&picture[..33], chunks, &picture[33..]].concat()
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_what_it_says_is_refused() {
    let world = World::start().await;
    let asha = world.patient().await;
    let (plain, png) = (pdf(""), picture());
    let script = pdf("/OpenAction<</S/JavaScript/JS(app.alert\\(1\\))>>");
    let names = pdf("/Names<</JavaScript<</Names[(a)<</S/JavaScript/JS(1)>>]>>>>");
    let shell = [b"#!/bin/sh\n".as_slice(), &plain].concat();
    let (cut_pdf, cut_png) = (&plain[..plain.len() - 20], &png[..png.len() / 2]);
    let tail = [&plain[..], b"<script>"].concat();
    for (name, kind, bytes, check) in [
        ("scan.pdf", PNG, &png[..], "EXTENSION_MISMATCH"),
        ("scan.pdf", PDF, &png, "TYPE_MISMATCH"),
        ("scan.png", PNG, &plain, "TYPE_MISMATCH"),
        ("scan.pdf.exe", PDF, &plain, "EXTENSION_MISMATCH"),
        ("scan.pdf", PDF, cut_pdf, "TRUNCATED"),
        ("scan.png", PNG, cut_png, "TRUNCATED"),
        ("scan.pdf", PDF, &script, "PDF_OPEN_ACTION"),
        ("scan.pdf", PDF, &names, "PDF_JAVASCRIPT"),
        ("scan.pdf", PDF, &tail, "TRAILING_BYTES"),
        ("scan.pdf", PDF, &shell, "BAD_HEADER"),
        ("scan.png", PNG, b"<svg xmlns='x' onload='alert(1)'/>", "UNKNOWN_TYPE"),
        ("scan.pdf", PDF, b"MZ\x90\0", "UNKNOWN_TYPE"),
    ] {
        let size = i64::try_from(bytes.len()).unwrap();
        let upload = announce(&asha.client, name, kind, size).await.unwrap();
        put(&asha.client, &upload, 0, bytes).await.unwrap();
        let answer = finish(&asha.client, &upload, bytes).await;
        let refusal = refused(answer, Code::InvalidArgument, "FILE_REFUSED");
        assert_eq!(refusal.metadata["check"], check, "{name} as {kind}");
    }
    assert!(world.sql("SELECT id FROM files").await.is_empty());
    assert!(world.sql("SELECT * FROM unclaimed_objects").await.is_empty());
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_picture_loses_what_is_not_picture() {
    let world = World::start().await;
    let asha = world.patient().await;
    let place = b"GPS 18.5204 73.8567";
    let exif = [b"MM\0*\0\0\0\x08\0\0".as_slice(), place].concat();
    let comment = [b"Comment\0".as_slice(), place].concat();
    let mut sent = picture_with(&[chunk(*b"eXIf", &exif), chunk(*b"tEXt", &comment)].concat());
    sent.extend(b"after the end: secret");
    assert!(contains(&sent, place));

    let file = asha.client.upload("holiday.png", PNG, &sent).await.unwrap();
    let stored = asha.client.download(&file.id).await.unwrap().bytes().await.unwrap();
    assert!(!contains(&stored, place) && !contains(&stored, b"secret"));
    assert_eq!(file.sha256, sha256(&stored));
    assert_ne!(file.sha256, sha256(&sent));
    let pixels = |bytes: &[u8]| image::load_from_memory(bytes).unwrap().into_bytes();
    assert_eq!(pixels(&stored), pixels(&picture()));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_owner_downloads() {
    let world = World::start().await;
    let (asha, ravi, admin) = (world.patient().await, world.patient().await, world.admin().await);
    let file = asha.client.upload("scan.pdf", PDF, &pdf("")).await.unwrap();
    asha.client.download(&file.id).await.unwrap();
    for stranger in [&ravi, &admin] {
        refused(stranger.client.download(&file.id).await, Code::NotFound, "NOT_FOUND");
    }
    world.finish().await;
}
