//! The judge of what a server puts on the wire: RFC 6455 to the letter, frame by frame. Without extensions, for none
//! is ever offered here.

use std::str;

use thiserror::Error;

use super::{BINARY, CLOSE, CONTINUATION, PING, PONG, RawFrame, TEXT};

/// What a frame does that RFC 6455 forbids; the number is the section that forbids it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum FramingViolation {
    /// A server masks nothing.
    #[error("a frame of the server is masked (5.1)")]
    Masked,
    /// A reserved bit without an extension.
    #[error("the reserved bits are {0:03b} though no extension was agreed on (5.2)")]
    ReservedBits(u8),
    /// An opcode that means nothing.
    #[error("the opcode {0:#x} is reserved (5.2)")]
    ReservedOpcode(u8),
    /// A length that took more bytes than it needs.
    #[error("a length of {0} takes more bytes than it needs (5.2)")]
    LongLength(usize),
    /// A ping, pong or close that is too large.
    #[error("a control frame has {0} bytes, and may have 125 (5.5)")]
    LargeControl(usize),
    /// A ping, pong or close in pieces.
    #[error("a control frame is fragmented (5.5)")]
    FragmentedControl,
    /// A fragment of nothing.
    #[error("a fragment continues a message that never began (5.4)")]
    ContinuesNothing,
    /// A message inside another.
    #[error("a message begins before the last fragment of another (5.4)")]
    Interleaved,
    /// A close with half a code.
    #[error("a close has one byte, which is no code (5.5.1)")]
    HalfCode,
    /// A close with a code that may not be sent.
    #[error("the close code {0} may not be sent (7.4)")]
    CloseCode(u16),
    /// A close whose reason is no text.
    #[error("the reason of a close is not UTF-8 (5.5.1)")]
    Reason,
    /// A text that is none.
    #[error("a text is not UTF-8 (8.1)")]
    Utf8,
    /// Anything after the close.
    #[error("a frame comes after the close (5.5.1)")]
    AfterClose,
}

/// What was judged so far of one connection's frames.
#[derive(Debug, Default)]
pub struct Strict {
    /// The message whose last fragment has not come, with the bytes of a letter that is not over.
    open: Option<Open>,
    closed: bool,
}

#[derive(Debug)]
enum Open {
    Text(Vec<u8>),
    Binary,
}

impl Strict {
    /// A judge of a new connection.
    pub fn new() -> Self {
        Self::default()
    }

    /// True while a message is not over.
    pub fn is_inside_message(&self) -> bool {
        self.open.is_some()
    }

    /// Judges the next frame.
    pub fn frame(&mut self, frame: &RawFrame) -> Result<(), FramingViolation> {
        match frame {
            _ if self.closed => Err(FramingViolation::AfterClose),
            RawFrame { mask: Some(_), .. } => Err(FramingViolation::Masked),
            RawFrame { rsv: 1.., .. } => Err(FramingViolation::ReservedBits(frame.rsv)),
            _ if !has_shortest_length(frame) => Err(FramingViolation::LongLength(frame.payload.len())),
            _ if frame.is_control() => self.control(frame),
            _ => self.data(frame),
        }
    }

    fn control(&mut self, frame: &RawFrame) -> Result<(), FramingViolation> {
        match (frame.opcode, frame.payload.len()) {
            (CLOSE | PING | PONG, 126..) => Err(FramingViolation::LargeControl(frame.payload.len())),
            (CLOSE | PING | PONG, _) if !frame.fin => Err(FramingViolation::FragmentedControl),
            (CLOSE, _) => {
                self.closed = true;
                close(frame)
            }
            (PING | PONG, _) => Ok(()),
            (reserved, _) => Err(FramingViolation::ReservedOpcode(reserved)),
        }
    }

    fn data(&mut self, frame: &RawFrame) -> Result<(), FramingViolation> {
        let open = match (frame.opcode, self.open.take()) {
            (CONTINUATION, None) => return Err(FramingViolation::ContinuesNothing),
            (CONTINUATION, Some(open)) => open,
            (TEXT | BINARY, Some(_)) => return Err(FramingViolation::Interleaved),
            (TEXT, None) => Open::Text(Vec::new()),
            (BINARY, None) => Open::Binary,
            (reserved, _) => return Err(FramingViolation::ReservedOpcode(reserved)),
        };
        let open = match open {
            Open::Text(rest) => Open::Text(text_goes_on(rest, frame)?),
            Open::Binary => Open::Binary,
        };
        self.open = (!frame.fin).then_some(open);
        Ok(())
    }
}

/// A length of 125 or less has no more bytes, one of 65,535 or less two.
fn has_shortest_length(frame: &RawFrame) -> bool {
    match frame.header.get(1).map(|byte| byte & 0x7f) {
        Some(126) => frame.payload.len() > 125,
        Some(127) => frame.payload.len() > 0xffff,
        _ => true,
    }
}

/// The letter that a fragment leaves unfinished, if what came until now can still become UTF-8.
fn text_goes_on(mut rest: Vec<u8>, frame: &RawFrame) -> Result<Vec<u8>, FramingViolation> {
    rest.extend(&frame.payload);
    match str::from_utf8(&rest) {
        Ok(_) => Ok(Vec::new()),
        Err(error) if error.error_len().is_none() && !frame.fin => Ok(rest.split_off(error.valid_up_to())),
        Err(_) => Err(FramingViolation::Utf8),
    }
}

fn close(frame: &RawFrame) -> Result<(), FramingViolation> {
    let Some((code, reason)) = frame.payload.split_first_chunk() else {
        return if frame.payload.is_empty() { Ok(()) } else { Err(FramingViolation::HalfCode) };
    };
    match u16::from_be_bytes(*code) {
        // 1004 to 1006 and 1015 are for programs and never sent; what else is below 3000 has no meaning.
        1000..=1003 | 1007..=1014 | 3000..=4999 => {}
        code => return Err(FramingViolation::CloseCode(code)),
    }
    str::from_utf8(reason).map_or(Err(FramingViolation::Reason), |_| Ok(()))
}

#[cfg(test)]
mod tests;
