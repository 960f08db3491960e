//! What a faulty store has seen and a good one would not keep: who is there, and who owns what.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
};

use wireproof_protocol::{ControlBody, RequestId, RunId, ThreadId, UserId};

/// What was seen so far.
#[derive(Default)]
pub(super) struct Known(Mutex<Seen>);

#[derive(Default)]
pub(super) struct Seen {
    /// Users who have connected.
    pub users: BTreeSet<UserId>,
    /// Who asked for a run last.
    pub last_writer: Option<UserId>,
    /// Whose threads there are.
    pub owners: HashMap<ThreadId, UserId>,
    /// Runs whose end is being stored, and whether somebody looked at them meanwhile.
    pub ending: HashMap<RunId, bool>,
    /// The answers to requests by their id, each with the digest of its request.
    pub answers: HashMap<RequestId, ([u8; 32], ControlBody)>,
}

impl Known {
    /// The lock is held for moments and never across an await.
    pub fn lock(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seen {
    /// A run of the user was stored in the thread.
    pub fn started(&mut self, user_id: &UserId, thread_id: &ThreadId) {
        self.last_writer = Some(user_id.clone());
        self.owners.entry(thread_id.clone()).or_insert_with(|| user_id.clone());
    }
}
