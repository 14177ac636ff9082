//! Rules of enums, lists and maps.

use std::collections::{BTreeMap, BTreeSet};

use super::path::Segment;
use super::{MapKey, Report, counted};

/// `buf.validate.EnumRules`, with the names of the numbers.
#[derive(Clone, Copy, Debug)]
pub struct EnumRules {
    /// Only the numbers that the enum declares.
    pub defined_only: bool,
    /// The numbers that are allowed; all when empty.
    pub within: &'static [(i32, &'static str)],
    /// The numbers that are refused.
    pub not_in: &'static [(i32, &'static str)],
}

impl EnumRules {
    /// No rule.
    pub const NONE: Self = Self { defined_only: false, within: &[], not_in: &[] };
}

/// `buf.validate.RepeatedRules`.
#[derive(Clone, Copy, Debug)]
pub struct RepeatedRules {
    /// The fewest items.
    pub min_items: Option<u64>,
    /// The most items.
    pub max_items: Option<u64>,
}

impl RepeatedRules {
    /// No rule.
    pub const NONE: Self = Self { min_items: None, max_items: None };
}

/// `buf.validate.MapRules`.
#[derive(Clone, Copy, Debug)]
pub struct MapRules {
    /// The most pairs.
    pub max_pairs: Option<u64>,
}

impl MapRules {
    /// No rule.
    pub const NONE: Self = Self { max_pairs: None };
}

impl Report {
    /// Checks the number of an enum `E`.
    pub fn enumeration<E: TryFrom<i32>>(&mut self, value: i32, rules: &EnumRules) {
        if rules.defined_only && E::try_from(value).is_err() {
            self.fault("enum.defined_only", "must be a value that the API knows");
        }
        if !rules.within.is_empty() && !rules.within.iter().any(|(number, _)| *number == value) {
            let names: Vec<_> = rules.within.iter().map(|(_, name)| *name).collect();
            self.fault("enum.in", format!("must be one of {}", names.join(", ")));
        }
        if let Some((_, name)) = rules.not_in.iter().find(|(number, _)| *number == value) {
            self.fault("enum.not_in", format!("must not be {name}"));
        }
    }

    /// Checks the length of a list.
    pub fn repeated<T>(&mut self, items: &[T], rules: &RepeatedRules) {
        let count = items.len() as u64;
        if let Some(min) = rules.min_items.filter(|min| count < *min) {
            let message = format!("must have at least {}", counted(min, "item"));
            self.fault("repeated.min_items", message);
        }
        if let Some(max) = rules.max_items.filter(|max| count > *max) {
            let message = format!("must have at most {}", counted(max, "item"));
            self.fault("repeated.max_items", message);
        }
    }

    /// Checks that no two items are equal.
    pub fn unique<T: Ord>(&mut self, items: &[T]) {
        let mut seen = BTreeSet::new();
        if !items.iter().all(|item| seen.insert(item)) {
            self.fault("repeated.unique", "must not have an item twice");
        }
    }

    /// Checks each item of a list.
    pub fn items<T>(&mut self, items: &[T], check: impl Fn(&mut Self, &T)) {
        for (index, item) in items.iter().enumerate() {
            if self.is_full() {
                return;
            }
            self.at(Segment::Index(index), |report| check(report, item));
        }
    }

    /// Checks the size of a map.
    pub fn map<K, V>(&mut self, map: &BTreeMap<K, V>, rules: &MapRules) {
        if let Some(max) = rules.max_pairs.filter(|max| map.len() as u64 > *max) {
            self.fault("map.max_pairs", format!("must have at most {}", counted(max, "pair")));
        }
    }

    /// Checks each key and each value of a map.
    pub fn pairs<K: MapKey, V>(
        &mut self,
        map: &BTreeMap<K, V>,
        check_key: impl Fn(&mut Self, &K),
        check_value: impl Fn(&mut Self, &V),
    ) {
        for (key, value) in map {
            if self.is_full() {
                return;
            }
            self.at(Segment::Key(key.shown()), |report| {
                let before = report.violations.len();
                check_key(report, key);
                for violation in &mut report.violations[before..] {
                    violation.message = format!("the key {}", violation.message);
                }
                check_value(report, value);
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::violations;
    use super::*;

    struct OneOrTwo;

    impl TryFrom<i32> for OneOrTwo {
        type Error = ();

        fn try_from(number: i32) -> Result<Self, ()> {
            if (1..=2).contains(&number) { Ok(Self) } else { Err(()) }
        }
    }

    #[test]
    fn enums_refuse_what_they_do_not_know() {
        let broken =
            |value, rules| violations(|report| report.enumeration::<OneOrTwo>(value, &rules));
        let defined = EnumRules { defined_only: true, ..EnumRules::NONE };
        assert!(broken(1, defined).is_empty());
        assert_eq!(broken(3, defined), ["enum.defined_only"]);
        let within = EnumRules { within: &[(2, "TWO")], ..EnumRules::NONE };
        assert!(broken(2, within).is_empty());
        assert_eq!(broken(1, within), ["enum.in"]);
        let not_in = EnumRules { not_in: &[(2, "TWO")], ..EnumRules::NONE };
        assert!(broken(1, not_in).is_empty());
        assert_eq!(broken(2, not_in), ["enum.not_in"]);
    }

    #[test]
    fn lists_have_limits() {
        let rules = RepeatedRules { min_items: Some(1), max_items: Some(2) };
        let broken = |items: &[i32]| violations(|report| report.repeated(items, &rules));
        assert_eq!(broken(&[]), ["repeated.min_items"]);
        assert!(broken(&[1]).is_empty());
        assert!(broken(&[1, 2]).is_empty());
        assert_eq!(broken(&[1, 2, 3]), ["repeated.max_items"]);
        assert_eq!(violations(|report| report.unique(&[1, 2, 1])), ["repeated.unique"]);
        assert!(violations(|report| report.unique(&["a", "A"])).is_empty());
    }

    #[test]
    fn maps_have_limits() {
        let rules = MapRules { max_pairs: Some(1) };
        let broken = |map: BTreeMap<i32, i32>| violations(|report| report.map(&map, &rules));
        assert!(broken(BTreeMap::from([(1, 1)])).is_empty());
        assert_eq!(broken(BTreeMap::from([(1, 1), (2, 2)])), ["map.max_pairs"]);
    }
}
