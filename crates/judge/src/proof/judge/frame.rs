//! What the judge looks at in an op: names as numbers, so that nothing is copied.

use super::Map;
use crate::{profile::Kind, record::Op};

/// A frame that came.
#[derive(Clone, Copy)]
pub(super) struct Frame<'a> {
    /// Its place in the history.
    pub(super) at: usize,
    pub(super) op: &'a Op,
    pub(super) conn: u32,
    pub(super) user: u32,
    pub(super) run: Option<u32>,
    pub(super) kind: Kind,
}

/// A connection of the history.
pub(super) struct ConnectionFrames {
    pub(super) user: Option<u32>,
    /// Where it is named first.
    pub(super) opened: usize,
    /// Where a fault changed what was said on it.
    pub(super) altered: Option<usize>,
}

/// Names by numbers, in the order of their coming.
#[derive(Default)]
pub(super) struct Names<'a> {
    numbers: Map<&'a str, u32>,
    names: Vec<&'a str>,
}

impl<'a> Names<'a> {
    /// The number of a name, which it gets here if it is new.
    pub(super) fn number(&mut self, name: &'a str) -> u32 {
        let next = self.names.len() as u32;
        let number = *self.numbers.entry(name).or_insert(next);
        if number == next {
            self.names.push(name);
        }
        number
    }

    /// The number of a name that is known.
    pub(super) fn find(&self, name: &str) -> Option<u32> {
        self.numbers.get(name).copied()
    }

    /// The name of a number.
    pub(super) fn name(&self, number: u32) -> &'a str {
        self.names.get(number as usize).copied().unwrap_or_default()
    }

    pub(super) fn len(&self) -> usize {
        self.names.len()
    }
}
