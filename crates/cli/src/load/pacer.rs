//! The clock of the open model: says when each message is due, whatever became of those before.

use std::{
    thread,
    time::{Duration, Instant},
};

use tokio::sync::mpsc::{Receiver, channel};

/// Due times that may wait to be taken: a second's worth at the highest rate that makes sense.
const WAITING: usize = 65_536;

/// Gives the due time of each message at `rate` a second, for `duration` from `start`.
/// A thread of its own: the runtime's timers are no finer than a millisecond, which is the size of what is measured.
pub(super) fn due_times(start: Instant, rate: f64, duration: Duration) -> Receiver<Instant> {
    let (sender, receiver) = channel(WAITING);
    let messages = (rate * duration.as_secs_f64()).round() as u64;
    thread::spawn(move || {
        for number in 0..messages {
            let due = start + Duration::from_secs_f64(number as f64 / rate);
            if let Some(early) = due.checked_duration_since(Instant::now()) {
                thread::sleep(early);
            }
            if sender.blocking_send(due).is_err() {
                break;
            }
        }
    });
    receiver
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn due_times_keep_the_rate_and_never_come_early() {
        let start = Instant::now();
        let mut due = due_times(start, 1000.0, Duration::from_millis(50));
        for number in 0..50 {
            let at = due.recv().await.unwrap();
            assert_eq!(at, start + Duration::from_secs_f64(number as f64 / 1000.0));
            assert!(Instant::now() >= at);
        }
        assert_eq!(due.recv().await, None);
    }
}
