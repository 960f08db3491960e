//! Connections that have asked for nothing yet, or nothing more: when there are too many, the oldest has to go, so
//! that those who say nothing cannot keep out those who do.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio_util::sync::CancellationToken;

#[derive(Default)]
struct Line {
    next: u64,
    waiting: BTreeMap<u64, CancellationToken>,
}

/// The silent connections, oldest first.
#[derive(Default)]
pub struct Silent {
    line: Mutex<Line>,
    most: usize,
}

/// One connection's place in the line.
pub struct Listener {
    silent: Arc<Silent>,
    number: Mutex<Option<u64>>,
    /// Cancelled when the connection has to go.
    pub evicted: CancellationToken,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Silent {
    /// A line of at most `most` connections (0: no limit).
    pub fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { line: Mutex::default(), most })
    }

    /// A new connection, silent so far. The oldest goes if the line is full.
    pub fn listen(self: &Arc<Self>) -> Listener {
        let (number, evicted) = (Mutex::new(None), CancellationToken::new());
        let listener = Listener { silent: self.clone(), number, evicted };
        listener.silent_again();
        listener
    }

    /// Connections in the line.
    pub fn len(&self) -> usize {
        lock(&self.line).waiting.len()
    }

    /// True when no connection is silent.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Listener {
    /// The connection asked for something: it cannot be sent away until it is silent again.
    pub fn spoke(&self) {
        if let Some(number) = lock(&self.number).take() {
            lock(&self.silent.line).waiting.remove(&number);
        }
    }

    /// The connection has its answer and is the youngest of the silent ones.
    pub fn silent_again(&self) {
        let mut line = lock(&self.silent.line);
        if self.silent.most > 0
            && line.waiting.len() >= self.silent.most
            && let Some((_, oldest)) = line.waiting.pop_first()
        {
            oldest.cancel();
        }
        let number = line.next;
        line.next += 1;
        line.waiting.insert(number, self.evicted.clone());
        drop(line);
        *lock(&self.number) = Some(number);
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.spoke();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_goes_and_who_spoke_does_not() {
        let silent = Silent::new(3);
        let all: Vec<_> = (0..3).map(|_| silent.listen()).collect();
        all[0].spoke();
        let fourth = silent.listen();
        assert_eq!(all.iter().filter(|one| one.evicted.is_cancelled()).count(), 0);
        let fifth = silent.listen();
        assert!(!all[0].evicted.is_cancelled() && all[1].evicted.is_cancelled());
        all[0].silent_again();
        assert!(all[2].evicted.is_cancelled() && silent.len() == 3);
        drop((all, fourth, fifth));
        assert!(silent.is_empty());
    }
}
