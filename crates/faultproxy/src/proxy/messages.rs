//! What is done to the messages of one direction: found by number, text, place or time; dropped, doubled, swapped, held,
//! fragmented or cut inside. Pure. A message that is looked at is held until it is whole; others pass as they come.

use std::time::Duration;

use bytes::Bytes;
use wireproof_protocol::FrameHeader;

use super::{
    active_toxic::{ActiveToxic, NumberedToxic, Stream, update},
    buffered::{BufferedFrame, BufferedMessage},
    control_frames::{self, Marks},
    fault::{Cut, Fault},
    flow::Out,
    frames::{Follower, Segment},
    journal::Note,
    toxic::{Direction, Trigger},
};
use crate::wire::PONG;

/// Largest message that is held; a larger one passes untouched, and the journal says so.
const MOST_HELD: usize = 16 << 20;

#[derive(Debug)]
pub(crate) struct Messages {
    direction: Direction,
    follower: Follower,
    marks: Marks,
    toxics: Vec<ActiveToxic>,
    /// Bytes of the sender so far.
    offset: u64,
    frame: Option<BufferedFrame>,
    message: Option<BufferedMessage>,
    /// A message that waits for the next one to pass.
    swapped: Option<Bytes>,
    injected: u64,
    over: bool,
    out: Vec<Out>,
    pub(crate) notes: Vec<Note>,
}

impl Messages {
    pub(crate) fn new(stream: Stream, marks: Marks) -> Self {
        Self {
            direction: stream.direction,
            follower: Follower::new(stream.direction),
            marks,
            toxics: Vec::new(),
            offset: 0,
            frame: None,
            message: None,
            swapped: None,
            injected: 0,
            over: false,
            out: Vec::new(),
            notes: Vec::new(),
        }
    }

    pub(crate) fn update(&mut self, in_force: &[NumberedToxic], stream: Stream, now: Duration) {
        update(&mut self.toxics, in_force, |numbered| {
            let toxic = &numbered.toxic;
            let ours = toxic.fault.is_of_messages() || toxic.when.is_of_messages();
            ours.then(|| stream.activate(numbered, now)).flatten()
        });
        self.tick(now);
    }

    /// Messages of the sender so far.
    pub(crate) fn count(&self) -> u64 {
        self.follower.messages()
    }

    /// True when bytes would go through as they come.
    pub(crate) fn is_idle(&self) -> bool {
        !self.looks()
            && self.frame.is_none()
            && self.message.is_none()
            && self.swapped.is_none()
            && !self.over
    }

    /// Follows bytes that went through as they came.
    pub(crate) fn pass(&mut self, bytes: &[u8]) {
        self.offset += bytes.len() as u64;
        self.follower.pass(bytes);
    }

    /// What is to go on now.
    pub(crate) fn drain(&mut self) -> Vec<Out> {
        std::mem::take(&mut self.out)
    }

    fn looks(&self) -> bool {
        self.toxics.iter().any(|active| active.left > 0) || self.marks.expected(self.direction)
    }

    pub(crate) fn take(&mut self, bytes: &Bytes, now: Duration) {
        let mut rest: &[u8] = bytes;
        loop {
            let (fresh, begins) = (self.follower.at_frame(), self.follower.between_messages());
            let Some(segment) = self.follower.next(&mut rest) else { break };
            let taken = bytes.slice_ref(segment.bytes());
            if fresh && (self.looks() || self.message.is_some() || self.swapped.is_some()) {
                self.frame = Some(BufferedFrame::at(self.offset, begins));
            }
            self.offset += taken.len() as u64;
            if self.frame.is_some() {
                self.hold(&segment, now);
            } else {
                self.emit(taken);
            }
            self.tick(now);
        }
    }

    /// What time alone brings about.
    pub(crate) fn tick(&mut self, now: Duration) {
        let between = self.follower.between_messages() && self.frame.is_none() && self.message.is_none();
        if between && !self.toxics.is_empty() {
            self.inject(now, |active| {
                let reached = matches!(active.toxic.when, Trigger::AfterBytes(at) if at <= active.touched);
                reached || active.due().is_some_and(|due| due <= now)
            });
        }
    }

    /// When to tick next, if it is for time alone.
    pub(crate) fn wake(&self) -> Option<Duration> {
        let between = self.follower.between_messages() && self.frame.is_none();
        let due =
            self.toxics.iter().filter(|active| active.toxic.fault.is_between_messages() && active.left > 0);
        due.filter_map(ActiveToxic::due).min().filter(|_| between)
    }

    /// The sender has closed: what is held goes on as it is.
    pub(crate) fn finish(&mut self) {
        let (message, frame) = (self.message.take(), self.frame.take());
        let held =
            [message.map(|held| held.raw.freeze()), self.swapped.take(), frame.map(|held| held.raw.freeze())];
        held.into_iter().flatten().for_each(|bytes| self.emit(bytes));
    }

    fn emit(&mut self, bytes: Bytes) {
        if !bytes.is_empty() && !self.over {
            self.out.push(Out::Bytes(bytes));
        }
    }

    fn hold(&mut self, segment: &Segment<'_>, now: Duration) {
        let Some(frame) = &mut self.frame else { return };
        frame.raw.extend_from_slice(segment.bytes());
        let ended = match segment {
            Segment::Header(_, Some(head)) => {
                frame.head = Some(*head);
                frame.header = frame.raw.len();
                head.length == 0
            }
            Segment::Payload(_, ended) => *ended,
            Segment::Header(_, None) => false,
            Segment::Plain(_) => true,
        };
        let held = self.message.as_ref().map_or(0, |message| message.raw.len()) + frame.raw.len();
        if !ended && held > MOST_HELD {
            let message = self.count() + 1;
            let note = Note::plain("too_large_to_hold", self.offset, held as u64);
            self.notes.push(note.message(message));
            self.finish();
            return;
        }
        if let Some(frame) = self.frame.take_if(|_| ended) {
            self.frame_held(frame, now);
        }
    }

    fn frame_held(&mut self, frame: BufferedFrame, now: Duration) {
        let Some(head) = frame.head else {
            // No frame begins so, and none will be followed any more: what was held goes before it.
            self.frame = Some(frame);
            return self.finish();
        };
        if head.is_control() {
            return self.control(head, frame);
        }
        // The rest of a message that has begun to pass before anything was looked for.
        if self.message.is_none() && !frame.begins {
            return self.emit(frame.raw.freeze());
        }
        let message = self.message.get_or_insert_with(|| BufferedMessage::at(frame.offset));
        message.add(frame, head);
        if let Some(message) = self.message.take_if(|_| head.is_final()) {
            self.message_held(&message, now);
        }
    }

    fn control(&mut self, head: FrameHeader, frame: BufferedFrame) {
        let ours = head.opcode() == PONG && frame.payload(head).starts_with(&self.marks.pings);
        if !ours {
            self.emit(frame.raw.freeze());
        }
    }

    fn message_held(&mut self, message: &BufferedMessage, now: Duration) {
        let number = self.count();
        let mut toxics = std::mem::take(&mut self.toxics);
        for active in &mut toxics {
            active.touched = message.offset;
            let at = match &active.toxic.when {
                Trigger::AtMessage(at) => number >= *at,
                Trigger::AtText(text) => message.has(text),
                _ => false,
            };
            if at && active.left > 0 && !active.changes_messages() {
                self.fire(active, number);
            }
        }
        self.change(&mut toxics, message, number, now);
        for active in &mut toxics {
            active.touched = message.end();
            let behind = match &active.toxic.when {
                Trigger::AfterMessage(after) => number >= *after,
                Trigger::AfterText(text) => message.has(text),
                _ => false,
            };
            if behind && active.left > 0 && !active.changes_messages() {
                self.fire(active, number);
            } else if behind && !active.open {
                active.open(now);
            }
        }
        self.toxics = toxics;
    }

    /// Sends the message on as the faults that hit it leave it.
    fn change(&mut self, toxics: &mut [ActiveToxic], message: &BufferedMessage, number: u64, now: Duration) {
        let (mut copies, mut swap, mut raw) = (1, false, None);
        for active in toxics.iter_mut().filter(|active| active.changes_messages() && active.left > 0) {
            if !active.hits(message, number, now) {
                continue;
            }
            let fault = active.toxic.fault.clone();
            let size = message.raw.len() as u64;
            let note = Note::of(active.id, &fault, message.offset, size).message(number);
            match fault {
                Fault::Drop => copies = 0,
                Fault::Double => copies = 2,
                Fault::Swap if self.swapped.is_some() => continue,
                Fault::Swap => swap = true,
                Fault::DelayMessage { ms } => self.out.push(Out::Delay(Duration::from_millis(ms))),
                Fault::Replace { find, with } => match message.replaced(&find, &with) {
                    Some(replaced) => raw = Some(replaced),
                    None => continue,
                },
                Fault::Fragment { frames } => raw = Some(message.fragmented(frames, &mut active.random)),
                Fault::CutInHeader(cut) => {
                    let at = message.inside_header(&mut active.random);
                    return self.cut(message, at, cut, active, note);
                }
                Fault::CutInCharacter(cut) => {
                    let Some(at) = message.inside_character(&mut active.random) else { continue };
                    return self.cut(message, at, cut, active, note);
                }
                _ => continue,
            }
            active.left -= 1;
            self.notes.push(note);
        }
        let raw = raw.unwrap_or_else(|| message.raw.clone().freeze());
        if swap {
            self.swapped = Some(raw);
            return;
        }
        (0..copies).for_each(|_| self.emit(raw.clone()));
        if let Some(swapped) = self.swapped.take_if(|_| copies > 0) {
            self.emit(swapped);
        }
    }

    fn cut(&mut self, message: &BufferedMessage, at: usize, cut: Cut, active: &mut ActiveToxic, note: Note) {
        active.left = 0;
        let note = Note { offset: message.offset + at as u64, bytes: 0, ..note };
        self.notes.push(note.detail(cut.name()));
        self.emit(Bytes::copy_from_slice(&message.raw[..at]));
        self.out.push(Out::End(cut));
        self.over = true;
    }

    /// Between two messages: what is put there, or the fault of bytes that waited for this place.
    fn fire(&mut self, active: &mut ActiveToxic, number: u64) {
        active.left -= 1;
        if !active.toxic.fault.is_between_messages() {
            return self.out.push(Out::Fire(active.id));
        }
        let bytes = match active.toxic.fault {
            Fault::Pings { count } => {
                self.marks.note_sent(self.direction);
                control_frames::pings(self.direction, &self.marks.pings, count, &mut self.injected)
            }
            Fault::Pongs { count } => control_frames::pongs(self.direction, count, &mut self.injected),
            _ => control_frames::close(self.direction),
        };
        let note = Note::of(active.id, &active.toxic.fault, active.touched, bytes.len() as u64);
        self.notes.push(note.message(number));
        self.emit(bytes);
        self.over |= active.toxic.fault == Fault::CloseWithoutCode;
    }

    /// Puts between messages what is due there now.
    fn inject(&mut self, now: Duration, due: impl Fn(&ActiveToxic) -> bool) {
        let mut toxics = std::mem::take(&mut self.toxics);
        for active in
            toxics.iter_mut().filter(|active| active.toxic.fault.is_between_messages() && active.left > 0)
        {
            active.touched = self.offset;
            if due(active) {
                active.open(now);
                self.fire(active, self.follower.messages());
            }
        }
        self.toxics = toxics;
    }
}

impl ActiveToxic {
    fn changes_messages(&self) -> bool {
        self.toxic.fault.is_of_messages() && !self.toxic.fault.is_between_messages()
    }

    /// True when the fault is for this message.
    fn hits(&self, message: &BufferedMessage, number: u64, now: Duration) -> bool {
        match &self.toxic.when {
            Trigger::Now => true,
            Trigger::AfterMs(_) => self.due().is_none_or(|due| due <= now),
            Trigger::AfterBytes(at) => message.offset >= *at,
            Trigger::AtMessage(at) => number >= *at,
            Trigger::AtText(text) => message.has(text),
            Trigger::AfterMessage(_) | Trigger::AfterText(_) => self.open,
        }
    }
}
