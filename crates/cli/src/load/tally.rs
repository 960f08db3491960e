//! The numbers of a measurement while it runs; all connections add to one tally.

use std::{collections::BTreeMap, time::Duration};

use hdrhistogram::Histogram;

/// What was counted and timed so far.
#[derive(Clone)]
pub(super) struct Tally {
    pub(super) opened: u64,
    pub(super) handshake: Times,
    pub(super) counts: Counts,
    /// What the generator itself lost between due and sent.
    pub(super) late: Times,
    /// How late the generator's own clock ran.
    pub(super) lag: Times,
    pub(super) steps: [StepTimes; STEPS.len()],
    pub(super) stages: Vec<Times>,
    /// What went wrong, with how often.
    pub(super) errors: BTreeMap<String, u64>,
}

/// What is timed of a message, in the order in which it happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Milestone {
    Accepted,
    Started,
    FirstDelta,
    Completed,
}

/// The milestones with the names that the report and the expectations have for them.
pub(super) const STEPS: [(Milestone, &str); 4] = [
    (Milestone::Accepted, "accepted"),
    (Milestone::Started, "agent_started"),
    (Milestone::FirstDelta, "first_delta"),
    (Milestone::Completed, "completed"),
];

/// The times to one milestone, by both clocks.
#[derive(Clone)]
pub(super) struct StepTimes {
    /// From when the message was due: what a user waits. Nothing where there is no schedule.
    pub(super) corrected: Times,
    /// From when it was sent: what hides the wait before.
    pub(super) raw: Times,
}

/// How often each thing happened.
#[derive(Clone, Copy, Default)]
pub(super) struct Counts {
    /// Messages that became due, sent or not.
    pub(super) due: u64,
    /// Messages sent.
    pub(super) sent: u64,
    /// Messages that were due and that no connection could take any more.
    pub(super) unsent: u64,
    /// Messages that the server refused or that died with their connection.
    pub(super) refused: u64,
    /// Messages that were answered well, by a run or by a pong.
    pub(super) completed: u64,
    /// Runs that ended otherwise.
    pub(super) failed: u64,
    /// Stored events, each counted on one connection of its user.
    pub(super) events: u64,
    /// Stored events as they arrived, on every connection.
    pub(super) deliveries: u64,
}

impl Counts {
    /// Messages whose end is still to come.
    pub(super) fn open(&self) -> u64 {
        self.sent.saturating_sub(self.refused + self.completed + self.failed)
    }

    /// Messages that are due and wait for their turn.
    pub(super) fn waiting(&self) -> u64 {
        self.due.saturating_sub(self.sent + self.unsent)
    }

    /// What happened since an earlier count.
    pub(super) fn since(&self, before: Counts) -> Counts {
        Counts {
            due: self.due - before.due,
            sent: self.sent - before.sent,
            unsent: self.unsent - before.unsent,
            refused: self.refused - before.refused,
            completed: self.completed - before.completed,
            failed: self.failed - before.failed,
            events: self.events - before.events,
            deliveries: self.deliveries - before.deliveries,
        }
    }
}

impl Tally {
    /// Nothing yet, of so many stages.
    pub(super) fn new(stages: usize) -> Self {
        Self {
            opened: 0,
            handshake: Times::new(),
            counts: Counts::default(),
            late: Times::new(),
            lag: Times::new(),
            steps: std::array::from_fn(|_| StepTimes { corrected: Times::new(), raw: Times::new() }),
            stages: vec![Times::new(); stages],
            errors: BTreeMap::new(),
        }
    }

    /// Counts something that went wrong, by its name.
    pub(super) fn error(&mut self, name: impl Into<String>) {
        *self.errors.entry(name.into()).or_default() += 1;
    }
}

/// The longest time that is told apart from longer ones: ten minutes.
const LONGEST_US: u64 = 600_000_000;

/// A distribution of times, in microseconds with three digits.
#[derive(Clone)]
pub(super) struct Times(Histogram<u64>);

impl Times {
    pub(super) fn new() -> Self {
        // The bounds are fixed and valid; a longer time counts as the longest.
        Self(Histogram::new_with_bounds(1, LONGEST_US, 3).expect("bounds of a histogram"))
    }

    /// Adds a time.
    pub(super) fn add(&mut self, time: Duration) {
        self.0.saturating_record(u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
    }

    /// How many times were added.
    pub(super) fn count(&self) -> u64 {
        self.0.len()
    }

    /// The time that the share `quantile` (0 to 1) does not exceed, in milliseconds.
    pub(super) fn ms(&self, quantile: f64) -> f64 {
        self.0.value_at_quantile(quantile) as f64 / 1e3
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_keep_three_digits_from_microseconds_to_minutes() {
        let mut times = Times::new();
        for time in [Duration::from_micros(150), Duration::from_millis(20), Duration::from_secs(90)] {
            times.add(time);
        }
        times.add(Duration::from_secs(3600));
        assert_eq!(times.count(), 4);
        let near = |quantile, ms: f64| assert!((times.ms(quantile) / ms - 1.0).abs() < 2e-3);
        near(0.25, 0.15);
        near(0.5, 20.0);
        near(0.75, 90_000.0);
        near(1.0, 600_000.0);
    }
}
