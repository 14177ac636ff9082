//! Rules of numbers.

use super::Report;

/// The rules of a number: `Int32Rules`, `Int64Rules`, `UInt32Rules`, `DoubleRules` of
/// `buf.validate`, and, with pairs of seconds and nanoseconds, `DurationRules`.
#[derive(Clone, Copy, Debug)]
pub struct RangeRules<T> {
    /// The value must be above this.
    pub gt: Option<T>,
    /// The value must be this or above.
    pub gte: Option<T>,
    /// The value must be below this.
    pub lt: Option<T>,
    /// The value must be this or below.
    pub lte: Option<T>,
    /// Neither infinite nor NaN. Only a `double` can be.
    pub finite: bool,
}

impl<T> RangeRules<T> {
    /// No rule.
    pub const NONE: Self = Self { gt: None, gte: None, lt: None, lte: None, finite: false };
}

/// A value with an order, and the names of its rules.
pub trait Bound: Copy + PartialOrd {
    /// The names of the rules `gt`, `gte`, `lt`, `lte`.
    const RULES: [&'static str; 4];

    /// The value as a message shows it.
    fn shown(self) -> String;

    /// Whether it is neither infinite nor NaN.
    fn is_finite(self) -> bool {
        true
    }
}

impl Bound for i32 {
    const RULES: [&'static str; 4] = ["int32.gt", "int32.gte", "int32.lt", "int32.lte"];

    fn shown(self) -> String {
        self.to_string()
    }
}

impl Bound for i64 {
    const RULES: [&'static str; 4] = ["int64.gt", "int64.gte", "int64.lt", "int64.lte"];

    fn shown(self) -> String {
        self.to_string()
    }
}

impl Bound for u32 {
    const RULES: [&'static str; 4] = ["uint32.gt", "uint32.gte", "uint32.lt", "uint32.lte"];

    fn shown(self) -> String {
        self.to_string()
    }
}

impl Bound for f64 {
    const RULES: [&'static str; 4] = ["double.gt", "double.gte", "double.lt", "double.lte"];

    fn shown(self) -> String {
        self.to_string()
    }

    fn is_finite(self) -> bool {
        f64::is_finite(self)
    }
}

impl Report {
    /// Checks a number. NaN is within no limit.
    #[expect(clippy::neg_cmp_op_on_partial_ord, reason = "NaN must fail every comparison")]
    pub fn range<T: Bound>(&mut self, value: T, rules: &RangeRules<T>) {
        let [gt, gte, lt, lte] = T::RULES;
        if rules.finite && !value.is_finite() {
            self.fault("double.finite", "must be finite");
        }
        if let Some(limit) = rules.gt
            && !(value > limit)
        {
            self.fault(gt, format!("must be above {}", limit.shown()));
        }
        if let Some(limit) = rules.gte
            && !(value >= limit)
        {
            self.fault(gte, format!("must be at least {}", limit.shown()));
        }
        if let Some(limit) = rules.lt
            && !(value < limit)
        {
            self.fault(lt, format!("must be below {}", limit.shown()));
        }
        if let Some(limit) = rules.lte
            && !(value <= limit)
        {
            self.fault(lte, format!("must be at most {}", limit.shown()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::violations;
    use super::*;

    #[test]
    fn limits_are_open_or_closed() {
        let open = RangeRules { gt: Some(1), lt: Some(4), ..RangeRules::NONE };
        let closed = RangeRules { gte: Some(1), lte: Some(4), ..RangeRules::NONE };
        let broken = |value: i32, rules| violations(|report| report.range(value, &rules));
        assert_eq!(broken(1, open), ["int32.gt"]);
        assert!(broken(2, open).is_empty());
        assert!(broken(3, open).is_empty());
        assert_eq!(broken(4, open), ["int32.lt"]);
        assert_eq!(broken(0, closed), ["int32.gte"]);
        assert!(broken(1, closed).is_empty());
        assert!(broken(4, closed).is_empty());
        assert_eq!(broken(5, closed), ["int32.lte"]);
    }

    #[test]
    fn nan_and_infinity_break_what_they_should() {
        let broken = |value: f64, rules| violations(|report| report.range(value, &rules));
        let finite = RangeRules { finite: true, ..RangeRules::NONE };
        assert_eq!(broken(f64::NAN, finite), ["double.finite"]);
        assert_eq!(broken(f64::INFINITY, finite), ["double.finite"]);
        assert!(broken(f64::MAX, finite).is_empty());
        let limited = RangeRules { gte: Some(0.0), lt: Some(1.0), ..RangeRules::NONE };
        assert_eq!(broken(f64::NAN, limited), ["double.gte", "double.lt"]);
        assert!(broken(-0.0, limited).is_empty());
        assert!(broken(f64::NAN, RangeRules::NONE).is_empty());
    }

    #[test]
    fn every_width_has_its_rule_names() {
        let wide = RangeRules { gt: Some(0_i64), ..RangeRules::NONE };
        assert_eq!(violations(|report| report.range(0, &wide)), ["int64.gt"]);
        let unsigned = RangeRules { lte: Some(9_u32), ..RangeRules::NONE };
        assert_eq!(violations(|report| report.range(10, &unsigned)), ["uint32.lte"]);
    }
}
