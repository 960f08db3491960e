//! From events to state: what a client shows, folded from the log. Live, replayed or merged, the fold is the same.

use std::collections::BTreeMap;

use serde::Serialize;

mod run;
mod thread;

pub use run::{RunView, ToolView};
pub use thread::{MessageState, ThreadState};

use crate::{
    event::{Event, EventBody, RunPart},
    ids::{RunId, ThreadId},
    records::{RunSnapshot, SnapshotThread},
    run::{RunRules, RunViolation},
};

/// All that the events of one user say so far.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct UserState {
    /// The last number folded.
    pub seq: u64,
    /// The threads that are there.
    pub threads: BTreeMap<ThreadId, ThreadState>,
    /// The runs seen.
    pub runs: BTreeMap<RunId, RunView>,
    /// Runs may have begun before the fold did.
    #[serde(skip)]
    joined_midway: bool,
}

/// Why an event does not fit the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FoldError {
    /// A number is missing, or came before.
    #[error("seq {found} where {expected} comes next")]
    Seq {
        /// The number that was due.
        expected: u64,
        /// The number that came.
        found: u64,
    },
    /// A range of numbers that no merged delta explains: it would hide events.
    #[error("a range of numbers at seq {seq} that is not a merged delta's")]
    Range {
        /// The last number of the range.
        seq: u64,
    },
    /// An event of a run that does not say of which.
    #[error("an event of a run without run_id at seq {seq}")]
    NoRun {
        /// Where.
        seq: u64,
    },
    /// A run breaks a rule.
    #[error("run {run_id} breaks a rule at seq {seq}: {violation}")]
    Run {
        /// The run.
        run_id: RunId,
        /// Where.
        seq: u64,
        /// Which rule.
        violation: RunViolation,
    },
}

impl UserState {
    /// The state before the event after `seq`: for a client that starts at a head. Runs that began before it are
    /// followed from where they are.
    pub fn starting_at(seq: u64) -> Self {
        Self { seq, joined_midway: seq > 0, ..Self::default() }
    }

    /// The state that a snapshot tells, before the event after `seq`.
    pub fn from_snapshot(seq: u64, threads: &[SnapshotThread], active_runs: &[RunSnapshot]) -> Self {
        let mut state = Self { seq, ..Self::default() };
        for thread in threads {
            state.threads.insert(thread.thread_id.clone(), ThreadState::from_snapshot(thread));
        }
        for run in active_runs {
            if let Some(thread) = state.threads.get_mut(&run.thread_id) {
                thread.continue_answer(run);
            }
            state.runs.insert(run.run_id, RunView::from_snapshot(run));
        }
        state
    }

    /// Takes the next event, or says why it cannot come next and changes nothing.
    pub fn apply(&mut self, event: &Event) -> Result<(), FoldError> {
        let (first, last) = event.range();
        if first != self.seq + 1 {
            return Err(FoldError::Seq { expected: self.seq + 1, found: first });
        }
        if !range_is_explained(event) {
            return Err(FoldError::Range { seq: last });
        }
        match &event.run {
            Some(run) => self.apply_run(run, event).map_err(|violation| FoldError::Run {
                run_id: run.run_id,
                seq: last,
                violation,
            })?,
            None if event.body.is_of_a_run() => return Err(FoldError::NoRun { seq: last }),
            None => {}
        }
        self.apply_thread(event);
        self.seq = last;
        Ok(())
    }

    /// Passes over the numbers, first and last, of an event of a type that is not known; see
    /// [`event_range`](crate::event_range).
    pub fn pass(&mut self, (first, last): (u64, u64)) -> Result<(), FoldError> {
        if first != self.seq + 1 {
            return Err(FoldError::Seq { expected: self.seq + 1, found: first });
        }
        if last < first {
            return Err(FoldError::Range { seq: last });
        }
        self.seq = last;
        Ok(())
    }

    fn apply_run(&mut self, part: &RunPart, event: &Event) -> Result<(), RunViolation> {
        if let Some(view) = self.runs.get_mut(&part.run_id) {
            return view.take(part, event);
        }
        let first = part.first_run_seq.unwrap_or(part.run_seq);
        let mut view = RunView::default();
        if first > 1 && self.joined_midway {
            view.rules = RunRules::midway(first);
        }
        view.take(part, event)?;
        self.runs.insert(part.run_id, view);
        Ok(())
    }

    fn apply_thread(&mut self, event: &Event) {
        if matches!(event.body, EventBody::ThreadDeleted { .. }) {
            self.threads.remove(&event.thread_id);
            let runs = self.runs.values_mut();
            runs.filter(|run| run.thread_id.as_ref() == Some(&event.thread_id))
                .for_each(|run| run.thread_deleted = true);
            return;
        }
        // A run's late events do not go into a new thread that has the name of the deleted one.
        if event
            .run
            .as_ref()
            .and_then(|part| self.runs.get(&part.run_id))
            .is_some_and(|run| run.thread_deleted)
        {
            return;
        }
        let thread = match &event.body {
            EventBody::ThreadCreated { .. }
            | EventBody::ThreadUpdated { .. }
            | EventBody::MessageCreated { .. } => self.threads.entry(event.thread_id.clone()).or_default(),
            // A run's late events do not bring a deleted thread back.
            _ => match self.threads.get_mut(&event.thread_id) {
                Some(thread) => thread,
                None => return,
            },
        };
        thread.tell(&event.body);
    }
}

/// A range stands for merged deltas: as many numbers of the log as of the run.
fn range_is_explained(event: &Event) -> bool {
    let Some(run) = &event.run else { return event.first_seq.is_none() };
    match (event.first_seq, run.first_run_seq) {
        (None, None) => true,
        (Some(first), Some(first_run)) => {
            event.body.delta().is_some()
                && first <= event.seq
                && first_run <= run.run_seq
                && event.seq - first == run.run_seq - first_run
        }
        _ => false,
    }
}
