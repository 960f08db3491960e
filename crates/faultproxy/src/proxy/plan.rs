//! The plan of one direction of one connection: bytes and times in, acts and notes out. Pure; the same seed, toxics and
//! bytes give the same plan.

use std::time::Duration;

use bytes::Bytes;

use super::{
    active_toxic::{NumberedToxic, Stream},
    control_frames::Marks,
    flow::{Act, Flow},
    journal::Note,
    messages::Messages,
};

#[derive(Debug)]
pub(crate) struct Plan {
    stream: Stream,
    messages: Messages,
    flow: Flow,
    closed: bool,
}

impl Plan {
    pub(crate) fn new(stream: Stream, marks: Marks) -> Self {
        Self { stream, messages: Messages::new(stream, marks), flow: Flow::default(), closed: false }
    }

    /// Takes in which toxics are in force from now on.
    pub(crate) fn update(&mut self, in_force: &[NumberedToxic], now: Duration) {
        self.flow.update(in_force, self.stream, now);
        self.messages.update(in_force, self.stream, now);
        self.hand_on(now);
    }

    /// True when bytes go through as they come.
    pub(crate) fn is_idle(&self) -> bool {
        self.flow.is_idle() && self.messages.is_idle()
    }

    /// Follows bytes that go through as they come.
    pub(crate) fn pass(&mut self, bytes: &[u8]) {
        self.messages.pass(bytes);
        self.flow.pass(bytes.len());
    }

    /// Plans for bytes that were read.
    pub(crate) fn take(&mut self, bytes: &Bytes, now: Duration) {
        self.messages.take(bytes, now);
        self.hand_on(now);
    }

    /// The sender has closed.
    pub(crate) fn finish(&mut self, now: Duration) {
        self.closed = true;
        self.messages.finish();
        self.hand_on(now);
        self.flow.finish(now);
    }

    /// Takes everything that lasts out of force, as the connection ends.
    pub(crate) fn end_lasting(&mut self) {
        self.flow.end_lasting();
    }

    /// What time alone brings about.
    pub(crate) fn tick(&mut self, now: Duration) {
        self.messages.tick(now);
        self.hand_on(now);
        self.flow.tick(now);
    }

    /// When to look again; nothing when only bytes can bring something about.
    pub(crate) fn wake(&self, now: Duration) -> Option<Duration> {
        [self.flow.wake(now), self.messages.wake()].into_iter().flatten().min()
    }

    /// The next act that is due.
    pub(crate) fn pop(&mut self, now: Duration) -> Option<Act> {
        self.flow.pop(now)
    }

    /// How many bytes to read next: none while it waits, has enough, or is over.
    pub(crate) fn appetite(&self, now: Duration) -> usize {
        if self.closed || self.flow.is_stalled(now) { 0 } else { self.flow.appetite(now) }
    }

    /// Messages of the sender so far.
    pub(crate) fn messages(&self) -> u64 {
        self.messages.count()
    }

    /// What was decided since it was asked last.
    pub(crate) fn notes(&mut self) -> impl Iterator<Item = Note> {
        self.messages.notes.drain(..).chain(self.flow.notes.drain(..))
    }

    fn hand_on(&mut self, now: Duration) {
        for out in self.messages.drain() {
            self.flow.take(out, now);
        }
    }
}

#[cfg(test)]
mod tests;
