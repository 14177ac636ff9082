//! How the text of a search is read.

use std::collections::BTreeSet;

use crate::kernel::text;

/// Words of a search that must match; further ones only count for the order.
const MOST_WORDS: usize = 6;
/// Titles that every doctor has.
const TITLES: [&str; 4] = ["dr", "doctor", "doc", "डॉ"];

/// What a search asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wanted {
    /// Every doctor.
    All,
    /// Doctors who match each of these words, in order of their likeness to all of them together.
    Words(Vec<String>),
    /// Nobody: the text holds no letter and no digit.
    Nobody,
}

/// Reads the free text of a search.
pub(super) fn wanted(query: &str) -> Wanted {
    let text = text::searched(&query.replace(char::is_whitespace, " "));
    let all: Vec<&str> = text.split_whitespace().collect();
    if all.is_empty() {
        return Wanted::All;
    }
    let readable = |word: &&&str| word.chars().any(char::is_alphanumeric);
    let readable: Vec<&str> = all.iter().filter(readable).copied().collect();
    if readable.is_empty() {
        return Wanted::Nobody;
    }
    let mut seen = BTreeSet::new();
    let mut words: Vec<String> = Vec::new();
    for word in readable {
        let bare = word.trim_matches(|c: char| !c.is_alphanumeric()).to_lowercase();
        if !TITLES.contains(&bare.as_str()) && seen.insert(bare) && words.len() < MOST_WORDS {
            words.push(word.to_owned());
        }
    }
    // An initial alone says too little to demand it beside a longer word.
    if words.iter().any(|word| word.chars().count() > 2) {
        words.retain(|word| word.chars().filter(|c| c.is_ascii_alphanumeric()).count() != 1);
    }
    if words.is_empty() { Wanted::All } else { Wanted::Words(words) }
}

/// A filter by equality; empty is none.
pub(super) fn equal_to(value: Option<&String>) -> Option<String> {
    value.map(|value| text::searched(value)).filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(query: &str) -> Vec<String> {
        match wanted(query) {
            Wanted::Words(words) => words,
            other => vec![format!("{other:?}")],
        }
    }

    #[test]
    fn titles_repetitions_and_initials_are_not_demanded() {
        assert_eq!(words(" Dr. Asha\tSharma "), ["Asha", "Sharma"]);
        assert_eq!(words("sharma Sharma, pune"), ["sharma", "pune"]);
        assert_eq!(words("K. Rao"), ["Rao"]);
        assert_eq!(words("k"), ["k"]);
        assert_eq!(words("डॉ शर्मा"), ["शर्मा"]);
        assert_eq!(words("a1 b2 c3 d4 e5 f6 g7").len(), MOST_WORDS);
    }

    #[test]
    fn nothing_finds_all_and_signs_find_nobody() {
        assert_eq!(wanted(" \n"), Wanted::All);
        assert_eq!(wanted("Dr."), Wanted::All);
        for signs in ["%", "_", "% _", "\\", "'--"] {
            assert_eq!(wanted(signs), Wanted::Nobody);
        }
        assert_eq!(words("a\0sha%"), ["asha%"]);
    }
}
