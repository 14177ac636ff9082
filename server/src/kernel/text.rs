//! Text that people type: names, titles, reasons. (Clinical free text is stored as it came.)

use unicode_normalization::UnicodeNormalization;

use super::error::{Error, Result};

/// A line of text: trimmed, in NFC, without control and direction characters. May be empty.
pub fn line(field: &str, value: &str) -> Result<String> {
    if value.chars().any(|letter| letter.is_control() || steers_direction(letter)) {
        return Err(Error::field(field, "must not contain control or direction characters"));
    }
    Ok(value.trim().nfc().collect())
}

/// A [`line()`] that says something.
pub fn required_line(field: &str, value: &str) -> Result<String> {
    not_blank(field, line(field, value)?)
}

/// Text of several lines that says something; line breaks and tabs are its only control
/// characters.
pub fn required_text(field: &str, value: &str) -> Result<String> {
    let bad = |letter: char| {
        (letter.is_control() && !matches!(letter, '\n' | '\r' | '\t')) || steers_direction(letter)
    };
    if value.chars().any(bad) {
        return Err(Error::field(field, "must not contain control or direction characters"));
    }
    not_blank(field, value.trim().nfc().collect())
}

fn not_blank(field: &str, value: String) -> Result<String> {
    if value.is_empty() { Err(Error::field(field, "must not be blank")) } else { Ok(value) }
}

/// Characters that reorder what stands around them (Unicode UAX #9), with which a text can look
/// like another.
fn steers_direction(letter: char) -> bool {
    matches!(letter, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_line_is_trimmed_and_composed() {
        assert_eq!(line("name", "  Jose\u{301} ").unwrap(), "Jos\u{e9}");
        assert_eq!(line("name", " ").unwrap(), "");
        assert!(required_line("name", " ").is_err());
        for bad in ["a\nb", "a\0b", "\u{202e}abc", "a\u{2066}b", "\u{7f}"] {
            assert!(line("name", bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_text_may_have_lines() {
        assert_eq!(required_text("reason", "One.\n\tTwo.\n").unwrap(), "One.\n\tTwo.");
        assert!(required_text("reason", " \n ").is_err());
        assert!(required_text("reason", "a\u{1b}[1m").is_err());
    }
}
