//! An expectation that was not met, in words that say what to look at.

use std::{fmt, panic::Location, time::Duration};

use crate::{
    diff::Diff,
    history::{Entry, History},
    matcher::Matcher,
    table::{describe, table},
};

/// Why an expectation failed: what was waited for, what came, and what came nearest.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Unmet(String);

impl Unmet {
    /// Nothing fulfilled the expectation in time.
    pub(crate) fn missing(name: &str, matcher: &Matcher, within: Duration, history: &History) -> Self {
        let state = state(within, history);
        let nearest = nearest(matcher, history);
        let all = table(history);
        Self(format!(
            "{name} did not receive {matcher} ({state})\n  nearest: {nearest}\nwhat {name} saw:\n{all}"
        ))
    }

    /// Not everything of a sequence came, or not in its order.
    pub(crate) fn sequence(name: &str, sequence: &[Matcher], within: Duration, history: &History) -> Self {
        let state = state(within, history);
        let open = history.arrivals_open().filter(|arrival| sequence.iter().any(|m| m.is_of_kind(arrival)));
        let came: Vec<_> = open.collect();
        let expected: Vec<_> = sequence.iter().map(ToString::to_string).collect();
        let shown: Vec<_> = came.iter().map(|arrival| describe(arrival)).collect();
        let diff = Diff::of(&expected, &shown, |e, c| sequence[e].matches(came[c]));
        let all = table(history);
        Self(format!(
            "{name} did not receive this sequence ({state}); frames of other types may stand between, and are left out \
             here:\n{diff}what {name} saw:\n{all}"
        ))
    }

    /// Something came that must not.
    pub(crate) fn unwanted(name: &str, matcher: &Matcher, found: &str, history: &History) -> Self {
        let all = table(history);
        Self(format!("{name} must not receive {matcher}, and did: {found}\nwhat {name} saw:\n{all}"))
    }

    /// Something else is wrong with what came.
    pub(crate) fn wrong(name: &str, what: impl fmt::Display, history: &History) -> Self {
        Self(format!("{name}: {what}\nwhat {name} saw:\n{}", table(history)))
    }

    /// Fails the test in the name of the line that expected.
    pub(crate) fn fail(&self, at: &Location<'_>) -> ! {
        panic!("at {at}: {self}")
    }
}

/// Why there is no more to wait for.
fn state(within: Duration, history: &History) -> String {
    match &history.ended {
        Some(ended) => format!("the connection is over: {ended}"),
        None => format!("waited {within:?}"),
    }
}

/// The frame that fulfils most of what was asked, and what it lacks.
fn nearest(matcher: &Matcher, history: &History) -> String {
    let mut best: Option<(usize, String)> = None;
    for entry in &history.entries {
        let Entry::Arrived { arrival, taken } = entry else { continue };
        let (score, mut differences) = matcher.distance(arrival);
        if *taken && differences.is_empty() {
            differences.push("an earlier expectation took it".to_owned());
        }
        if score > best.as_ref().map_or(0, |(best, _)| *best) {
            let words =
                format!("#{} {}\n    but {}", arrival.index, describe(arrival), differences.join("; "));
            best = Some((score, words));
        }
    }
    best.map_or_else(|| "nothing alike".to_owned(), |(_, words)| words)
}
