//! A number as people read it: digits where they end, else a fraction with a rounded decimal beside it.

use dashu_int::{IBig, Sign, UBig, ops::BitTest};
use dashu_ratio::RBig;

use super::number::Number;

/// Digits given of a fraction whose decimals do not end.
const FRACTION_DIGITS: usize = 20;

/// Digits given of a number that is itself rounded.
const ROUNDED_DIGITS: usize = 40;

/// Most decimals written out where they end.
const MAX_PLACES: usize = 100;

/// A number in digits.
pub(super) struct Written {
    /// The exact value where there is one, else the rounded one.
    pub(super) text: String,
    /// A rounded decimal and how many digits of it count.
    pub(super) approximation: Option<(String, usize)>,
}

/// Writes a number.
pub(super) fn write(number: &Number) -> Written {
    let value = &number.value;
    if !number.exact {
        let text = significant(value, ROUNDED_DIGITS);
        return Written { approximation: Some((text.clone(), ROUNDED_DIGITS)), text };
    }
    match places(value.denominator()) {
        Some(0) => Written { text: value.numerator().to_string(), approximation: None },
        Some(places) => Written { text: decimal(value, places), approximation: None },
        None => Written {
            text: format!("{}/{}", value.numerator(), value.denominator()),
            approximation: Some((significant(value, FRACTION_DIGITS), FRACTION_DIGITS)),
        },
    }
}

/// How many decimals a fraction with this denominator has, if they end within [`MAX_PLACES`].
fn places(denominator: &UBig) -> Option<usize> {
    let twos = denominator.trailing_zeros().unwrap_or(0);
    let mut rest = denominator >> twos;
    let (five, mut fives) = (UBig::from(5u8), 0);
    while !rest.is_one() {
        if fives == MAX_PLACES || !(&rest % &five).is_zero() {
            return None;
        }
        rest /= &five;
        fives += 1;
    }
    Some(twos.max(fives)).filter(|places| *places <= MAX_PLACES)
}

/// The value with exactly `places` decimals, rounded if it has more.
fn decimal(value: &RBig, places: usize) -> String {
    let (sign, digits) = (value * ten_to(places)).round().into_parts();
    let digits = format!("{:0>width$}", digits.to_string(), width = places + 1);
    let (whole, fraction) = digits.split_at(digits.len() - places);
    let sign = if sign == Sign::Negative { "-" } else { "" };
    if places == 0 { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
}

/// The value rounded to `count` significant digits, as a plain decimal or in scientific notation.
fn significant(value: &RBig, count: usize) -> String {
    if value.is_zero() {
        return "0".to_owned();
    }
    let magnitude = magnitude(value);
    let wanted = count as isize - 1 - magnitude;
    if (-6..count as isize).contains(&magnitude) {
        let text = decimal(value, wanted.max(0) as usize);
        return match text.contains('.') {
            true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
            false => text,
        };
    }
    let mantissa = value * power_of_ten(-magnitude);
    let text = decimal(&mantissa, count - 1);
    format!("{}e{magnitude}", text.trim_end_matches('0').trim_end_matches('.'))
}

/// The exponent of the first digit: 0 for 1 to 9.99, -1 for 0.1.
fn magnitude(value: &RBig) -> isize {
    let (numerator, denominator) = value.clone().into_parts();
    let bits = numerator.bit_len() as f64 - denominator.bit_len() as f64;
    let size = RBig::from_parts(IBig::from(numerator.into_parts().1), denominator);
    // The lengths in bits are off by one at most, so the guess is; the comparisons settle it.
    let mut guess = (bits * std::f64::consts::LOG10_2).floor() as isize + 1;
    while size < power_of_ten(guess) {
        guess -= 1;
    }
    guess
}

fn ten_to(power: usize) -> RBig {
    RBig::from(UBig::from(10u8).pow(power))
}

fn power_of_ten(power: isize) -> RBig {
    let size = ten_to(power.unsigned_abs());
    if power < 0 { RBig::ONE / size } else { size }
}
