//! Files: parts of an upload, the checks of what was sent, downloads.

mod content;
mod parts;

use clinicd_sdk::proto::files::v1::{
    File, FinishUploadRequest, StartUploadRequest, Upload, UploadChunkRequest,
};
use clinicd_sdk::{Client, Error};
use clinicd_server::kernel::crypto::sha256;

const PDF: &str = "application/pdf";
const PNG: &str = "image/png";

/// A PDF of one page, with these entries in its catalog.
fn pdf(catalog: &str) -> Vec<u8> {
    let objects = [
        format!("<</Type/Catalog/Pages 2 0 R{catalog}>>"),
        "<</Type/Pages/Kids[3 0 R]/Count 1>>".to_owned(),
        "<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]>>".to_owned(),
    ];
    let (mut body, mut table) = ("%PDF-1.7\n".to_owned(), String::new());
    for (number, object) in (1..).zip(objects) {
        table = format!("{table}{:010} 00000 n \n", body.len());
        body = format!("{body}{number} 0 obj\n{object}\nendobj\n");
    }
    let start = body.len();
    let text = format!(
        "{body}xref\n0 4\n0000000000 65535 f \n{table}trailer\n<</Root 1 0 R/Size 4>>\n\
         startxref\n{start}\n%%EOF\n"
    );
    text.into_bytes()
}

/// A PDF of at least this many bytes: comments are allowed between its objects.
fn long_pdf(bytes: usize) -> Vec<u8> {
    let mut text = String::from_utf8(pdf("")).unwrap();
    let xref = text.find("xref\n").unwrap();
    let filler = format!("%{}\n", "quiet harbour ".repeat(4)).repeat(bytes / 58 + 1);
    text.insert_str(xref, &filler);
    let (head, tail) = text.split_once("startxref\n").unwrap();
    let end = tail.split_once('\n').unwrap().1;
    format!("{head}startxref\n{}\n{end}", xref + filler.len()).into_bytes()
}

async fn start(client: &Client, size: usize) -> Upload {
    announce(client, "scan.pdf", PDF, i64::try_from(size).unwrap()).await.unwrap()
}

async fn announce(client: &Client, name: &str, kind: &str, size: i64) -> Result<Upload, Error> {
    let request = StartUploadRequest {
        request_id: String::new(),
        file_name: name.to_owned(),
        media_type: kind.to_owned(),
        size_bytes: size,
    };
    client.send(request).await.map(|answer| answer.upload.unwrap())
}

/// Sends bytes for this place; returns how many the server holds.
async fn put(client: &Client, upload: &Upload, at: usize, data: &[u8]) -> Result<i64, Error> {
    let request = UploadChunkRequest {
        upload_id: upload.id.clone(),
        offset: i64::try_from(at).unwrap(),
        data: data.to_vec(),
    };
    client.send(request).await.map(|answer| answer.received_bytes)
}

async fn finish(client: &Client, upload: &Upload, bytes: &[u8]) -> Result<File, Error> {
    let request = FinishUploadRequest {
        request_id: String::new(),
        upload_id: upload.id.clone(),
        sha256: sha256(bytes).to_vec(),
    };
    client.send(request).await.map(|answer| answer.file.unwrap())
}
