//! The judge: one list of named checks, each a promise of a server in a sentence, put to the test over real sockets.
//! A check passes on what it saw, fails with what it saw instead, or is not done with the reason; nothing passes because
//! nothing happened. `list` has them all, `target` is the server that is judged, `session` a connection to it, and
//! `judge` runs them.
//!
//! How a check is written: a function `async fn name(trial: &Trial<'_>) -> Outcome` in the file of its group, and a row in
//! `list`. It takes users, connections and HTTP from its [`Trial`], says what it saw with [`pass`], and ends early with
//! `?`: every wait of a [`Session`] has a deadline and fails with what was waited for. What the server or the profile
//! cannot do ends it with [`Fault::NotDone`]. No sleeps: barriers, answers and events.

use std::{fmt, future::Future, pin::Pin};

use serde::{Deserialize, Serialize};

mod alive;
mod allowance;
mod door;
pub mod embedded;
pub mod faults;
mod foreign;
pub mod judge;
mod later;
pub mod list;
mod look;
mod need;
pub mod rules;
mod seen;
pub mod self_test;
pub mod session;
mod story;
mod target;
mod trial;
mod unsaid;

pub use embedded::{Embedded, EmbeddedError};
pub use faults::{FAULTS, InjectedFault, Source};
pub use judge::{Judge, Progress};
pub use list::CHECKS;
pub use need::Need;
pub use seen::Seen;
pub use session::Session;
pub use story::story;
pub use target::{Credentials, HttpAnswer, Target, TargetError, is_unreachable};
pub use trial::{Trial, Visitor, with_query};

/// A promise of a server, and how it is put to the test.
pub struct Check {
    /// Its name: group and promise, as in `order.terminal_last`.
    pub id: &'static str,
    /// The promise.
    pub sentence: &'static str,
    /// How bad it is when the promise is broken.
    pub severity: Severity,
    /// What of the profile and the credentials it needs.
    pub needs: &'static [Need],
    /// The fault that must make it fail, by its name in the table (`faults::FAULTS`).
    pub bug: &'static str,
    /// When it runs.
    pub pace: Pace,
    /// Puts it to the test.
    pub run: Run,
}

impl Check {
    /// The fault that must make it fail. Panics when the table lacks it, which a test of the list rules out.
    pub fn fault(&self) -> &'static InjectedFault {
        InjectedFault::find(self.bug)
            .unwrap_or_else(|| panic!("{}: no fault is called {:?}", self.id, self.bug))
    }
}

/// How a check is run.
pub type Run = for<'a> fn(&'a Trial<'a>) -> Pin<Box<dyn Future<Output = Outcome> + Send + 'a>>;

/// How bad a broken promise is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// It is against good manners or slows people down.
    Minor,
    /// Clients break, or people do not see what happened.
    Major,
    /// Events are lost, or somebody sees or does what is another's.
    Critical,
}

/// When a check runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// Always, beside others.
    Quick,
    /// Not with `--quick`: it takes more than a second or so.
    Full,
    /// Always, alone and before all others: what it breaks would be blamed on them.
    First,
    /// Always, alone: it measures, or counts what all others do as well.
    Alone,
    /// Alone, and not with `--quick`.
    FullAlone,
}

impl Pace {
    /// True when no other check may run meanwhile.
    pub fn is_alone(self) -> bool {
        matches!(self, Pace::First | Pace::Alone | Pace::FullAlone)
    }
}

/// What came of a check.
pub type Outcome = Result<Evidence, Fault>;

/// What a check saw that made it pass.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Evidence {
    /// In a sentence with figures: "8 tokens refused, each before any event".
    pub what: String,
    /// What was measured, if something was.
    pub measures: Vec<Measure>,
}

/// Times that a check took, in milliseconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measure {
    /// What was timed.
    pub what: String,
    /// Each time, in milliseconds, in the order of measuring.
    pub ms: Vec<f64>,
    /// What it must stay under, if there is a bound, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bound_ms: Option<f64>,
}

/// Why a check did not pass.
#[derive(Debug, Clone, PartialEq)]
pub enum Fault {
    /// The promise is broken: what was seen instead.
    Broken(String),
    /// It could not be put to the test: why.
    NotDone(String),
    /// The server cannot be reached any more.
    Gone(String),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Broken(what) | Fault::NotDone(what) | Fault::Gone(what) => f.write_str(what),
        }
    }
}

/// The check passes on this.
pub fn pass(what: impl Into<String>) -> Outcome {
    Ok(Evidence { what: what.into(), measures: Vec::new() })
}

/// The promise is broken.
pub fn broken<T>(what: impl Into<String>) -> Result<T, Fault> {
    Err(Fault::Broken(what.into()))
}

/// Breaks the check off unless the condition holds.
pub fn ensure(holds: bool, what: impl FnOnce() -> String) -> Result<(), Fault> {
    if holds { Ok(()) } else { Err(Fault::Broken(what())) }
}
