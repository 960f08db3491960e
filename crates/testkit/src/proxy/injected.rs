//! Control frames that the proxy itself puts between messages, masked on the way to a server as RFC 6455 asks. Pure.

use bytes::Bytes;

use super::{
    frames::{FrameHead, mask},
    toxic::Direction,
};

const FIN: u8 = 0x80;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
pub(crate) const PONG: u8 = 0xa;
/// Any mask will do.
const MASK: [u8; 4] = [0x35, 0x9c, 0x62, 0xd1];

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
    FrameHead { first: FIN | opcode, mask: key, length: payload.len() as u64 }.write(bytes);
    let begins = bytes.len();
    bytes.extend(payload);
    mask(&mut bytes[begins..], key);
}
