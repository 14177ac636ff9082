//! Every text that reaches a person, in their language.
//!
//! The texts stand in `server/locales/<tag>.toml`, compiled into the program and parsed once at
//! start. English is complete; a text that another locale lacks is taken from it. A new locale is
//! one file and one variant of [`Locale`] with its row.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use jiff::{Zoned, civil::Date};
use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, UndefinedBehavior};
use serde::Deserialize;

mod current;
mod kinds;
mod negotiate;
mod render;
mod samples;

pub use current::{CURRENT, current, error_text, of_header, texts};
pub use kinds::NoticeKind;
pub use negotiate::negotiate;
pub use render::RenderedNotice;

/// A language that the texts exist in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Locale {
    /// English.
    #[default]
    En,
    /// Hindi.
    Hi,
}

impl Locale {
    /// All locales.
    pub const ALL: [Self; 2] = [Self::En, Self::Hi];

    /// The language tag, BCP 47.
    #[must_use]
    pub const fn tag(self) -> &'static str {
        self.row().0
    }

    /// The table of locales: tag and texts.
    const fn row(self) -> (&'static str, &'static str) {
        match self {
            Self::En => ("en", include_str!("../../../locales/en.toml")),
            Self::Hi => ("hi", include_str!("../../../locales/hi.toml")),
        }
    }
}

/// Why a text could not be made. Carries no value that a text was made with.
#[derive(Debug, thiserror::Error)]
pub enum LocaleError {
    /// A resource file is not as it should be.
    #[error("texts of locale {tag}: {why}")]
    Resource {
        /// The locale's tag.
        tag: &'static str,
        /// Where and what.
        why: String,
    },
    /// A template and the values given to it do not fit.
    #[error("template {template}, line {line:?}: {kind}")]
    Render {
        /// Name of the template.
        template: String,
        /// Line in the template.
        line: Option<usize>,
        /// What is wrong.
        kind: minijinja::ErrorKind,
    },
}

/// The texts of all locales. Cheap to clone.
#[derive(Clone)]
pub struct Locales {
    inner: Arc<Inner>,
}

struct Inner {
    english: Texts,
    others: BTreeMap<Locale, Texts>,
    templates: Environment<'static>,
    versions: HashMap<(Locale, NoticeKind), String>,
}

/// One resource file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Texts {
    fallback_error: String,
    mail_footer: String,
    mail_unsubscribe: String,
    mail_unsubscribe_button: String,
    time: TimeTexts,
    errors: BTreeMap<String, String>,
    labels: BTreeMap<String, String>,
    /// Made-up values for previews.
    sample: BTreeMap<String, String>,
    notice: BTreeMap<String, NoticeTexts>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TimeTexts {
    /// From Monday.
    weekdays: [String; 7],
    months: [String; 12],
    date: String,
    date_time: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NoticeTexts {
    /// Subject of the mail, title of push message and inbox.
    subject: Option<String>,
    /// The mail.
    text: Option<String>,
    /// What the button says that opens the mail's link.
    button: Option<String>,
    /// The text message, body of push message and inbox.
    short: Option<String>,
}

impl NoticeTexts {
    /// The templates that there are, by name.
    fn parts(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let all = [("subject", &self.subject), ("text", &self.text), ("short", &self.short)];
        all.into_iter().filter_map(|(part, source)| Some((part, source.as_deref()?)))
    }
}

impl Locales {
    /// Parses all resource files and templates.
    pub fn load() -> Result<Self, LocaleError> {
        let mut templates = Environment::new();
        templates.set_undefined_behavior(UndefinedBehavior::Strict);
        // Block tags on lines of their own leave no empty lines behind.
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        templates.set_syntax(syntax.map_err(|error| render::fault("syntax", &error))?);
        templates
            .add_template(render::WRAPPER, render::WRAPPER_SOURCE)
            .map_err(|error| render::fault(render::WRAPPER, &error))?;
        let english = Texts::parse(Locale::En)?;
        render::add_templates(&mut templates, Locale::En, &english)?;
        let mut versions = render::versions(Locale::En, &english, &english)?;
        let mut others = BTreeMap::new();
        for locale in Locale::ALL.into_iter().filter(|locale| *locale != Locale::En) {
            let texts = Texts::parse(locale)?;
            render::add_templates(&mut templates, locale, &texts)?;
            versions.extend(render::versions(locale, &texts, &english)?);
            others.insert(locale, texts);
        }
        Ok(Self { inner: Arc::new(Inner { english, others, templates, versions }) })
    }

    /// What to do about an error, one or two sentences. A reason without a text of its own gets a
    /// general one.
    #[must_use]
    pub fn error_text(&self, locale: Locale, reason: &str) -> &str {
        let texts = self.texts(locale);
        texts
            .errors
            .get(reason)
            .or_else(|| self.inner.english.errors.get(reason))
            .unwrap_or(&texts.fallback_error)
    }

    /// A short text of a document or form. A key without a text is returned itself.
    #[must_use]
    pub fn label<'a>(&'a self, locale: Locale, key: &'a str) -> &'a str {
        let english = || self.inner.english.labels.get(key);
        self.texts(locale).labels.get(key).or_else(english).map_or(key, String::as_str)
    }

    /// "Page 1 of 2".
    #[must_use]
    pub fn page_label(&self, locale: Locale, page: usize, pages: usize) -> String {
        let label = self.label(locale, "page_of");
        label.replace("{pages}", &pages.to_string()).replace("{page}", &page.to_string())
    }

    /// "20 November 2026".
    #[must_use]
    pub fn format_date(&self, locale: Locale, date: Date) -> String {
        self.fill_date(locale, &self.texts(locale).time.date, date)
    }

    /// "Friday, 20 November 2026, 10:30 (Asia/Kolkata)", in the zone of `zoned`. A zone without a
    /// name is given by its offset.
    #[must_use]
    pub fn format_date_time(&self, locale: Locale, zoned: &Zoned) -> String {
        let zone = zoned
            .time_zone()
            .iana_name()
            .map_or_else(|| zoned.strftime("UTC%:z").to_string(), str::to_owned);
        let pattern = &self.texts(locale).time.date_time;
        self.fill_date(locale, pattern, zoned.date())
            .replace("{time}", &zoned.strftime("%H:%M").to_string())
            .replace("{zone}", &zone)
    }

    fn fill_date(&self, locale: Locale, pattern: &str, date: Date) -> String {
        let time = &self.texts(locale).time;
        let name = |names: &[String], number: i8| {
            usize::try_from(number).ok().and_then(|number| names.get(number)).cloned()
        };
        let weekday = name(&time.weekdays, date.weekday().to_monday_zero_offset());
        let month = name(&time.months, date.month() - 1);
        pattern
            .replace("{weekday}", &weekday.unwrap_or_default())
            .replace("{day}", &date.day().to_string())
            .replace("{month}", &month.unwrap_or_default())
            .replace("{year}", &date.year().to_string())
    }

    fn texts(&self, locale: Locale) -> &Texts {
        self.inner.others.get(&locale).unwrap_or(&self.inner.english)
    }
}

impl Texts {
    fn parse(locale: Locale) -> Result<Self, LocaleError> {
        let (tag, source) = locale.row();
        toml::from_str(source)
            .map_err(|error| LocaleError::Resource { tag, why: error.to_string() })
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn devanagari(text: &str) -> bool {
        text.chars().any(|letter| ('\u{900}'..='\u{97f}').contains(&letter))
    }

    #[test]
    fn every_locale_has_every_key_of_english() {
        let locales = Locales::load().unwrap();
        let english = locales.texts(Locale::En);
        for locale in Locale::ALL {
            let texts = locales.texts(locale);
            assert!(texts.errors.keys().eq(english.errors.keys()), "{locale:?} errors");
            assert!(texts.labels.keys().eq(english.labels.keys()), "{locale:?} labels");
            assert!(texts.sample.keys().eq(english.sample.keys()), "{locale:?} samples");
            assert!(texts.notice.keys().eq(english.notice.keys()), "{locale:?} notices");
        }
    }

    #[test]
    fn hindi_is_translated() {
        let locales = Locales::load().unwrap();
        let hindi = locales.texts(Locale::Hi);
        let notices = hindi.notice.values();
        for text in notices
            .flat_map(|notice| notice.parts().map(|part| part.1).chain(notice.button.as_deref()))
        {
            assert!(devanagari(text), "{text}");
        }
        let frame = [&hindi.mail_footer, &hindi.mail_unsubscribe, &hindi.mail_unsubscribe_button];
        let labels = hindi.labels.values().chain(hindi.sample.values());
        let rest = hindi.errors.values().chain(labels).chain(frame);
        for text in rest.chain([&hindi.fallback_error]) {
            assert!(devanagari(text), "{text}");
        }
    }

    #[test]
    fn reasons_are_upper_snake_and_texts_are_sentences() {
        let locales = Locales::load().unwrap();
        for (reason, text) in &locales.texts(Locale::En).errors {
            let plain = |byte: u8| byte.is_ascii_uppercase() || byte == b'_';
            assert!(reason.bytes().all(plain), "{reason}");
            assert!(text.ends_with('.') && text.len() <= 200, "{text}");
        }
    }

    #[test]
    fn a_missing_text_falls_back() {
        let locales = Locales::load().unwrap();
        assert_eq!(locales.error_text(Locale::En, "UNAUTHENTICATED"), "Please sign in again.");
        assert!(devanagari(locales.error_text(Locale::Hi, "UNAUTHENTICATED")));
        assert!(locales.error_text(Locale::En, "NO_SUCH").starts_with("This did not work."));
        assert!(devanagari(locales.error_text(Locale::Hi, "NO_SUCH")));
        assert_eq!(locales.label(Locale::Hi, "no_such"), "no_such");
    }

    #[test]
    fn dates_and_pages_in_both_languages() {
        let locales = Locales::load().unwrap();
        let zoned: Zoned = "2026-11-20T10:30[Asia/Kolkata]".parse().unwrap();
        let texts = Locale::ALL.map(|locale| locales.format_date_time(locale, &zoned));
        assert_eq!(texts[0], "Friday, 20 November 2026, 10:30 (Asia/Kolkata)");
        assert_eq!(texts[1], "शुक्रवार, 20 नवंबर 2026, 10:30 (Asia/Kolkata)");
        let dates = Locale::ALL.map(|locale| locales.format_date(locale, zoned.date()));
        assert_eq!(dates, ["20 November 2026", "20 नवंबर 2026"]);
        let fixed: Zoned = "2027-01-03T09:05+05:30[+05:30]".parse().unwrap();
        let text = locales.format_date_time(Locale::En, &fixed);
        assert_eq!(text, "Sunday, 3 January 2027, 09:05 (UTC+05:30)");
        let pages = Locale::ALL.map(|locale| locales.page_label(locale, 1, 12));
        assert_eq!(pages, ["Page 1 of 12", "पृष्ठ 1 / 12"]);
    }
}
