//! State by key, shared by all holders of the key. It is dropped once no holder is left and it is idle.

use std::{
    collections::HashMap,
    hash::{BuildHasher, Hash, RandomState},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Parts of the map with a lock each.
const SHARDS: usize = 16;

/// The state of each key.
pub struct Keyed<K, V> {
    shards: [Mutex<HashMap<K, Arc<V>>>; SHARDS],
    hasher: RandomState,
}

impl<K, V> Default for Keyed<K, V> {
    fn default() -> Self {
        Self { shards: std::array::from_fn(|_| Mutex::default()), hasher: RandomState::new() }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<K: Hash + Eq + Clone, V: Default> Keyed<K, V> {
    /// The state of a key; made when there is none.
    pub fn of(&self, key: &K) -> Arc<V> {
        let shard = &self.shards[self.hasher.hash_one(key) as usize % SHARDS];
        let mut shard = lock(shard);
        match shard.get(key) {
            Some(state) => state.clone(),
            None => shard.entry(key.clone()).or_default().clone(),
        }
    }

    /// Drops the states that have no holder and that `is_idle` calls as good as new.
    pub fn sweep(&self, is_idle: impl Fn(&V) -> bool) {
        for shard in &self.shards {
            let mut shard = lock(shard);
            // The map has the only reference, under the lock: no new holder can appear meanwhile.
            shard.retain(|_, state| Arc::strong_count(state) > 1 || !is_idle(state));
            if shard.capacity() > 4 * shard.len() + 64 {
                shard.shrink_to_fit();
            }
        }
    }

    /// Keys that are kept.
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).len()).sum()
    }

    /// True when no key is kept.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[test]
    fn what_is_held_or_in_use_stays_and_the_rest_goes() {
        let keyed: Keyed<u32, AtomicU64> = Keyed::default();
        for key in 0..1000 {
            keyed.of(&key).store(u64::from(key % 10 == 0), Ordering::Relaxed);
        }
        let held = keyed.of(&7);
        keyed.sweep(|value| value.load(Ordering::Relaxed) == 0);
        assert_eq!(keyed.len(), 101);
        held.store(5, Ordering::Relaxed);
        assert_eq!(keyed.of(&7).load(Ordering::Relaxed), 5, "all who hold a key share its state");
    }
}
