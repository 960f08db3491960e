//! One frame of RFC 6455 as bytes: made as one likes, and parsed without a judgement on it (that is `strict`'s).

use wireproof_protocol::{FrameHeader, TooLong, apply_mask};

use super::{WireError, seen};

/// The opcode of a fragment that goes on.
pub const CONTINUATION: u8 = 0x0;
/// The opcode of a text.
pub const TEXT: u8 = 0x1;
/// The opcode of bytes.
pub const BINARY: u8 = 0x2;
/// The opcode of a close.
pub const CLOSE: u8 = 0x8;
/// The opcode of a ping.
pub const PING: u8 = 0x9;
/// The opcode of a pong.
pub const PONG: u8 = 0xa;
/// The bit of the last fragment.
pub const FIN: u8 = 0x80;
/// The first reserved bit.
pub const RSV1: u8 = 0x40;
/// The second reserved bit.
pub const RSV2: u8 = 0x20;
/// The third reserved bit.
pub const RSV3: u8 = 0x10;

/// The largest frame that is read: what announces more is not waited for.
const LARGEST: u64 = 64 << 20;
/// The mask of every frame here: its bytes differ, so that a wrong place shows.
const MASK: [u8; 4] = [0x1d, 0x2e, 0x3f, 0x4a];

/// A frame as it came.
#[derive(Debug, Clone, PartialEq)]
pub struct RawFrame {
    /// True for a message's last fragment.
    pub fin: bool,
    /// The reserved bits, 1 to 7; 4 is the first of them.
    pub rsv: u8,
    /// The opcode.
    pub opcode: u8,
    /// The mask, which a server must not use.
    pub mask: Option<[u8; 4]>,
    /// The payload, without the mask.
    pub payload: Vec<u8>,
    /// What stood before the payload, mask included.
    pub header: Vec<u8>,
}

impl RawFrame {
    /// The payload as text; what is not UTF-8 is replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.payload).into_owned()
    }

    /// True for a ping, a pong, a close and what is reserved beside them.
    pub fn is_control(&self) -> bool {
        self.opcode >= 0x8
    }

    /// The code in the payload of a close.
    pub fn close_code(&self) -> Option<u16> {
        self.payload.first_chunk().map(|code| u16::from_be_bytes(*code))
    }

    /// The reason in the payload of a close.
    pub fn close_reason(&self) -> String {
        String::from_utf8_lossy(self.payload.get(2..).unwrap_or_default()).into_owned()
    }

    /// The frame at the beginning of these bytes and how long it is; nothing while it is not all there.
    pub fn parse(bytes: &[u8]) -> Result<Option<(Self, usize)>, WireError> {
        let too_large = || {
            let why = "it announces more than 64 MiB";
            WireError::Malformed { what: "frame", why, seen: seen(bytes) }
        };
        let Some((head, start)) = FrameHeader::read(bytes).map_err(|TooLong| too_large())? else {
            return Ok(None);
        };
        if head.length > LARGEST {
            return Err(too_large());
        }
        let Some(payload) = bytes.get(start..start + head.length as usize) else { return Ok(None) };
        let mut payload = payload.to_vec();
        apply_mask(&mut payload, head.mask);
        let end = start + payload.len();
        let frame = Self {
            fin: head.is_final(),
            rsv: head.reserved(),
            opcode: head.opcode(),
            mask: head.mask,
            payload,
            header: bytes[..start].to_vec(),
        };
        Ok(Some((frame, end)))
    }
}

/// A frame as a client sends it: masked. The first byte is the opcode with [`FIN`] and the reserved bits.
pub fn masked(first_byte: u8, payload: &[u8]) -> Vec<u8> {
    written(first_byte, Some(MASK), payload)
}

/// A frame as only a server may send it: not masked.
pub fn unmasked(first_byte: u8, payload: &[u8]) -> Vec<u8> {
    written(first_byte, None, payload)
}

fn written(first: u8, mask: Option<[u8; 4]>, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(FrameHeader::LONGEST + payload.len());
    FrameHeader { first, mask, length: payload.len() as u64 }.write(&mut bytes);
    let start = bytes.len();
    bytes.extend(payload);
    apply_mask(&mut bytes[start..], mask);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_comes_back_as_it_was_made_and_not_before_it_is_whole() {
        for length in [0, 1, 125, 126, 127, 65_535, 65_536, 70_000] {
            let payload: Vec<u8> = (0..length).map(|number| number as u8).collect();
            for bytes in [masked(FIN | RSV2 | BINARY, &payload), unmasked(TEXT, &payload)] {
                let followed = [bytes.as_slice(), b"more"].concat();
                let (frame, taken) = RawFrame::parse(&followed).unwrap().unwrap();
                assert_eq!((taken, &frame.payload), (bytes.len(), &payload));
                let ours = (frame.fin, frame.rsv, frame.opcode, frame.mask);
                let is_masked = bytes[1] & 0x80 != 0;
                let expected = if is_masked { (true, 2, BINARY, Some(MASK)) } else { (false, 0, TEXT, None) };
                assert_eq!(ours, expected);
                assert_eq!(frame.header, bytes[..bytes.len() - payload.len()]);
                for cut in (0..bytes.len()).take(20).chain([bytes.len() - 1]) {
                    assert_eq!(RawFrame::parse(&bytes[..cut]).unwrap(), None);
                }
            }
        }
    }

    #[test]
    fn a_frame_that_announces_too_much_is_not_waited_for() {
        let bytes = [&[FIN | TEXT, 127][..], &u64::MAX.to_be_bytes()].concat();
        assert!(RawFrame::parse(&bytes).is_err());
    }
}
