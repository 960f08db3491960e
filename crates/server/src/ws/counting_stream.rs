//! A stream that counts its bytes: the position in the frames shows when the codec's buffer is empty, and the written
//! bytes show whether the client reads.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::metrics::Metrics;

use crate::tls::Stream;

/// The stream and its counts.
pub struct CountingStream {
    stream: Stream,
    /// Bytes read so far.
    pub read: u64,
    /// Where they end.
    pub frames: Frames,
    /// Bytes written so far.
    pub written: u64,
    metrics: Arc<Metrics>,
}

impl CountingStream {
    /// A stream of which these bytes were read before.
    pub fn new(stream: Stream, before: &[u8], metrics: Arc<Metrics>) -> Self {
        let mut counted = Self { stream, read: 0, frames: Frames::default(), written: 0, metrics };
        counted.came(before);
        counted
    }

    fn came(&mut self, bytes: &[u8]) {
        self.read += bytes.len() as u64;
        self.frames.take(bytes);
        self.metrics.bytes_received.inc_by(bytes.len() as u64);
    }
}

/// How far a stream of frames has come (RFC 6455, 5.2): only lengths and ends are read of them.
#[derive(Debug, Default)]
pub struct Frames {
    /// Bytes of the head of the frame that has begun.
    head: u8,
    /// How many bytes the head has, and how many of them tell that the payload is long; known after two.
    heads: u8,
    extended: u8,
    first: u8,
    /// What its length has so far, then what of its payload is to come.
    length: u64,
    in_payload: bool,
    /// True after a frame that is not the last of its message.
    open: bool,
    /// Bytes that came of a message that is not over.
    unfinished: u64,
}

impl Frames {
    /// True when the last byte was the last of a message, or of a control frame between messages.
    pub fn is_between_messages(&self) -> bool {
        self.head == 0 && !self.in_payload && !self.open
    }

    /// Bytes that came of a message that is not over, those of its heads among them; the control frames in it are not.
    pub fn unfinished(&self) -> u64 {
        self.unfinished
    }

    fn take(&mut self, mut bytes: &[u8]) {
        while let Some((byte, rest)) = bytes.split_first() {
            if self.in_payload {
                let of_this =
                    usize::try_from(self.length).map_or(bytes.len(), |length| length.min(bytes.len()));
                self.length -= of_this as u64;
                self.in_payload = self.length > 0;
                self.count(of_this as u64);
                bytes = &bytes[of_this..];
            } else {
                self.take_head(*byte);
                self.count(1);
                bytes = rest;
            }
        }
    }

    /// Counts bytes of the frame at hand, after its state is that behind them.
    fn count(&mut self, bytes: u64) {
        if self.first & 0x08 == 0 {
            let is_over = self.is_between_messages();
            self.unfinished = if is_over { 0 } else { self.unfinished + bytes };
        }
    }

    fn take_head(&mut self, byte: u8) {
        match self.head {
            0 => self.first = byte,
            1 => {
                (self.extended, self.length) = match byte & 0x7f {
                    126 => (2, 0),
                    127 => (8, 0),
                    short => (0, u64::from(short)),
                };
                let mask = if byte & 0x80 == 0 { 0 } else { 4 };
                self.heads = 2 + self.extended + mask;
            }
            at if at < 2 + self.extended => self.length = self.length << 8 | u64::from(byte),
            // The mask.
            _ => {}
        }
        self.head += 1;
        if self.head >= 2 && self.head == self.heads {
            self.head = 0;
            self.in_payload = self.length > 0;
            if self.first & 0x08 == 0 {
                self.open = self.first & 0x80 == 0;
            }
        }
    }
}

impl AsyncRead for CountingStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        self.came(&buf.filled()[before..]);
        polled
    }
}

impl AsyncWrite for CountingStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, bytes);
        if let Poll::Ready(Ok(written)) = &polled {
            self.written += *written as u64;
            self.metrics.bytes_sent.inc_by(*written as u64);
        }
        polled
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: u8 = 0x81;
    const MORE: u8 = 0x01;
    const NEXT: u8 = 0x00;
    const END: u8 = 0x80;
    const PING: u8 = 0x89;

    /// A masked frame with a payload of zeros.
    fn frame(first: u8, length: usize) -> Vec<u8> {
        let mut bytes = vec![first];
        match length {
            0..126 => bytes.push(0x80 | length as u8),
            126..65_536 => bytes.extend([&[0x80 | 126][..], &(length as u16).to_be_bytes()].concat()),
            _ => bytes.extend([&[0x80 | 127][..], &(length as u64).to_be_bytes()].concat()),
        }
        bytes.resize(bytes.len() + 4 + length, 0);
        bytes
    }

    /// Bug: a message in two fragments took more bytes than its length told, so that the codec was never again thought
    /// to be empty, and kept the buffers of a large message for the connection's life.
    #[test]
    fn it_is_known_after_each_byte_whether_a_message_is_under_way() {
        let messages: [&[Vec<u8>]; 5] = [
            &[frame(TEXT, 0)],
            &[frame(TEXT, 5), frame(PING, 0)],
            &[frame(MORE, 200), frame(PING, 125), frame(NEXT, 0), frame(END, 70_000)],
            &[frame(PING, 3)],
            &[frame(TEXT, 65_535)],
        ];
        for frames in messages {
            let mut state = Frames::default();
            let bytes = frames.concat();
            // Byte by byte, and in lumps, the end is seen alike.
            for lump in [1, 3, 4096] {
                for bytes in bytes.chunks(lump) {
                    state.take(bytes);
                }
                assert!(state.is_between_messages(), "{frames:?} in {lump}");
            }
            let mut ends = Vec::new();
            let mut one = Frames::default();
            for (at, byte) in bytes.iter().enumerate() {
                one.take(&[*byte]);
                if one.is_between_messages() {
                    ends.push(at + 1);
                }
            }
            assert_eq!(ends.last(), Some(&bytes.len()));
            assert!(ends.len() <= 2, "it ends after a frame only: {ends:?}");
        }
        let mut unmasked = Frames::default();
        unmasked.take(&[0x81, 126, 0, 3, 1, 2]);
        assert!(!unmasked.is_between_messages());
        unmasked.take(&[3]);
        assert!(unmasked.is_between_messages());
    }

    /// Bug: what had come of a message was reckoned from the bytes of messages handed out, which a control frame behind a
    /// message in one segment made more than had come.
    #[test]
    fn what_came_of_an_unfinished_message_is_counted_without_the_control_frames_in_it() {
        for lump in [1, 3, 4096] {
            let mut state = Frames::default();
            let mut after = |bytes: Vec<u8>| {
                bytes.chunks(lump).for_each(|bytes| state.take(bytes));
                state.unfinished()
            };
            assert_eq!(after([frame(TEXT, 15), frame(PING, 0), frame(PING, 125)].concat()), 0);
            assert_eq!(after([frame(PING, 3), frame(TEXT, 200), frame(MORE, 10)].concat()), 16);
            assert_eq!(after([frame(PING, 9), frame(NEXT, 0), frame(PING, 0)].concat()), 22);
            assert_eq!(after(frame(NEXT, 5)[..3].to_vec()), 25);
            assert_eq!(after(frame(NEXT, 5)[3..].to_vec()), 33);
            assert_eq!(after([frame(END, 300), frame(PING, 1)].concat()), 0);
            assert_eq!(after([frame(MORE, 0), frame(END, 0)].concat()), 0);
        }
    }
}
