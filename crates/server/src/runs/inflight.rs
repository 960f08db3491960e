//! Requests being taken right now: a repeated id waits for the first to be answered, so that it can be given the same
//! answer.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::OwnedMutexGuard;
use wireproof_protocol::{RequestId, UserId};

type Id = (UserId, RequestId);
type Guards = HashMap<Id, Arc<tokio::sync::Mutex<()>>>;

/// The ids of the requests that are being taken.
#[derive(Default)]
pub struct InflightRequests {
    turns: Arc<Mutex<Guards>>,
}

/// The right to take the request of an id; the next one with that id waits until this is dropped.
pub struct RequestGuard {
    turns: Arc<Mutex<Guards>>,
    id: Id,
    held: Option<OwnedMutexGuard<()>>,
}

fn lock(turns: &Mutex<Guards>) -> MutexGuard<'_, Guards> {
    turns.lock().unwrap_or_else(PoisonError::into_inner)
}

impl InflightRequests {
    /// Waits until no other request of this user with this id is being taken.
    pub async fn turn(&self, user_id: &UserId, request_id: &RequestId) -> RequestGuard {
        let id = (user_id.clone(), request_id.clone());
        let turn = lock(&self.turns).entry(id.clone()).or_default().clone();
        let held = Some(turn.lock_owned().await);
        RequestGuard { turns: self.turns.clone(), id, held }
    }
}

impl Drop for RequestGuard {
    fn drop(&mut self) {
        let mut turns = lock(&self.turns);
        drop(self.held.take());
        // Whoever waits holds a count beside the map's own; a newcomer needs the lock held here.
        if turns.get(&self.id).is_some_and(|turn| Arc::strong_count(turn) == 1) {
            turns.remove(&self.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn one_at_a_time_for_each_id_and_nothing_is_left() {
        let (requests, inside) = (Arc::new(InflightRequests::default()), Arc::new(Mutex::new(0)));
        let tasks: Vec<_> = (0..200)
            .map(|_| {
                let (requests, inside) = (requests.clone(), inside.clone());
                tokio::spawn(async move {
                    let _turn =
                        requests.turn(&UserId::new("ada").unwrap(), &RequestId::new("q").unwrap()).await;
                    let before = {
                        let mut n = inside.lock().unwrap();
                        *n += 1;
                        *n
                    };
                    tokio::task::yield_now().await;
                    *inside.lock().unwrap() -= 1;
                    before
                })
            })
            .collect();
        for task in tasks {
            assert_eq!(task.await.unwrap(), 1);
        }
        assert!(lock(&requests.turns).is_empty());
    }

    #[tokio::test]
    async fn another_users_id_is_another_id() {
        let requests = InflightRequests::default();
        let _ada = requests.turn(&UserId::new("ada").unwrap(), &RequestId::new("q").unwrap()).await;
        let _eve = requests.turn(&UserId::new("eve").unwrap(), &RequestId::new("q").unwrap()).await;
        assert_eq!(lock(&requests.turns).len(), 2);
    }
}
