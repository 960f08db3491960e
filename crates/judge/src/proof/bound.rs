//! How much it is worth that nothing was found: an upper bound, under a condition that is said beside it.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What no violation among so many observations bounds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Bound {
    /// Observations.
    pub n: u64,
}

impl Bound {
    /// The rate that would have shown itself with a probability of 95 %, if the observations were independent: the rule of
    /// three. Nothing where nothing was observed.
    pub fn rate(self) -> Option<f64> {
        (self.n > 0).then(|| (3.0 / self.n as f64).min(1.0))
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.rate() {
            Some(rate) => write!(
                f,
                "0 of {} frames; a rate of 3/n = {rate:.1e} a frame or more would have shown with 95 % probability if \
                 frames were independent, and those of one run are not",
                grouped(self.n)
            ),
            None => f.write_str("no frame was observed, so nothing is bounded"),
        }
    }
}

/// A number with a space at each thousand.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut told = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            told.push(' ');
        }
        told.push(digit);
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_is_three_over_n_and_never_more_than_one() {
        assert_eq!(Bound { n: 0 }.rate(), None);
        assert_eq!(Bound { n: 2 }.rate(), Some(1.0));
        assert!((Bound { n: 41_280 }.rate().unwrap() - 7.267e-5).abs() < 1e-8);
        assert!(Bound { n: 41_280 }.to_string().starts_with("0 of 41 280 frames; a rate of 3/n = 7.3e-5"));
    }
}
