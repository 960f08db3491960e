//! Which runs are alive here: how many a user has, who waits, and how to end one.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use wireproof_protocol::{RunId, UserId};

/// A user has as many runs as allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full {
    pub running: usize,
    pub queued: usize,
}

#[derive(Default)]
struct UserRuns {
    running: usize,
    waiting: VecDeque<(RunId, oneshot::Sender<()>)>,
    /// A run whose end is decided has no token: a cancel comes too late for it.
    alive: HashMap<RunId, Option<CancellationToken>>,
}

#[derive(Default)]
struct State {
    users: HashMap<UserId, UserRuns>,
}

/// The runs that are alive on this node.
pub struct Registry {
    state: Arc<Mutex<State>>,
    concurrent: usize,
    queued: usize,
}

/// A run's place: running, or waiting for its turn. Given back when dropped.
pub struct Slot {
    state: Arc<Mutex<State>>,
    user_id: UserId,
    run_id: RunId,
    turn: Option<oneshot::Receiver<()>>,
    /// Cancelled when the user wants the run to end.
    pub cancelled: CancellationToken,
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Registry {
    /// At most `concurrent` runs of a user at once, and `queued` waiting; 0 is no limit.
    pub fn new(concurrent: usize, queued: usize) -> Self {
        Self { state: Arc::default(), concurrent, queued }
    }

    /// A place for a run, now or in the user's queue.
    pub fn claim(&self, user_id: &UserId, run_id: RunId) -> Result<Slot, Full> {
        let mut state = lock(&self.state);
        let user = state.users.entry(user_id.clone()).or_default();
        let turn = if self.concurrent == 0 || user.running < self.concurrent {
            user.running += 1;
            None
        } else if self.queued == 0 || user.waiting.len() < self.queued {
            let (your_turn, turn) = oneshot::channel();
            user.waiting.push_back((run_id, your_turn));
            Some(turn)
        } else {
            return Err(Full { running: user.running, queued: user.waiting.len() });
        };
        let cancelled = CancellationToken::new();
        user.alive.insert(run_id, Some(cancelled.clone()));
        drop(state);
        Ok(Slot { state: self.state.clone(), user_id: user_id.clone(), run_id, turn, cancelled })
    }

    /// Asks a run of the user to end; false when it is not alive here, or its end is decided.
    pub fn cancel(&self, user_id: &UserId, run_id: RunId) -> bool {
        let token = lock(&self.state).users.get(user_id).and_then(|user| user.alive.get(&run_id).cloned());
        let token = token.flatten();
        token.inspect(CancellationToken::cancel).is_some()
    }

    /// Whose run it is that is alive here.
    pub fn owner(&self, run_id: RunId) -> Option<UserId> {
        let state = lock(&self.state);
        let owner = state.users.iter().find(|(_, user)| user.alive.contains_key(&run_id));
        owner.map(|(user_id, _)| user_id.clone())
    }

    /// The runs that are alive, and those that are being started.
    pub fn run_ids(&self) -> Vec<RunId> {
        lock(&self.state).users.values().flat_map(|user| user.alive.keys()).copied().collect()
    }

    /// Runs going, and runs that wait for their turn.
    pub fn states(&self) -> (usize, usize) {
        let state = lock(&self.state);
        let waiting: usize = state.users.values().map(|user| user.waiting.len()).sum();
        (state.users.values().map(|user| user.running).sum(), waiting)
    }

    /// Runs alive, going or waiting.
    pub fn alive(&self) -> usize {
        lock(&self.state).users.values().map(|user| user.alive.len()).sum()
    }

    /// Runs of a user alive, going or waiting.
    pub fn alive_of(&self, user_id: &UserId) -> usize {
        lock(&self.state).users.get(user_id).map_or(0, |user| user.alive.len())
    }
}

impl Slot {
    /// True while the run has to wait for its turn.
    pub fn is_queued(&self) -> bool {
        self.turn.is_some()
    }

    /// From now on the run's end is decided: a cancel is answered by what the store knows.
    pub fn end_is_decided(&self) {
        let mut state = lock(&self.state);
        let entry = state.users.get_mut(&self.user_id).and_then(|user| user.alive.get_mut(&self.run_id));
        entry.map(Option::take);
    }

    /// Waits for the run's turn; at once when it runs already.
    pub async fn turn(&mut self) {
        if let Some(turn) = &mut self.turn {
            // The other end is dropped only with the registry's entry, which this slot holds.
            let _ = turn.await;
            self.turn = None;
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut state = lock(&self.state);
        let Some(user) = state.users.get_mut(&self.user_id) else { return };
        user.alive.remove(&self.run_id);
        let waiting = user.waiting.iter().position(|(run_id, _)| *run_id == self.run_id);
        match waiting {
            Some(index) => drop(user.waiting.remove(index)),
            None => {
                user.running -= 1;
                // The place goes to the first that still waits for it.
                while let Some((_, your_turn)) = user.waiting.pop_front() {
                    if your_turn.send(()).is_ok() {
                        user.running += 1;
                        break;
                    }
                }
            }
        }
        if user.alive.is_empty() {
            state.users.remove(&self.user_id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user() -> UserId {
        UserId::new("u").unwrap()
    }

    #[tokio::test]
    async fn runs_wait_in_order_and_the_queue_is_bounded() {
        let registry = Registry::new(1, 2);
        let first = registry.claim(&user(), RunId::new()).unwrap();
        let mut second = registry.claim(&user(), RunId::new()).unwrap();
        let mut third = registry.claim(&user(), RunId::new()).unwrap();
        assert!(!first.is_queued() && second.is_queued() && third.is_queued());
        assert_eq!(registry.claim(&user(), RunId::new()).err(), Some(Full { running: 1, queued: 2 }));
        drop(first);
        second.turn().await;
        assert!(third.is_queued());
        drop(second);
        third.turn().await;
        drop(third);
        assert_eq!(registry.alive(), 0);
        assert!(lock(&registry.state).users.is_empty());
    }

    /// A cancel that came between the publishing of a run's end and the giving back of its place was acknowledged as if
    /// the run still went on.
    #[test]
    fn a_cancel_behind_the_end_is_too_late() {
        let registry = Registry::new(1, 0);
        let run_id = RunId::new();
        let slot = registry.claim(&user(), run_id).unwrap();
        slot.end_is_decided();
        assert!(!registry.cancel(&user(), run_id) && !slot.cancelled.is_cancelled());
        assert_eq!(registry.alive(), 1);
    }

    /// A run that was handed its turn but is dropped before it looked must hand the turn on.
    #[tokio::test]
    async fn a_turn_that_was_not_taken_goes_on() {
        let registry = Registry::new(1, 2);
        let first = registry.claim(&user(), RunId::new()).unwrap();
        let second = registry.claim(&user(), RunId::new()).unwrap();
        let mut third = registry.claim(&user(), RunId::new()).unwrap();
        drop(first);
        drop(second);
        third.turn().await;
        assert!(!third.is_queued());
    }
}
