//! Text of people, such as names and addresses, made uniform before it is stored.
//!
//! Free Unicode: trimmed and NFC-normalised. Refused are characters that cannot be seen and make
//! two texts look alike or read in another order than they are stored. Clinical free text never
//! comes here; it is stored byte for byte.

use unicode_normalization::UnicodeNormalization;

use super::error::{Error, Result};

const UNSEEN: &str = "must not hold control, direction or invisible characters";

/// Cleans one line: a name, a title, a line of an address. May be empty.
pub fn line(field: &str, value: &str) -> Result<String> {
    clean(field, value, |_| false)
}

/// Cleans one line that must hold something.
pub fn required_line(field: &str, value: &str) -> Result<String> {
    not_empty(field, line(field, value)?)
}

/// Cleans text that may have several lines. May be empty.
pub fn block(field: &str, value: &str) -> Result<String> {
    clean(field, &value.replace("\r\n", "\n"), |c| matches!(c, '\n' | '\t'))
}

/// Cleans a [`block`] that must hold something.
pub fn required_block(field: &str, value: &str) -> Result<String> {
    not_empty(field, block(field, value)?)
}

/// Text that is only searched for: NFC and without characters that PostgreSQL cannot store.
#[must_use]
pub fn searched(value: &str) -> String {
    value.trim().nfc().filter(|c| !c.is_control()).collect()
}

fn not_empty(field: &str, text: String) -> Result<String> {
    if text.is_empty() { Err(Error::field(field, "must not be empty")) } else { Ok(text) }
}

/// The words of a text without regard to case and accents, each once, in the order of the text.
/// A word holds no white space and no ASCII punctuation.
#[must_use]
pub fn words(value: &str) -> Vec<String> {
    let plain: String = value.nfkd().filter(|c| !is_accent(*c)).collect();
    let lower = plain.to_lowercase();
    let mut words: Vec<String> = Vec::new();
    for word in lower.split(is_separator).filter(|word| !word.is_empty()) {
        let word: String = word.chars().flat_map(letters).nfc().collect();
        if !words.contains(&word) {
            words.push(word);
        }
    }
    words
}

/// Letters that Unicode does not take apart, as they are typed without their accent.
fn letters(c: char) -> impl Iterator<Item = char> {
    let plain = match c {
        'ß' => "ss",
        'æ' => "ae",
        'œ' => "oe",
        'ø' => "o",
        'ł' => "l",
        'đ' | 'ð' => "d",
        'þ' => "th",
        'ı' => "i",
        _ => "",
    };
    let other = plain.is_empty().then_some(c);
    plain.chars().chain(other)
}

fn is_accent(c: char) -> bool {
    matches!(c, '\u{300}'..='\u{36f}')
}

/// Signs that stand between words. Marks of Indic and other scripts belong to the word.
fn is_separator(c: char) -> bool {
    let sign = matches!(c, '\u{80}'..='\u{bf}' | '\u{2000}'..='\u{2bff}' | '\u{3000}'..='\u{303f}');
    let sign = sign && !c.is_alphanumeric();
    c.is_whitespace() || c.is_control() || c.is_ascii_punctuation() || sign || c == '।'
}

fn clean(field: &str, value: &str, allowed: impl Fn(char) -> bool) -> Result<String> {
    let text: String = value.trim().nfc().collect();
    let mut before = None;
    for c in text.chars() {
        if !allowed(c) && is_unseen(c, before) {
            return Err(Error::field(field, UNSEEN));
        }
        before = Some(c);
    }
    Ok(text)
}

/// Whether `c` leaves no mark of its own. The two joiners are part of how Arabic and Indic scripts
/// are written, so they may stand after a letter of such a script.
fn is_unseen(c: char, before: Option<char>) -> bool {
    match c {
        '\u{200c}' | '\u{200d}' => before.is_none_or(|before| before < '\u{600}'),
        '\u{ad}'
        | '\u{34f}'
        | '\u{61c}'
        | '\u{180e}'
        | '\u{200b}'
        | '\u{200e}'
        | '\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{feff}'
        | '\u{fff9}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e007f}' => true,
        c => c.is_control(),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn names_are_trimmed_and_composed() {
        assert_eq!(line("name", "  Jose\u{301} \n").unwrap(), "José");
        for name in ["Zoë O’Brien-Şahin", "अनुष्का शर्मा", "محمد", "李", "Nguyễn Thị", "X Æ A-12", ""]
        {
            assert_eq!(line("name", name).unwrap(), name);
        }
        assert!(required_line("name", " \u{3000} ").is_err());
    }

    #[test]
    fn what_cannot_be_seen_is_refused() {
        for bad in
            ["a\0b", "a\nb", "a\u{202e}b", "a\u{200b}b", "a\u{2066}b", "a\u{feff}b", "a\u{7f}b"]
        {
            assert!(line("name", bad).is_err(), "{bad:?}");
        }
        assert!(line("name", "a\u{200d}b").is_err());
        assert!(line("name", "क्\u{200d}ष").is_ok());
    }

    #[test]
    fn blocks_may_have_lines() {
        assert_eq!(block("bio", " one\r\n\ttwo ").unwrap(), "one\n\ttwo");
        assert!(block("bio", "one\u{7}two").is_err());
    }

    #[test]
    fn words_lose_case_accents_and_signs() {
        assert_eq!(words("Zoë  O’Brien-ŞAHİN, M.D."), ["zoe", "o", "brien", "sahin", "m", "d"]);
        assert_eq!(words("Straße Łódź Ærø ﬁt"), ["strasse", "lodz", "aero", "fit"]);
        assert_eq!(words("डॉ. शर्मा क्लिनिक।"), ["डॉ", "शर्मा", "क्लिनिक"]);
        assert_eq!(words("Asha asha ASHA"), ["asha"]);
        assert_eq!(words("% _ ' \\ ＇ … \0"), Vec::<String>::new());
    }

    #[test]
    fn searched_text_loses_what_cannot_be_stored() {
        assert_eq!(searched(" Pune\0\n "), "Pune");
    }
}
