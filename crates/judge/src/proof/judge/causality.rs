//! CAU-1: a run's first event comes after the request for it, and an answer after what it answers.

use super::{Findings, runs::Runs};
use crate::proof::invariants::Invariant;

/// What came before its cause.
pub(super) fn decide(runs: &Runs<'_>, answered: bool, whole: impl Fn(u32) -> bool, findings: &mut Findings) {
    for (_, run) in runs.all() {
        for (user, at, _) in &run.seen {
            let asked = run.accepted.iter().find(|(asker, ..)| asker == user);
            if let Some((_, sent, answer)) = asked.filter(|(_, sent, _)| at < sent) {
                let what = "a run's event came before the request that became it".to_owned();
                findings.add(Invariant::EffectBeforeCause, *at, None, what, [*at, *sent, *answer]);
            }
        }
    }
    // Only where answers carry ids that clients give is an unknown one the server's doing.
    if answered {
        for (at, _) in runs.unasked.iter().filter(|(_, user)| whole(*user)) {
            let what = "an answer came to a request that the user had not made".to_owned();
            findings.add(Invariant::EffectBeforeCause, *at, None, what, [*at]);
        }
    }
}
