//! What a message tells in the words of its reader: instants and names are kept as they are, and become
//! text in the language in which the message is read.

use jiff::tz::TimeZone;
use serde_json::{Map, Value};

use crate::kernel::kinds::Time;
use crate::kernel::locale::{Locale, Locales};

/// Adds the texts of known facts: `start` of `starts_at` (microseconds since the Unix epoch) and `zone`
/// (IANA), `doctor`, with title, of `doctor_name`.
pub(super) fn put_into_words(texts: &Locales, language: Locale, values: &mut Map<String, Value>) {
    let instant = values.get("starts_at").and_then(Value::as_i64).and_then(Time::from_unix_micros);
    let zone = values.get("zone").and_then(Value::as_str).and_then(|zone| TimeZone::get(zone).ok());
    if let (Some(instant), Some(zone)) = (instant, zone) {
        let start = texts.format_date_time(language, &instant.timestamp().to_zoned(zone));
        values.insert("start".to_owned(), start.into());
    }
    if let Some(name) = values.get("doctor_name").and_then(Value::as_str) {
        let doctor = format!("{} {name}", texts.label(language, "doctor_title"));
        values.insert("doctor".to_owned(), doctor.into());
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use serde_json::json;

    use super::*;
    use crate::kernel::locale::{negotiate, texts};

    fn worded(language: &str, mut values: Value) -> Value {
        let words = values.as_object_mut().unwrap();
        put_into_words(texts().unwrap(), negotiate(language), words);
        values
    }

    #[test]
    fn facts_become_text_in_the_language_of_the_reader() {
        let facts = json!({
            "starts_at": 1_795_150_800_000_000_i64, "zone": "Asia/Kolkata", "doctor_name": "Meera Iyer",
        });
        let english = worded("en", facts.clone());
        assert_eq!(english["doctor"], "Dr. Meera Iyer");
        assert_eq!(english["start"], "Friday, 20 November 2026, 10:30 (Asia/Kolkata)");
        let hindi = worded("hi", facts);
        assert_eq!(hindi["doctor"], "डॉ. Meera Iyer");
        assert!(hindi["start"].as_str().unwrap().contains("नवंबर"), "{hindi}");
    }

    #[test]
    fn what_is_text_already_stays() {
        let old = json!({ "doctor": "Dr. Iyer", "start": "tomorrow", "zone": "Nowhere/At_All" });
        assert_eq!(worded("en", old.clone()), old);
    }
}
