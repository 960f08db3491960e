//! One connection's view of its user's log: replay joined to live, without gap, double or unbounded memory. Pure.
//!
//! A feed is live while it is handed every commit, and reads the log whenever it is not: at the start, after a
//! position in the past, after a lost notice, and when its client is slow. One way back to live serves them all.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use bytes::Bytes;
use wireproof_protocol::{Epoch, Timestamp};

use crate::{
    failpoints::Mark,
    store::{Committed, Page, StoredEvent},
};

#[cfg(test)]
mod tests;

/// How long the notice of something that is stored may take to come before the log is read for it.
pub const PATIENCE: Duration = Duration::from_millis(100);

/// What the feed has for the client.
#[derive(Debug, Clone, PartialEq)]
pub enum Item {
    /// An event as it happens, and since when it is durable, in Unix seconds.
    Live(StoredEvent, Timestamp),
    /// An event that was read from the log.
    Replayed(StoredEvent),
    /// A control frame, in its place between the events.
    Control(Bytes),
}

impl Item {
    /// Its text, as it goes on the wire.
    pub fn into_frame(self) -> Bytes {
        match self {
            Self::Live(event, _) | Self::Replayed(event) => event.json,
            Self::Control(frame) => frame,
        }
    }
}

/// Where a feed's events come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    /// The place to begin is not known yet.
    Unplaced,
    /// Commits are pushed as they happen.
    Live,
    /// The log is read, page by page.
    Log,
}

/// An event that waits, and since when it is durable if it came as it happened.
#[derive(Debug)]
struct Queued {
    event: StoredEvent,
    stored: Option<Timestamp>,
}

/// A control frame that waits.
#[derive(Debug)]
struct Waiting {
    /// Due once the events up to this number are taken.
    due: u64,
    frame: Bytes,
    /// True for `caught_up`, which completes a replay.
    completes: bool,
}

/// The feed of one connection.
#[derive(Debug)]
pub struct Feed {
    source: Source,
    /// The number line of the log, once it is known; notices of another one are passed over.
    epoch: Option<Epoch>,
    /// The number line of the latest notice, until that of the log is known.
    told_epoch: Option<Epoch>,
    /// The last number queued, and so the place where the next page begins.
    queued_to: u64,
    /// The last number taken from the queue.
    taken_to: u64,
    /// The last number that a notice told of.
    noted: u64,
    /// Since when a control frame waits for a number that no notice told of.
    lost_since: Option<Instant>,
    /// True when notices may have been lost since a page was asked for: the page does not show the end of the log.
    reads_again: bool,
    /// A failpoint: nothing shows that notices are lost.
    pub(crate) deaf: Mark,
    events: VecDeque<Queued>,
    bytes: usize,
    soft_bytes: usize,
    /// Bytes of live events that were not queued since the last page: how far behind a client that does not read is.
    missed_bytes: usize,
    /// Times that live events stopped being queued, not yet taken.
    catch_ups: u64,
    /// Control frames in the order of their making.
    controls: VecDeque<Waiting>,
    /// A snapshot: the state that the next events go on from, so it comes before everything else.
    snapshot: Option<Bytes>,
    /// Bytes of all control frames that wait.
    control_bytes: usize,
}

impl Feed {
    /// A feed that queues at most about `soft_bytes` of events.
    pub fn new(soft_bytes: usize) -> Self {
        Self {
            source: Source::Unplaced,
            epoch: None,
            told_epoch: None,
            queued_to: 0,
            taken_to: 0,
            noted: 0,
            lost_since: None,
            reads_again: false,
            deaf: Mark::default(),
            events: VecDeque::new(),
            bytes: 0,
            soft_bytes,
            missed_bytes: 0,
            catch_ups: 0,
            controls: VecDeque::new(),
            snapshot: None,
            control_bytes: 0,
        }
    }

    /// Says on which number line the log is. What a notice of another one told is forgotten.
    pub fn on_line(&mut self, epoch: Epoch) {
        self.epoch = Some(epoch);
        let told = self.told_epoch.take();
        self.forget_noted_if(told.is_some_and(|told| told != epoch));
    }

    fn forget_noted_if(&mut self, is_of_another_line: bool) {
        if is_of_another_line {
            // What came before on the right line may be forgotten with it.
            (self.noted, self.reads_again) = (0, true);
        }
    }

    /// Begins, or begins again, after a number; events queued before are dropped, control frames stay due.
    pub fn place(&mut self, after: u64) {
        self.events.clear();
        self.bytes = 0;
        self.missed_bytes = 0;
        self.queued_to = after;
        self.taken_to = after;
        let is_at_end = self.noted <= after && !self.reads_again;
        self.source = if is_at_end { Source::Live } else { Source::Log };
        self.snapshot = None;
    }

    /// Begins with the state at a number in place of the events up to it. Only a welcome comes before the state.
    pub fn place_with_snapshot(&mut self, seq: u64, frame: Bytes) {
        let first = self.source == Source::Unplaced;
        self.place(seq);
        if first {
            self.control(frame);
        } else {
            self.snapshot = Some(frame);
        }
    }

    /// Queues `caught_up`, sent after event `seq`.
    pub fn owe_caught_up(&mut self, seq: u64, frame: Bytes) {
        self.push(seq, frame, true);
    }

    /// True when a replay is not complete yet.
    pub fn owes_caught_up(&self) -> bool {
        self.controls.iter().any(|waiting| waiting.completes)
    }

    /// Begins after a number if no place was found yet; a feed that has its place keeps it.
    pub fn place_unless_placed(&mut self, after: u64) {
        if self.source == Source::Unplaced {
            self.place(after);
        }
    }

    /// Begins by reading the log, for a position known to be in the past.
    pub fn place_in_log(&mut self, after: u64) {
        self.place(after);
        self.source = Source::Log;
    }

    /// Takes a commit, or notes that its events are in the log. Returns true when the connection has to be woken: not while
    /// something is queued already, for then it has been woken or waits for its client, and waking a thousand that can do
    /// nothing costs those who could.
    pub fn notice(&mut self, told: &Committed) -> bool {
        match self.epoch {
            Some(epoch) if epoch != told.epoch => return false,
            Some(_) => {}
            None => {
                let before = self.told_epoch.replace(told.epoch);
                self.forget_noted_if(before.is_some_and(|before| before != told.epoch));
            }
        }
        self.noted = self.noted.max(told.seq);
        if self.source == Source::Unplaced || told.seq <= self.queued_to {
            return false;
        }
        let (was_live, had_nothing) = (self.source == Source::Live, self.events.is_empty());
        let (missed_before, known) = (self.missed_bytes, self.queued_to);
        let events = told.events.as_deref().unwrap_or_default();
        let news = || events.iter().filter(|event| event.seq > known);
        if self.source == Source::Live && (told.first_seq > known + 1 || events.is_empty()) {
            // A notice was lost or is late, or this one is without its events: the log has them.
            self.fall_back();
        }
        if self.source == Source::Live {
            for event in news() {
                if self.bytes + event.json.len() > self.soft_bytes && !self.events.is_empty() {
                    self.fall_back();
                    break;
                }
                self.queue(event.clone(), Some(told.stored_at));
            }
        }
        if self.source == Source::Log {
            let queued_to = self.queued_to;
            self.missed_bytes += match events.is_empty() {
                true => told.bytes,
                false => {
                    news().filter(|event| event.seq > queued_to).map(|event| event.json.len()).sum::<usize>()
                }
            };
        }
        // Now and then it has to look at how far its client is behind.
        let step = self.soft_bytes.max(1);
        (was_live && had_nothing) || missed_before / step != self.missed_bytes / step
    }

    fn fall_back(&mut self) {
        self.source = Source::Log;
        self.catch_ups += 1;
    }

    /// The log goes at least to a number, whatever notices told. Returns true when the connection has to be woken.
    pub fn reached(&mut self, head: u64) -> bool {
        if self.deaf.is_set() {
            return false;
        }
        self.noted = self.noted.max(head);
        let lost = self.source == Source::Live && head > self.queued_to;
        if lost {
            self.fall_back();
        }
        lost
    }

    /// When to look again for the notice that a control frame waits for; one that does not come in time was lost, and
    /// the log is read on.
    pub fn look_for_lost(&mut self, now: Instant) -> Option<Instant> {
        let due = self.controls.front().map(|waiting| waiting.due);
        let Some(due) = due.filter(|due| self.source == Source::Live && *due > self.queued_to) else {
            self.lost_since = None;
            return None;
        };
        let until = *self.lost_since.get_or_insert(now) + PATIENCE;
        if until > now {
            return Some(until);
        }
        self.reached(due);
        None
    }

    fn queue(&mut self, event: StoredEvent, stored: Option<Timestamp>) {
        self.queued_to = event.seq;
        self.bytes += event.json.len();
        self.events.push_back(Queued { event, stored });
    }

    /// Reads the log on to its end, whatever notices came; a feed without a place does so once it has one.
    pub fn read_on(&mut self) {
        match self.source {
            Source::Live => self.source = Source::Log,
            // A page that was asked for before does not show what is missed now.
            Source::Log | Source::Unplaced => self.reads_again = true,
        }
    }

    /// The number after which a page of the log is wanted now.
    pub fn wants_page(&self) -> Option<u64> {
        (self.source == Source::Log && self.events.is_empty()).then_some(self.queued_to)
    }

    /// Takes a page that was read after `after`; one that was asked for before the feed was placed anew is passed over.
    pub fn page(&mut self, after: u64, page: Page) {
        if self.source != Source::Log || after != self.queued_to || !self.events.is_empty() {
            return;
        }
        self.missed_bytes = 0;
        for event in page.events {
            self.queue(event, None);
        }
        let reads_again = page.complete && std::mem::take(&mut self.reads_again);
        if page.complete && self.noted <= self.queued_to && !reads_again {
            self.source = Source::Live;
        }
    }

    /// Queues a control frame behind the events queued so far.
    pub fn control(&mut self, frame: Bytes) {
        self.control_after(self.queued_to, frame);
    }

    /// Queues a control frame that is due once the events up to `seq` are taken.
    pub fn control_after(&mut self, seq: u64, frame: Bytes) {
        self.push(seq, frame, false);
    }

    fn push(&mut self, seq: u64, frame: Bytes, completes: bool) {
        // Answers keep the order of their requests: none overtakes another, nor the end of a replay.
        let due = self.controls.back().map_or(seq, |last| seq.max(last.due));
        self.control_bytes += frame.len();
        self.controls.push_back(Waiting { due, frame, completes });
    }

    /// The next item for the wire.
    pub fn take(&mut self) -> Option<Item> {
        if let Some(frame) = self.snapshot.take() {
            return Some(Item::Control(frame));
        }
        let unplaced = self.source == Source::Unplaced;
        if self.controls.front().is_some_and(|waiting| unplaced || waiting.due <= self.taken_to) {
            let waiting = self.controls.pop_front()?;
            self.control_bytes -= waiting.frame.len();
            return Some(Item::Control(waiting.frame));
        }
        let Queued { event, stored } = self.events.pop_front()?;
        self.bytes -= event.json.len();
        self.taken_to = event.seq;
        if self.events.is_empty() {
            // An idle connection keeps no room for a burst that is over.
            self.events = VecDeque::new();
        }
        Some(match stored {
            Some(stored) => Item::Live(event, stored),
            None => Item::Replayed(event),
        })
    }

    /// How often the feed fell back to the log since this was last asked.
    pub fn take_catch_ups(&mut self) -> u64 {
        std::mem::take(&mut self.catch_ups)
    }

    /// True while the log is read instead of what happens.
    pub fn is_behind(&self) -> bool {
        self.source == Source::Log
    }

    /// True while control frames that wait are fewer than `most` and smaller in all than the soft limit: more requests
    /// may be read then.
    pub fn takes_controls(&self, most: usize) -> bool {
        self.waiting_controls() < most && self.control_bytes < self.soft_bytes
    }

    /// True when nothing is queued and no control frame waits.
    pub fn is_idle(&self) -> bool {
        let waiting = self.snapshot.is_some() || !self.controls.is_empty();
        self.events.is_empty() && !waiting && self.source == Source::Live
    }

    /// True when there is something to put on the wire now.
    pub fn is_ready(&self) -> bool {
        let due = self.controls.front().is_some_and(|waiting| waiting.due <= self.taken_to);
        !self.events.is_empty() || self.snapshot.is_some() || due
    }

    /// Control frames that wait.
    pub fn waiting_controls(&self) -> usize {
        self.controls.len()
    }

    /// Bytes of events that happened and were neither queued nor read since the last page.
    pub fn missed_bytes(&self) -> usize {
        self.missed_bytes
    }

    /// Bytes of events in the queue.
    pub fn queued_bytes(&self) -> usize {
        self.bytes
    }
}
