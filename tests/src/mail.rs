//! Reads the mails that a server in development writes into its outbox folder.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// A mail, decoded.
#[derive(Debug, Clone)]
pub struct Mail {
    /// Recipient's address.
    pub to: String,
    /// Subject.
    pub subject: String,
    /// The body as plain text.
    pub text: String,
}

impl Mail {
    /// The first link of the body.
    #[must_use]
    pub fn link(&self) -> Option<&str> {
        self.text.split_whitespace().find(|word| word.starts_with("http"))
    }

    /// The code that activates an account, from the link or beside it.
    #[must_use]
    pub fn token(&self) -> Option<&str> {
        let after = |mark: &str| self.text.split_once(mark).map(|(_, rest)| rest);
        after("token=").or_else(|| after("in the app: "))?.split_whitespace().next()
    }
}

/// The mails in `<data_dir>/outbox/mail`, oldest first.
#[must_use]
pub fn read_all(data_dir: &Path) -> Vec<Mail> {
    let Ok(entries) = std::fs::read_dir(data_dir.join("outbox/mail")) else { return Vec::new() };
    let mut paths: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "eml"));
    paths.sort();
    paths.iter().map(|path| parse(&std::fs::read_to_string(path).unwrap())).collect()
}

fn parse(mail: &str) -> Mail {
    let (headers, body) = mail.split_once("\r\n\r\n").unwrap_or((mail, ""));
    let to = header(headers, "To");
    let address = to.rsplit_once('<').map_or(to.as_str(), |(_, rest)| rest.trim_end_matches('>'));
    // Of alternatives, plain text comes first.
    let (headers, body) = match boundary(headers) {
        Some(boundary) => {
            let part = body.split(&format!("--{boundary}")).nth(1).unwrap_or_default();
            part.trim_start().split_once("\r\n\r\n").unwrap_or_default()
        }
        None => (headers, body),
    };
    let text = match header(headers, "Content-Transfer-Encoding").as_str() {
        "base64" => decode_base64(body),
        "quoted-printable" => decode_quoted_printable(body),
        _ => body.to_owned(),
    };
    Mail { to: address.to_owned(), subject: decode_words(&header_of(mail, "Subject")), text }
}

fn header_of(mail: &str, name: &str) -> String {
    header(mail.split("\r\n\r\n").next().unwrap_or_default(), name)
}

/// A header, unfolded.
fn header(headers: &str, name: &str) -> String {
    let unfolded = headers.replace("\r\n ", " ").replace("\r\n\t", " ");
    let prefix = format!("{}:", name.to_lowercase());
    let line = unfolded.lines().find(|line| line.to_lowercase().starts_with(&prefix));
    line.map(|line| line[prefix.len()..].trim().to_owned()).unwrap_or_default()
}

fn boundary(headers: &str) -> Option<String> {
    let kind = header(headers, "Content-Type");
    let (_, rest) = kind.split_once("boundary=\"")?;
    Some(rest.split('"').next()?.to_owned())
}

fn decode_base64(text: &str) -> String {
    let text: String = text.split_whitespace().collect();
    String::from_utf8(STANDARD.decode(text).unwrap()).unwrap()
}

fn decode_quoted_printable(text: &str) -> String {
    let text = text.replace("=\r\n", "");
    let mut parts = text.split('=');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        bytes.extend(hex::decode(&part[..2]).unwrap());
        bytes.extend(&part.as_bytes()[2..]);
    }
    String::from_utf8(bytes).unwrap()
}

/// RFC 2047, in the one form that the server writes.
fn decode_words(text: &str) -> String {
    let mut decoded = String::new();
    for word in text.split(' ') {
        let inner = word.strip_prefix("=?utf-8?b?").and_then(|word| word.strip_suffix("?="));
        match inner {
            Some(inner) => decoded += &decode_base64(inner),
            None if decoded.is_empty() => decoded += word,
            None => decoded = format!("{decoded} {word}"),
        }
    }
    decoded
}
