//! One reader of a user's events: what the feed hands over, the log page by page behind it, and the rules for a reader
//! that does not keep up. The writer of a connection polls it, of whatever kind the connection is.

use std::{
    sync::Arc,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use futures_util::future::BoxFuture;
use wireproof_protocol::{ControlBody, RequestId, Timestamp, UserId};

use super::{
    LogReader, SharedFeed, encode,
    feed::Item,
    start::{Next, Snapshot, StartAt},
};
use crate::{metrics::Metrics, store::StoreError};

#[cfg(test)]
mod tests;

/// Times that the log is read again when it cannot be read, before the subscription ends.
const LOG_TRIES: u32 = 5;
/// Before the first of them; twice as long before each further one.
const LOG_PAUSE: Duration = Duration::from_millis(100);

/// The log could not be read, at any of several tries: the subscription has no more items.
#[derive(Debug)]
pub struct LogUnreadable;

/// What became of the items so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// The client has taken all.
    All,
    /// The client has taken a part; the rest waits.
    Some,
    /// The client has taken nothing of what waits.
    None,
}

/// One reader of a user's events.
pub struct Subscription {
    log: Arc<LogReader>,
    user_id: UserId,
    feed: Arc<SharedFeed>,
    /// What comes next of the log, and after which number.
    reading: Option<BoxFuture<'static, (u64, Result<Next, StoreError>)>>,
    /// Times in a row that the log could not be read though the store was not away.
    failures: u32,
    /// Times in a row that the log has to be read again after a pause, whatever the reason.
    pauses: u32,
    /// Since when the client takes nothing of what waits for it.
    stalled_since: Option<Instant>,
    /// When to look again for a notice that a control frame waits for.
    look_again: Option<Instant>,
    pass: Pass,
}

impl Subscription {
    /// Reads a user's feed and log; it has events once it is [started](Self::start).
    pub fn new(log: Arc<LogReader>, user_id: UserId, feed: Arc<SharedFeed>) -> Self {
        Self {
            log,
            user_id,
            feed,
            reading: None,
            failures: 0,
            pauses: 0,
            stalled_since: None,
            look_again: None,
            pass: Pass::default(),
        }
    }

    /// Starts, or starts again, and queues `caught_up` where it is due; `id` is the request that asked for it.
    pub fn start(&mut self, at: StartAt, head: u64, id: Option<RequestId>) {
        match &at {
            StartAt::Head => {}
            StartAt::Replay(..) => self.log.metrics.resume("replayed"),
            StartAt::Refused(_) => self.log.metrics.resume("refused"),
            StartAt::Snapshot(_) => self.log.metrics.resume("snapshot"),
        }
        let mut feed = self.feed.lock();
        match at {
            StartAt::Head => feed.place(head),
            StartAt::Replay(after, page) => {
                feed.place_in_log(after);
                feed.page(after, page);
                feed.owe_caught_up(head, encode(ControlBody::CaughtUp { seq: head }, id));
            }
            StartAt::Snapshot(snapshot) => {
                drop(feed);
                self.start_with(snapshot, id);
            }
            StartAt::Refused(refusal) => {
                feed.place_unless_placed(head);
                feed.control(encode(ControlBody::Error(*refusal.body), id));
            }
        }
    }

    fn start_with(&mut self, snapshot: Snapshot, id: Option<RequestId>) {
        let Snapshot { reason, seq, frame } = snapshot;
        self.log.metrics.snapshot(reason.as_str());
        let mut feed = self.feed.lock();
        // A snapshot in place of a replay completes the replay's `caught_up`.
        let stands_in = id.is_none() && feed.owes_caught_up();
        feed.place_with_snapshot(seq, frame);
        if !stands_in {
            feed.owe_caught_up(seq, encode(ControlBody::CaughtUp { seq }, id));
        }
    }

    /// The next item for the client, in order. Reads the log on where the feed needs it.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Item, LogUnreadable>> {
        loop {
            if let Some(item) = self.take() {
                return Poll::Ready(Ok(item));
            }
            self.feed.waker().register(cx.waker());
            // An event that came before the waker was registered woke no task.
            if let Some(item) = self.take() {
                return Poll::Ready(Ok(item));
            }
            self.look_again = self.feed.lock().look_for_lost(Instant::now());
            let (after, read) = ready!(self.poll_log(cx));
            if let Err(unreadable) = self.take_read(after, read) {
                return Poll::Ready(Err(unreadable));
            }
        }
    }

    fn take(&mut self) -> Option<Item> {
        let item = self.feed.lock().take()?;
        match &item {
            Item::Live(_, stored) => self.pass.live(*stored, &self.log.metrics),
            Item::Replayed(_) => self.pass.replayed += 1,
            Item::Control(_) => {}
        }
        Some(item)
    }

    fn poll_log(&mut self, cx: &mut Context<'_>) -> Poll<(u64, Result<Next, StoreError>)> {
        if self.reading.is_none()
            && let Some(after) = self.feed.lock().wants_page()
        {
            let (log, user_id) = (self.log.clone(), self.user_id.clone());
            let pause = self.pauses.checked_sub(1).map(|before| LOG_PAUSE * 2_u32.pow(before));
            self.reading = Some(Box::pin(async move {
                if let Some(pause) = pause {
                    tokio::time::sleep(pause).await;
                }
                (after, log.read_on(&user_id, after).await)
            }));
        }
        let Some(reading) = &mut self.reading else { return Poll::Pending };
        let read = ready!(reading.as_mut().poll(cx));
        self.reading = None;
        Poll::Ready(read)
    }

    /// Goes on with what was read of the log; a log that cannot be read is tried again, for a while.
    fn take_read(&mut self, after: u64, read: Result<Next, StoreError>) -> Result<(), LogUnreadable> {
        match read {
            Ok(Next::Page(page)) => {
                let mut feed = self.feed.lock();
                self.log.metrics.log_pages.inc();
                self.log.metrics.catch_ups.inc_by(feed.take_catch_ups());
                feed.page(after, page);
                // A notice told of events that the log does not show yet: it is read again after a pause.
                (self.failures, self.pauses) = (0, u32::from(feed.wants_page() == Some(after)));
            }
            Ok(Next::Snapshot(snapshot)) => {
                (self.failures, self.pauses) = (0, 0);
                // The client may have asked for another place meanwhile.
                let is_wanted = self.feed.lock().wants_page() == Some(after);
                if is_wanted {
                    self.start_with(snapshot, None);
                }
            }
            Err(error) => {
                tracing::error!(user_id = %self.user_id, %error, "a user's log could not be read");
                self.pauses = (self.pauses + 1).min(LOG_TRIES);
                // A store that is away comes back: the reader keeps its place, and has as many tries then as before.
                self.failures += u32::from(!matches!(error, StoreError::Unavailable(_)));
                if self.failures > LOG_TRIES {
                    return Err(LogUnreadable);
                }
            }
        }
        Ok(())
    }

    /// Counts the items since this was last called. To be called before they are flushed: once a client has an event it
    /// is counted.
    pub fn count(&mut self) {
        std::mem::take(&mut self.pass).count(&self.log.metrics);
    }

    /// Notes what became of the items so far.
    pub fn progressed(&mut self, progress: Progress) {
        match progress {
            Progress::All => self.stalled_since = None,
            // A client that takes a little of a large frame is slow, not stalled.
            Progress::Some => self.stalled_since = Some(Instant::now()),
            Progress::None => {
                self.stalled_since.get_or_insert_with(Instant::now);
            }
        }
    }

    /// When to poll again though nothing wakes the task: a notice may have been lost.
    pub fn look_again(&self) -> Option<Instant> {
        // Once it is due, whatever has the task polled has the feed looked at.
        self.look_again.filter(|again| *again > Instant::now())
    }

    /// True while something waits that the client does not take.
    pub fn is_stalled(&self) -> bool {
        self.stalled_since.is_some()
    }

    /// When a client that goes on taking nothing is too slow.
    pub fn stall_deadline(&self) -> Option<Instant> {
        self.stalled_since.map(|since| since + self.log.stall)
    }

    /// True for a client that took nothing for too long, or fell too far behind what happens: its connection is to be
    /// closed, and it comes back with its position.
    pub fn is_too_slow(&self, now: Instant) -> bool {
        self.stall_deadline().is_some_and(|deadline| now >= deadline)
            || self.feed.lock().missed_bytes() > self.log.hard_bytes
    }
}

/// The events of one pass over the feed: the clock is read once a pass, and shared counters are touched once.
#[derive(Default)]
struct Pass {
    now: Option<Timestamp>,
    live: u64,
    /// Events that were read from the log.
    replayed: u64,
}

impl Pass {
    /// An event that came as it happened, durable since `stored`.
    fn live(&mut self, stored: Timestamp, metrics: &Metrics) {
        let now = *self.now.get_or_insert_with(crate::clock::unix_now);
        // The clock may have been set back, and that of another node may go ahead.
        metrics.delivery_seconds.observe((now - stored).max(0.0));
        self.live += 1;
    }

    fn count(self, metrics: &Metrics) {
        if self.live + self.replayed > 0 {
            metrics.events_delivered.inc_by(self.live + self.replayed);
            metrics.events_replayed.inc_by(self.replayed);
        }
    }
}
