//! A store that is away now and then: before it did anything, or after it did all and before it could say so; or for long.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use rand::{RngExt, SeedableRng, rngs::SmallRng};
use wireproof_server::store::{StoreError, layer::Layer};

/// The calls that are made again by the server itself.
const CALLS: [&str; 8] =
    ["start_run", "append_events", "finish_run", "read", "heads", "change_thread", "renew_leases", "revoke"];

/// A layer that answers `Unavailable` now and then; clones share their state.
#[derive(Clone)]
pub struct UnreliableStore(Arc<Mutex<State>>);

struct State {
    random: SmallRng,
    /// True while no call at all is carried out.
    is_away: bool,
    refusals: u64,
}

impl UnreliableStore {
    /// Of eight calls that can be repeated one is not carried out, and of the others one in eight is not answered.
    pub fn new(seed: u64) -> Self {
        let state = State { random: SmallRng::seed_from_u64(seed), is_away: false, refusals: 0 };
        Self(Arc::new(Mutex::new(state)))
    }

    /// From now on no call is carried out, whichever it is.
    pub fn go_away(&self) {
        self.state().is_away = true;
    }

    /// From now on it is as before it went away.
    pub fn come_back(&self) {
        self.state().is_away = false;
    }

    /// Calls answered with `Unavailable` so far.
    pub fn refusals(&self) -> u64 {
        self.state().refusals
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn away(&self, call: &'static str) -> Result<(), StoreError> {
        let mut state = self.state();
        if state.is_away || (CALLS.contains(&call) && state.random.random_ratio(1, 8)) {
            state.refusals += 1;
            return Err(StoreError::Unavailable(format!("the network went away in {call}")));
        }
        Ok(())
    }
}

#[async_trait]
impl Layer for UnreliableStore {
    async fn before(&self, call: &'static str) -> Result<(), StoreError> {
        self.away(call)
    }

    async fn after(&self, call: &'static str) -> Result<(), StoreError> {
        self.away(call)
    }
}
