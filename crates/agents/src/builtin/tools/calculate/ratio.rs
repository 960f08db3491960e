//! A fraction of two 128-bit integers in its lowest terms, and what can be done with it.

use std::fmt;

use crate::ToolError;

/// Most decimals of a fraction that is written as a decimal.
const MAX_DECIMALS: usize = 30;

/// A fraction; the lower number is above 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ratio {
    upper: i128,
    lower: i128,
}

type RatioResult = Result<Ratio, ToolError>;

fn too_large() -> ToolError {
    ToolError::new("too_large", "The numbers get too large: I calculate with up to 38 digits.")
}

fn divisor(a: i128, b: i128) -> i128 {
    let (mut a, mut b) = (a.unsigned_abs(), b.unsigned_abs());
    while b > 0 {
        (a, b) = (b, a % b);
    }
    i128::try_from(a).unwrap_or(1).max(1)
}

impl Ratio {
    const ONE: Self = Self { upper: 1, lower: 1 };

    fn new(upper: Option<i128>, lower: Option<i128>) -> RatioResult {
        let (upper, lower) = (upper.ok_or_else(too_large)?, lower.ok_or_else(too_large)?);
        if lower == 0 {
            return Err(ToolError::new("division_by_zero", "Division by zero has no value."));
        }
        let common = divisor(upper, lower) * lower.signum();
        let parts = upper.checked_div(common).zip(lower.checked_div(common));
        let (upper, lower) = parts.ok_or_else(too_large)?;
        Ok(Self { upper, lower })
    }

    /// A number as written: digits with at most one point.
    pub(super) fn read(digits: &[char]) -> RatioResult {
        let invalid = || ToolError::new("invalid_expression", "A number in the expression is not complete.");
        let (mut upper, mut lower, mut point, mut seen) = (Some(0i128), Some(1i128), false, false);
        for digit in digits {
            match digit.to_digit(10) {
                Some(digit) => {
                    seen = true;
                    upper = upper.and_then(|upper| upper.checked_mul(10)?.checked_add(digit.into()));
                    lower = if point { lower.and_then(|lower| lower.checked_mul(10)) } else { lower };
                }
                None if point => return Err(invalid()),
                None => point = true,
            }
        }
        if seen { Self::new(upper, lower) } else { Err(invalid()) }
    }

    pub(super) fn negative(self) -> RatioResult {
        Self::new(self.upper.checked_neg(), Some(self.lower))
    }

    pub(super) fn add(self, other: Self) -> RatioResult {
        let left = self.upper.checked_mul(other.lower);
        let right = other.upper.checked_mul(self.lower);
        let sum = left.zip(right).and_then(|(left, right)| left.checked_add(right));
        Self::new(sum, self.lower.checked_mul(other.lower))
    }

    pub(super) fn multiply(self, other: Self) -> RatioResult {
        // Across first, so that what cancels does not overflow.
        let (a, b) = (divisor(self.upper, other.lower), divisor(other.upper, self.lower));
        let upper = (self.upper / a).checked_mul(other.upper / b);
        Self::new(upper, (self.lower / b).checked_mul(other.lower / a))
    }

    pub(super) fn divide(self, other: Self) -> RatioResult {
        self.multiply(Self::new(Some(other.lower), Some(other.upper))?)
    }

    /// What is left of the division by `other`, with the sign of `other`.
    pub(super) fn remainder(self, other: Self) -> RatioResult {
        let quotient = self.divide(other)?;
        let whole = quotient.upper.div_euclid(quotient.lower);
        let taken = other.multiply(Self { upper: whole, lower: 1 })?;
        self.add(taken.negative()?)
    }

    /// The power; the exponent must be whole.
    pub(super) fn power(self, exponent: Self) -> RatioResult {
        if exponent.lower != 1 {
            return Err(ToolError::new("not_whole", "An exponent must be a whole number."));
        }
        let mut base = if exponent.upper < 0 { Self::ONE.divide(self)? } else { self };
        let (mut power, mut left) = (Self::ONE, exponent.upper.unsigned_abs());
        // Squaring: at most 128 rounds, and an overflow ends it sooner.
        while left > 0 {
            if left % 2 == 1 {
                power = power.multiply(base)?;
            }
            left /= 2;
            if left > 0 {
                base = base.multiply(base)?;
            }
        }
        Ok(power)
    }

    /// The value with exactly as many decimals as it has; none when they do not end.
    fn decimal(self) -> Option<String> {
        let (mut places, mut scale) = (0, Some(1i128));
        while scale? % self.lower != 0 {
            places += 1;
            scale = scale.and_then(|scale| scale.checked_mul(10)).filter(|_| places <= MAX_DECIMALS);
        }
        let digits = self.upper.checked_mul(scale? / self.lower)?;
        let text = format!("{:0width$}", digits.unsigned_abs(), width = places + 1);
        let (whole, fraction) = text.split_at(text.len() - places);
        let sign = if digits < 0 { "-" } else { "" };
        Some(if places == 0 { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") })
    }

    /// About the value, to 14 digits, when it has no end as a decimal.
    pub(super) fn approximation(self) -> Option<String> {
        match self.decimal() {
            Some(_) => None,
            None => {
                let rounded = format!("{:.13e}", self.upper as f64 / self.lower as f64);
                rounded.parse::<f64>().ok().map(|value| value.to_string())
            }
        }
    }
}

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.decimal() {
            Some(decimal) => f.write_str(&decimal),
            None => write!(f, "{}/{}", self.upper, self.lower),
        }
    }
}
