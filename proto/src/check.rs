//! The checks that run on every request before a handler sees it.
//!
//! The rules stand in the protos as `(buf.validate.field)` options. The build turns them into one
//! [`Checked`] impl per message, whose body calls the functions of [`Report`]; the codec runs it on
//! every decoded request. Their meaning is protovalidate's, with four additions for whatever a
//! request can reach:
//!
//! * U+0000 is refused in every string (`string.nul`): PostgreSQL cannot store it;
//! * a `Timestamp` must lie in the years 0001 to 9999, a `Duration` within ±10,000 years, with
//!   sound nanoseconds (`timestamp.range`, `duration.range`);
//! * `string.email` also limits the lengths, and `string.uuid` takes the hyphenated form only;
//! * of a request that breaks very many rules, only [`MAX_VIOLATIONS`] are told.

mod collection;
mod path;
mod range;
mod text;
mod time;

pub use collection::{EnumRules, MapRules, RepeatedRules};
pub use path::MapKey;
pub use range::{Bound, RangeRules};
pub use text::{BytesRules, StringRules};

use path::{Path, Segment};

/// The most violations that are told of one message. More would not fit into the headers that
/// carry a gRPC error.
pub const MAX_VIOLATIONS: usize = 32;

/// One broken rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Where, with the names of the proto: `items[2].dose`, `labels["colour"]`. Empty text keys and
    /// those that are not plain codes are shown as `labels[…]`, because they may be personal data.
    pub field: String,
    /// Which rule, named as in the proto: `string.max_len`, `required`.
    pub rule: &'static str,
    /// What is allowed, such as "must have at most 64 characters"; never what was sent.
    pub message: String,
}

/// A message that knows the rules of its fields. Implemented by generated code.
pub trait Checked {
    /// Whether a method takes this message as its request. The codec checks only these: a client
    /// must be able to read the answers of a server that is newer than itself.
    const REQUEST: bool = false;

    /// Reports every broken rule. Messages that no request can reach have none.
    fn check(&self, report: &mut Report) {
        let _ = report;
    }
}

/// `google.protobuf.Empty`.
impl Checked for () {}

/// Recursive messages are boxed.
impl<T: Checked> Checked for Box<T> {
    const REQUEST: bool = T::REQUEST;

    fn check(&self, report: &mut Report) {
        (**self).check(report);
    }
}

/// Checks a message against the rules in its proto, all at once.
pub fn check_message<T: Checked>(message: &T) -> Result<(), Vec<Violation>> {
    let mut report = Report::default();
    message.check(&mut report);
    if report.violations.is_empty() { Ok(()) } else { Err(report.violations) }
}

/// Whether a value is the one that an unset proto3 field has.
pub fn is_zero<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Collects violations while generated code walks through a message.
#[derive(Debug, Default)]
pub struct Report {
    path: Path,
    violations: Vec<Violation>,
}

impl Report {
    /// Notes a broken rule at the present place.
    pub fn fault(&mut self, rule: &'static str, message: impl Into<String>) {
        if !self.is_full() {
            let field = self.path.to_string();
            self.violations.push(Violation { field, rule, message: message.into() });
        }
    }

    /// Notes that a field with the rule `required` is unset.
    pub fn missing(&mut self) {
        self.fault("required", "must be set");
    }

    /// Checks inside a field (or oneof) of this name.
    pub fn field(&mut self, name: &'static str, check: impl FnOnce(&mut Self)) {
        self.at(Segment::Field(name), check);
    }

    /// Checks a nested message.
    pub fn message<T: Checked>(&mut self, message: &T) {
        message.check(self);
    }

    fn at(&mut self, segment: Segment, check: impl FnOnce(&mut Self)) {
        self.path.0.push(segment);
        check(self);
        self.path.0.pop();
    }

    fn is_full(&self) -> bool {
        self.violations.len() >= MAX_VIOLATIONS
    }
}

/// "1 item", "2 items".
fn counted(count: u64, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

#[cfg(test)]
fn violations(check: impl FnOnce(&mut Report)) -> Vec<&'static str> {
    let mut report = Report::default();
    check(&mut report);
    report.violations.iter().map(|violation| violation.rule).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_ends_at_its_limit() {
        let rules = violations(|report| {
            for _ in 0..MAX_VIOLATIONS + 5 {
                report.missing();
            }
        });
        assert_eq!(rules.len(), MAX_VIOLATIONS);
    }

    #[test]
    fn nouns_follow_their_number() {
        assert_eq!(counted(1, "item"), "1 item");
        assert_eq!(counted(0, "item"), "0 items");
    }
}
