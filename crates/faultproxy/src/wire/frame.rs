//! One frame of RFC 6455 as bytes: made as one likes, and parsed without a judgement on it (that is `strict`'s).

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
        let [first, second, rest @ ..] = bytes else { return Ok(None) };
        let (announced, extended) = match second & 0x7f {
            126 => (rest.first_chunk().map(|length| u64::from(u16::from_be_bytes(*length))), 2),
            127 => (rest.first_chunk().map(|length| u64::from_be_bytes(*length)), 8),
            short => (Some(u64::from(short)), 0),
        };
        let Some(announced) = announced else { return Ok(None) };
        if announced > LARGEST {
            let why = "it announces more than 64 MiB";
            return Err(WireError::Malformed { what: "frame", why, seen: seen(bytes) });
        }
        let masked = second & 0x80 != 0;
        let start = 2 + extended + if masked { 4 } else { 0 };
        let Some(payload) = bytes.get(start..start + announced as usize) else { return Ok(None) };
        let header = &bytes[..start];
        let mask = if masked { header.last_chunk().copied() } else { None };
        let frame = Self {
            fin: first & FIN != 0,
            rsv: first >> 4 & 0x7,
            opcode: first & 0x0f,
            mask,
            payload: payload
                .iter()
                .zip(mask.unwrap_or_default().iter().cycle())
                .map(|(b, m)| b ^ m)
                .collect(),
            header: header.to_vec(),
        };
        Ok(Some((frame, start + payload.len())))
    }
}

/// A frame as a client sends it: masked. The first byte is the opcode with [`FIN`] and the reserved bits.
pub fn masked(first_byte: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = header(first_byte, 0x80, payload.len());
    bytes.extend(MASK);
    bytes.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}

/// A frame as only a server may send it: not masked.
pub fn unmasked(first_byte: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = header(first_byte, 0, payload.len());
    bytes.extend(payload);
    bytes
}

fn header(first_byte: u8, mask_bit: u8, length: usize) -> Vec<u8> {
    match length {
        0..=125 => vec![first_byte, mask_bit | length as u8],
        126..=0xffff => {
            let [a, b] = (length as u16).to_be_bytes();
            vec![first_byte, mask_bit | 126, a, b]
        }
        _ => [vec![first_byte, mask_bit | 127], (length as u64).to_be_bytes().to_vec()].concat(),
    }
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
