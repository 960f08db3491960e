//! Bugs of the codec. It is a library's and has none of these, so frames are changed between it and the client as if it
//! had them. With none of them switched on every byte passes as it is.

use std::{
    io::{self, Cursor},
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::tungstenite::protocol::frame::{
    Frame, FrameHeader,
    coding::{CloseCode, Control, Data, OpCode},
};

use crate::{
    sabotage::{Bug, Bugs},
    tls::Stream,
};

/// The bugs that are here.
const HERE: [Bug; 11] = [
    Bug::ReservedBitsAccepted,
    Bug::LongControlAccepted,
    Bug::FragmentsRefused,
    Bug::LoneContinuationAccepted,
    Bug::Utf8Unchecked,
    Bug::Utf8CheckedPerFragment,
    Bug::PongWithoutPayload,
    Bug::CloseUnanswered,
    Bug::CloseCodesUnchecked,
    Bug::ServerFramesMasked,
    Bug::SpeaksAfterClose,
];
/// Bytes that may wait to be written.
const WAITING: usize = 64 << 10;
/// The largest payload of a ping, pong or close.
const CONTROL: usize = 125;

/// A stream with the bugs of a codec.
pub struct Faulty {
    stream: Stream,
    bugs: Bugs,
    /// False when every byte passes as it is.
    at_work: bool,
    incoming: Incoming,
    /// Changed bytes for the codec.
    for_codec: Vec<u8>,
    /// Bytes of the codec that are no whole frame yet.
    outgoing: Vec<u8>,
    /// Changed bytes for the client.
    for_client: Vec<u8>,
}

/// What came of the client and is no whole frame yet, and where in a message it is.
#[derive(Default)]
struct Incoming {
    raw: Vec<u8>,
    open: bool,
    text: bool,
}

impl Faulty {
    /// A stream with these bugs, and what of it was read before.
    pub fn new(stream: Stream, read: Bytes, bugs: Bugs) -> (Self, Bytes) {
        let names = bugs.names();
        let is_on = |bug: &Bug| names.contains(&bug.name());
        let at_work = HERE.iter().any(is_on);
        let mut faulty = Self {
            stream,
            bugs,
            at_work,
            incoming: Incoming::default(),
            for_codec: Vec::new(),
            outgoing: Vec::new(),
            for_client: Vec::new(),
        };
        if !at_work {
            return (faulty, read);
        }
        faulty.incoming.take(&read, &faulty.bugs, &mut faulty.for_codec);
        let changed = std::mem::take(&mut faulty.for_codec).into();
        (faulty, changed)
    }

    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.for_client.is_empty() {
            let written = ready!(Pin::new(&mut self.stream).poll_write(cx, &self.for_client))?;
            self.for_client.drain(..written);
        }
        Poll::Ready(Ok(()))
    }
}

/// The frame at the beginning, which is taken out; `None` until it is whole, or when the codec is to see for itself that
/// it is none.
fn next_frame(raw: &mut Vec<u8>) -> Option<(FrameHeader, Vec<u8>)> {
    let mut cursor = Cursor::new(raw.as_slice());
    let (header, length) = FrameHeader::parse(&mut cursor).ok()??;
    let (start, length) = (cursor.position() as usize, usize::try_from(length).ok()?);
    let end = start.checked_add(length).filter(|end| *end <= raw.len())?;
    let mask = header.mask.unwrap_or_default();
    let payload = raw[start..end].iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
    raw.drain(..end);
    Some((header, payload))
}

fn put(header: FrameHeader, payload: Vec<u8>, out: &mut Vec<u8>) {
    // Writing to memory does not fail.
    let _ = Frame::from_payload(header, payload.into()).format(out);
}

impl Incoming {
    fn take(&mut self, bytes: &[u8], bugs: &Bugs, out: &mut Vec<u8>) {
        self.raw.extend(bytes);
        while let Some((mut header, mut payload)) = next_frame(&mut self.raw) {
            if self.change(&mut header, &mut payload, bugs) {
                put(header, payload, out);
            }
        }
        // An opcode that there is not: the codec's to refuse.
        if FrameHeader::parse(&mut Cursor::new(self.raw.as_slice())).is_err() {
            out.append(&mut self.raw);
        }
    }

    /// Changes a frame; false when it is to disappear.
    fn change(&mut self, header: &mut FrameHeader, payload: &mut Vec<u8>, bugs: &Bugs) -> bool {
        if (header.rsv1 || header.rsv2 || header.rsv3) && bugs.on(Bug::ReservedBitsAccepted) {
            (header.rsv1, header.rsv2, header.rsv3) = (false, false, false);
        }
        match header.opcode {
            OpCode::Control(control) => self.change_control(control, header, payload, bugs),
            OpCode::Data(data) => {
                self.change_data(data, header, payload, bugs);
                true
            }
        }
    }

    fn change_control(
        &self,
        control: Control,
        header: &mut FrameHeader,
        payload: &mut Vec<u8>,
        bugs: &Bugs,
    ) -> bool {
        let is_wrong = payload.len() > CONTROL || !header.is_final;
        if is_wrong && bugs.on(Bug::LongControlAccepted) {
            payload.truncate(CONTROL);
            header.is_final = true;
        }
        if self.open && bugs.on(Bug::FragmentsRefused) {
            header.rsv1 = true;
        }
        match control {
            Control::Ping if bugs.on(Bug::PongWithoutPayload) => payload.clear(),
            Control::Close if bugs.on(Bug::CloseUnanswered) => return false,
            Control::Close => {
                let code = payload.first_chunk().map(|code| CloseCode::from(u16::from_be_bytes(*code)));
                let is_bad = !payload.is_empty() && code.is_none_or(|code| !code.is_allowed());
                if is_bad && bugs.on(Bug::CloseCodesUnchecked) {
                    *payload = 1000_u16.to_be_bytes().to_vec();
                }
            }
            _ => {}
        }
        true
    }

    fn change_data(&mut self, data: Data, header: &mut FrameHeader, payload: &mut Vec<u8>, bugs: &Bugs) {
        if data == Data::Continue && !self.open && bugs.on(Bug::LoneContinuationAccepted) {
            header.opcode = OpCode::Data(Data::Text);
        }
        if data != Data::Continue {
            self.text = data == Data::Text;
        }
        let is_whole = header.is_final && !self.open;
        if self.text && std::str::from_utf8(payload).is_err() {
            if is_whole && bugs.on(Bug::Utf8Unchecked) {
                *payload = String::from_utf8_lossy(payload).into_owned().into_bytes();
            }
            if !is_whole && bugs.on(Bug::Utf8CheckedPerFragment) {
                payload.fill(0xff);
            }
        }
        self.open = !header.is_final;
    }
}

impl AsyncRead for Faulty {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let faulty = &mut *self;
        if !faulty.at_work {
            return Pin::new(&mut faulty.stream).poll_read(cx, buf);
        }
        while faulty.for_codec.is_empty() {
            let mut scratch = [0; 2048];
            let mut came = ReadBuf::new(&mut scratch);
            ready!(Pin::new(&mut faulty.stream).poll_read(cx, &mut came))?;
            if came.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            faulty.incoming.take(came.filled(), &faulty.bugs, &mut faulty.for_codec);
        }
        let given = faulty.for_codec.len().min(buf.remaining());
        buf.put_slice(&faulty.for_codec[..given]);
        faulty.for_codec.drain(..given);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Faulty {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let faulty = &mut *self;
        if !faulty.at_work {
            return Pin::new(&mut faulty.stream).poll_write(cx, bytes);
        }
        if faulty.for_client.len() > WAITING {
            ready!(faulty.poll_drain(cx))?;
        }
        faulty.outgoing.extend(bytes);
        while let Some((mut header, payload)) = next_frame(&mut faulty.outgoing) {
            let is_close = header.opcode == OpCode::Control(Control::Close);
            if faulty.bugs.on(Bug::ServerFramesMasked) {
                header.mask = Some([1, 2, 3, 4]);
            }
            put(header, payload, &mut faulty.for_client);
            if is_close && faulty.bugs.on(Bug::SpeaksAfterClose) {
                let late = OpCode::Data(Data::Text);
                put(
                    FrameHeader { opcode: late, ..FrameHeader::default() },
                    b"{}".to_vec(),
                    &mut faulty.for_client,
                );
            }
        }
        // The codec does not flush after its last word.
        match faulty.poll_drain(cx) {
            Poll::Ready(Err(e)) => Poll::Ready(Err(e)),
            _ => Poll::Ready(Ok(bytes.len())),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(cx))?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(cx))?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
