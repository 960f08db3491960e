//! The runs that are leased, and how far each was written: in memory, as no other process has the store open.

use std::collections::HashMap;

use wireproof_protocol::{Event, RunId, Timestamp};

use crate::store::{Lease, LeaseTerm, Started, StoreError};

/// A run that is leased.
#[derive(Clone)]
pub struct Leased {
    pub term: LeaseTerm,
    pub number: u64,
    /// The `run_seq` of the last of the run's events that was appended under the lease.
    pub last: Option<u64>,
    /// What its start answered; none when it was taken over.
    pub started: Option<Started>,
}

/// What stood somewhere before the running transaction.
enum Before {
    Lease(Option<Leased>),
    Last(Option<u64>),
}

/// The leases, as the running transaction sees them.
#[derive(Default)]
pub struct Leases {
    runs: HashMap<RunId, Leased>,
    /// What stood there before the running transaction, the latest change last.
    before: Vec<(RunId, Before)>,
    /// True once the runs that the last process left were taken over: all that are not over are here.
    pub complete: bool,
}

impl Leases {
    /// The lease of a run.
    pub fn get(&self, run_id: RunId) -> Option<&Leased> {
        self.runs.get(&run_id)
    }

    /// The lease of a run that a write shows. Errs when the run was leased anew, or is over.
    pub fn check(&self, lease: Lease) -> Result<&Leased, StoreError> {
        self.get(lease.run_id).filter(|leased| leased.number == lease.number).ok_or(StoreError::LeaseLost)
    }

    /// True when a lease is over at `now`.
    pub fn has_over(&self, now: Timestamp) -> bool {
        self.runs.values().any(|leased| leased.term.until <= now)
    }

    /// Puts a lease in the place of what is there; none ends it.
    pub fn set(&mut self, run_id: RunId, leased: Option<Leased>) {
        let before = match leased {
            Some(leased) => self.runs.insert(run_id, leased),
            None => self.runs.remove(&run_id),
        };
        self.before.push((run_id, Before::Lease(before)));
    }

    /// Notes the events of a run that are appended.
    pub fn written(&mut self, lease: Lease, events: &[Event]) {
        let last = events.iter().filter_map(run_seq).next_back();
        if let (Some(last), Some(leased)) = (last, self.runs.get_mut(&lease.run_id)) {
            self.before.push((lease.run_id, Before::Last(leased.last.replace(last))));
        }
    }

    /// Lets a node's leases of these runs go on until a time.
    pub fn renew(&mut self, term: LeaseTerm, runs: &[RunId]) {
        for run_id in runs {
            // Nothing to take back: a lease that lives longer harms nobody.
            let leased = self.runs.get_mut(run_id).filter(|leased| leased.term.node_id == term.node_id);
            leased.into_iter().for_each(|leased| leased.term = term);
        }
    }

    /// The transaction is durable.
    pub fn keep(&mut self) {
        self.before.clear();
    }

    /// The transaction was rolled back.
    pub fn take_back(&mut self) {
        self.complete = false;
        for (run_id, before) in std::mem::take(&mut self.before).into_iter().rev() {
            match before {
                Before::Lease(Some(leased)) => drop(self.runs.insert(run_id, leased)),
                Before::Lease(None) => drop(self.runs.remove(&run_id)),
                Before::Last(last) => {
                    self.runs.entry(run_id).and_modify(|leased| leased.last = last);
                }
            }
        }
    }
}

fn run_seq(event: &Event) -> Option<u64> {
    event.run.as_ref().map(|run| run.run_seq)
}

/// The events behind the last one that is stored already; none of an earlier try that comes behind a later one.
pub fn news(events: &[Event], last: Option<u64>) -> &[Event] {
    let stored = events.iter().rposition(|event| run_seq(event).is_some_and(|seq| Some(seq) <= last));
    &events[stored.map_or(0, |index| index + 1)..]
}
