//! JSON numbers, compared by value without loss: 2^53 + 1 is not 2^53, and 1 is 1.0.

use std::cmp::Ordering;

use serde_json::Number;

/// Every value has one form: what is whole and smaller than 2^127 is an integer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Num {
    Int(i128),
    Float(f64),
}

const TWO_TO_127: f64 = 170_141_183_460_469_231_731_687_303_715_884_105_728.0;

impl Num {
    pub(crate) fn new(number: &Number) -> Self {
        if let Some(number) = number.as_i64() {
            number.into()
        } else if let Some(number) = number.as_u64() {
            number.into()
        } else {
            number.as_f64().unwrap_or_default().into()
        }
    }
}

impl From<i64> for Num {
    fn from(number: i64) -> Self {
        Self::Int(number.into())
    }
}

impl From<u64> for Num {
    fn from(number: u64) -> Self {
        Self::Int(number.into())
    }
}

impl From<f64> for Num {
    fn from(number: f64) -> Self {
        if number.fract() == 0.0 && number.abs() < TWO_TO_127 { Self::Int(number as i128) } else { Self::Float(number) }
    }
}

impl Eq for Num {}

impl PartialOrd for Num {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Num {
    fn cmp(&self, other: &Self) -> Ordering {
        match (*self, *other) {
            (Self::Int(a), Self::Int(b)) => a.cmp(&b),
            (Self::Float(a), Self::Float(b)) => a.total_cmp(&b),
            (Self::Int(int), Self::Float(float)) => compare(int, float),
            (Self::Float(float), Self::Int(int)) => compare(int, float).reverse(),
        }
    }
}

/// The two are never equal, because the float is not whole or is beyond every integer.
fn compare(int: i128, float: f64) -> Ordering {
    if float >= TWO_TO_127 {
        Ordering::Less
    } else if float <= -TWO_TO_127 {
        Ordering::Greater
    } else if int <= float.floor() as i128 {
        Ordering::Less
    } else {
        Ordering::Greater
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_compare_by_value() {
        let ascending = [
            Num::from(-1e300),
            Num::from(i64::MIN),
            Num::from(-1.5),
            Num::from(-1.0),
            Num::from(-0.5),
            Num::from(0.0),
            Num::from(0.5),
            Num::from(9_007_199_254_740_992_u64),
            Num::from(9_007_199_254_740_993_u64),
            Num::from(i64::MAX),
            Num::from(9_223_372_036_854_775_808.0),
            Num::from(u64::MAX),
            Num::from(18_446_744_073_709_551_616.0),
            Num::from(1e38),
            Num::from(TWO_TO_127),
            Num::from(1e300),
        ];
        for (i, a) in ascending.iter().enumerate() {
            for (j, b) in ascending.iter().enumerate() {
                assert_eq!(a.cmp(b), i.cmp(&j), "{a:?} {b:?}");
                assert_eq!(a == b, i == j);
            }
        }
        assert_eq!(Num::from(1_i64), Num::from(1.0));
        assert_eq!(Num::from(0_i64), Num::from(-0.0));
    }
}
