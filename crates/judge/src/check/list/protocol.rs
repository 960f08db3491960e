//! What RFC 6455 asks of a server below its messages: the handshake's proof, frames, fragments, UTF-8 and closes. Each
//! check writes its bytes by hand and needs no more of the profile than one message that is answered.

mod allowed;
mod closing;
mod forbidden;
mod handshake;
pub(super) mod probe;
pub(super) mod raw_client;
pub(super) mod raw_handshake;

use super::check;
use crate::check::{Check, Need};

/// The checks of this group.
pub(super) const CHECKS: &[Check] = &[
    check!(
        "protocol.accept_key",
        Critical,
        Quick,
        [Need::PlainWebSocket],
        "wrong_accept_key",
        "The answer to a handshake is 101 with the proof that its key was read, and agrees on nothing that was not offered.",
        handshake::accept_key
    ),
    check!(
        "protocol.version",
        Minor,
        Quick,
        [Need::PlainWebSocket],
        "version_unchecked",
        "A handshake of another WebSocket version is refused.",
        handshake::version
    ),
    check!(
        "protocol.frames",
        Critical,
        Quick,
        [Need::PlainWebSocket],
        "server_frames_masked",
        "Every frame of the server is what RFC 6455 allows: unmasked, no reserved bits, shortest lengths, whole UTF-8.",
        allowed::frames
    ),
    check!(
        "protocol.masks",
        Major,
        Quick,
        [Need::PlainWebSocket],
        "unmasked_accepted",
        "A client's frame without a mask ends the connection.",
        forbidden::masks
    ),
    check!(
        "protocol.reserved",
        Major,
        Quick,
        [Need::PlainWebSocket],
        "reserved_bits_accepted",
        "A frame with a reserved bit or a reserved opcode ends the connection.",
        forbidden::reserved
    ),
    check!(
        "protocol.control_frames",
        Major,
        Quick,
        [Need::PlainWebSocket],
        "long_control_accepted",
        "A ping of more than 125 bytes, or in pieces, ends the connection.",
        forbidden::control_frames
    ),
    check!(
        "protocol.fragments",
        Critical,
        Quick,
        [Need::PlainWebSocket],
        "fragments_refused",
        "A message in fragments, with a ping between them, is taken as if it were whole.",
        allowed::fragments
    ),
    check!(
        "protocol.continuation",
        Major,
        Quick,
        [Need::PlainWebSocket],
        "lone_continuation_accepted",
        "A continuation of nothing, and a message inside another, end the connection.",
        forbidden::continuation
    ),
    check!(
        "protocol.utf8",
        Major,
        Quick,
        [Need::PlainWebSocket],
        "utf8_unchecked",
        "A text that is not UTF-8 ends the connection.",
        forbidden::utf8
    ),
    check!(
        "protocol.utf8_fragments",
        Critical,
        Quick,
        [Need::PlainWebSocket],
        "utf8_checked_per_fragment",
        "A character whose bytes are in two fragments is taken.",
        allowed::utf8_fragments
    ),
    check!(
        "protocol.pong",
        Major,
        Quick,
        [Need::PlainWebSocket],
        "pong_without_payload",
        "A ping is answered with a pong that carries its bytes.",
        allowed::pong
    ),
    check!(
        "protocol.close",
        Critical,
        Quick,
        [Need::PlainWebSocket],
        "close_unanswered",
        "A close is answered with a close, and then the server hangs up.",
        closing::close
    ),
    check!(
        "protocol.close_codes",
        Minor,
        Quick,
        [Need::PlainWebSocket],
        "close_codes_unchecked",
        "A close with a code that may not be sent, with half a code, or with a reason that is no UTF-8 is not taken for a good one.",
        closing::close_codes
    ),
    check!(
        "protocol.silent_after_close",
        Major,
        Quick,
        [Need::PlainWebSocket],
        "speaks_after_close",
        "After its close the server sends nothing more.",
        closing::silent_after_close
    ),
];
