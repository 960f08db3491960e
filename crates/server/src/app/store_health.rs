//! Whether the store answers, read at most once a second.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use wireproof_protocol::UserId;

use super::Context;

/// How long a result counts.
const REMEMBERED: Duration = Duration::from_secs(1);

/// Whether the store could be read within the last second: for all requests the database is read once.
pub struct StoreHealth(Mutex<(Option<Instant>, bool)>);

impl Default for StoreHealth {
    fn default() -> Self {
        // The start has just read it.
        Self(Mutex::new((None, true)))
    }
}

impl StoreHealth {
    fn state(&self) -> MutexGuard<'_, (Option<Instant>, bool)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The last result, unless it is too old; then `None` for one caller, who reads the store.
    fn remembered(&self, now: Instant) -> Option<bool> {
        let mut state = self.state();
        let (seen, answers) = *state;
        if seen.is_some_and(|seen| now < seen + REMEMBERED) {
            return Some(answers);
        }
        state.0 = Some(now);
        None
    }
}

impl Context {
    /// True when the store can be read, and its writer is alive.
    pub async fn store_answers(&self) -> bool {
        if self.store.ended().is_cancelled() {
            return false;
        }
        if let Some(answers) = self.store_health.remembered(Instant::now()) {
            return answers;
        }
        // A read for a user that does not exist reaches the database, not a cache.
        let answers = match UserId::new("wireproof-ready-probe") {
            Ok(nobody) => self.store.active_runs(Some(&nobody)).await.is_ok(),
            Err(_) => false,
        };
        self.store_health.state().1 = answers;
        answers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bug: `/ready` and `/ws/health` read the database for whoever asked, as often as they asked.
    #[test]
    fn the_database_is_looked_at_once_a_second_whoever_asks() {
        let (health, now) = (StoreHealth::default(), Instant::now());
        assert_eq!(health.remembered(now), None, "the first has to look");
        assert_eq!(health.remembered(now), Some(true), "who asks meanwhile hears what was so before");
        health.state().1 = false;
        assert_eq!(health.remembered(now + REMEMBERED / 2), Some(false));
        assert_eq!(health.remembered(now + REMEMBERED), None);
        assert_eq!(health.remembered(now + REMEMBERED), Some(false));
    }
}
