//! Follows the bytes of one direction of a connection: first the head of the handshake, then the frames of RFC 6455,
//! however the bytes are cut into pieces. Pure.

use wireproof_protocol::{FrameHeader, TooLong};

use super::toxic::Direction;

/// Longest head of a handshake that is followed.
const HEAD_BYTES: usize = 64 << 10;

/// A stretch of bytes and what it is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Segment<'a> {
    /// Of the handshake, or of a connection that is no WebSocket.
    Plain(&'a [u8]),
    /// Of a frame's header; with the header once it is whole.
    Header(&'a [u8], Option<FrameHeader>),
    /// Of a frame's payload; true at its end. A frame without a payload has none of these.
    Payload(&'a [u8], bool),
}

impl<'a> Segment<'a> {
    pub(crate) fn bytes(&self) -> &'a [u8] {
        match self {
            Segment::Plain(bytes) | Segment::Header(bytes, _) | Segment::Payload(bytes, _) => bytes,
        }
    }
}

/// Where in the stream it is.
#[derive(Debug)]
pub(crate) struct Follower {
    direction: Direction,
    state: State,
    /// Inside a message, between its frames or in one.
    in_message: bool,
    messages: u64,
}

#[derive(Debug)]
enum State {
    Head(Vec<u8>),
    Plain,
    Header { have: [u8; FrameHeader::LONGEST], length: usize },
    Payload { head: FrameHeader, left: u64 },
}

impl State {
    /// At the first byte of a frame.
    const BETWEEN: Self = State::Header { have: [0; FrameHeader::LONGEST], length: 0 };
}

impl Follower {
    pub(crate) fn new(direction: Direction) -> Self {
        Self { direction, state: State::Head(Vec::new()), in_message: false, messages: 0 }
    }

    /// Whole messages so far.
    pub(crate) fn messages(&self) -> u64 {
        self.messages
    }

    /// True at the first byte of a frame.
    pub(crate) fn at_frame(&self) -> bool {
        matches!(&self.state, State::Header { length: 0, .. })
    }

    /// True between two messages, where a control frame or a new message may begin.
    pub(crate) fn between_messages(&self) -> bool {
        self.at_frame() && !self.in_message
    }

    /// Takes the next stretch off the front of the bytes; nothing when there are none left.
    pub(crate) fn next<'a>(&mut self, bytes: &mut &'a [u8]) -> Option<Segment<'a>> {
        if bytes.is_empty() {
            return None;
        }
        match &mut self.state {
            State::Plain => Some(Segment::Plain(std::mem::take(bytes))),
            State::Head(_) => Some(Segment::Plain(self.head(bytes))),
            State::Header { .. } => Some(self.header(bytes)),
            State::Payload { head, left } => {
                let head = *head;
                let length = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                *left -= length as u64;
                let ended = *left == 0;
                let taken = split(bytes, length);
                if ended {
                    self.frame_ended(head);
                }
                Some(Segment::Payload(taken, ended))
            }
        }
    }

    /// Follows bytes that pass as they are.
    pub(crate) fn pass(&mut self, mut bytes: &[u8]) {
        while self.next(&mut bytes).is_some() {}
    }

    fn head<'a>(&mut self, bytes: &mut &'a [u8]) -> &'a [u8] {
        let State::Head(have) = &mut self.state else { return split(bytes, 0) };
        let (before, begins) = (have.len(), self.direction.head_begins());
        // Frames may follow the head in the same piece.
        have.extend(bytes.iter().take(HEAD_BYTES - before));
        let is_head = have.iter().zip(begins).all(|(have, begins)| have == begins);
        let from = before.saturating_sub(3);
        let end = have[from..].windows(4).position(|window| window == b"\r\n\r\n");
        let Some(end) = end.filter(|_| is_head) else {
            if !is_head || have.len() == HEAD_BYTES {
                self.state = State::Plain;
            }
            return std::mem::take(bytes);
        };
        let end = from + end + 4;
        let upgrades = self.direction.upgrades(&have[..end]);
        self.state = if upgrades { State::BETWEEN } else { State::Plain };
        split(bytes, end - before)
    }

    fn header<'a>(&mut self, bytes: &mut &'a [u8]) -> Segment<'a> {
        let State::Header { have, length } = &mut self.state else {
            return Segment::Plain(std::mem::take(bytes));
        };
        let before = *length;
        let more = bytes.len().min(FrameHeader::LONGEST - before);
        have[before..before + more].copy_from_slice(&bytes[..more]);
        match FrameHeader::read(&have[..before + more]) {
            Ok(Some((head, size))) => {
                self.frame_began(head);
                Segment::Header(split(bytes, size - before), Some(head))
            }
            Ok(None) => {
                *length += more;
                Segment::Header(std::mem::take(bytes), None)
            }
            Err(TooLong) => {
                self.state = State::Plain;
                Segment::Plain(std::mem::take(bytes))
            }
        }
    }

    fn frame_began(&mut self, head: FrameHeader) {
        if !head.is_control() {
            self.in_message = true;
        }
        if head.length == 0 {
            self.frame_ended(head);
        } else {
            self.state = State::Payload { head, left: head.length };
        }
    }

    fn frame_ended(&mut self, head: FrameHeader) {
        if !head.is_control() && head.is_final() {
            self.in_message = false;
            self.messages += 1;
        }
        self.state = State::BETWEEN;
    }
}

impl Direction {
    fn head_begins(self) -> &'static [u8] {
        match self {
            Direction::ToServer => b"GET ",
            Direction::ToClient => b"HTTP/1.1 101",
        }
    }

    /// True when frames follow this head: behind the request for an upgrade, or behind the answer 101.
    fn upgrades(self, head: &[u8]) -> bool {
        match self {
            Direction::ToClient => true,
            Direction::ToServer => head.split(|byte| *byte == b'\n').any(|line| {
                let line = line.to_ascii_lowercase();
                line.starts_with(b"upgrade:") && line.windows(9).any(|word| word == b"websocket")
            }),
        }
    }
}

fn split<'a>(bytes: &mut &'a [u8], at: usize) -> &'a [u8] {
    let (taken, rest) = bytes.split_at(at.min(bytes.len()));
    *bytes = rest;
    taken
}

#[cfg(test)]
mod tests;
