//! Rules of strings and bytes.

use super::{Report, counted};

/// The longest part of an address before the `@` (RFC 5321, 4.5.3.1.1).
const MAX_EMAIL_LOCAL: usize = 64;
/// The longest address that fits into a mail command (RFC 5321, 4.5.3.1.3, less the brackets).
const MAX_EMAIL: usize = 254;
/// The longest label of a domain name (RFC 1035, 2.3.4).
const MAX_DOMAIN_LABEL: usize = 63;
/// What an address may hold before the `@`, besides letters and digits (the form that HTML's
/// `input type=email` and protovalidate use).
const EMAIL_LOCAL_MARKS: &str = ".!#$%&'*+/=?^_`{|}~-";

/// `buf.validate.StringRules`. Lengths count Unicode scalar values.
#[derive(Clone, Copy, Debug)]
pub struct StringRules {
    /// The fewest characters.
    pub min_len: Option<u64>,
    /// The most characters.
    pub max_len: Option<u64>,
    /// The exact number of characters.
    pub len: Option<u64>,
    /// The texts that are allowed; all when empty.
    pub within: &'static [&'static str],
    /// An e-mail address.
    pub email: bool,
    /// A UUID with hyphens.
    pub uuid: bool,
}

impl StringRules {
    /// No rule.
    pub const NONE: Self =
        Self { min_len: None, max_len: None, len: None, within: &[], email: false, uuid: false };
}

/// `buf.validate.BytesRules`.
#[derive(Clone, Copy, Debug)]
pub struct BytesRules {
    /// The fewest bytes.
    pub min_len: Option<u64>,
    /// The most bytes.
    pub max_len: Option<u64>,
    /// The exact number of bytes.
    pub len: Option<u64>,
}

impl BytesRules {
    /// No rule.
    pub const NONE: Self = Self { min_len: None, max_len: None, len: None };
}

impl Report {
    /// Checks a string; refuses U+0000 whatever the rules say.
    pub fn string(&mut self, value: &str, rules: &StringRules) {
        if value.contains('\0') {
            self.fault("string.nul", "must not contain U+0000");
        }
        let len = value.chars().count() as u64;
        if let Some(exact) = rules.len.filter(|exact| len != *exact) {
            self.fault("string.len", format!("must have {}", counted(exact, "character")));
        }
        if let Some(min) = rules.min_len.filter(|min| len < *min) {
            let message = format!("must have at least {}", counted(min, "character"));
            self.fault("string.min_len", message);
        }
        if let Some(max) = rules.max_len.filter(|max| len > *max) {
            let message = format!("must have at most {}", counted(max, "character"));
            self.fault("string.max_len", message);
        }
        if !rules.within.is_empty() && !rules.within.contains(&value) {
            self.fault("string.in", format!("must be one of {}", rules.within.join(", ")));
        }
        if rules.email && !is_email(value) {
            self.fault("string.email", "must be an e-mail address");
        }
        if rules.uuid && !is_uuid(value) {
            self.fault("string.uuid", "must be a UUID with hyphens");
        }
    }

    /// Checks bytes.
    pub fn bytes(&mut self, value: &[u8], rules: &BytesRules) {
        let len = value.len() as u64;
        if let Some(exact) = rules.len.filter(|exact| len != *exact) {
            self.fault("bytes.len", format!("must have {}", counted(exact, "byte")));
        }
        if let Some(min) = rules.min_len.filter(|min| len < *min) {
            self.fault("bytes.min_len", format!("must have at least {}", counted(min, "byte")));
        }
        if let Some(max) = rules.max_len.filter(|max| len > *max) {
            self.fault("bytes.max_len", format!("must have at most {}", counted(max, "byte")));
        }
    }
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(position, byte)| match position {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

/// Whether a text has the form of an address. Whether anyone reads it, only a letter can tell.
fn is_email(text: &str) -> bool {
    let Some((local, domain)) = text.split_once('@') else { return false };
    text.len() <= MAX_EMAIL
        && (1..=MAX_EMAIL_LOCAL).contains(&local.len())
        && local.chars().all(|c| c.is_ascii_alphanumeric() || EMAIL_LOCAL_MARKS.contains(c))
        && domain.split('.').all(is_domain_label)
}

fn is_domain_label(label: &str) -> bool {
    (1..=MAX_DOMAIN_LABEL).contains(&label.len())
        && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        && !label.starts_with('-')
        && !label.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::super::violations;
    use super::*;

    fn string(value: &str, rules: StringRules) -> Vec<&'static str> {
        violations(|report| report.string(value, &rules))
    }

    #[test]
    fn lengths_count_characters() {
        let rules = StringRules { min_len: Some(2), max_len: Some(3), ..StringRules::NONE };
        assert_eq!(string("ä", rules), ["string.min_len"]);
        assert!(string("äö", rules).is_empty());
        assert!(string("äöü", rules).is_empty());
        assert_eq!(string("äöüß", rules), ["string.max_len"]);
        let exact = StringRules { len: Some(2), ..StringRules::NONE };
        assert!(string("äö", exact).is_empty());
        assert_eq!(string("ä", exact), ["string.len"]);
        assert_eq!(string("äöü", exact), ["string.len"]);
    }

    #[test]
    fn nul_is_refused_without_any_rule() {
        assert_eq!(string("a\0b", StringRules::NONE), ["string.nul"]);
        assert!(string("a\u{1}b", StringRules::NONE).is_empty());
    }

    #[test]
    fn a_list_of_texts_is_exact() {
        let rules = StringRules { within: &["de", "en"], ..StringRules::NONE };
        assert!(string("de", rules).is_empty());
        assert_eq!(string("DE", rules), ["string.in"]);
        assert_eq!(string("", rules), ["string.in"]);
    }

    #[test]
    fn uuids_have_one_form() {
        let rules = StringRules { uuid: true, ..StringRules::NONE };
        assert!(string("01890a5d-ac96-774b-bcce-b302099a8057", rules).is_empty());
        assert!(string("01890A5D-AC96-774B-BCCE-B302099A8057", rules).is_empty());
        for bad in [
            "",
            "01890a5dac96774bbcceb302099a8057",
            "{01890a5d-ac96-774b-bcce-b302099a8057}",
            "01890a5d-ac96-774b-bcce-b302099a805g",
            "01890a5d-ac96-774b-bcce-b302099a80577",
            "01890a5d-ac96-774b-bcceb-302099a8057",
        ] {
            assert_eq!(string(bad, rules), ["string.uuid"], "{bad}");
        }
    }

    #[test]
    fn addresses_have_the_right_form() {
        let longest_local = format!("{}@example.org", "a".repeat(64));
        let longest = format!(
            "a@{}.{}.{}.{}",
            "b".repeat(63),
            "c".repeat(63),
            "d".repeat(63),
            "e".repeat(60)
        );
        assert_eq!(longest.len(), 254);
        for good in ["a@b", "anna.o'hara+x@mail.example.org", "1@1.2", &longest_local, &longest] {
            assert!(is_email(good), "{good}");
        }
        let long_local = format!("{}@example.org", "a".repeat(65));
        let long_label = format!("a@{}.org", "b".repeat(64));
        let too_long = format!("{longest}x");
        for bad in [
            "",
            "a",
            "@",
            "a@",
            "@b",
            "a@b@c",
            "a b@c",
            "a@b c",
            "a@-b",
            "a@b-",
            "a@b..c",
            "a@.b",
            "a@b.",
            "ä@b",
            "a@bä",
            "<a@b>",
            "a@b\n",
            &long_local,
            &long_label,
            &too_long,
        ] {
            assert!(!is_email(bad), "{bad}");
        }
    }

    #[test]
    fn bytes_have_limits() {
        let rules = BytesRules { min_len: Some(1), max_len: Some(2), ..BytesRules::NONE };
        let bytes = |value: &[u8]| violations(|report| report.bytes(value, &rules));
        assert_eq!(bytes(&[]), ["bytes.min_len"]);
        assert!(bytes(&[0]).is_empty());
        assert!(bytes(&[0, 0]).is_empty());
        assert_eq!(bytes(&[0, 0, 0]), ["bytes.max_len"]);
        let exact = BytesRules { len: Some(2), ..BytesRules::NONE };
        assert_eq!(violations(|report| report.bytes(&[0], &exact)), ["bytes.len"]);
        assert!(violations(|report| report.bytes(&[0, 0], &exact)).is_empty());
    }
}
