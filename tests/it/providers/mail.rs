//! Mail over SMTP, with a real server (aiosmtpd).
//!
//! Skipped, with a line that says so, where that is not installed.

use std::path::PathBuf;

use clinicd_sdk::proto::identity::v1::RegisterAccountRequest;
use clinicd_sdk::proto::r#type::v1::PersonName;
use clinicd_server::kernel::ports::mail::{Message, Security, SmtpSettings};
use clinicd_server::kernel::ports::{Mail, PortError};
use clinicd_server::kernel::secret::Secret;
use clinicd_tests::people::PASSWORD;
use clinicd_tests::smtp::{Offers, SmtpServer};
use clinicd_tests::{World, eventually};
use jiff::SignedDuration;
use uuid::Uuid;

fn message(to: &str) -> Message {
    Message {
        key: Uuid::from_u128(0x0198_c0de_0000_7000_8000_0000_0000_0001),
        at: "2026-11-20T10:00:05Z".parse().unwrap(),
        to_name: Some("Asha Rao".to_owned()),
        to_address: to.to_owned(),
        subject: "Your visit".to_owned(),
        text: "See you tomorrow.".to_owned(),
        html: Some("<p>See you tomorrow.</p>".to_owned()),
        unsubscribe: None,
    }
}

async fn send(settings: &SmtpSettings, message: &Message) -> Result<(), PortError> {
    Mail::smtp(settings).unwrap().send(message).await
}

fn code(error: &PortError) -> Option<u32> {
    match error {
        PortError::Temporary { code, .. } | PortError::Permanent { code, .. } => *code,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_arrives_in_both_forms_over_tls() {
    let Some(server) = SmtpServer::start("arrives", Offers::StartTls).await else { return };
    send(&server.settings(), &message("asha@example.org")).await.unwrap();
    let received = server.mail_to("asha@example.org").await;
    assert!(received.tls);
    assert_eq!(received.user.as_deref(), Some("clinicd"));
    assert_eq!(received.from, "no-reply@clinic.example");
    for part in [
        "From: \"A Clinic\" <no-reply@clinic.example>\r\n",
        "To: \"Asha Rao\" <asha@example.org>\r\n",
        "Subject: Your visit\r\n",
        "Date: Fri, 20 Nov 2026 10:00:05 +0000\r\n",
        "Message-ID: <0198c0de-0000-7000-8000-000000000001@clinic.example>\r\n",
        "Auto-Submitted: auto-generated\r\n",
        "Content-Type: multipart/alternative;",
        "Content-Type: text/plain; charset=utf-8\r\n",
        "\r\n\r\nSee you tomorrow.\r\n",
        "Content-Type: text/html; charset=utf-8\r\n",
        "\r\n\r\n<p>See you tomorrow.</p>\r\n",
    ] {
        assert!(received.mail.contains(part), "{part} in {}", received.mail);
    }
    // Sent once more, it is the same mail by its id, for mail programs that look.
    send(&server.settings(), &message("asha@example.org")).await.unwrap();
    let mails = server.received();
    let id =
        |mail: &str| mail.lines().find(|line| line.starts_with("Message-ID")).unwrap().to_owned();
    assert_eq!(id(&mails[0].mail), id(&mails[1].mail));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_people_write_becomes_a_header_a_recipient_or_another_mail() {
    let Some(server) = SmtpServer::start("injection", Offers::StartTls).await else { return };
    let settings = server.settings();
    let attack = "x\r\nBcc: thief@example.org\r\n\r\n.\r\nMAIL FROM:<thief@example.org>\r\n\
                  RCPT TO:<thief@example.org>\r\nDATA\r\nSubject: second\r\n\r\nsecond\r\n.\r\n";
    let bare = attack.replace("\r\n", "\n");
    for (number, attack) in [attack, &bare, "\r.\r", "."].into_iter().enumerate() {
        let to = format!("asha{number}@example.org");
        let mail = Message {
            to_name: Some(attack.to_owned()),
            subject: attack.to_owned(),
            text: attack.to_owned(),
            html: Some(attack.to_owned()),
            unsubscribe: Some(attack.to_owned()),
            ..message(&to)
        };
        send(&settings, &mail).await.unwrap();
        let received = server.mail_to(&to).await;
        assert_eq!(received.to, [to]);
        let (headers, _) = received.mail.split_once("\r\n\r\n").unwrap();
        let is_header = |line: &str| line.to_lowercase().starts_with("bcc");
        assert!(!headers.split(['\r', '\n']).any(is_header), "{headers}");
    }
    for line_break in ["\r\n", "\n", "\r"] {
        let address = format!("asha@example.org>{line_break}RCPT TO:<thief@example.org");
        assert!(!send(&settings, &message(&address)).await.unwrap_err().is_temporary());
    }
    assert_eq!(server.received().len(), 4);
    assert!(server.received().iter().all(|mail| mail.from == "no-reply@clinic.example"));
}

/// Who it cannot be sure to speak to hears of no mail. An operator mends that, and the mail can
/// still go: it is tried again.
///
/// Seen to fail with `Tls::Opportunistic` in place of `Tls::Required`: the server without STARTTLS was
/// spoken to.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_not_the_right_one_gets_no_mail() {
    let Some(server) = SmtpServer::start("stranger", Offers::StartTls).await else { return };
    let Some(plain) = SmtpServer::start("plain", Offers::Plaintext).await else { return };
    let right = server.settings();
    let with = |ca_certificate: Option<PathBuf>| SmtpSettings { ca_certificate, ..right.clone() };
    let strangers = [
        ("the name is another", SmtpSettings { host: "127.0.0.1".to_owned(), ..right.clone() }),
        ("its authority is another", with(Some(server.other_authority()))),
        ("its authority is none of the machine's", with(None)),
        ("it offers no STARTTLS", plain.settings_for(&right)),
        ("it speaks no TLS at once", SmtpSettings { security: Security::Tls, ..right.clone() }),
    ];
    for (what, settings) in strangers {
        let error = send(&settings, &message("asha@example.org")).await.unwrap_err();
        assert!(error.is_temporary(), "{what}: {error}");
    }
    assert!(server.received().is_empty() && plain.received().is_empty());
    let nonsense = with(Some(PathBuf::from("/nowhere/ca.pem")));
    assert!(matches!(Mail::smtp(&nonsense), Err(PortError::Settings(_))));
    // The right one does, and the plain one as well where the settings say that it is.
    send(&right, &message("asha@example.org")).await.unwrap();
    let settings = plain.settings_for(&right);
    let settings = SmtpSettings { security: Security::Plaintext, login: None, ..settings };
    send(&settings, &message("asha@example.org")).await.unwrap();
    server.mail_to("asha@example.org").await;
    assert!(!plain.mail_to("asha@example.org").await.tls);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_for_now_or_for_good_and_repeats_no_address() {
    let Some(server) = SmtpServer::start("refusals", Offers::StartTls).await else { return };
    let right = server.settings();
    let login = |user: &str, password: &str| SmtpSettings {
        login: Some((user.to_owned(), Secret(password.to_owned()))),
        ..right.clone()
    };
    for (what, settings, to, temporary, expected) in [
        ("busy", right.clone(), "busy@example.org", true, 451),
        ("unknown", right.clone(), "unknown@example.org", false, 550),
        ("full", right.clone(), "full@example.org", false, 552),
        ("wrong password", login("clinicd", "egrets"), "asha@example.org", true, 535),
        ("wrong user", login("nobody", "herons"), "asha@example.org", true, 535),
        ("no login", SmtpSettings { login: None, ..right.clone() }, "asha@example.org", true, 530),
    ] {
        let error = send(&settings, &message(to)).await.unwrap_err();
        assert_eq!((error.is_temporary(), code(&error)), (temporary, Some(expected)), "{what}");
        assert!(!error.to_string().contains("example.org"), "{error}");
    }
    assert!(server.received().is_empty());
    let mail = Mail::smtp(&right).unwrap();
    drop(server);
    assert!(mail.send(&message("asha@example.org")).await.unwrap_err().is_temporary());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_that_was_refused_for_now_arrives_later() {
    let Some(server) = SmtpServer::start("later", Offers::StartTls).await else { return };
    let world = World::start_with(|config| config.smtp = Some(server.settings())).await;
    let request = RegisterAccountRequest {
        email: "grey@example.org".to_owned(),
        password: PASSWORD.to_owned(),
        name: Some(PersonName { given: "Asha".to_owned(), family: "Rao".to_owned() }),
        ..Default::default()
    };
    world.client().send(request).await.unwrap();
    let arrived = async || {
        world.advance(SignedDuration::from_secs(2));
        !server.received().is_empty()
    };
    eventually("the mail arrives", arrived).await;
    let received = server.mail_to("grey@example.org").await;
    assert!(received.mail.contains("token="), "{}", received.mail);
    world.finish().await;
    assert_eq!(server.received().len(), 1);
}
