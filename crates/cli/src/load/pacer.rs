//! The clock of the open model: says when each message is due, whatever became of those before.

use std::{thread, time::Instant};

use tokio::sync::mpsc::{Receiver, channel};

use super::schedule::Schedule;

/// Due times that may wait to be taken: a second's worth at the highest rate that makes sense.
const WAITING: usize = 65_536;

/// A message that is due.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Due {
    /// When it is, or was.
    pub(super) at: Instant,
    /// In which stage of the schedule.
    pub(super) stage: usize,
}

/// Gives each message of the schedule when it is due, from `start` on; the end of the schedule is the end of the stream.
/// A thread of its own: the runtime's timers are no finer than a millisecond, which is the size of what is measured.
pub(super) fn due_times(start: Instant, schedule: &Schedule) -> Receiver<Due> {
    let (sender, receiver) = channel(WAITING);
    let slots = schedule.slots();
    thread::spawn(move || {
        for slot in slots {
            let at = start + slot.at;
            if let Some(early) = at.checked_duration_since(Instant::now()) {
                thread::sleep(early);
            }
            if sender.blocking_send(Due { at, stage: slot.stage }).is_err() {
                break;
            }
        }
    });
    receiver
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::load::schedule::Stage;

    #[tokio::test]
    async fn due_times_keep_the_rate_and_never_come_early() {
        let start = Instant::now();
        let schedule = Schedule::new(vec![Stage::steady(1000.0, Duration::from_millis(50))]);
        let mut due = due_times(start, &schedule);
        for number in 0..50 {
            let next = due.recv().await.unwrap();
            assert_eq!(
                next,
                Due { at: start + Duration::from_secs_f64(f64::from(number) / 1000.0), stage: 0 }
            );
            assert!(Instant::now() >= next.at);
        }
        assert_eq!(due.recv().await, None);
    }
}
