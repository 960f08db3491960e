//! CAU-1: a run's first event comes after the request for it, and an answer after what it answers.

use super::{Findings, runs::Runs};
use crate::{proof::witness::Invariant, record::Header};

/// What came before its cause.
pub(super) fn decide(runs: &Runs<'_>, header: &Header, findings: &mut Findings) {
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
    if header.rules.answered && header.complete {
        for (at, _) in &runs.unasked {
            let what = "an answer came to a request that the user had not made".to_owned();
            findings.add(Invariant::EffectBeforeCause, *at, None, what, [*at]);
        }
    }
}
