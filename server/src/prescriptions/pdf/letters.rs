//! What single characters mean for setting text.

use unicode_normalization::char::is_combining_mark;

/// A tab is printed as so many spaces.
const TAB: &str = "    ";

/// Line ends of all kinds become `\n`, tabs become spaces; other control characters and the marks
/// that would reorder text have nothing to show and are left out.
pub(super) fn printable(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '\r' => {
                letters.next_if_eq(&'\n');
                plain.push('\n');
            }
            '\n' | '\u{b}' | '\u{c}' | '\u{85}' | '\u{2028}' | '\u{2029}' => plain.push('\n'),
            '\t' => plain.push_str(TAB),
            letter if letter.is_control() || is_hidden(letter) => {}
            letter => plain.push(letter),
        }
    }
    plain
}

/// Soft hyphen, byte order mark and the marks of text direction.
fn is_hidden(letter: char) -> bool {
    matches!(
        letter,
        '\u{ad}'
            | '\u{feff}'
            | '\u{200e}'
            | '\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
    )
}

/// Where a line may be broken. The no-break spaces are white space too, but not this.
pub(super) fn is_break(letter: char) -> bool {
    let no_break = matches!(letter, '\u{a0}' | '\u{2007}' | '\u{202f}');
    (letter.is_whitespace() && !no_break) || letter == '\u{200b}'
}

/// What takes the font of the letter before it: marks, joiners, selectors and spaces.
pub(super) fn follows(letter: char) -> bool {
    letter.is_whitespace()
        || is_combining_mark(letter)
        || matches!(letter, '\u{200b}'..='\u{200d}' | '\u{fe00}'..='\u{fe0f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_has_a_shape_or_a_meaning_is_printed() {
        assert_eq!(printable("a\tb\u{8}\r\nc\rd\u{2028}e"), "a    b\nc\nd\ne");
        // No override may make "10" read as "01"; the joiners of Indic scripts stay.
        assert_eq!(printable("\u{202e}10\u{202c} \u{feff}\u{200d}"), "10 \u{200d}");
    }
}
