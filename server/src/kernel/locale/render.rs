use std::collections::HashMap;
use std::fmt::Write as _;

use minijinja::Environment;
use minijinja::value::Serde;
use serde_json::{Value, json};

use super::{Locale, LocaleError, Locales, NoticeKind, NoticeTexts, Texts};
use crate::kernel::crypto::{framed, sha256};

/// The frame of every HTML part. Only names that end in `.html` are escaped.
pub(super) const WRAPPER: &str = "wrapper.html";
/// Its source.
pub(super) const WRAPPER_SOURCE: &str = include_str!("../../../locales/wrapper.html");

/// Digits of a version: enough that two texts of one message never share them.
const VERSION_DIGITS: usize = 12;

/// A message in one language, for all channels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenderedNotice {
    /// Subject of the mail, title of push message and inbox: one line. Empty for a kind without a
    /// mail.
    pub title: String,
    /// The mail as plain text; empty for a kind without one.
    pub text: String,
    /// The same mail as a whole HTML document; empty for a kind without one.
    pub html: String,
    /// The text message, body of push message and inbox: one line. Empty for a kind without one.
    pub short: String,
}

impl Locales {
    /// Writes a message in all its forms. `values` are those that the kind needs; one that is
    /// missing is an error.
    pub fn notice(
        &self,
        locale: Locale,
        kind: NoticeKind,
        values: &Value,
    ) -> Result<RenderedNotice, LocaleError> {
        let (title, short) = self.short(locale, kind, values)?;
        if !kind.has_mail() {
            return Ok(RenderedNotice { title, text: String::new(), html: String::new(), short });
        }
        let body = self.fill(locale, kind, "text", values)?;
        let html =
            self.wrap(locale, kind, &Parts { title: &title, short: &short, body: &body }, values)?;
        let texts = self.texts(locale);
        let mut text = format!("{body}\n\n{}\n", texts.mail_footer);
        if let Some(link) = web_link(values, "unsubscribe") {
            // Writing into a string does not fail.
            let _ = write!(text, "\n{}\n{link}\n", texts.mail_unsubscribe);
        }
        Ok(RenderedNotice { title, text, html, short })
    }

    /// Writes title and short text of a message, as push messages and the inbox show it. `values`
    /// are those that the kind needs; one that is missing is an error.
    pub fn short(
        &self,
        locale: Locale,
        kind: NoticeKind,
        values: &Value,
    ) -> Result<(String, String), LocaleError> {
        let line =
            |part, exists: bool| exists.then(|| self.fill(locale, kind, part, values)).transpose();
        let title = line("subject", kind.has_mail())?.unwrap_or_default();
        let short = line("short", kind.has_short())?.unwrap_or_default();
        Ok((one_line(&title), one_line(&short)))
    }

    /// The version of a message's templates in a language, twelve hexadecimal digits: it changes
    /// when a word of them, of the footer or of the frame changes.
    #[must_use]
    pub fn version(&self, locale: Locale, kind: NoticeKind) -> &str {
        self.inner.versions.get(&(locale, kind)).map_or("", String::as_str)
    }

    /// One part of a message in this locale, or else in English, with no empty line twice.
    fn fill(
        &self,
        locale: Locale,
        kind: NoticeKind,
        part: &str,
        values: &Value,
    ) -> Result<String, LocaleError> {
        let templates = &self.inner.templates;
        let own = name(locale, kind.key(), part);
        let template = templates
            .get_template(&own)
            .or_else(|_| templates.get_template(&name(Locale::En, kind.key(), part)))
            .map_err(|error| fault(&own, &error))?;
        let text =
            template.render(Serde(values)).map_err(|error| fault(template.name(), &error))?;
        let paragraphs: Vec<&str> =
            text.split("\n\n").map(str::trim).filter(|paragraph| !paragraph.is_empty()).collect();
        Ok(paragraphs.join("\n\n"))
    }

    /// The body as HTML: its paragraphs and lines; where `link` is a paragraph of its own, a
    /// button and the link as it is.
    fn wrap(
        &self,
        locale: Locale,
        kind: NoticeKind,
        parts: &Parts<'_>,
        values: &Value,
    ) -> Result<String, LocaleError> {
        let texts = self.texts(locale);
        let paragraphs: Vec<Vec<&str>> =
            parts.body.split("\n\n").map(|paragraph| paragraph.lines().collect()).collect();
        let link = web_link(values, "link");
        let page = json!({
            "lang": locale.tag(),
            "subject": parts.title,
            "preheader": parts.short,
            "paragraphs": paragraphs,
            "link": link,
            "button": self.notice_texts(locale, kind).and_then(|texts| texts.button.as_deref()).or(link),
            "footer": texts.mail_footer,
            "unsubscribe": web_link(values, "unsubscribe"),
            "unsubscribe_button": texts.mail_unsubscribe_button,
        });
        self.inner
            .templates
            .get_template(WRAPPER)
            .and_then(|wrapper| wrapper.render(Serde(&page)))
            .map_err(|error| fault(WRAPPER, &error))
    }

    /// The sources of a message in this locale, or else in English.
    fn notice_texts(&self, locale: Locale, kind: NoticeKind) -> Option<&NoticeTexts> {
        let english = &self.inner.english;
        self.texts(locale).notice.get(kind.key()).or_else(|| english.notice.get(kind.key()))
    }
}

/// What is ready of a mail before its HTML is made.
struct Parts<'a> {
    title: &'a str,
    short: &'a str,
    body: &'a str,
}

/// A value that is a link into the web.
fn web_link<'a>(values: &'a Value, name: &str) -> Option<&'a str> {
    let link = values.get(name).and_then(Value::as_str);
    link.filter(|link| link.starts_with("https://") || link.starts_with("http://"))
}

/// A value may not break the line, whatever it holds.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Name of a template.
fn name(locale: Locale, key: &str, part: &str) -> String {
    format!("{}/{key}/{part}", locale.tag())
}

/// Compiles the templates of a locale, and checks that there is what each kind needs.
pub(super) fn add_templates(
    templates: &mut Environment<'static>,
    locale: Locale,
    texts: &Texts,
) -> Result<(), LocaleError> {
    for (key, notice) in &texts.notice {
        let kind = NoticeKind::from_key(key).ok_or_else(|| unfit(locale, key, "is no kind"))?;
        if notice.subject.is_some() != kind.has_mail() || notice.text.is_some() != kind.has_mail() {
            return Err(unfit(locale, key, "has a mail or has none, against its kind"));
        }
        if notice.short.is_some() != kind.has_short() {
            return Err(unfit(locale, key, "has a short text or has none, against its kind"));
        }
        for (part, source) in notice.parts() {
            let name = name(locale, key, part);
            templates
                .add_template_owned(name.clone(), source.to_owned())
                .map_err(|error| fault(&name, &error))?;
        }
    }
    Ok(())
}

/// The versions of all messages in a locale. A message that English lacks is an error.
pub(super) fn versions(
    locale: Locale,
    texts: &Texts,
    english: &Texts,
) -> Result<HashMap<(Locale, NoticeKind), String>, LocaleError> {
    let version = |kind: NoticeKind| {
        let key = kind.key();
        let own = texts.notice.get(key).or_else(|| english.notice.get(key));
        let notice = own.ok_or_else(|| unfit(Locale::En, key, "is missing"))?;
        let mut sources: Vec<&[u8]> = Vec::new();
        for (part, source) in notice.parts() {
            sources.extend([part.as_bytes(), source.as_bytes()]);
        }
        if kind.has_mail() {
            let frame = [
                notice.button.as_deref().unwrap_or_default(),
                &texts.mail_footer,
                &texts.mail_unsubscribe,
                &texts.mail_unsubscribe_button,
                WRAPPER_SOURCE,
            ];
            sources.extend(frame.map(str::as_bytes));
        }
        let mut version = hex::encode(sha256(&framed(&sources)));
        version.truncate(VERSION_DIGITS);
        Ok(((locale, kind), version))
    };
    NoticeKind::ALL.iter().copied().map(version).collect()
}

fn unfit(locale: Locale, key: &str, why: &str) -> LocaleError {
    LocaleError::Resource { tag: locale.tag(), why: format!("notice.{key} {why}") }
}

/// Takes place and kind of a template's error, not its text: that may repeat a value.
pub(super) fn fault(template: &str, error: &minijinja::Error) -> LocaleError {
    LocaleError::Render { template: template.to_owned(), line: error.line(), kind: error.kind() }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn only_the_html_part_is_escaped() {
        let locales = Locales::load().unwrap();
        let values = json!({ "name": "<b>Asha</b> & Co\r\nBcc: x@example.org" });
        let mail = locales.notice(Locale::En, NoticeKind::Welcome, &values).unwrap();
        assert!(mail.text.contains("Hello <b>Asha</b> & Co"));
        assert!(mail.html.contains("Hello &lt;b&gt;Asha&lt;&#x2f;b&gt; &amp; Co"), "{}", mail.html);
        let booked = json!({
            "name": "x", "doctor": "x", "start": "a\r\nBcc: b", "clinic": null, "cancel_hours": 1,
        });
        let mail = locales.notice(Locale::En, NoticeKind::AppointmentBooked, &booked).unwrap();
        assert_eq!(mail.title, "Your visit on a Bcc: b");
    }

    #[test]
    fn choices_in_a_mail() {
        let locales = Locales::load().unwrap();
        let booked = |clinic: Option<&str>, hours: u32| {
            let values = json!({
                "name": "Asha", "doctor": "Dr. Iyer", "start": "today",
                "clinic": clinic, "cancel_hours": hours,
            });
            locales.notice(Locale::En, NoticeKind::AppointmentBooked, &values).unwrap().text
        };
        let mail = booked(None, 1);
        assert!(mail.contains("Doctor: Dr. Iyer\nTime: today\nPlace: online, in the app\n\nIf"));
        assert!(mail.contains("up to 1 hour before"), "{mail}");
        assert!(booked(Some("Lake View"), 24).contains("Place: Lake View\n\nIf"));
        assert!(booked(None, 24).contains("up to 24 hours before"));
        assert!(booked(None, 0).contains("cancel in the app before the visit"));

        let kind = NoticeKind::OnboardingChangesRequested;
        let mail = locales.notice(Locale::En, kind, &kind.sample()).unwrap();
        assert!(mail.text.contains("read.\n- Professional details: "), "{}", mail.text);
    }

    #[test]
    fn a_link_is_a_link_only_where_it_is_ours() {
        let locales = Locales::load().unwrap();
        let html = |link: serde_json::Value, name: &str| {
            let values =
                json!({ "name": name, "link": link, "token": "3fT9kQ", "valid_minutes": 30 });
            locales.notice(Locale::En, NoticeKind::AccountActivation, &values).unwrap().html
        };
        let ours = html(json!("https://clinic.example/a?t=1&u=2"), "x\n\nhttps://evil.example");
        assert_eq!(ours.matches("<a ").count(), 2, "a button and the link: {ours}");
        let href = "href=\"https:&#x2f;&#x2f;clinic.example&#x2f;a?t=1&amp;u=2\"";
        assert_eq!(ours.matches(href).count(), 2, "{ours}");
        assert!(!html(json!("javascript:alert(1)"), "x").contains("<a "));
        let without = html(json!(null), "x");
        assert!(without.contains("in the app: 3fT9kQ") && !without.contains("<a "));
    }
}
