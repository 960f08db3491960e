//! A buffered message: its bytes as they came, its payload without the mask, and the places where it can be cut.
//! Pure.

use bytes::{Bytes, BytesMut};
use rand::{RngExt, rngs::SmallRng};
use wireproof_protocol::{FrameHeader, apply_mask};

/// A frame while it comes.
#[derive(Debug)]
pub(crate) struct BufferedFrame {
    pub(crate) offset: u64,
    /// It begins between two messages.
    pub(crate) begins: bool,
    pub(crate) raw: BytesMut,
    pub(crate) head: Option<FrameHeader>,
    /// Length of its header.
    pub(crate) header: usize,
}

impl BufferedFrame {
    pub(crate) fn at(offset: u64, begins: bool) -> Self {
        Self { offset, begins, raw: BytesMut::new(), head: None, header: 0 }
    }

    /// The payload without its mask.
    pub(crate) fn payload(&self, head: FrameHeader) -> Vec<u8> {
        let mut payload = self.raw[self.header..].to_vec();
        apply_mask(&mut payload, head.mask);
        payload
    }
}

/// A whole message, or its frames so far.
#[derive(Debug)]
pub(crate) struct BufferedMessage {
    pub(crate) offset: u64,
    pub(crate) raw: BytesMut,
    payload: Vec<u8>,
    /// Of each frame: its head, where its payload begins in `raw`, and where in `payload`.
    frames: Vec<(FrameHeader, usize, usize)>,
}

impl BufferedMessage {
    pub(crate) fn at(offset: u64) -> Self {
        Self { offset, raw: BytesMut::new(), payload: Vec::new(), frames: Vec::new() }
    }

    pub(crate) fn add(&mut self, frame: BufferedFrame, head: FrameHeader) {
        self.frames.push((head, self.raw.len() + frame.header, self.payload.len()));
        self.payload.extend(frame.payload(head));
        self.raw.unsplit(frame.raw);
    }

    /// Where it ends in the sender's bytes, if nothing stood between its frames.
    pub(crate) fn end(&self) -> u64 {
        self.offset + self.raw.len() as u64
    }

    pub(crate) fn has(&self, text: &str) -> bool {
        let text = text.as_bytes();
        self.payload.windows(text.len()).any(|window| window == text)
    }

    /// The same message in one frame with another text in place of this one, if it holds it.
    pub(crate) fn replaced(&self, find: &str, with: &str) -> Option<Bytes> {
        let text = std::str::from_utf8(&self.payload).ok().filter(|text| text.contains(find))?;
        let (head, ..) = self.frames.first()?;
        let mut payload = text.replace(find, with).into_bytes();
        let mut bytes = Vec::with_capacity(payload.len() + 14);
        FrameHeader { first: head.first | 0x80, mask: head.mask, length: payload.len() as u64 }
            .write(&mut bytes);
        apply_mask(&mut payload, head.mask);
        bytes.extend(payload);
        Some(bytes.into())
    }

    /// A place inside the header of the first frame.
    pub(crate) fn inside_header(&self, random: &mut SmallRng) -> usize {
        let header = self.frames.first().map_or(2, |(_, begins, _)| *begins);
        random.random_range(1..header)
    }

    /// A place inside a character of more than one byte, if there is such a character.
    pub(crate) fn inside_character(&self, random: &mut SmallRng) -> Option<usize> {
        let text = std::str::from_utf8(&self.payload).ok()?;
        let wide: Vec<usize> =
            text.char_indices().filter(|(_, c)| c.len_utf8() > 1).map(|(at, _)| at).collect();
        let begins = *wide.get(random.random_range(0..wide.len().max(1)))?;
        let width = text[begins..].chars().next()?.len_utf8();
        Some(self.raw_place(begins + random.random_range(1..width)))
    }

    /// The place in `raw` of a place in the payload.
    fn raw_place(&self, place: usize) -> usize {
        let frame = self.frames.iter().rev().find(|(_, _, begins)| *begins <= place);
        frame.map_or(place, |(_, raw, begins)| raw + (place - begins))
    }

    /// The same message in so many frames, cut anywhere; a frame may be empty, as RFC 6455 allows.
    pub(crate) fn fragmented(&self, frames: usize, random: &mut SmallRng) -> Bytes {
        let Some((head, ..)) = self.frames.first() else { return Bytes::new() };
        let mut cuts: Vec<usize> = (1..frames).map(|_| random.random_range(0..=self.payload.len())).collect();
        cuts.push(self.payload.len());
        cuts.sort_unstable();
        let (mut bytes, mut from) = (Vec::with_capacity(self.payload.len() + frames * 14), 0);
        for (index, cut) in cuts.iter().enumerate() {
            // The opcode and the reserved bits stand in the first frame only.
            let kind = if index == 0 { head.first & 0x7f } else { 0 };
            let last = if index + 1 == cuts.len() { 0x80 } else { 0 };
            FrameHeader { first: last | kind, mask: head.mask, length: (cut - from) as u64 }
                .write(&mut bytes);
            let begins = bytes.len();
            bytes.extend(&self.payload[from..*cut]);
            apply_mask(&mut bytes[begins..], head.mask);
            from = *cut;
        }
        bytes.into()
    }
}
