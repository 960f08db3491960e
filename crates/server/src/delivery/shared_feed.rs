//! A feed between the hub, which fills it, and one subscription, which empties it.

use std::sync::{Mutex, MutexGuard, PoisonError};

use futures_util::task::AtomicWaker;

use super::feed::Feed;
use crate::store::Committed;

/// A feed, and the task that empties it.
pub struct SharedFeed {
    feed: Mutex<Feed>,
    waker: AtomicWaker,
}

impl SharedFeed {
    /// A feed that queues at most about `soft_bytes` of events.
    pub fn new(soft_bytes: usize) -> Self {
        Self { feed: Mutex::new(Feed::new(soft_bytes)), waker: AtomicWaker::new() }
    }

    /// The feed. The lock is held for moments and never across an await.
    pub fn lock(&self) -> MutexGuard<'_, Feed> {
        self.feed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a commit, and wakes the task when it has something new to do.
    pub fn notice(&self, committed: &Committed) {
        if self.lock().notice(committed) {
            self.waker.wake();
        }
    }

    /// Wakes the task.
    pub fn waker(&self) -> &AtomicWaker {
        &self.waker
    }
}
