//! Language tags (BCP 47): well-formed, and with a language that exists where ISO 639-1 tells.

/// The two-letter codes of ISO 639-1.
const TWO_LETTER: &str = "aa ab ae af ak am an ar as av ay az ba be bg bi bm bn bo br bs ca ce ch \
    co cr cs cu cv cy da de dv dz ee el en eo es et eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha \
    he hi ho hr ht hu hy hz ia id ie ig ii ik io is it iu ja jv ka kg ki kj kk kl km kn ko kr ks \
    ku kv kw ky la lb lg li ln lo lt lu lv mg mh mi mk ml mn mr ms mt my na nb nd ne ng nl nn no \
    nr nv ny oc oj om or os pa pi pl ps pt qu rm rn ro ru rw sa sc sd se sg sh si sk sl sm sn so \
    sq sr ss st su sv sw ta te tg th ti tk tl tn to tr ts tt tw ty ug uk ur uz ve vi vo wa wo xh \
    yi yo za zh zu";

/// The tag in its usual case (`zh-Hant-TW`); `None` for what is no language tag. Three-letter
/// codes are taken as they are; extensions and private use are not languages of people.
pub fn canonical(tag: &str) -> Option<String> {
    let mut subtags = tag.split('-');
    let language = subtags.next()?.to_ascii_lowercase();
    let known = match language.len() {
        2 => TWO_LETTER.split_ascii_whitespace().any(|code| code == language),
        3 => language.bytes().all(|byte| byte.is_ascii_lowercase()),
        _ => false,
    };
    if !known {
        return None;
    }
    let mut canonical = language;
    let mut place = Place::Language;
    for subtag in subtags {
        let (next, text) = read(subtag)?;
        // Script, region and variants come in this order; only variants repeat.
        if next < place || (next == place && next != Place::Variant) {
            return None;
        }
        place = next;
        canonical.push('-');
        canonical.push_str(&text);
    }
    Some(canonical)
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Language,
    Script,
    Region,
    Variant,
}

fn read(subtag: &str) -> Option<(Place, String)> {
    let letters = subtag.bytes().all(|byte| byte.is_ascii_alphabetic());
    let digits = subtag.bytes().all(|byte| byte.is_ascii_digit());
    let either = subtag.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let begins_with_digit = subtag.bytes().next().is_some_and(|byte| byte.is_ascii_digit());
    match subtag.len() {
        4 if letters => {
            let (first, rest) = subtag.split_at(1);
            Some((Place::Script, first.to_ascii_uppercase() + &rest.to_ascii_lowercase()))
        }
        2 if letters => Some((Place::Region, subtag.to_ascii_uppercase())),
        3 if digits => Some((Place::Region, subtag.to_owned())),
        4 if either && begins_with_digit => Some((Place::Variant, subtag.to_ascii_lowercase())),
        5..=8 if either => Some((Place::Variant, subtag.to_ascii_lowercase())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_take_their_usual_case() {
        for (given, stored) in [
            ("mr", "mr"),
            ("EN-in", "en-IN"),
            ("zh-hant-tw", "zh-Hant-TW"),
            ("es-419", "es-419"),
            ("kok", "kok"),
            ("sl-rozaj-biske-1994", "sl-rozaj-biske-1994"),
        ] {
            assert_eq!(canonical(given).as_deref(), Some(stored));
        }
    }

    #[test]
    fn what_is_no_language_is_refused() {
        for bad in [
            "",
            "-",
            "e",
            "xx",
            "english",
            "en_IN",
            "en-",
            "en--IN",
            "en-IN-Latn",
            "hi-IN-IN",
            "हि",
            "en IN",
            "12",
            "x-klingon",
            "en-u-nu-deva",
            "hi-é",
        ] {
            assert_eq!(canonical(bad), None, "{bad}");
        }
    }
}
