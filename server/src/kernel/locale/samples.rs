//! Previews: messages with made-up values.

use jiff::Zoned;
use serde_json::{Value, json};

use super::{Locale, LocaleError, Locales, NoticeKind, RenderedNotice};

/// When the visit of all previews begins.
const VISIT: &str = "2026-11-20T10:30[Asia/Kolkata]";

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
        let start = VISIT.parse::<Zoned>();
        start.map_or_else(|_| VISIT.to_owned(), |start| self.format_date_time(locale, &start))
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
