//! Places of which there are so many at once: taken exactly, and given back when they are dropped.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// How many places are taken.
#[derive(Debug, Clone, Default)]
pub struct Count(Arc<AtomicUsize>);

/// One place; dropping it gives it back.
#[derive(Debug)]
pub struct Place(Count);

impl Count {
    /// Takes a place unless `most` are taken (0: no limit).
    pub fn take(&self, most: usize) -> Option<Place> {
        let one_more = |taken: usize| (most == 0 || taken < most).then_some(taken + 1);
        let taken = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more);
        taken.is_ok().then(|| Place(self.clone()))
    }

    /// Places that are taken.
    pub fn taken(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}
