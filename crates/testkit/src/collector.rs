//! A history that one task writes and tests wait on.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::{
    sync::watch,
    time::{Instant, timeout_at},
};

use crate::history::History;

#[derive(Debug, Default)]
pub(crate) struct Collector {
    history: Mutex<History>,
    changes: watch::Sender<u64>,
}

impl Collector {
    /// The history; the lock is held for moments and never across an await.
    pub(crate) fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes to the history and wakes who waits for it.
    pub(crate) fn note<T>(&self, write: impl FnOnce(&mut History) -> T) -> T {
        let written = write(&mut self.history());
        self.changes.send_modify(|changes| *changes += 1);
        written
    }

    /// Asks the history again after each change until it has an answer; nothing when the time has come before.
    pub(crate) async fn wait<T>(
        &self,
        deadline: Instant,
        mut ask: impl FnMut(&mut History) -> Option<T>,
    ) -> Option<T> {
        // Subscribed before the first look: a change in between is not missed.
        let mut changes = self.changes.subscribe();
        loop {
            if let Some(answer) = ask(&mut self.history()) {
                return Some(answer);
            }
            let changed = timeout_at(deadline, changes.changed()).await;
            if !matches!(changed, Ok(Ok(()))) {
                return ask(&mut self.history());
            }
        }
    }
}
