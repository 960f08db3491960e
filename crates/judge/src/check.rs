//! The judge: one list of named checks, each a promise of a server in a sentence, put to the test over real sockets.
//! A check passes on what it saw, fails with what it saw instead, or is not done with the reason; nothing passes because
//! nothing happened. `list` has them all, `target` is the server that is judged, `session` a connection to it, and
//! `judge` runs them.
//!
//! How a check is written: a function `async fn name(context: &CheckContext<'_>) -> CheckOutcome` in the file of its group, and a row in
//! `list`. It takes users, connections and HTTP from its [`CheckContext`], says what it saw with [`pass`], and ends early with
//! `?`: every wait of a [`Session`] has a deadline and fails with what was waited for. What the server or the profile
//! cannot do ends it with [`Failure::NotDone`]. No sleeps: barriers, answers and events.

use std::{borrow::Cow, future::Future, pin::Pin};

mod alive;
pub mod embedded;
pub mod faults;
mod foreign;
pub mod judge;
pub mod list;
mod look;
mod need;
mod redact;
pub mod self_test;
mod throttled;
mod timeline;

pub use crate::{
    context::{Attempt, CheckContext, TestPrincipal},
    outcome::{CheckOutcome, Evidence, Failure, broken, ensure, pass},
    received_frame::ReceivedFrame,
    report::{Measure, Severity},
    rules,
    session::{self, Session},
    target::{Credentials, HttpAnswer, Target, TargetError, with_query},
};
pub use embedded::{Embedded, EmbeddedError};
pub use faults::{FAULTS, InjectedFault, Source};
pub use judge::{Judge, Progress, ProgressEvent};
pub use list::CHECKS;
pub use need::Need;
pub use timeline::timeline;

/// A promise of a server, and how it is put to the test.
pub struct Check {
    /// Its name: group and promise, as in `order.completed_last`.
    pub id: Cow<'static, str>,
    /// The promise.
    pub sentence: &'static str,
    /// How bad it is when the promise is broken.
    pub severity: Severity,
    /// What of the profile and the credentials it needs.
    pub needs: &'static [Need],
    /// The fault that must make it fail, by its name in the table (`faults::FAULTS`).
    pub fault_name: &'static str,
    /// When it runs.
    pub schedule: Schedule,
    /// Puts it to the test.
    pub run: CheckFn,
}

impl Check {
    /// The fault that must make it fail. Panics when the table lacks it, which a test of the list rules out.
    pub fn fault(&self) -> &'static InjectedFault {
        InjectedFault::find(self.fault_name)
            .unwrap_or_else(|| panic!("{}: no fault is called {:?}", self.id, self.fault_name))
    }
}

/// How a check is run.
pub type CheckFn =
    for<'a> fn(&'a CheckContext<'a>) -> Pin<Box<dyn Future<Output = CheckOutcome> + Send + 'a>>;

/// When a check runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Schedule {
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

impl Schedule {
    /// True when no other check may run meanwhile.
    pub fn is_alone(self) -> bool {
        matches!(self, Schedule::First | Schedule::Alone | Schedule::FullAlone)
    }
}
