//! One frame of RFC 6455, taken from bytes and put into bytes.

use bytes::{Buf, BytesMut};
use wireproof_protocol::{FrameHeader, TooLong, apply_mask};

use crate::proxy::toxic::Direction;
pub(crate) use crate::wire::{BINARY, CLOSE, CONTINUATION, FIN, PONG, TEXT};

/// The reserved bits.
pub(crate) const RESERVED: u8 = 0x70;
/// Any mask will do.
pub(crate) const MASK: [u8; 4] = [0x2b, 0x91, 0x6c, 0xd5];
/// The largest frame that is held; a larger one passes as it is.
const MOST: u64 = 16 << 20;

/// A frame without its mask on.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Frame {
    /// FIN, the reserved bits and the opcode.
    pub(crate) first: u8,
    pub(crate) mask: Option<[u8; 4]>,
    pub(crate) payload: Vec<u8>,
}

/// What stands at the beginning of some bytes.
pub(crate) enum Taken {
    /// A whole frame.
    Frame(Frame),
    /// A frame that is too large to hold: so many bytes pass as they are.
    Large(u64),
    /// The beginning of a frame.
    Some,
    /// No frame begins so.
    Broken,
}

impl Frame {
    pub(crate) fn take(bytes: &mut BytesMut) -> Taken {
        let (head, size) = match FrameHeader::read(bytes) {
            Ok(Some(read)) => read,
            Ok(None) => return Taken::Some,
            Err(TooLong) => return Taken::Broken,
        };
        if head.length > MOST {
            return Taken::Large(head.length.saturating_add(size as u64));
        }
        let length = head.length as usize;
        if bytes.len() < size + length {
            return Taken::Some;
        }
        bytes.advance(size);
        let mut payload = bytes.split_to(length).to_vec();
        apply_mask(&mut payload, head.mask);
        Taken::Frame(Self { first: head.first, mask: head.mask, payload })
    }

    /// A frame of the proxy's own in a direction.
    pub(crate) fn new(to: Direction, opcode: u8, payload: Vec<u8>) -> Self {
        Self { first: FIN | opcode, mask: (to == Direction::ToServer).then_some(MASK), payload }
    }

    pub(crate) fn text(to: Direction, text: &str) -> Self {
        Self::new(to, TEXT, text.as_bytes().to_vec())
    }

    pub(crate) fn close(code: u16) -> Self {
        Self::new(Direction::ToClient, CLOSE, code.to_be_bytes().to_vec())
    }

    pub(crate) fn opcode(&self) -> u8 {
        self.first & 0x0f
    }

    pub(crate) fn is_control(&self) -> bool {
        self.opcode() >= CLOSE
    }

    pub(crate) fn is_final(&self) -> bool {
        self.first & FIN != 0
    }

    pub(crate) fn write(&self, to: &mut Vec<u8>) {
        FrameHeader { first: self.first, mask: self.mask, length: self.payload.len() as u64 }.write(to);
        let begins = to.len();
        to.extend(&self.payload);
        apply_mask(&mut to[begins..], self.mask);
    }
}
