//! The log of a user in one epoch, as the connections of the history tell it.

use crate::proof::judge::{Findings, Map};

/// The log of a user in one epoch.
#[derive(Default)]
pub(super) struct UserLog {
    /// What stands under each number, or ends with it.
    pub(super) slots: Map<u64, Slot>,
    /// What was put together of several.
    merged: Map<(u64, u64), Slot>,
    pub(super) head: u64,
    pub(super) head_at: usize,
    /// The first number that anybody was told to expect.
    pub(super) begins: Option<u64>,
}

/// What stands under a number.
#[derive(Clone, Copy)]
pub(super) struct Slot {
    pub(super) first: u64,
    hash: u64,
    pub(super) at: usize,
}

impl UserLog {
    /// The log is known to reach at least to this number.
    pub(super) fn reaches(&mut self, head: u64, at: usize) {
        if head > self.head {
            (self.head, self.head_at) = (head, at);
        }
    }

    /// Writes down what stands under a number, or holds it against what stood there.
    pub(super) fn stand(&mut self, first: u64, seq: u64, hash: u64, at: usize, findings: &mut Findings) {
        self.reaches(seq, at);
        let here = Slot { first, hash, at };
        // A merged event and the last of its parts have the same number and are not the same.
        let known = if first == seq { self.slots.get(&seq) } else { self.merged.get(&(first, seq)) };
        match known.filter(|known| known.first == first) {
            Some(known) if known.hash != hash => findings.differs(known.at, at, seq),
            Some(_) => {}
            None => {
                if first < seq {
                    self.merged.insert((first, seq), here);
                }
                // The narrower one says more: what else the wider one stands for has numbers of its own.
                let slot = self.slots.entry(seq).or_insert(here);
                if first > slot.first {
                    *slot = here;
                }
            }
        }
    }
}
