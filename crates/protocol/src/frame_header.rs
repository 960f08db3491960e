//! The header of a WebSocket frame (RFC 6455, 5.2), read and written without a judgement on it: whether it may be sent is
//! for others to say.

/// The header of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameHeader {
    /// The first byte: FIN, the reserved bits and the opcode.
    pub first: u8,
    /// The mask, which only a client uses.
    pub mask: Option<[u8; 4]>,
    /// Bytes of the payload.
    pub length: u64,
}

impl FrameHeader {
    /// Bytes of the longest header.
    pub const LONGEST: usize = 14;

    /// What kind of frame it is.
    pub fn opcode(self) -> u8 {
        self.first & 0x0f
    }

    /// The reserved bits, 0 to 7; 4 is the first of them.
    pub fn reserved(self) -> u8 {
        self.first >> 4 & 0x7
    }

    /// True for a ping, a pong, a close and what is reserved beside them.
    pub fn is_control(self) -> bool {
        self.opcode() >= 0x8
    }

    /// True for the last fragment of a message.
    pub fn is_final(self) -> bool {
        self.first & 0x80 != 0
    }

    /// The header at the beginning of these bytes and how long it is; nothing while it is not all there. A length of
    /// 2^63 bytes or more is an error: no frame begins with one.
    pub fn read(bytes: &[u8]) -> Result<Option<(Self, usize)>, TooLong> {
        let [first, second, rest @ ..] = bytes else { return Ok(None) };
        let (length, at) = match second & 0x7f {
            126 => (rest.first_chunk().map(|length| u64::from(u16::from_be_bytes(*length))), 4),
            127 => (rest.first_chunk().map(|length| u64::from_be_bytes(*length)), 10),
            short => (Some(u64::from(short)), 2),
        };
        let Some(length) = length else { return Ok(None) };
        if length >> 63 != 0 {
            return Err(TooLong);
        }
        if second & 0x80 == 0 {
            return Ok(Some((Self { first: *first, mask: None, length }, at)));
        }
        let mask = bytes.get(at..).and_then(|bytes| bytes.first_chunk());
        Ok(mask.map(|mask| (Self { first: *first, mask: Some(*mask), length }, at + 4)))
    }

    /// Writes the header with the fewest bytes that its length takes.
    pub fn write(self, to: &mut Vec<u8>) {
        let mask_bit = if self.mask.is_some() { 0x80 } else { 0 };
        to.push(self.first);
        match self.length {
            length @ 0..=125 => to.push(mask_bit | length as u8),
            length @ 126..=0xffff => {
                to.push(mask_bit | 126);
                to.extend((length as u16).to_be_bytes());
            }
            length => {
                to.push(mask_bit | 127);
                to.extend(length.to_be_bytes());
            }
        }
        to.extend(self.mask.iter().flatten());
    }
}

/// A frame that announces 2^63 bytes or more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooLong;

/// Takes the mask off a payload, or puts it on.
pub fn apply_mask(payload: &mut [u8], mask: Option<[u8; 4]>) {
    let Some(mask) = mask else { return };
    for (index, byte) in payload.iter_mut().enumerate() {
        *byte ^= mask[index % 4];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_comes_back_as_it_was_written_and_not_before_it_is_whole() {
        for length in [0, 1, 125, 126, 127, 65_535, 65_536, (1 << 63) - 1] {
            for mask in [None, Some([1, 2, 3, 4])] {
                for first in [0x81, 0x42, 0x00, 0xfa] {
                    let header = FrameHeader { first, mask, length };
                    let mut bytes = Vec::new();
                    header.write(&mut bytes);
                    assert!(bytes.len() <= FrameHeader::LONGEST);
                    for end in 0..bytes.len() {
                        assert_eq!(FrameHeader::read(&bytes[..end]), Ok(None));
                    }
                    let size = bytes.len();
                    bytes.push(7);
                    assert_eq!(FrameHeader::read(&bytes), Ok(Some((header, size))));
                }
            }
        }
        assert_eq!(FrameHeader::read(&[[0x81, 127].as_slice(), &[0xff; 8]].concat()), Err(TooLong));
    }

    #[test]
    fn the_first_byte_is_read_bit_by_bit() {
        let header = FrameHeader { first: 0b1010_1001, mask: None, length: 0 };
        assert_eq!((header.opcode(), header.reserved()), (0x9, 0b010));
        assert!(header.is_final() && header.is_control());
        let header = FrameHeader { first: 0x01, ..header };
        assert!(!header.is_final() && !header.is_control());
    }

    #[test]
    fn a_mask_that_is_put_on_twice_is_off() {
        let mut payload = *b"abcdefg";
        apply_mask(&mut payload, Some([1, 2, 3, 4]));
        assert_eq!(&payload[..5], &[b'a' ^ 1, b'b' ^ 2, b'c' ^ 3, b'd' ^ 4, b'e' ^ 1]);
        apply_mask(&mut payload, Some([1, 2, 3, 4]));
        assert_eq!(&payload, b"abcdefg");
        apply_mask(&mut payload, None);
        assert_eq!(&payload, b"abcdefg");
    }
}
