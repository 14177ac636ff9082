//! The texts of all messages, word for word: whoever changes one sees here how people get it.

use std::fmt::Write as _;

use clinicd_sdk::Code;
use clinicd_sdk::proto::notifications::v1::{ListTemplatesRequest, PreviewTemplateRequest};
use clinicd_server::kernel::locale::{Locale, Locales, NoticeKind};
use clinicd_tests::{World, refused};
use serde_json::{Value, json};

/// Letters of one text message in English.
const SMS: usize = 160;
/// UTF-16 units of three text messages in another script, which are joined.
const THREE_SMS: usize = 3 * 67;

/// The values in the place of the samples that make a message read otherwise.
fn otherwise(kind: NoticeKind) -> Vec<Value> {
    match kind {
        NoticeKind::AccountActivation => vec![json!({ "link": null })],
        NoticeKind::StaffInvitation => vec![json!({ "specialty": null })],
        NoticeKind::AppointmentBooked => {
            vec![json!({ "clinic": null, "cancel_hours": 1 }), json!({ "cancel_hours": 0 })]
        }
        NoticeKind::AppointmentReminder => {
            vec![json!({ "clinic": null, "cancel_hours": 0 }), json!({ "lead": "hour" })]
        }
        NoticeKind::ContactChanged => {
            vec![json!({ "old": false }), json!({ "contact": "phone" })]
        }
        NoticeKind::Birthday => vec![json!({ "unsubscribe": null })],
        _ => Vec::new(),
    }
}

fn with(mut sample: Value, other: &Value) -> Value {
    let fields = sample.as_object_mut().unwrap();
    fields.extend(other.as_object().unwrap().clone());
    sample
}

/// Every message in a language.
fn book(locales: &Locales, locale: Locale) -> String {
    let mut book = String::new();
    let mut write = |heading: &str, kind: NoticeKind, values: &Value| {
        let notice = locales.notice(locale, kind, values).unwrap();
        let (title, short, text) = (notice.title, notice.short, notice.text);
        write!(book, "# {heading}\nTitle: {title}\nShort: {short}\n\n{text}\n\n").unwrap();
    };
    for &kind in NoticeKind::ALL {
        let sample = locales.sample(locale, kind);
        write(kind.key(), kind, &sample);
        for other in otherwise(kind) {
            write(&format!("{} {other}", kind.key()), kind, &with(sample.clone(), &other));
        }
    }
    book
}

#[test]
fn every_message_reads_as_it_was_agreed() {
    let locales = Locales::load().unwrap();
    let settings = || {
        let mut settings = insta::Settings::clone_current();
        settings.set_prepend_module_to_snapshot(false);
        settings.set_omit_expression(true);
        settings.set_snapshot_path("../../snapshots");
        settings
    };
    settings().bind(|| {
        for locale in Locale::ALL {
            let tag = locale.tag();
            insta::assert_snapshot!(format!("messages_{tag}"), book(&locales, locale));
            let html =
                [NoticeKind::AccountRecovery, NoticeKind::AppointmentBooked, NoticeKind::Birthday]
                    .map(|kind| locales.preview(locale, kind).unwrap().html);
            insta::assert_snapshot!(format!("mails_{tag}"), html.join("\n"));
        }
    });
}

#[test]
fn short_texts_fit_into_text_messages_and_tell_no_secret() {
    let locales = Locales::load().unwrap();
    for locale in Locale::ALL {
        for &kind in NoticeKind::ALL {
            let sample = locales.sample(locale, kind);
            let samples = otherwise(kind).iter().map(|other| with(sample.clone(), other)).collect();
            for values in [vec![sample.clone()], samples].concat() {
                let (title, short) = locales.short(locale, kind, &values).unwrap();
                let fits = match locale {
                    Locale::En => short.is_ascii() && short.len() <= SMS,
                    Locale::Hi => short.encode_utf16().count() <= THREE_SMS,
                };
                assert!(fits && !short.is_empty(), "{} {locale:?}: {short}", kind.key());
                assert_eq!(title.is_empty(), !kind.has_mail(), "{}", kind.key());
                for secret in ["3fT9kQ", "http"] {
                    assert!(!short.contains(secret) && !title.contains(secret), "{short}");
                }
            }
        }
    }
}

#[test]
fn a_value_that_is_missing_is_an_error_that_repeats_no_value() {
    let locales = Locales::load().unwrap();
    for locale in Locale::ALL {
        for &kind in NoticeKind::ALL {
            let sample = kind.sample();
            // The link to unsubscribe may be missing: most messages have none.
            for field in sample.as_object().unwrap().keys().filter(|name| *name != "unsubscribe") {
                let mut values = sample.clone();
                values.as_object_mut().unwrap().remove(field);
                let error = locales.notice(locale, kind, &values).unwrap_err();
                assert!(!error.to_string().contains("Asha"), "{error}");
            }
        }
    }
}

#[test]
fn the_version_of_a_message_is_its_own() {
    let locales = Locales::load().unwrap();
    let mut versions: Vec<&str> = Vec::new();
    for locale in Locale::ALL {
        versions.extend(NoticeKind::ALL.iter().map(|&kind| locales.version(locale, kind)));
    }
    assert!(versions.iter().all(|version| version.len() == 12));
    versions.sort_unstable();
    versions.dedup();
    assert_eq!(versions.len(), Locale::ALL.len() * NoticeKind::ALL.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn admins_see_the_templates_and_how_they_look() {
    let world = World::start().await;
    let admin = world.admin().await;
    let listed = admin.client.send(ListTemplatesRequest {}).await.unwrap().templates;
    assert_eq!(listed.len(), NoticeKind::ALL.len());
    let preview = |kind: &str, language: &str| {
        admin.client.send(PreviewTemplateRequest { kind: kind.into(), language: language.into() })
    };
    for template in &listed {
        for language in &template.languages {
            let shown = preview(&template.kind, &language.language).await.unwrap();
            assert_eq!((&shown.language, &shown.version), (&language.language, &language.version));
            let has_mail = template.kind != "one_time_code";
            assert_eq!(has_mail, shown.html.contains("<html"), "{}", template.kind);
        }
    }
    refused(preview("no_such", "en").await, Code::NotFound, "NOT_FOUND");
    let asha = world.patient().await;
    let asked = asha.client.send(ListTemplatesRequest {}).await;
    refused(asked, Code::PermissionDenied, "ROLE_REQUIRED");
    world.finish().await;
}
