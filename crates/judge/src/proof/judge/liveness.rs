//! LIV-1: once faults have stopped, every run that a user knows of ends.

use super::{Findings, Map, Names, runs::Runs};
use crate::proof::invariants::Invariant;

/// Where users stopped to do things and nothing was done to them any more.
#[derive(Default)]
pub(super) struct Liveness {
    healed: Map<u32, usize>,
}

impl Liveness {
    /// The user's part is over.
    pub(super) fn healed(&mut self, user: u32, at: usize) {
        self.healed.insert(user, at);
    }

    /// True when nothing says that anybody's part was over.
    pub(super) fn is_open(&self) -> bool {
        self.healed.is_empty()
    }

    /// True when all that the user asked for is in the history.
    pub(super) fn is_whole(&self, user: u32) -> bool {
        self.healed.contains_key(&user)
    }

    /// Runs that did not end.
    pub(super) fn decide(&self, runs: &Runs<'_>, names: &Names<'_>, findings: &mut Findings) {
        for (number, run) in runs.all() {
            let ended = |user: &u32| run.ended.iter().any(|(who, _)| who == user);
            let known = run.accepted.iter().map(|(user, sent, answer)| (*user, vec![*sent, *answer]));
            let told: Vec<_> = known
                .chain(
                    run.seen
                        .iter()
                        .filter(|(user, ..)| !run.is_of(*user))
                        .map(|(user, at, _)| (*user, vec![*at])),
                )
                .filter(|(user, _)| !ended(user))
                .collect();
            // Another user's run is told as that; its owner's word counts for its end.
            let owned = !run.accepted.is_empty();
            for (user, mut witness) in told.into_iter().filter(|(user, _)| !owned || run.is_of(*user)) {
                let Some(healed) = self.healed.get(&user) else { continue };
                witness.push(*healed);
                let what = format!("the run {} has no end, and its user was done", names.name(number));
                findings.add(Invariant::StuckRun, witness[0], None, what, witness.clone());
            }
        }
    }
}
