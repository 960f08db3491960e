//! Permits of a limited number: taken exactly, and returned when they are dropped.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// How many permits are taken.
#[derive(Debug, Clone, Default)]
pub struct PermitPool(Arc<AtomicUsize>);

/// One permit, or several that were taken together; dropping it returns them.
#[derive(Debug)]
pub struct Permit(PermitPool, usize);

impl PermitPool {
    /// Takes a permit unless `most` are taken (0: no limit).
    pub fn take(&self, most: usize) -> Option<Permit> {
        self.take_many(1, most)
    }

    /// Takes so many permits together, unless they would be more than `most` (0: no limit) with those that are taken.
    /// More than `most` can be taken while none is taken.
    pub fn take_many(&self, permits: usize, most: usize) -> Option<Permit> {
        let more = |taken: usize| {
            let all = taken.saturating_add(permits);
            (most == 0 || taken == 0 || all <= most).then_some(all)
        };
        let taken = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        taken.is_ok().then(|| Permit(self.clone(), permits))
    }

    /// Permits that are taken.
    pub fn taken(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.0.fetch_sub(self.1, Ordering::Relaxed);
    }
}
