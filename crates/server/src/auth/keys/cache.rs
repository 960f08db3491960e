//! Tokens whose signature was good, by their hash: who comes again with the same token costs no signature check.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use aws_lc_rs::digest;

use crate::auth::rules::Verified;

/// Tokens remembered at most.
pub const CAPACITY: usize = 50_000;
/// Parts with a lock each, so that many handshakes at once do not queue.
const SHARDS: usize = 16;
/// A shard keeps two generations of this many: when the young one is full, the old one is forgotten.
const GENERATION: usize = CAPACITY / SHARDS / 2;

/// SHA-256 of a token. Tokens themselves are not kept.
pub type TokenHash = [u8; 32];

/// The hash of a token.
pub fn hash(token: &str) -> TokenHash {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest::digest(&digest::SHA256, token.as_bytes()).as_ref());
    hash
}

type Entries = HashMap<TokenHash, Arc<Verified>>;

#[derive(Default)]
struct Shard {
    young: Entries,
    old: Entries,
}

/// What was verified, until it is forgotten.
pub struct Cache {
    shards: [Mutex<Shard>; SHARDS],
}

impl Default for Cache {
    fn default() -> Self {
        Self { shards: std::array::from_fn(|_| Mutex::default()) }
    }
}

impl Cache {
    fn shard(&self, hash: &TokenHash) -> MutexGuard<'_, Shard> {
        let index = usize::from(hash[0]) % SHARDS;
        self.shards[index].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known of a token.
    pub fn get(&self, hash: &TokenHash) -> Option<Arc<Verified>> {
        let mut shard = self.shard(hash);
        if let Some(found) = shard.young.get(hash) {
            return Some(found.clone());
        }
        // Used again: it is worth another generation.
        let found = shard.old.remove(hash)?;
        let forgotten = shard.keep(*hash, found.clone());
        drop(shard);
        drop(forgotten);
        Some(found)
    }

    /// Remembers a token.
    pub fn put(&self, hash: TokenHash, verified: Arc<Verified>) {
        let mut shard = self.shard(&hash);
        let forgotten = shard.keep(hash, verified);
        // The lock goes first: freeing a generation takes its time.
        drop(shard);
        drop(forgotten);
    }

    /// Forgets a token.
    pub fn forget(&self, hash: &TokenHash) {
        let mut shard = self.shard(hash);
        shard.young.remove(hash);
        shard.old.remove(hash);
    }

    /// True when a question holds of a token that is remembered.
    pub fn any(&self, holds: impl Fn(&Verified) -> bool) -> bool {
        self.shards.iter().any(|shard| {
            let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            shard.young.values().chain(shard.old.values()).any(|verified| holds(verified))
        })
    }

    /// Tokens remembered now.
    pub fn len(&self) -> usize {
        let shards = self.shards.iter().map(|shard| shard.lock().unwrap_or_else(PoisonError::into_inner));
        shards.map(|shard| shard.young.len() + shard.old.len()).sum()
    }
}

impl Shard {
    fn keep(&mut self, hash: TokenHash, verified: Arc<Verified>) -> Entries {
        let full = self.young.len() >= GENERATION && !self.young.contains_key(&hash);
        let forgotten = if full {
            let young = std::mem::take(&mut self.young);
            std::mem::replace(&mut self.old, young)
        } else {
            Entries::new()
        };
        self.young.insert(hash, verified);
        forgotten
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_bounded_and_what_is_used_stays() {
        let cache = Cache::default();
        let verified = Arc::new(Verified::of_user("ada"));
        let used = hash("used");
        cache.put(used, verified.clone());
        for index in 0..3 * CAPACITY {
            cache.put(hash(&index.to_string()), verified.clone());
            if index % 64 == 0 {
                assert!(cache.get(&used).is_some(), "forgotten after {index} others");
            }
        }
        assert!(cache.len() <= CAPACITY, "{}", cache.len());
        assert!(cache.get(&hash("0")).is_none());
        cache.forget(&used);
        assert!(cache.get(&used).is_none());
    }
}
