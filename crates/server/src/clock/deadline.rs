//! Deadlines that are fair after a pause. When the process itself stood still (SIGSTOP, a machine that slept), timers go
//! off before the sockets are looked at: what others sent meanwhile is then given a moment to be read.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::time::{Instant, Sleep, sleep_until};

/// A timer that goes off later than this went off after a pause.
const LATE: Duration = Duration::from_millis(100);
/// How long what came during a pause has to be read.
const READING: Duration = Duration::from_secs(1);

/// Waits until a time; after a pause, [`READING`] longer.
pub struct Deadline {
    sleep: Pin<Box<Sleep>>,
    due: Instant,
    paused: bool,
}

impl Deadline {
    /// A deadline at this time.
    pub fn at(due: Instant) -> Self {
        Self { sleep: Box::pin(sleep_until(due)), due, paused: false }
    }

    /// A deadline so far from now.
    pub fn after(time: Duration) -> Self {
        Self::at(Instant::now() + time)
    }

    /// When it is due.
    pub fn due(&self) -> Instant {
        self.due
    }

    /// Moves it.
    pub fn reset(&mut self, due: Instant) {
        (self.due, self.paused) = (due, false);
        self.sleep.as_mut().reset(due);
    }
}

impl Future for Deadline {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        ready!(self.sleep.as_mut().poll(cx));
        let now = Instant::now();
        if self.paused || now <= self.due + LATE {
            return Poll::Ready(());
        }
        self.paused = true;
        self.sleep.as_mut().reset(now + READING);
        self.sleep.as_mut().poll(cx)
    }
}

/// What a future gives, unless its time is over first.
pub async fn within<F: Future>(time: Duration, future: F) -> Option<F::Output> {
    tokio::select! {
        biased;
        done = future => Some(done),
        () = Deadline::after(time) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bug: a process that had stood still closed connections for their silence before it read what they had sent.
    #[tokio::test]
    async fn a_deadline_that_is_seen_late_gives_a_moment() {
        let began = std::time::Instant::now();
        let deadline = Deadline::after(Duration::from_millis(10));
        // Stands for SIGSTOP: the whole runtime stands still.
        std::thread::sleep(Duration::from_millis(300));
        deadline.await;
        assert!(began.elapsed() >= READING, "{:?}", began.elapsed());
    }

    #[tokio::test]
    async fn what_is_done_in_time_is_given() {
        assert_eq!(within(Duration::from_secs(600), async { 7 }).await, Some(7));
        assert_eq!(within(Duration::from_millis(1), std::future::pending::<()>()).await, None);
    }
}
