//! HTTP connections without a request. When there are too many, the oldest are closed, so that idle connections cannot
//! keep out others. New ones are left alone for a moment, in which their request may come.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio_util::sync::CancellationToken;

/// Connections that may be closed when one comes, so that the queue shrinks after a crowd.
const GO_AT_ONCE: usize = 2;

#[derive(Default)]
struct Line {
    next: u64,
    waiting: BTreeMap<u64, (Instant, CancellationToken)>,
}

/// The idle connections, oldest first.
pub struct IdleConnections {
    line: Mutex<Line>,
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
        Arc::new(Self { line: Mutex::default(), most, moment })
    }

    /// A new connection, idle so far. If the queue is too long, the oldest are closed.
    pub fn listen(self: &Arc<Self>, now: Instant) -> IdleConnection {
        let (number, evicted) = (Mutex::new(None), CancellationToken::new());
        let listener = IdleConnection { idle: self.clone(), number, evicted };
        listener.silent_again(now);
        listener
    }

    /// Closes the oldest, however short its time was: there is no room for another connection.
    pub fn make_room(&self) {
        if let Some((_, (_, oldest))) = lock(&self.line).waiting.pop_first() {
            oldest.cancel();
        }
    }

    /// Connections in the queue.
    pub fn len(&self) -> usize {
        lock(&self.line).waiting.len()
    }

    /// True when no connection is idle.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl IdleConnection {
    /// A request came: the connection cannot be closed until it is idle again.
    pub fn spoke(&self) {
        if let Some(number) = lock(&self.number).take() {
            lock(&self.idle.line).waiting.remove(&number);
        }
    }

    /// True while it has no request.
    pub fn is_silent(&self) -> bool {
        lock(&self.number).is_some()
    }

    /// The request is answered, and the connection is the youngest of the idle ones.
    pub fn silent_again(&self, now: Instant) {
        let idle = &self.idle;
        let mut line = lock(&idle.line);
        for _ in 0..GO_AT_ONCE {
            let too_long = idle.most > 0 && line.waiting.len() >= idle.most;
            match line.waiting.first_entry() {
                Some(oldest) if too_long && oldest.get().0 + idle.moment <= now => oldest.remove().1.cancel(),
                _ => break,
            }
        }
        let number = line.next;
        line.next += 1;
        line.waiting.insert(number, (now, self.evicted.clone()));
        drop(line);
        *lock(&self.number) = Some(number);
    }
}

impl Drop for IdleConnection {
    fn drop(&mut self) {
        self.spoke();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_go_and_who_spoke_does_not() {
        let (idle, now) = (IdleConnections::new(3, Duration::from_secs(1)), Instant::now());
        let all: Vec<_> = (0..5).map(|_| idle.listen(now)).collect();
        let gone = || all.iter().map(|one| one.evicted.is_cancelled()).collect::<Vec<_>>();
        all[0].spoke();
        assert_eq!((idle.len(), gone()), (4, vec![false; 5]), "each has its moment");
        let later = idle.listen(now + Duration::from_secs(1));
        assert_eq!((idle.len(), gone()), (3, vec![false, true, true, false, false]));
        all[0].silent_again(now + Duration::from_secs(1));
        assert_eq!((idle.len(), gone()), (3, vec![false, true, true, true, false]));
        idle.make_room();
        assert_eq!((idle.len(), gone()), (2, vec![false, true, true, true, true]));
        drop((all, later));
        assert!(idle.is_empty());
    }
}
