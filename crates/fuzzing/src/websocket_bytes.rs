//! Bytes after the upgrade: raw, or in frames that are whole. Whatever comes, the server ends the connection in order.

use wireproof_protocol::{Incoming, parse_incoming};

use crate::rig::{Frame, Rig, masked, with};

/// The close codes that a server may choose or echo in answer to bytes alone.
const CLOSES: [u16; 6] = [1000, 1002, 1003, 1007, 1008, 1009];

/// With an even first byte the rest goes out as it is; with an odd one it is cut into frames.
pub fn websocket_bytes(bytes: &[u8]) {
    let Some((mode, rest)) = bytes.split_first() else { return };
    let (sent, whole) = if mode % 2 == 0 { (rest.to_vec(), false) } else { (framed(rest), true) };
    with(|rig| {
        rig.block_on(async |rig: &Rig| {
            let mut socket = rig.upgrade("").await.expect("a good handshake");
            socket.write(&sent).await;
            if whole {
                socket.write(&masked(0x88, &1000_u16.to_be_bytes())).await;
            }
            socket.finish().await;
            let (mut frames, mut closed) = (0, false);
            while let Some(frame) = socket.frame().await {
                assert!(!closed, "a frame came after the close");
                if frame.first == 0x88 {
                    closed = true;
                    close_is_good(&frame);
                } else {
                    frame_is_good(&frame, frames);
                    frames += 1;
                }
            }
            assert!(closed || !whole, "whole frames and a close were not answered with a close");
        });
    });
}

/// Each piece is a byte for opcode and bits, a byte for the length, and the payload.
fn framed(mut rest: &[u8]) -> Vec<u8> {
    let mut sent = Vec::new();
    while let [first, length, payload @ ..] = rest {
        let (payload, after) = payload.split_at(payload.len().min(usize::from(*length)));
        sent.extend(masked(*first, payload));
        rest = after;
    }
    sent
}

fn frame_is_good(frame: &Frame, number: usize) {
    match frame.first {
        0x81 => {
            let text = std::str::from_utf8(&frame.payload).expect("text is UTF-8");
            let incoming = parse_incoming(text).unwrap_or_else(|error| panic!("{error}: {text:?}"));
            assert!(!matches!(incoming, Incoming::Unknown(_)), "{text:?}");
            let welcome = frame.json()["type"] == "connection_established";
            assert_eq!(welcome, number == 0, "the welcome is the first text: {text:?}");
        }
        0x89 | 0x8a => assert!(frame.payload.len() <= 125),
        other => panic!("the server sent a frame that begins with {other:#x}"),
    }
}

fn close_is_good(frame: &Frame) {
    let Some((code, reason)) = frame.payload.split_first_chunk() else { return };
    let code = u16::from_be_bytes(*code);
    let echoed = (3000..5000).contains(&code) || (1000..1015).contains(&code);
    assert!(CLOSES.contains(&code) || echoed, "closed with {code}");
    assert!(std::str::from_utf8(reason).is_ok(), "the reason of a close is UTF-8");
}
