use minijinja::Environment;
use minijinja::value::Serde;
use serde_json::json;

use super::{Locale, LocaleError, Locales, MailKind, SmsKind, Texts};

/// The frame of every HTML part. Only names that end in `.html` are escaped.
pub(super) const WRAPPER: &str = "wrapper.html";

/// A mail in one language.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenderedMail {
    /// One line.
    pub subject: String,
    /// The body as plain text.
    pub text: String,
    /// The same body as a whole HTML document.
    pub html: String,
}

impl Locales {
    /// Writes a mail. `values` are those that the kind needs; one that is missing is an error.
    pub fn mail(
        &self,
        locale: Locale,
        kind: MailKind,
        values: &serde_json::Value,
    ) -> Result<RenderedMail, LocaleError> {
        let subject = self.fill(locale, &format!("mail/{}/subject", kind.key()), values)?;
        // A name may not break the line, whatever it holds.
        let subject = subject.split_whitespace().collect::<Vec<_>>().join(" ");
        let body = self.fill(locale, &format!("mail/{}/text", kind.key()), values)?;
        let footer = &self.texts(locale).mail_footer;
        let html = self.wrap(locale, &subject, &body, values)?;
        Ok(RenderedMail { subject, text: format!("{body}\n\n{footer}\n"), html })
    }

    /// Writes a text message. `values` are those that the kind needs; one that is missing is an
    /// error.
    pub fn sms(
        &self,
        locale: Locale,
        kind: SmsKind,
        values: &serde_json::Value,
    ) -> Result<String, LocaleError> {
        self.fill(locale, &format!("sms/{}", kind.key()), values)
    }

    /// The text of a template in this locale, or else in English, with no empty line twice.
    fn fill(
        &self,
        locale: Locale,
        name: &str,
        values: &serde_json::Value,
    ) -> Result<String, LocaleError> {
        let templates = &self.inner.templates;
        let own = format!("{}/{name}", locale.tag());
        let template = templates
            .get_template(&own)
            .or_else(|_| templates.get_template(&format!("{}/{name}", Locale::En.tag())))
            .map_err(|error| fault(&own, &error))?;
        let text =
            template.render(Serde(values)).map_err(|error| fault(template.name(), &error))?;
        let paragraphs: Vec<&str> =
            text.split("\n\n").map(str::trim).filter(|paragraph| !paragraph.is_empty()).collect();
        Ok(paragraphs.join("\n\n"))
    }

    /// The body as HTML: its paragraphs and lines, and `link`, where it is a line of its own, as
    /// a link.
    fn wrap(
        &self,
        locale: Locale,
        subject: &str,
        body: &str,
        values: &serde_json::Value,
    ) -> Result<String, LocaleError> {
        let link = values.get("link").and_then(|link| link.as_str());
        let link = link.filter(|link| link.starts_with("https://") || link.starts_with("http://"));
        let paragraphs: Vec<Vec<&str>> =
            body.split("\n\n").map(|paragraph| paragraph.lines().collect()).collect();
        let page = json!({
            "lang": locale.tag(),
            "subject": subject,
            "paragraphs": paragraphs,
            "link": link,
            "footer": self.texts(locale).mail_footer,
        });
        self.inner
            .templates
            .get_template(WRAPPER)
            .and_then(|wrapper| wrapper.render(Serde(&page)))
            .map_err(|error| fault(WRAPPER, &error))
    }
}

/// Compiles the templates of a locale.
pub(super) fn add_templates(
    templates: &mut Environment<'static>,
    locale: Locale,
    texts: &Texts,
) -> Result<(), LocaleError> {
    let tag = locale.tag();
    let mut add = |name: String, source: &String| {
        templates
            .add_template_owned(name.clone(), source.clone())
            .map_err(|error| fault(&name, &error))
    };
    for (key, mail) in &texts.mail {
        add(format!("{tag}/mail/{key}/subject"), &mail.subject)?;
        add(format!("{tag}/mail/{key}/text"), &mail.text)?;
    }
    for (key, sms) in &texts.sms {
        add(format!("{tag}/sms/{key}"), sms)?;
    }
    Ok(())
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
    fn every_kind_renders_its_sample_in_every_locale() {
        let locales = Locales::load().unwrap();
        for locale in Locale::ALL {
            let texts = locales.texts(locale);
            assert_eq!(texts.mail.len(), MailKind::ALL.len());
            assert_eq!(texts.sms.len(), SmsKind::ALL.len());
            for &kind in MailKind::ALL {
                assert_eq!(MailKind::from_key(kind.key()), Some(kind));
                let mail = locales.mail(locale, kind, &kind.sample()).unwrap();
                assert!(mail.text.contains("Asha Rao"), "{}", mail.text);
                assert!(mail.text.ends_with(&format!("\n\n{}\n", texts.mail_footer)));
                assert!(mail.html.contains(&format!("<html lang=\"{}\">", locale.tag())));
                for part in [&mail.subject, &mail.text, &mail.html] {
                    assert!(!part.is_empty() && !part.contains("{{") && !part.contains("none"));
                }
                assert!(!mail.text.contains("\n\n\n"), "{}", mail.text);
            }
            for &kind in SmsKind::ALL {
                let sms = locales.sms(locale, kind, &kind.sample()).unwrap();
                assert!(!sms.is_empty() && !sms.contains('\n'), "{sms}");
            }
        }
    }

    #[test]
    fn a_missing_value_is_an_error_that_repeats_no_value() {
        let locales = Locales::load().unwrap();
        for &kind in MailKind::ALL {
            let sample = kind.sample();
            for field in sample.as_object().unwrap().keys() {
                let mut values = sample.clone();
                values.as_object_mut().unwrap().remove(field);
                let error = locales.mail(Locale::En, kind, &values).unwrap_err();
                assert!(!error.to_string().contains("Asha"), "{error}");
            }
        }
    }

    #[test]
    fn only_the_html_part_is_escaped() {
        let locales = Locales::load().unwrap();
        let values = json!({ "name": "<b>Asha</b> & Co\r\nBcc: x@example.org" });
        let mail = locales.mail(Locale::En, MailKind::Welcome, &values).unwrap();
        assert!(mail.text.contains("Hello <b>Asha</b> & Co"));
        assert!(mail.html.contains("Hello &lt;b&gt;Asha&lt;&#x2f;b&gt; &amp; Co"), "{}", mail.html);
        let booked = json!({
            "name": "x", "doctor": "x", "start": "a\r\nBcc: b", "clinic": null, "cancel_hours": 1,
        });
        let mail = locales.mail(Locale::En, MailKind::AppointmentBooked, &booked).unwrap();
        assert_eq!(mail.subject, "Your visit on a Bcc: b");
    }

    #[test]
    fn choices_in_a_mail() {
        let locales = Locales::load().unwrap();
        let booked = |clinic: Option<&str>, hours: u32| {
            let values = json!({
                "name": "Asha", "doctor": "Dr. Iyer", "start": "today",
                "clinic": clinic, "cancel_hours": hours,
            });
            locales.mail(Locale::En, MailKind::AppointmentBooked, &values).unwrap().text
        };
        let mail = booked(None, 1);
        assert!(mail.contains("Doctor: Dr. Iyer\nTime: today\nPlace: online, in the app\n\nIf"));
        assert!(mail.contains("up to 1 hour before"), "{mail}");
        assert!(booked(Some("Lake View"), 24).contains("Place: Lake View\n\nIf"));
        assert!(booked(None, 24).contains("up to 24 hours before"));
        assert!(booked(None, 0).contains("cancel in the app before the visit"));

        let kind = MailKind::OnboardingChangesRequested;
        let mail = locales.mail(Locale::En, kind, &kind.sample()).unwrap();
        assert!(mail.text.contains("read.\n- Professional details: "), "{}", mail.text);
    }

    #[test]
    fn a_link_is_a_link_only_where_it_is_ours() {
        let locales = Locales::load().unwrap();
        let html = |link: serde_json::Value, name: &str| {
            let values =
                json!({ "name": name, "link": link, "token": "3fT9kQ", "valid_minutes": 30 });
            locales.mail(Locale::En, MailKind::AccountActivation, &values).unwrap().html
        };
        let ours = html(json!("https://clinic.example/a?t=1&u=2"), "x\n\nhttps://evil.example");
        assert_eq!(ours.matches("<a href=").count(), 1, "{ours}");
        assert!(ours.contains("clinic.example&#x2f;a?t=1&amp;u=2\">"), "{ours}");
        assert!(!html(json!("javascript:alert(1)"), "x").contains("<a href="));
        let without = html(json!(null), "x");
        assert!(without.contains("in the app: 3fT9kQ") && !without.contains("<a href="));
    }
}
