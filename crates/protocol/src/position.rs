//! A place in a user's log: which number line (epoch) and how far on it (seq).

use std::{fmt, str::FromStr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Names one number line of one user; changes only when a log was lost or restored. 16 hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(extend("pattern" = "^[0-9a-f]{16}$"))]
pub struct Epoch(u64);

impl Epoch {
    /// The epoch with this number.
    pub fn new(number: u64) -> Self {
        Self(number)
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl FromStr for Epoch {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let hex = text.len() == 16 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if !hex {
            return Err("an epoch is 16 lower-case hex digits");
        }
        u64::from_str_radix(text, 16).map(Self).map_err(|_| "an epoch is 16 lower-case hex digits")
    }
}

impl TryFrom<String> for Epoch {
    type Error = &'static str;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Epoch> for String {
    fn from(epoch: Epoch) -> String {
        epoch.to_string()
    }
}

/// The last event that a client has, on which number line; 0 stands before the first event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Position {
    /// The number line.
    pub epoch: Epoch,
    /// The last sequence number seen.
    pub seq: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_round_trips_and_refuses_all_else() {
        let epoch = Epoch::new(0xdead_beef);
        assert_eq!(epoch.to_string(), "00000000deadbeef");
        assert_eq!(epoch.to_string().parse(), Ok(epoch));
        for bad in
            ["", "deadbeef", "00000000DEADBEEF", "+000000deadbeef0", "0x000000deadbeef", "é0000000deadbe"]
        {
            assert!(bad.parse::<Epoch>().is_err(), "{bad}");
        }
    }
}
