//! What a faulty server does wrong below its messages: what it takes, and what it sends.

use super::{
    FrameMutation,
    frame::{BINARY, CLOSE, CONTINUATION, FIN, Frame, MASK, PONG, RESERVED, TEXT},
};
use crate::proxy::toxic::Direction;

/// What becomes of a client's frame.
pub(crate) enum Fate {
    /// It goes on.
    Passes(Frame),
    /// It goes on, and the message that it stands in is forgotten.
    BeginsAnew(Frame),
    /// The connection is closed over it, with this code.
    Refused(u16),
}

impl FrameMutation {
    /// What the server is shown of a client's frame; `open` inside of a message.
    pub(crate) fn of_client(self, mut frame: Frame, open: bool) -> Fate {
        let opcode = frame.opcode();
        let is_text = |frame: &Frame| std::str::from_utf8(&frame.payload).is_ok();
        match self {
            Self::AcceptUnmasked => frame.mask = Some(frame.mask.unwrap_or(MASK)),
            Self::AcceptReserved => {
                frame.first &= !RESERVED;
                if matches!(opcode, 0x3..=0x7 | 0xb..=0xf) {
                    frame.first = FIN | TEXT;
                }
            }
            Self::AcceptLongControl if frame.is_control() => {
                frame.first |= FIN;
                frame.payload.truncate(125);
            }
            Self::AcceptContinuation if opcode == CONTINUATION && !open => frame.first |= TEXT,
            Self::AcceptContinuation if matches!(opcode, TEXT | BINARY) && open => {
                return Fate::BeginsAnew(frame);
            }
            Self::AcceptAnyText if opcode == TEXT && frame.is_final() => {
                frame.payload = String::from_utf8_lossy(&frame.payload).into_owned().into_bytes();
            }
            Self::AcceptAnyClose if opcode == CLOSE && !is_good_close(&frame.payload) => {
                frame.payload = 1000u16.to_be_bytes().to_vec();
            }
            Self::RefuseFragments if frame.is_control() && open => return Fate::Refused(1002),
            Self::RefuseSplitText if matches!(opcode, TEXT | CONTINUATION) && !is_text(&frame) => {
                return Fate::Refused(1007);
            }
            _ => {}
        }
        Fate::Passes(frame)
    }

    /// What the client gets in the place of a frame of the server.
    pub(crate) fn of_server(self, mut frame: Frame) -> Vec<Frame> {
        let opcode = frame.opcode();
        match self {
            Self::EmptyPong if opcode == PONG => frame.payload.clear(),
            Self::LoseClose if opcode == CLOSE => return Vec::new(),
            Self::MaskServer => frame.mask = Some(MASK),
            Self::SpeakAfterClose if opcode == CLOSE => {
                return vec![frame, Frame::new(Direction::ToClient, BINARY, b"after the close".to_vec())];
            }
            _ => {}
        }
        vec![frame]
    }
}

/// True for what RFC 6455 (7.4) lets a peer send.
fn is_good_close(payload: &[u8]) -> bool {
    let Some((code, reason)) = payload.split_first_chunk() else { return payload.is_empty() };
    let may_be_sent = matches!(u16::from_be_bytes(*code), 1000..=1003 | 1007..=1014 | 3000..=4999);
    may_be_sent && std::str::from_utf8(reason).is_ok()
}
