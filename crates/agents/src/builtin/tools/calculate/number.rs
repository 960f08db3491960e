//! A number and what can be done with it, each step bounded in size so that no expression hangs a run.

use dashu_int::{
    IBig, Sign, UBig,
    ops::{BitTest, Gcd, SquareRoot},
};
use dashu_ratio::RBig;

use crate::ToolFailure;

/// Most bits of a numerator and denominator together: some 12,000 decimal digits.
const MAX_BITS: usize = 40_000;

/// Most work in one expression, in bits of operands read.
const MAX_WORK: usize = 2_000_000;

/// Largest argument of a factorial.
const MAX_FACTORIAL: u32 = 3_000;

/// Bits kept of a root that has no exact value: more than 40 decimal digits.
const ROOT_BITS: usize = 170;

/// A rational and whether it is the exact value of what was asked.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Number {
    /// The value.
    pub(super) value: RBig,
    /// False once a root or a constant had to be rounded.
    pub(super) exact: bool,
}

impl Number {
    /// An exact number.
    pub(super) fn exact(value: RBig) -> Self {
        Self { value, exact: true }
    }

    fn bits(&self) -> usize {
        self.value.numerator().bit_len() + self.value.denominator().bit_len()
    }

    fn is_negative(&self) -> bool {
        self.value.numerator().sign() == Sign::Negative && !self.value.is_zero()
    }

    fn whole(&self, what: &str) -> Result<IBig, ToolFailure> {
        if self.value.is_int() {
            Ok(self.value.numerator().clone())
        } else {
            Err(ToolFailure::new("not_whole", format!("{what} needs whole numbers.")))
        }
    }
}

/// The operations, with the work they may still do.
pub(super) struct Arithmetic {
    work_left: usize,
}

impl Arithmetic {
    /// A fresh allowance.
    pub(super) fn new() -> Self {
        Self { work_left: MAX_WORK }
    }

    /// Charges for an operation before it is done: `bits` is the size of what it may give.
    fn charge(&mut self, bits: usize) -> Result<(), ToolFailure> {
        if bits > MAX_BITS {
            return Err(too_large());
        }
        self.work_left = self.work_left.checked_sub(bits + 64).ok_or_else(too_large)?;
        Ok(())
    }

    /// `left` sign `right` for `+ - * / %`; `%` has the sign of the divisor.
    pub(super) fn apply(&mut self, sign: char, left: &Number, right: &Number) -> Result<Number, ToolFailure> {
        self.charge(left.bits() + right.bits())?;
        if matches!(sign, '/' | '%') && right.value.is_zero() {
            return Err(ToolFailure::new("division_by_zero", "Division by zero has no value."));
        }
        let (a, b) = (&left.value, &right.value);
        let value = match sign {
            '+' => a + b,
            '-' => a - b,
            '*' => a * b,
            '/' => a / b,
            _ => a - b * RBig::from((a / b).floor()),
        };
        Ok(Number { value, exact: left.exact && right.exact })
    }

    /// `base` to the power of `exponent`: a whole number, or 1/2 for the square root.
    pub(super) fn power(&mut self, base: &Number, exponent: &Number) -> Result<Number, ToolFailure> {
        if exponent.value == RBig::from_parts(IBig::from(1), UBig::from(2u8)) {
            return self.root(base);
        }
        let exponent = exponent.whole("An exponent")?;
        if base.value.is_zero() && exponent.sign() == Sign::Negative {
            return Err(ToolFailure::new("division_by_zero", "Zero to a negative power has no value."));
        }
        let trivial = base.value.is_zero()
            || base.value.numerator().clone().into_parts().1.is_one() && base.value.is_int();
        let size = isize::try_from(&exponent);
        let size = match (size, trivial) {
            (Ok(size), _) => size,
            // 0, 1 and -1 have a value for any exponent: only whether it is odd matters.
            (Err(_), true) => 2 + isize::from(exponent.bit(0)),
            (Err(_), false) => return Err(too_large()),
        };
        if !trivial {
            self.charge(base.bits().saturating_mul(size.unsigned_abs()))?;
        }
        Ok(Number { value: base.value.pow(size), exact: base.exact })
    }

    /// The square root, exact where the number is a perfect square.
    pub(super) fn root(&mut self, of: &Number) -> Result<Number, ToolFailure> {
        if of.is_negative() {
            return Err(ToolFailure::new("no_real_value", "A negative number has no real square root."));
        }
        self.charge(of.bits() + 4 * ROOT_BITS)?;
        let (numerator, denominator) = of.value.clone().into_parts();
        let numerator = numerator.into_parts().1;
        let (top, bottom) = (numerator.sqrt(), denominator.sqrt());
        if top.clone() * &top == numerator && bottom.clone() * &bottom == denominator {
            return Ok(Number { value: RBig::from_parts(IBig::from(top), bottom), exact: of.exact });
        }
        let shift = ROOT_BITS + denominator.bit_len();
        let root = ((numerator << (2 * shift)) / denominator).sqrt();
        let value = RBig::from_parts(IBig::from(root), UBig::from(1u8) << shift);
        Ok(Number { value, exact: false })
    }

    /// `of!` for a whole number from 0 to [`MAX_FACTORIAL`].
    pub(super) fn factorial(&mut self, of: &Number) -> Result<Number, ToolFailure> {
        let whole = of.whole("A factorial")?;
        if of.is_negative() {
            return Err(ToolFailure::new("no_real_value", "A negative number has no factorial."));
        }
        let count = u32::try_from(&whole).ok().filter(|count| *count <= MAX_FACTORIAL).ok_or_else(|| {
            ToolFailure::new("too_large", format!("I calculate factorials up to {MAX_FACTORIAL}!."))
        })?;
        self.charge(count as usize * 12)?;
        let value = (2..=count).fold(UBig::from(1u8), |product, factor| product * factor);
        Ok(Number { value: RBig::from(value), exact: of.exact })
    }

    /// The greatest common divisor or the least common multiple of two whole numbers.
    pub(super) fn divisor(&mut self, a: &Number, b: &Number, multiple: bool) -> Result<Number, ToolFailure> {
        self.charge(a.bits() + b.bits())?;
        let exact = a.exact && b.exact;
        let (a, b) = (a.whole("gcd and lcm")?.into_parts().1, b.whole("gcd and lcm")?.into_parts().1);
        let value = match (a.is_zero(), b.is_zero()) {
            // The library has no gcd(0, 0); by convention it is 0, and so is any lcm with 0.
            (true, true) => UBig::from(0u8),
            (true, false) | (false, true) if multiple => UBig::from(0u8),
            (true, false) => b,
            (false, true) => a,
            (false, false) if multiple => a.clone() / (&a).gcd(&b) * b,
            (false, false) => a.gcd(&b),
        };
        Ok(Number { value: RBig::from(value), exact })
    }
}

fn too_large() -> ToolFailure {
    ToolFailure::new("too_large", "The numbers get too large: I work with up to some 12,000 digits.")
}
