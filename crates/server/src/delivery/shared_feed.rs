//! A feed that is filled by those who hear of commits and emptied by one subscription.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use futures_util::task::AtomicWaker;

use super::feed::Feed;
use crate::store::StoredEvent;

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

    /// Takes a commit's events, durable since `stored`, and wakes the task when it has something new to do.
    pub fn notice(&self, events: &[StoredEvent], stored: Instant) {
        if self.lock().notice(events, stored) {
            self.waker.wake();
        }
    }

    /// Where the task waits.
    pub fn waker(&self) -> &AtomicWaker {
        &self.waker
    }
}
