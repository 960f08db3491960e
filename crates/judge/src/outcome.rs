//! What comes of a check: what it saw that made it pass, or why it did not.

use std::fmt;

use crate::report::Measure;

/// What came of a check.
pub type CheckOutcome = Result<Evidence, Failure>;

/// What a check saw that made it pass.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Evidence {
    /// In a sentence with figures: "8 tokens refused, each before any event".
    pub what: String,
    /// What was measured, if something was.
    pub measures: Vec<Measure>,
}

/// Why a check did not pass.
#[derive(Debug, Clone, PartialEq)]
pub enum Failure {
    /// The promise is broken: what was seen instead.
    Broken(String),
    /// It could not be put to the test: why.
    NotDone(String),
    /// The server cannot be reached any more.
    Gone(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Broken(what) | Failure::NotDone(what) | Failure::Gone(what) => f.write_str(what),
        }
    }
}

/// The check passes on this.
pub fn pass(what: impl Into<String>) -> CheckOutcome {
    Ok(Evidence { what: what.into(), measures: Vec::new() })
}

/// The promise is broken.
pub fn broken<T>(what: impl Into<String>) -> Result<T, Failure> {
    Err(Failure::Broken(what.into()))
}

/// Breaks the check off unless the condition holds.
pub fn ensure(holds: bool, what: impl FnOnce() -> String) -> Result<(), Failure> {
    if holds { Ok(()) } else { Err(Failure::Broken(what())) }
}
