//! How the text of a search is read, and how it becomes a query.

use crate::kernel::text;

/// Words of a search that count.
const MOST_WORDS: usize = 6;
/// Titles that every doctor has.
const TITLES: [&str; 4] = ["dr", "doctor", "doc", "डॉ"];

/// What a search asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wanted {
    /// Every doctor.
    All,
    /// Doctors who match each of these words.
    Words(Vec<String>),
    /// Nobody: the text holds signs only.
    Nobody,
}

/// Reads the free text of a search.
pub(super) fn wanted(query: &str) -> Wanted {
    let mut words = text::words(query);
    if words.is_empty() {
        return if query.trim().is_empty() { Wanted::All } else { Wanted::Nobody };
    }
    words.retain(|word| !TITLES.contains(&word.as_str()));
    words.truncate(MOST_WORDS);
    if words.is_empty() { Wanted::All } else { Wanted::Words(words) }
}

/// A filter by equality; empty is none.
pub(super) fn equal_to(value: Option<&String>) -> Option<String> {
    value.map(|value| text::searched(value)).filter(|value| !value.is_empty())
}

/// A word of the search, and what it may have been meant to be, likeliest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Term {
    /// As it was typed: the beginning of a word.
    pub(super) typed: String,
    /// Whole words that are like it.
    pub(super) meant: Vec<String>,
}

/// A search as `tsquery` texts: one that finds, and those that rank.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Queries {
    /// Who is found.
    pub(super) found: String,
    /// All words whole, in the name.
    pub(super) name: String,
    /// All words whole, anywhere.
    pub(super) whole: String,
    /// All words as beginnings, in the name.
    pub(super) name_begins: String,
}

impl Queries {
    /// A word holds neither quote nor backslash: [`text::words`] splits there.
    pub(super) fn new(terms: &[Term]) -> Self {
        let all =
            |part: &dyn Fn(&Term) -> String| terms.iter().map(part).collect::<Vec<_>>().join(" & ");
        let best = |term: &Term| term.meant.first().unwrap_or(&term.typed).clone();
        Self {
            found: all(&|term| {
                let meant = term.meant.iter().map(|word| format!(" | '{word}'"));
                format!("('{}':*{})", term.typed, meant.collect::<String>())
            }),
            name: all(&|term| format!("'{}':A", best(term))),
            whole: all(&|term| format!("'{}'", best(term))),
            name_begins: all(&|term| format!("'{}':*A", best(term))),
        }
    }
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
    fn titles_and_repetitions_do_not_count() {
        assert_eq!(words(" Dr. Asha\tSharma "), ["asha", "sharma"]);
        assert_eq!(words("sharma Sharma, pune"), ["sharma", "pune"]);
        assert_eq!(words("डॉ शर्मा"), ["शर्मा"]);
        assert_eq!(words("a b c d e f g h").len(), MOST_WORDS);
    }

    #[test]
    fn nothing_finds_all_and_signs_find_nobody() {
        assert_eq!(wanted(" \n"), Wanted::All);
        assert_eq!(wanted("Dr."), Wanted::All);
        for signs in ["%", "_", "% _", "\\", "'--", ":* | &"] {
            assert_eq!(wanted(signs), Wanted::Nobody);
        }
        assert_eq!(words("asha%' | 'b\0"), ["asha", "b"]);
    }

    #[test]
    fn queries_demand_every_word() {
        let term = |typed: &str, meant: &[&str]| Term {
            typed: typed.into(),
            meant: meant.iter().map(|word| (*word).into()).collect(),
        };
        let queries = Queries::new(&[term("asha", &[]), term("shrma", &["sharma", "varma"])]);
        assert_eq!(queries.found, "('asha':*) & ('shrma':* | 'sharma' | 'varma')");
        assert_eq!(queries.name, "'asha':A & 'sharma':A");
        assert_eq!(queries.whole, "'asha' & 'sharma'");
        assert_eq!(queries.name_begins, "'asha':*A & 'sharma':*A");
    }
}
