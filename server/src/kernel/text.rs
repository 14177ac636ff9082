//! Text that people type as a name of something: one clean line.

use unicode_normalization::UnicodeNormalization;

use super::error::{Error, Result};

/// One line of text: trimmed, NFC. Refused with control characters, line separators or characters
/// that turn the direction of writing, with which a name can pose as another text.
pub fn line(field: &str, value: &str) -> Result<String> {
    let text: String = value.trim().nfc().collect();
    if text.chars().any(is_hidden) {
        return Err(Error::field(field, "must not contain control characters"));
    }
    Ok(text)
}

/// As [`line`], and not empty.
pub fn required_line(field: &str, value: &str) -> Result<String> {
    let text = line(field, value)?;
    if text.is_empty() { Err(Error::field(field, "must not be empty")) } else { Ok(text) }
}

fn is_hidden(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{061c}'
                | '\u{200e}'
                | '\u{200f}'
                | '\u{2028}'
                | '\u{2029}'
                | '\u{202a}'..='\u{202e}'
                | '\u{2066}'..='\u{2069}'
                | '\u{feff}'
        )
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_line_is_trimmed_and_composed() {
        assert_eq!(line("name", "  Zoe\u{308} \u{a0}").unwrap(), "Zo\u{eb}");
        // Joiners are letters' business in Indic scripts and stay.
        assert_eq!(line("name", "क्\u{200d}ष").unwrap(), "क्\u{200d}ष");
    }

    #[test]
    fn hidden_characters_are_refused() {
        for bad in ["a\u{0}b", "a\nb", "a\u{202e}b", "a\u{2028}b", "a\u{2066}b"] {
            assert!(line("name", bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_required_line_has_something_in_it() {
        assert!(required_line("name", " \u{3000} ").is_err());
        assert!(required_line("name", " a ").is_ok());
    }
}
