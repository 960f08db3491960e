//! The strict judge has a row for everything it forbids, and for what is next to it and allowed.

use super::*;
use crate::wire::{FIN, RSV1, RSV3, masked, unmasked};

/// The verdict on the last of these frames; those before it are good.
fn verdict(frames: &[Vec<u8>]) -> Result<(), FramingViolation> {
    let mut strict = Strict::new();
    let (last, before) = frames.split_last().unwrap();
    for bytes in before {
        strict.frame(&RawFrame::parse(bytes).unwrap().unwrap().0).unwrap();
    }
    strict.frame(&RawFrame::parse(last).unwrap().unwrap().0)
}

fn close_with(code: u16, reason: &[u8]) -> Vec<u8> {
    unmasked(FIN | CLOSE, &[&code.to_be_bytes(), reason].concat())
}

/// A text whose length is told in more bytes than it needs.
fn long_length(first: u8, length_bytes: usize, length: usize) -> Vec<u8> {
    let told = (length as u64).to_be_bytes();
    let code = if length_bytes == 2 { 126 } else { 127 };
    [&[first, code][..], &told[8 - length_bytes..], &vec![b'x'; length]].concat()
}

#[test]
fn each_violation_is_named() {
    use FramingViolation::*;
    let euro = "€".as_bytes();
    let rows: [(Vec<Vec<u8>>, FramingViolation); 22] = [
        (vec![masked(FIN | TEXT, b"x")], Masked),
        (vec![unmasked(FIN | RSV1 | TEXT, b"x")], ReservedBits(4)),
        (vec![unmasked(FIN | RSV3 | PING, b"")], ReservedBits(1)),
        (vec![unmasked(FIN | 0x3, b"")], ReservedOpcode(3)),
        (vec![unmasked(FIN | 0xb, b"")], ReservedOpcode(11)),
        (vec![long_length(FIN | TEXT, 2, 125)], LongLength(125)),
        (vec![long_length(FIN | TEXT, 8, 65_535)], LongLength(65_535)),
        (vec![unmasked(FIN | PONG, &[0; 126])], LargeControl(126)),
        (vec![unmasked(PING, b"")], FragmentedControl),
        (vec![unmasked(FIN, b"x")], ContinuesNothing),
        (vec![unmasked(FIN | TEXT, b"x"), unmasked(0, b"x")], ContinuesNothing),
        (vec![unmasked(TEXT, b"x"), unmasked(FIN | TEXT, b"x")], Interleaved),
        (vec![unmasked(BINARY, b"x"), unmasked(FIN | PING, b""), unmasked(BINARY, b"x")], Interleaved),
        (vec![unmasked(FIN | CLOSE, b"x")], HalfCode),
        (vec![close_with(999, b"")], CloseCode(999)),
        (vec![close_with(1005, b"")], CloseCode(1005)),
        (vec![close_with(5000, b"")], CloseCode(5000)),
        (vec![close_with(1000, b"\xff")], Reason),
        (vec![unmasked(FIN | TEXT, b"\xed\xa0\x80")], Utf8),
        (vec![unmasked(TEXT, &euro[..2]), unmasked(FIN, b"")], Utf8),
        (vec![unmasked(TEXT, &euro[..1]), unmasked(0, b"x")], Utf8),
        (vec![close_with(1000, b""), unmasked(FIN | PONG, b"")], AfterClose),
    ];
    for (frames, violation) in rows {
        assert_eq!(verdict(&frames), Err(violation), "{violation}");
    }
}

#[test]
fn what_is_allowed_passes() {
    let euro = "€".as_bytes();
    for frames in [
        vec![unmasked(FIN | TEXT, b"")],
        vec![unmasked(FIN | PING, &[0; 125])],
        vec![unmasked(FIN | TEXT, &[b'x'; 126])],
        vec![unmasked(FIN | TEXT, &[b'x'; 65_536])],
        vec![
            unmasked(TEXT, &euro[..1]),
            unmasked(0, &euro[1..2]),
            unmasked(FIN | PONG, b"\xff"),
            unmasked(FIN, &euro[2..]),
        ],
        vec![unmasked(FIN | BINARY, b"\xff")],
        vec![unmasked(BINARY, b"\xff"), unmasked(0, b""), unmasked(FIN, b"\xc0"), unmasked(TEXT, b"x")],
        vec![unmasked(FIN | CLOSE, b"")],
        vec![close_with(1000, "bye €".as_bytes())],
        vec![close_with(1014, b"")],
        vec![close_with(4999, &[b'x'; 123])],
    ] {
        assert_eq!(verdict(&frames), Ok(()), "{frames:?}");
    }
}
