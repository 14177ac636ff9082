//! Previews: messages with made-up values.

use jiff::civil;
use jiff::tz::{Offset, TimeZone};
use serde_json::{Value, json};

use super::{Locale, LocaleError, Locales, NoticeKind, RenderedNotice};

/// The visit of all previews.
const VISIT: civil::DateTime = civil::datetime(2026, 11, 20, 10, 30, 0, 0);
/// Where it is told: the zone's name, and its offset where the machine does not know the name.
const ZONE: (&str, i8) = ("Asia/Kolkata", 5);

impl Locales {
    /// A message as a person would get it, with made-up values.
    pub fn preview(&self, locale: Locale, kind: NoticeKind) -> Result<RenderedNotice, LocaleError> {
        self.notice(locale, kind, &self.sample(locale, kind))
    }

    /// The values of [`NoticeKind::sample`] in this language.
    #[must_use]
    pub fn sample(&self, locale: Locale, kind: NoticeKind) -> Value {
        let mut sample = kind.sample();
        let Some(values) = sample.as_object_mut() else { return sample };
        for (name, value) in values {
            match name.as_str() {
                "start" => *value = self.visit(locale).into(),
                "steps" => *value = self.steps(locale),
                name => {
                    if let Some(text) = self.texts(locale).sample.get(name) {
                        *value = text.as_str().into();
                    }
                }
            }
        }
        sample
    }

    fn visit(&self, locale: Locale) -> String {
        let fixed = || TimeZone::fixed(Offset::constant(ZONE.1));
        let zone = TimeZone::get(ZONE.0).unwrap_or_else(|_| fixed());
        zone.to_zoned(VISIT).map_or_else(|_| String::new(), |at| self.format_date_time(locale, &at))
    }

    fn steps(&self, locale: Locale) -> Value {
        let texts = &self.texts(locale).sample;
        let step = |name: &str, reason: &str| {
            json!({
                "step": self.label(locale, name),
                "reason": texts.get(reason).map_or("", String::as_str),
            })
        };
        json!([step("step_documents", "documents"), step("step_professional", "professional")])
    }
}
