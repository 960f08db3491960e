//! When which bytes go on: latency, bandwidth, slices, coalescing, stalls, and cuts at a byte or a time. Pure: the time
//! is a value, the result a queue of acts with the times at which they are due.

use std::{collections::VecDeque, time::Duration};

use bytes::{Bytes, BytesMut};
use rand::RngExt;

use super::{
    active_toxic::{ActiveToxic, NumberedToxic, Stream, update},
    fault::{Afterwards, Cut, Fault},
    journal::{Note, Phase},
    toxic::Trigger,
};

/// Most bytes of one read.
pub(crate) const READ: usize = 16 << 10;
/// The same where many acts come of one byte.
const SMALL_READ: usize = 1 << 10;
/// Bytes that may be under way or wait; the sender is not read beyond.
const WAITING: usize = 1 << 20;
/// Acts that may: with tiny slices they are what takes memory.
const ACTS: usize = 64 << 10;
/// Bytes that may wait before a narrow line, where few go out in a second, so that the sender feels it. What the line's
/// latency keeps under way does not count: a long line is no narrow one.
const FEW_WAITING: usize = 4 << 10;

/// What the messages' part hands on.
#[derive(Debug, PartialEq)]
pub(crate) enum Out {
    Bytes(Bytes),
    /// All that follows comes later.
    Delay(Duration),
    /// The trigger of this toxic was met here.
    Fire(u64),
    End(Cut),
}

/// What a pump does.
#[derive(Debug, PartialEq)]
pub(crate) enum Act {
    Write(Bytes),
    Cut(Cut),
    BlackHole {
        toxic: u64,
        time: Option<Duration>,
        then: Afterwards,
    },
    /// The sender has closed: so is the way to the receiver.
    Shutdown,
}

/// An act that waits for its time.
#[derive(Debug)]
struct Due {
    at: Duration,
    /// When its bytes leave the sender's side; the latency comes after it.
    departs: Duration,
    act: Act,
}

#[derive(Debug, Default)]
pub(crate) struct Flow {
    toxics: Vec<ActiveToxic>,
    /// Bytes handed to this part so far.
    offset: u64,
    queue: VecDeque<Due>,
    queued: usize,
    /// When the latest act is due: no later one overtakes it.
    last_due: Duration,
    /// Until when the bandwidth is used up.
    busy_until: Duration,
    collected: BytesMut,
    collected_since: Duration,
    /// What came while it is stalled.
    kept: VecDeque<Out>,
    over: bool,
    pub(crate) notes: Vec<Note>,
}

impl Flow {
    pub(crate) fn update(&mut self, in_force: &[NumberedToxic], stream: Stream, now: Duration) {
        let gone = update(&mut self.toxics, in_force, |numbered| {
            let fault = &numbered.toxic.fault;
            let ours = !fault.is_of_messages() && !matches!(fault, Fault::AcceptThenClose(_));
            ours.then(|| stream.activate(numbered, now)).flatten()
        });
        gone.iter().for_each(|active| self.note_end(active));
        if self.coalescing().is_none() {
            self.flush(now);
        }
        self.tick(now);
    }

    /// True when bytes would go through as they come, at once.
    pub(crate) fn is_idle(&self) -> bool {
        self.toxics.is_empty()
            && self.queue.is_empty()
            && self.collected.is_empty()
            && self.kept.is_empty()
            && !self.over
    }

    /// Counts bytes that went through as they came.
    pub(crate) fn pass(&mut self, bytes: usize) {
        self.offset += bytes as u64;
    }

    /// How many bytes may be read now.
    pub(crate) fn appetite(&self, now: Duration) -> usize {
        let full = self.queued >= WAITING || self.queue.len() >= ACTS;
        if self.over || !self.kept.is_empty() || full {
            return 0;
        }
        match self.is_narrow() {
            true if self.undeparted(now).map(|due| due.bytes()).sum::<usize>() >= FEW_WAITING => 0,
            true => SMALL_READ,
            false => READ,
        }
    }

    fn is_narrow(&self) -> bool {
        self.open().any(|active| matches!(active.toxic.fault, Fault::Slice { .. } | Fault::Bandwidth { .. }))
    }

    /// What has not left the sender's side, the latest first.
    fn undeparted(&self, now: Duration) -> impl Iterator<Item = &Due> {
        self.queue.iter().rev().take_while(move |due| due.departs > now)
    }

    /// True while nothing is to be read at all.
    pub(crate) fn is_stalled(&self, now: Duration) -> bool {
        self.open().any(|active| active.stalls(now))
    }

    fn open(&self) -> impl Iterator<Item = &ActiveToxic> {
        self.toxics.iter().filter(|active| active.open)
    }

    pub(crate) fn take(&mut self, out: Out, now: Duration) {
        if self.over {
            return;
        }
        if self.is_stalled(now) || !self.kept.is_empty() {
            self.kept.push_back(out);
            return;
        }
        match out {
            Out::Bytes(bytes) => self.take_bytes(bytes, now),
            Out::Delay(time) => {
                self.flush(now);
                self.last_due = self.last_due.max(now) + time;
            }
            Out::Fire(toxic) => {
                if let Some(index) = self.toxics.iter().position(|active| active.id == toxic && !active.open)
                {
                    self.fire(index, now);
                }
            }
            Out::End(cut) => self.end(Act::Cut(cut), now),
        }
    }

    fn take_bytes(&mut self, mut bytes: Bytes, now: Duration) {
        while !bytes.is_empty() {
            let next = self.toxics.iter().filter(|active| !active.open).filter_map(|active| {
                match active.toxic.when {
                    Trigger::AfterBytes(at) if at > self.offset => usize::try_from(at - self.offset).ok(),
                    _ => None,
                }
            });
            let length = next.min().unwrap_or(usize::MAX).min(bytes.len());
            self.offset += length as u64;
            self.shape(bytes.split_to(length), now);
            self.fire_reached(now);
            if self.over {
                return;
            }
            if self.is_stalled(now) {
                if !bytes.is_empty() {
                    self.kept.push_front(Out::Bytes(bytes));
                }
                return;
            }
        }
    }

    /// Fires what waited for exactly so many bytes.
    fn fire_reached(&mut self, now: Duration) {
        for index in 0..self.toxics.len() {
            let active = &self.toxics[index];
            let reached = matches!(active.toxic.when, Trigger::AfterBytes(at) if at <= self.offset);
            if reached && !active.open && !self.over {
                self.fire(index, now);
            }
        }
    }

    fn fire(&mut self, index: usize, now: Duration) {
        let active = &mut self.toxics[index];
        active.open(now);
        let (id, fault) = (active.id, active.toxic.fault.clone());
        let note = Note::of(id, &fault, self.offset, 0);
        match fault {
            Fault::Cut(cut) => {
                self.notes.push(note.detail(cut.name()));
                self.end(Act::Cut(cut), now);
            }
            Fault::BlackHole { for_ms, then } => {
                self.notes.push(note.phase(Phase::Began));
                self.flush(now);
                self.push(Act::BlackHole { toxic: id, time: for_ms.map(Duration::from_millis), then }, now);
            }
            _ => self.notes.push(note.phase(Phase::Began)),
        }
    }

    /// One act more, and no other.
    fn end(&mut self, act: Act, now: Duration) {
        self.flush(now);
        self.push(act, now);
        self.over = true;
    }

    /// The sender has closed.
    pub(crate) fn finish(&mut self, now: Duration) {
        if !self.over {
            self.end(Act::Shutdown, now);
        }
        self.end_lasting();
    }

    /// Takes everything that lasts out of force, as the connection ends.
    pub(crate) fn end_lasting(&mut self) {
        for active in std::mem::take(&mut self.toxics) {
            self.note_end(&active);
        }
    }

    fn note_end(&mut self, active: &ActiveToxic) {
        use Fault::{Bandwidth, Coalesce, Latency, Slice, Stall};
        let fault = &active.toxic.fault;
        let lasting = matches!(
            fault,
            Latency { .. } | Bandwidth { .. } | Slice { .. } | Coalesce { .. } | Stall { .. }
        );
        // A stall that has ended by itself is written down already.
        if active.open && lasting && active.left > 0 {
            self.notes.push(Note::of(active.id, fault, self.offset, active.touched).phase(Phase::Ended));
        }
    }

    /// What time alone brings about.
    pub(crate) fn tick(&mut self, now: Duration) {
        for index in 0..self.toxics.len() {
            if !self.over && self.toxics[index].due().is_some_and(|due| due <= now) {
                self.fire(index, now);
            }
        }
        self.fire_reached(now);
        if self.coalescing().is_none_or(|(_, within)| now >= self.collected_since + within) {
            self.flush(now);
        }
        self.end_stalls(now);
        while !self.kept.is_empty() && !self.is_stalled(now) {
            for out in std::mem::take(&mut self.kept) {
                self.take(out, now);
            }
        }
    }

    fn end_stalls(&mut self, now: Duration) {
        let stalls = self.toxics.iter_mut().filter(|active| active.open && active.left > 0);
        for active in stalls.filter(|active| active.stall_ends().is_some_and(|ends| ends <= now)) {
            active.left = 0;
            let note = Note::of(active.id, &active.toxic.fault, self.offset, 0);
            self.notes.push(note.phase(Phase::Ended));
        }
    }

    /// When to tick, to act or to read next.
    pub(crate) fn wake(&self, now: Duration) -> Option<Duration> {
        let waiting = self.toxics.iter().filter_map(ActiveToxic::due);
        let stalls = self.open().filter(|active| active.left > 0).filter_map(ActiveToxic::stall_ends);
        let flush = self.coalescing().filter(|_| !self.collected.is_empty());
        let flush = flush.map(|(_, within)| self.collected_since + within);
        let departs = self.is_narrow().then(|| self.undeparted(now).last().map(|due| due.departs)).flatten();
        waiting.chain(stalls).chain(flush).chain(departs).chain(self.queue.front().map(|due| due.at)).min()
    }

    /// The next act that is due.
    pub(crate) fn pop(&mut self, now: Duration) -> Option<Act> {
        let due = self.queue.pop_front_if(|due| due.at <= now)?;
        self.queued -= due.bytes();
        Some(due.act)
    }

    fn coalescing(&self) -> Option<(usize, Duration)> {
        self.open().find_map(|active| match active.toxic.fault {
            Fault::Coalesce { bytes, within_ms } => Some((bytes, Duration::from_millis(within_ms))),
            _ => None,
        })
    }

    fn shape(&mut self, bytes: Bytes, now: Duration) {
        for active in self.toxics.iter_mut().filter(|active| active.open) {
            active.touched += bytes.len() as u64;
        }
        let Some((enough, _)) = self.coalescing() else { return self.send(bytes, now) };
        if self.collected.is_empty() {
            self.collected_since = now;
        }
        self.collected.extend_from_slice(&bytes);
        if self.collected.len() >= enough {
            self.flush(now);
        }
    }

    fn flush(&mut self, now: Duration) {
        if !self.collected.is_empty() {
            let collected = self.collected.split().freeze();
            self.send(collected, now);
        }
    }

    /// Gives bytes their times: latency, then slices, then bandwidth.
    fn send(&mut self, mut bytes: Bytes, now: Duration) {
        let (mut late, mut piece, mut pause, mut rate) =
            (Duration::ZERO, usize::MAX, Duration::ZERO, None::<u64>);
        for active in self.toxics.iter_mut().filter(|active| active.open) {
            match active.toxic.fault {
                Fault::Latency { ms, jitter_ms } => {
                    let jitter = active.random.random_range(0..=jitter_ms.saturating_mul(1000));
                    late += Duration::from_millis(ms) + Duration::from_micros(jitter);
                }
                Fault::Slice { bytes, pause_ms } => {
                    piece = piece.min(bytes);
                    pause = pause.max(Duration::from_millis(pause_ms));
                }
                Fault::Bandwidth { bytes_per_second } => {
                    rate = Some(rate.map_or(bytes_per_second, |rate| rate.min(bytes_per_second)));
                    // A hundredth of a second at a time, so that it flows.
                    piece = piece.min(usize::try_from(bytes_per_second / 100).unwrap_or(usize::MAX).max(1));
                }
                _ => {}
            }
        }
        let mut due = self.last_due.max(now + late);
        while !bytes.is_empty() {
            let part = bytes.split_to(piece.min(bytes.len()));
            if let Some(rate) = rate {
                due = due.max(self.busy_until) + Duration::from_secs_f64(part.len() as f64 / rate as f64);
                self.busy_until = due;
            }
            self.queued += part.len();
            self.queue.push_back(Due { at: due, departs: due.saturating_sub(late), act: Act::Write(part) });
            self.last_due = due;
            due += pause;
        }
        // The pause is kept between what came together and what comes next, too.
        self.last_due = due;
    }

    fn push(&mut self, act: Act, now: Duration) {
        self.last_due = self.last_due.max(now);
        self.queue.push_back(Due { at: self.last_due, departs: self.last_due, act });
    }
}

impl Due {
    fn bytes(&self) -> usize {
        if let Act::Write(bytes) = &self.act { bytes.len() } else { 0 }
    }
}

impl ActiveToxic {
    fn stall_ends(&self) -> Option<Duration> {
        match self.toxic.fault {
            Fault::Stall { for_ms: Some(ms) } => Some(self.opened + Duration::from_millis(ms)),
            _ => None,
        }
    }

    fn stalls(&self, now: Duration) -> bool {
        matches!(self.toxic.fault, Fault::Stall { .. }) && self.stall_ends().is_none_or(|ends| now < ends)
    }
}
