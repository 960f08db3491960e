//! HTTP connections without a request. When there are too many, the oldest are closed, so that idle connections cannot
//! keep out others. New ones are left alone for a moment, in which their request may come.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio_util::sync::CancellationToken;

/// Connections that may be closed when one comes, so that the queue shrinks after a crowd.
const CLOSED_AT_ONCE: usize = 2;

#[derive(Default)]
struct Queue {
    next: u64,
    connections: BTreeMap<u64, (Instant, CancellationToken)>,
}

/// The idle connections, oldest first.
pub struct IdleConnections {
    queue: Mutex<Queue>,
    most: usize,
    moment: Duration,
}

/// One connection's place in the queue.
pub struct IdleConnection {
    idle: Arc<IdleConnections>,
    number: Mutex<Option<u64>>,
    /// Cancelled when the connection is to be closed.
    pub evicted: CancellationToken,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl IdleConnections {
    /// A queue of `most` connections (0: no limit), and more only while they are idle for less than a `moment`.
    pub fn new(most: usize, moment: Duration) -> Arc<Self> {
        Arc::new(Self { queue: Mutex::default(), most, moment })
    }

    /// A new connection, idle so far. If the queue is too long, the oldest are closed.
    pub fn add(self: &Arc<Self>, now: Instant) -> IdleConnection {
        let (number, evicted) = (Mutex::new(None), CancellationToken::new());
        let connection = IdleConnection { idle: self.clone(), number, evicted };
        connection.request_ended(now);
        connection
    }

    /// Closes the oldest, however short its time was: there is no room for another connection.
    pub fn make_room(&self) {
        if let Some((_, (_, oldest))) = lock(&self.queue).connections.pop_first() {
            oldest.cancel();
        }
    }

    /// Connections in the queue.
    pub fn len(&self) -> usize {
        lock(&self.queue).connections.len()
    }

    /// True when no connection is idle.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl IdleConnection {
    /// A request came: the connection cannot be closed until it is idle again.
    pub fn request_began(&self) {
        if let Some(number) = lock(&self.number).take() {
            lock(&self.idle.queue).connections.remove(&number);
        }
    }

    /// True while it has no request.
    pub fn is_idle(&self) -> bool {
        lock(&self.number).is_some()
    }

    /// The request is answered, and the connection is the youngest of the idle ones.
    pub fn request_ended(&self, now: Instant) {
        let idle = &self.idle;
        let mut queue = lock(&idle.queue);
        for _ in 0..CLOSED_AT_ONCE {
            let too_long = idle.most > 0 && queue.connections.len() >= idle.most;
            match queue.connections.first_entry() {
                Some(oldest) if too_long && oldest.get().0 + idle.moment <= now => oldest.remove().1.cancel(),
                _ => break,
            }
        }
        let number = queue.next;
        queue.next += 1;
        queue.connections.insert(number, (now, self.evicted.clone()));
        drop(queue);
        *lock(&self.number) = Some(number);
    }
}

impl Drop for IdleConnection {
    fn drop(&mut self) {
        self.request_began();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_are_closed_and_those_with_a_request_are_not() {
        let (idle, now) = (IdleConnections::new(3, Duration::from_secs(1)), Instant::now());
        let all: Vec<_> = (0..5).map(|_| idle.add(now)).collect();
        let gone = || all.iter().map(|one| one.evicted.is_cancelled()).collect::<Vec<_>>();
        all[0].request_began();
        assert_eq!((idle.len(), gone()), (4, vec![false; 5]), "each has its moment");
        let later = idle.add(now + Duration::from_secs(1));
        assert_eq!((idle.len(), gone()), (3, vec![false, true, true, false, false]));
        all[0].request_ended(now + Duration::from_secs(1));
        assert_eq!((idle.len(), gone()), (3, vec![false, true, true, true, false]));
        idle.make_room();
        assert_eq!((idle.len(), gone()), (2, vec![false, true, true, true, true]));
        drop((all, later));
        assert!(idle.is_empty());
    }
}
