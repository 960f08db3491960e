//! Control frames that the proxy itself puts between messages, masked on the way to a server as RFC 6455 asks. Pure.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use bytes::Bytes;
use wireproof_protocol::{FrameHeader, apply_mask};

use super::{active_toxic::mix, toxic::Direction};
use crate::wire::{CLOSE, FIN, PING, PONG};

/// Any mask will do.
const MASK: [u8; 4] = [0x35, 0x9c, 0x62, 0xd1];

/// What both directions of a connection know of each other.
#[derive(Debug, Clone)]
pub(crate) struct Marks {
    /// How the payload of the proxy's own pings begins.
    pub(crate) pings: [u8; 8],
    /// Pings were sent to the server, or to the client.
    sent: [Arc<AtomicBool>; 2],
}

impl Marks {
    pub(crate) fn new(seed: u64, connection: u64) -> Self {
        Self { pings: mix(&[seed, connection, 0x7069_6e67]).to_be_bytes(), sent: Default::default() }
    }

    pub(crate) fn note_sent(&self, to: Direction) {
        self.sent[to as usize].store(true, Ordering::Relaxed);
    }

    /// True when answers to the proxy's pings may come in this direction.
    pub(crate) fn expected(&self, direction: Direction) -> bool {
        self.sent[1 - direction as usize].load(Ordering::Relaxed)
    }
}

/// Pings whose payloads begin with the mark and go on with a number.
pub(crate) fn pings(to: Direction, mark: &[u8; 8], count: u32, numbered: &mut u64) -> Bytes {
    let mut bytes = Vec::with_capacity(count as usize * 22);
    for _ in 0..count {
        *numbered += 1;
        write(&mut bytes, to, PING, &[*mark, numbered.to_be_bytes()].concat());
    }
    bytes.into()
}

/// Pongs that answer nothing.
pub(crate) fn pongs(to: Direction, count: u32, numbered: &mut u64) -> Bytes {
    let mut bytes = Vec::with_capacity(count as usize * 14);
    for _ in 0..count {
        *numbered += 1;
        write(&mut bytes, to, PONG, &numbered.to_be_bytes());
    }
    bytes.into()
}

/// A close frame without a code.
pub(crate) fn close(to: Direction) -> Bytes {
    let mut bytes = Vec::new();
    write(&mut bytes, to, CLOSE, &[]);
    bytes.into()
}

fn write(bytes: &mut Vec<u8>, to: Direction, opcode: u8, payload: &[u8]) {
    let key = (to == Direction::ToServer).then_some(MASK);
    FrameHeader { first: FIN | opcode, mask: key, length: payload.len() as u64 }.write(bytes);
    let begins = bytes.len();
    bytes.extend(payload);
    apply_mask(&mut bytes[begins..], key);
}
