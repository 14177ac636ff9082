use super::Locale;

/// Longer lists are cut: no person prefers more languages than that.
const RANGES_LIMIT: usize = 20;

/// The locale that suits a language tag (`hi-IN`) or an `Accept-Language` list
/// (`hi-IN,hi;q=0.9,en;q=0.8`, RFC 9110 §12.5.4) best; English if none does.
#[must_use]
pub fn negotiate(accepted: &str) -> Locale {
    let mut best: Option<(Locale, u16)> = None;
    for range in accepted.split(',').take(RANGES_LIMIT) {
        let (tag, weight) = range.split_once(';').unwrap_or((range, ""));
        let (Some(locale), Some(weight)) = (matching(tag.trim()), thousandths(weight.trim()))
        else {
            continue;
        };
        // Of equal weights the first wins.
        if weight > best.map_or(0, |(_, weight)| weight) {
            best = Some((locale, weight));
        }
    }
    best.map_or(Locale::default(), |(locale, _)| locale)
}

/// The locale of a tag's language, whatever its script and region.
fn matching(tag: &str) -> Option<Locale> {
    let language = tag.split(['-', '_']).next().unwrap_or_default();
    if language == "*" {
        return Some(Locale::default());
    }
    Locale::ALL.into_iter().find(|locale| locale.tag().eq_ignore_ascii_case(language))
}

/// `q=0.25` as 250; no weight is 1000.
fn thousandths(weight: &str) -> Option<u16> {
    if weight.is_empty() {
        return Some(1000);
    }
    let value = weight.strip_prefix("q=").or_else(|| weight.strip_prefix("Q="))?;
    let (whole, fraction) = value.split_once('.').unwrap_or((value, ""));
    let whole: u16 = whole.parse().ok().filter(|whole| *whole <= 1)?;
    if fraction.len() > 3 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let fraction: u16 = format!("{fraction:0<3}").parse().ok()?;
    Some((whole * 1000 + fraction).min(1000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn picks_the_best_known_language() {
        for (accepted, expected) in [
            ("hi-IN,hi;q=0.9,en;q=0.8", Locale::Hi),
            ("hi", Locale::Hi),
            ("HI-Deva-IN", Locale::Hi),
            ("hi_IN", Locale::Hi),
            ("en-GB", Locale::En),
            ("en;q=0.5, hi;q=0.7", Locale::Hi),
            ("en, hi", Locale::En),
            ("hi;q=0.9, en;q=0.9", Locale::Hi),
            ("fr, de;q=0.9, hi;q=0.001", Locale::Hi),
            ("fr, *;q=0.5, hi;q=0.4", Locale::En),
            ("hi;q=0", Locale::En),
            ("hi;q=0, en;q=0", Locale::En),
            ("hi;q=2", Locale::En),
            ("hi;q=0.1234", Locale::En),
            ("hi;q=x", Locale::En),
            ("hindi", Locale::En),
            ("fr", Locale::En),
            ("", Locale::En),
            (",;,q=1;;", Locale::En),
        ] {
            assert_eq!(negotiate(accepted), expected, "{accepted}");
        }
    }

    #[test]
    fn a_long_list_is_cut() {
        assert_eq!(negotiate(&("fr,".repeat(10_000) + "hi")), Locale::En);
    }
}
