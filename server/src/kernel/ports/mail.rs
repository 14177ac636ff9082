//! Mail: over SMTP, or as `.eml` files in the outbox folder.

use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart, SinglePart};
use lettre::transport::smtp;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, CertificateStore, Tls, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use lettre::{Address, AsyncSmtpTransport, AsyncTransport, Tokio1Executor};
use serde_json::json;
use uuid::Uuid;

use super::outbox::Outbox;
use super::{PortError, SEND_TIMEOUT, authorities};
use crate::kernel::secret::Secret;

/// The longest wait for the connection, and for each answer of the server.
const STEP_TIMEOUT: Duration = Duration::from_secs(10);

/// One mail to one person.
pub struct Message {
    /// The id of the message (UUIDv7). Becomes its `Message-ID`: the same key is the same mail.
    pub key: Uuid,
    /// Now, from the application's clock: the `Date` of the mail.
    pub at: Timestamp,
    /// The recipient's name, any text; shown by mail programs.
    pub to_name: Option<String>,
    /// The recipient's mail address.
    pub to_address: String,
    /// One line.
    pub subject: String,
    /// The body as plain text.
    pub text: String,
    /// The same body as HTML.
    pub html: Option<String>,
    /// The link that switches mails of this sort off, when they can be: mail programs show a button
    /// for it (RFC 2369, RFC 8058), so it has to answer a POST without asking anything.
    pub unsubscribe: Option<String>,
}

/// How the way to the SMTP server is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Security {
    /// TLS from the first byte (usual port 465).
    Tls,
    /// TLS after STARTTLS, or no mail at all (usual port 587).
    StartTls,
    /// None. Only for a mail catcher in development; a login is refused with it.
    Plaintext,
}

/// What it takes to reach an SMTP server.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SmtpSettings {
    /// Host name; the server's certificate has to be for it.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Protection of the connection.
    pub security: Security,
    /// User name and password, if the server wants them.
    pub login: Option<(String, Secret)>,
    /// The sender: `clinic@example.org` or `A Clinic <clinic@example.org>`.
    pub from: String,
    /// PEM file of the authorities of its certificate; those of the machine unless set.
    pub ca_certificate: Option<PathBuf>,
}

/// The way of mails to people. Cheap to clone.
#[derive(Clone)]
pub enum Mail {
    /// A real SMTP server.
    Smtp(Smtp),
    /// Files for development.
    Outbox(MailOutbox),
}

/// An SMTP server. Each mail has a connection of its own, so that none is found stale.
///
/// SMTP knows no repeated mail: if this server dies between the other's answer and our note of
/// it, the mail goes twice, with one `Message-ID`, by which most mail programs show it once.
#[derive(Clone)]
pub struct Smtp {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
}

/// A folder of mails.
#[derive(Clone)]
pub struct MailOutbox {
    outbox: Outbox,
    from: Mailbox,
}

impl Mail {
    /// Mail through an SMTP server. Does not connect yet.
    pub fn smtp(settings: &SmtpSettings) -> Result<Self, PortError> {
        let from = sender(&settings.from)?;
        let tls = match settings.security {
            Security::Tls => Tls::Wrapper(tls(settings)?),
            Security::StartTls => Tls::Required(tls(settings)?),
            Security::Plaintext if settings.login.is_some() => {
                return Err(PortError::Settings("an SMTP login needs TLS or STARTTLS"));
            }
            Security::Plaintext => Tls::None,
        };
        let mut transport = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&settings.host)
            .port(settings.port)
            .tls(tls)
            .timeout(Some(STEP_TIMEOUT))
            .hello_name(ClientId::Domain(from.email.domain().to_owned()));
        if let Some((user, password)) = &settings.login {
            transport = transport.credentials(Credentials::new(user.clone(), password.0.clone()));
        }
        Ok(Self::Smtp(Smtp { transport: transport.build(), from }))
    }

    /// Mail into files: `outbox`/mail/`<time>_<key>.eml`, with the text that a person reads in a
    /// file `.json` beside it.
    pub fn outbox(outbox: &Path, from: &str) -> Result<Self, PortError> {
        Ok(Self::Outbox(MailOutbox { outbox: Outbox::open(outbox, "mail")?, from: sender(from)? }))
    }

    /// Hands a mail over to the server, or to the folder.
    pub async fn send(&self, message: &Message) -> Result<(), PortError> {
        match self {
            Self::Smtp(smtp) => {
                let sending = smtp.transport.send(compose(&smtp.from, message)?);
                match tokio::time::timeout(SEND_TIMEOUT, sending).await {
                    Ok(sent) => sent.map(drop).map_err(|error| judge(&error)),
                    Err(_) => Err(PortError::temporary("the mail server took too long")),
                }
            }
            Self::Outbox(folder) => {
                let mail = compose(&folder.from, message)?.formatted();
                let Message { key, at, to_address: to, subject, text, .. } = message;
                let readable =
                    json!({ "key": key, "at": at, "to": to, "subject": subject, "text": text });
                folder.outbox.write(*key, "json", format!("{readable:#}\n").into_bytes()).await?;
                folder.outbox.write(*key, "eml", mail).await
            }
        }
    }
}

/// TLS that believes the machine's authorities, or those of a file and no others.
fn tls(settings: &SmtpSettings) -> Result<TlsParameters, PortError> {
    let unusable = |_| PortError::Settings("the SMTP host cannot be reached over TLS");
    let mut tls = TlsParameters::builder(settings.host.clone());
    if let Some(file) = &settings.ca_certificate {
        let authorities = Certificate::from_pem(&authorities::read(file)?).map_err(unusable)?;
        tls = tls.certificate_store(CertificateStore::None).add_root_certificate(authorities);
    }
    tls.build().map_err(unusable)
}

fn sender(text: &str) -> Result<Mailbox, PortError> {
    let sender: Mailbox =
        text.parse().map_err(|_| PortError::Settings("the sender is not a mail address"))?;
    Ok(Mailbox::new(sender.name.as_deref().map(one_line), sender.email))
}

/// Control characters become spaces: a line break in a header would begin another one, and
/// lettre panics on those in names.
fn one_line(text: &str) -> String {
    let spaced = text.replace(char::is_control, " ");
    spaced.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The mail as RFC 5322 has it.
fn compose(from: &Mailbox, message: &Message) -> Result<lettre::Message, PortError> {
    let address: Address = message
        .to_address
        .parse()
        .map_err(|_| PortError::permanent("the recipient is not a mail address"))?;
    let name = message.to_name.as_deref().map(one_line).filter(|name| !name.is_empty());
    let mut mail = lettre::Message::builder()
        .from(from.clone())
        .to(Mailbox::new(name, address))
        .subject(one_line(&message.subject))
        .date(SystemTime::from(message.at))
        .message_id(Some(format!("<{}@{}>", message.key, from.email.domain())))
        // RFC 3834: no holiday notices in reply.
        .raw_header(header("Auto-Submitted", "auto-generated".to_owned()));
    if let Some(link) = &message.unsubscribe {
        mail = mail
            .raw_header(header("List-Unsubscribe", format!("<{}>", one_line(link))))
            .raw_header(header("List-Unsubscribe-Post", "List-Unsubscribe=One-Click".to_owned()));
    }
    let mail = match &message.html {
        Some(html) => {
            mail.multipart(MultiPart::alternative_plain_html(message.text.clone(), html.clone()))
        }
        None => mail.singlepart(SinglePart::plain(message.text.clone())),
    };
    mail.map_err(|_| PortError::permanent("the mail cannot be written"))
}

fn header(name: &'static str, value: String) -> HeaderValue {
    HeaderValue::new(HeaderName::new_from_ascii_str(name), value)
}

fn judge(error: &smtp::Error) -> PortError {
    let code = error.status().map(|code| u32::from(u16::from(code)));
    match code {
        // The server wants another login or TLS: not the mail's fault, and an operator mends it.
        Some(530 | 534 | 535 | 538) => {
            PortError::Temporary { what: "the mail server refused us", code, retry_after: None }
        }
        _ if error.is_permanent() => {
            PortError::Permanent { what: "the mail server refused the mail", code }
        }
        _ => PortError::Temporary { what: "the mail did not get through", code, retry_after: None },
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::super::testing::{Folder, at, key, smtp_server};
    use super::*;

    fn message() -> Message {
        Message {
            key: key(1),
            at: at(5),
            to_name: Some("आशा राव".to_owned()),
            to_address: "asha@example.org".to_owned(),
            subject: "Welcome".to_owned(),
            text: "Hello Asha".to_owned(),
            html: Some("<p>Hello Asha</p>".to_owned()),
            unsubscribe: None,
        }
    }

    fn settings(port: u16, security: Security) -> SmtpSettings {
        SmtpSettings {
            host: "127.0.0.1".to_owned(),
            port,
            security,
            login: None,
            from: "A Clinic <clinic@example.org>".to_owned(),
            ca_certificate: None,
        }
    }

    async fn to_folder(message: &Message) -> String {
        let folder = Folder::new();
        let mail = Mail::outbox(&folder.path, "A Clinic <clinic@example.org>").unwrap();
        mail.send(message).await.unwrap();
        mail.send(message).await.unwrap();
        let files = folder.files("mail");
        assert_eq!(files.len(), 2, "a repeated mail is one mail, with its readable form");
        assert!(files[0].0.ends_with(&format!("_{}.eml", key(1))));
        let readable: serde_json::Value = serde_json::from_slice(&files[1].1).unwrap();
        assert_eq!(
            (&readable["to"], &readable["text"]),
            (&json!(message.to_address), &json!(message.text))
        );
        String::from_utf8(files[0].1.clone()).unwrap()
    }

    #[tokio::test]
    async fn outbox_holds_a_whole_mail() {
        let mail = to_folder(&message()).await;
        for line in [
            "Subject: Welcome\r\n",
            "Auto-Submitted: auto-generated\r\n",
            "Date: Fri, 20 Nov 2026 10:00:05 +0000\r\n",
            "Content-Type: text/plain; charset=utf-8\r\n",
            "<p>Hello Asha</p>",
        ] {
            assert!(mail.contains(line), "{line} in {mail}");
        }
        assert!(mail.contains(&format!("Message-ID: <{}@example.org>\r\n", key(1))));
    }

    #[tokio::test]
    async fn what_can_be_switched_off_says_where() {
        assert!(!to_folder(&message()).await.contains("List-Unsubscribe"));
        let link = format!("https://clinic.example.org/unsubscribe/{}", "a".repeat(80));
        let mail = to_folder(&Message { unsubscribe: Some(link.clone()), ..message() }).await;
        let headers = mail.split("\r\n\r\n").next().unwrap().replace("\r\n ", " ");
        assert!(headers.contains(&format!("List-Unsubscribe: <{link}>\r\n")), "{headers}");
        assert!(headers.contains("List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n"));
    }

    #[tokio::test]
    async fn line_breaks_in_names_and_subjects_add_no_header() {
        for line_break in ["\r\n", "\n", "\r"] {
            let attack = format!("Asha{line_break}Bcc: thief@example.org{line_break}{line_break}x");
            let mail = to_folder(&Message {
                to_name: Some(attack.clone()),
                subject: attack,
                html: None,
                ..message()
            })
            .await;
            let headers = mail.split("\r\n\r\n").next().unwrap();
            let is_header = |line: &str| line.trim_start().to_lowercase().starts_with("bcc");
            assert!(!headers.split(['\r', '\n']).any(is_header), "{mail}");
            assert!(mail.trim_end().ends_with("\r\n\r\nHello Asha"), "{mail}");
        }
        let address = "asha@example.org\r\nBcc: thief@example.org".to_owned();
        let folder = Folder::new();
        let mail = Mail::outbox(&folder.path, "clinic@example.org").unwrap();
        let refused = mail.send(&Message { to_address: address, ..message() }).await;
        assert_eq!(refused, Err(PortError::permanent("the recipient is not a mail address")));
    }

    #[test]
    fn no_character_of_a_name_breaks_the_headers() {
        let from = sender("clinic@example.org").unwrap();
        for letter in ('\0'..='\u{2ff}').chain(['\u{2028}', '\u{202e}', 'आ', '👩', '\u{feff}'])
        {
            for text in [letter.to_string(), format!("Asha {letter}Bcc: x@example.org, \"y")] {
                let (to_name, subject) = (Some(text.clone()), text);
                let mail = compose(&from, &Message { to_name, subject, html: None, ..message() });
                let mail = mail.unwrap().formatted();
                let headers = String::from_utf8(mail).unwrap();
                let headers = headers.split("\r\n\r\n").next().unwrap();
                assert!(headers.is_ascii(), "{letter:?}: {headers}");
                let names = headers.split("\r\n").filter(|line| !line.starts_with([' ', '\t']));
                assert_eq!(names.count(), 9, "{letter:?}: {headers}");
            }
        }
    }

    #[tokio::test]
    async fn smtp_delivers_and_tells_later_from_never() {
        for (rcpt, expected) in
            [("250 ok", None), ("450 busy", Some(true)), ("550 no", Some(false))]
        {
            let (port, served) = smtp_server(rcpt).await;
            let mail = Mail::smtp(&settings(port, Security::Plaintext)).unwrap();
            let sent = mail.send(&message()).await;
            assert_eq!(sent.as_ref().err().map(PortError::is_temporary), expected, "{sent:?}");
            let told = served.await.unwrap();
            assert!(told.contains("EHLO example.org\r\n"), "{told}");
            assert!(told.contains("RCPT TO:<asha@example.org>\r\n"), "{told}");
            assert_eq!(told.contains("Hello Asha"), expected.is_none(), "{told}");
        }
    }

    #[tokio::test]
    async fn starttls_that_is_not_offered_sends_nothing() {
        let (port, served) = smtp_server("250 ok").await;
        let mail = Mail::smtp(&settings(port, Security::StartTls)).unwrap();
        assert!(mail.send(&message()).await.unwrap_err().is_temporary());
        assert!(!served.await.unwrap().contains("MAIL"));
    }

    #[tokio::test]
    async fn a_server_that_is_down_is_temporary() {
        let mail = Mail::smtp(&settings(1, Security::Plaintext)).unwrap();
        let error = mail.send(&message()).await.unwrap_err();
        assert!(error.is_temporary());
        assert!(!error.to_string().contains("asha"));
    }

    #[test]
    fn a_password_never_goes_over_plaintext() {
        let login = Some(("user".to_owned(), Secret("password".to_owned())));
        let settings = SmtpSettings { login, ..settings(25, Security::Plaintext) };
        assert!(matches!(Mail::smtp(&settings), Err(PortError::Settings(_))));
    }
}
