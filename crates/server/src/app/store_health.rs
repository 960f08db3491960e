//! Whether the store answers, read at most once a second.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use wireproof_protocol::UserId;

use super::Context;

/// How long an answer of the store counts.
const REMEMBERED: Duration = Duration::from_secs(1);

/// Whether the store can be read, as it was seen within the last second: whoever asks, the database is read once.
pub struct StoreHealth(Mutex<(Option<Instant>, bool)>);

impl Default for StoreHealth {
    fn default() -> Self {
        // It has just been read, at the start.
        Self(Mutex::new((None, true)))
    }
}

impl StoreHealth {
    fn state(&self) -> MutexGuard<'_, (Option<Instant>, bool)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was last seen, when nobody has to look now. Who has to look is the only one to.
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
    /// True when the store can be read, and what writes is alive.
    pub async fn store_answers(&self) -> bool {
        if self.store.ended().is_cancelled() {
            return false;
        }
        if let Some(answers) = self.store_health.remembered(Instant::now()) {
            return answers;
        }
        // A read of a user nobody is asks the database, not a memory of it.
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
