//! CPU work off the async threads, unless it is small: as many pieces at once as there are cores, and of each user one at a
//! time, so that nobody's work waits behind more than one piece of each other user's.

use std::{
    collections::HashMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::available_parallelism,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::spawn_blocking,
};
use wireproof_protocol::UserId;

/// Bytes of input up to which work is done where it is asked for: it takes no longer than to wake another thread and be woken.
const SMALL: usize = 256;

/// True when work on so many bytes is done where it is asked for.
pub(super) fn is_small(bytes: usize) -> bool {
    bytes <= SMALL
}

/// Threads that do work, bounded in number; clones share the bound.
#[derive(Clone)]
pub(super) struct Workers(Arc<Semaphore>);

impl Default for Workers {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(available_parallelism().map_or(1, usize::from))))
    }
}

impl Workers {
    /// Does the work, whose time grows with its `bytes`, once a thread is free; nothing when it panicked. Work that was begun
    /// goes on when nobody waits.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        bytes: usize,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        if is_small(bytes) {
            return catch_unwind(AssertUnwindSafe(work)).ok();
        }
        let thread = self.0.clone().acquire_owned().await.ok()?;
        let work = move || {
            let _thread = thread;
            work()
        };
        spawn_blocking(work).await.ok()
    }
}

/// Whose turn it is among the runs of each user.
#[derive(Default)]
pub(super) struct Turns(Mutex<HashMap<UserId, Queue>>);

/// One place, and how many have it or wait for it.
struct Queue {
    place: Arc<Semaphore>,
    length: usize,
}

/// A user's turn, or a place in the queue for it; dropping it passes the turn on.
pub(super) struct Turn<'a> {
    turns: &'a Turns,
    user_id: &'a UserId,
    place: Option<OwnedSemaphorePermit>,
}

impl Turns {
    /// The user's turn, once all that asked before are done.
    pub(super) async fn of<'a>(&'a self, user_id: &'a UserId) -> Turn<'a> {
        let place = {
            let mut queues = self.lock();
            let one = || Queue { place: Arc::new(Semaphore::new(1)), length: 0 };
            let queue = queues.entry(user_id.clone()).or_insert_with(one);
            queue.length += 1;
            queue.place.clone()
        };
        let mut turn = Turn { turns: self, user_id, place: None };
        turn.place = place.acquire_owned().await.ok();
        turn
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<UserId, Queue>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut queues = self.turns.lock();
        self.place = None;
        if let Some(queue) = queues.get_mut(self.user_id) {
            queue.length -= 1;
            if queue.length == 0 {
                queues.remove(self.user_id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{future::Future, pin::pin, task::Poll};

    use super::*;

    /// Whether the future is ready now.
    async fn ready<T>(future: &mut (impl Future<Output = T> + Unpin)) -> Option<T> {
        std::future::poll_fn(|context| match std::pin::Pin::new(&mut *future).poll(context) {
            Poll::Ready(value) => Poll::Ready(Some(value)),
            Poll::Pending => Poll::Ready(None),
        })
        .await
    }

    #[tokio::test]
    async fn a_user_has_one_turn_at_a_time_and_others_have_their_own() {
        let turns = Turns::default();
        let (ada, eve) = (UserId::new("ada").unwrap(), UserId::new("eve").unwrap());
        let first = turns.of(&ada).await;
        let mut second = pin!(turns.of(&ada));
        assert!(ready(&mut second).await.is_none());
        {
            let mut third = pin!(turns.of(&ada));
            assert!(ready(&mut third).await.is_none(), "waits, and gives up");
        }
        drop(turns.of(&eve).await);
        drop(first);
        drop(second.await);
        assert!(turns.lock().is_empty(), "who is gone is forgotten");
    }

    #[tokio::test]
    async fn work_that_panics_gives_its_thread_back() {
        let workers = Workers(Arc::new(Semaphore::new(1)));
        for bytes in [SMALL, SMALL + 1] {
            assert_eq!(workers.run(bytes, || panic!("on purpose")).await, None::<()>);
            assert_eq!(workers.run(bytes, || 42).await, Some(42));
        }
    }

    #[tokio::test]
    async fn only_small_work_stays_on_the_async_thread() {
        let (workers, here) = (Workers::default(), std::thread::current().id());
        let place = || std::thread::current().id();
        assert_eq!(workers.run(SMALL, place).await, Some(here));
        assert!(workers.run(SMALL + 1, place).await.is_some_and(|thread| thread != here));
    }
}
