//! A WebSocket with small buffers: memory for a large message is freed once the connection is idle again.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{FutureExt, Sink, SinkExt, Stream, StreamExt};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Error, Message,
        error::{CapacityError, ProtocolError},
        protocol::{
            CloseFrame, Role, WebSocketConfig,
            frame::{
                Frame,
                coding::{CloseCode as Number, Data, OpCode},
            },
        },
    },
};
use wireproof_protocol::CloseCode;

use super::counting_stream::CountingStream;
use crate::{metrics::Metrics, tls};

/// Bytes of the reading buffer of an idle connection.
const READ_BUFFER: usize = 2 << 10;
/// Bytes that wait before they are handed to the kernel. The buffer takes one whole message more, and no second one.
const WRITE_BUFFER: usize = 4 << 10;
/// Bytes written between two flushes above which the codec is made anew: its writing buffer has grown as much.
const KEPT_WRITE_BUFFER: usize = 1 << 10;
/// Bytes that may have come of a message, or of nothing at all, before they are counted.
const UNCOUNTED: u64 = 16 << 10;
/// Bytes that the heads of fragments may take beside twice the largest message.
const FRAGMENT_BYTES: u64 = 64 << 10;
/// How long a client has to take the close and answer it.
const CLOSE_PATIENCE: Duration = Duration::from_secs(2);
/// Bytes that are read and dropped after a protocol error, so that the close arrives before the reset.
const DRAIN_BYTES: u64 = 8 << 20;

/// What came from the client.
#[derive(Debug)]
pub enum Received {
    /// A text frame.
    Text(Message),
    /// A binary frame.
    Binary(Message),
    /// A ping, pong or close, answered where RFC 6455 requires it.
    Control,
}

/// The server's end of a connection.
pub struct Socket {
    /// Always there; taken out only to be made anew.
    ws: Option<WebSocketStream<CountingStream>>,
    hard_limit: usize,
    /// Bytes of the messages handed out, with the least that their frames can have taken.
    accounted: u64,
    /// Bytes that were counted, and those of them that are not yet charged to the user's limit.
    counted: u64,
    due: u64,
    /// True when a buffer grew beyond what an idle connection keeps.
    grown: bool,
    unflushed: bool,
    /// Bytes put in since the last flush, without the heads of their frames.
    put_bytes: usize,
    /// True once the client has sent a close.
    left: bool,
}

impl Socket {
    /// A socket over an upgraded stream; `read` is what came with the handshake.
    pub fn new(stream: tls::Stream, read: Bytes, hard_limit: usize, metrics: Arc<Metrics>) -> Self {
        let stream = CountingStream::new(stream, &read, metrics);
        let mut socket = Self {
            ws: None,
            hard_limit,
            accounted: 0,
            counted: 0,
            due: 0,
            grown: false,
            unflushed: false,
            put_bytes: 0,
            left: false,
        };
        socket.ws = socket.codec(stream, read.to_vec());
        socket
    }

    fn codec(&self, stream: CountingStream, read: Vec<u8>) -> Option<WebSocketStream<CountingStream>> {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER)
            .write_buffer_size(WRITE_BUFFER)
            .max_message_size(Some(self.hard_limit).filter(|limit| *limit > 0))
            .max_frame_size(Some(self.hard_limit).filter(|limit| *limit > 0));
        // Ready at once: the handshake is done.
        WebSocketStream::from_partially_read(stream, read, Role::Server, Some(config)).now_or_never()
    }

    /// Bytes that the kernel took so far.
    pub fn written(&self) -> u64 {
        self.ws.as_ref().map_or(0, |ws| ws.get_ref().written)
    }

    /// Bytes that came so far.
    pub fn read(&self) -> u64 {
        self.ws.as_ref().map_or(0, |ws| ws.get_ref().read)
    }

    fn ws(&mut self) -> Result<&mut WebSocketStream<CountingStream>, Error> {
        self.ws.as_mut().ok_or(Error::AlreadyClosed)
    }

    /// The next message of the client; `None` when the connection is over.
    pub fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Received, Error>>> {
        loop {
            let polled = Pin::new(self.ws()?).poll_next(cx);
            let message = match polled {
                Poll::Pending if self.shrink() => continue,
                Poll::Pending if self.is_without_end() => {
                    let (size, max_size) = (self.hard_limit, self.hard_limit);
                    return Poll::Ready(Some(Err(CapacityError::MessageTooLong { size, max_size }.into())));
                }
                Poll::Pending => {
                    self.count_unfinished();
                    return Poll::Pending;
                }
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Ready(Some(message)) => message?,
            };
            self.account(message.len());
            self.left |= message.is_close();
            return Poll::Ready(Some(Ok(match message {
                Message::Text(_) => Received::Text(message),
                Message::Binary(_) => Received::Binary(message),
                // The codec queued an answer where one is due.
                _ => {
                    self.unflushed = true;
                    Received::Control
                }
            })));
        }
    }

    /// True when a message took far more bytes than it may hold and is not over: empty fragments make it no larger, and
    /// are counted against no limit.
    fn is_without_end(&self) -> bool {
        let most = (self.hard_limit as u64).saturating_mul(2).saturating_add(FRAGMENT_BYTES);
        let unfinished = self.ws.as_ref().map_or(0, |ws| ws.get_ref().frames.unfinished());
        self.hard_limit > 0 && unfinished > most
    }

    /// Bytes that came since this was last asked: those of whole messages, and whatever else when it is more than a little.
    pub fn take_due(&mut self) -> u64 {
        std::mem::take(&mut self.due)
    }

    /// True when there are such bytes.
    pub fn has_due(&self) -> bool {
        self.due > 0
    }

    fn count_to(&mut self, bytes: u64) {
        self.due += bytes.saturating_sub(self.counted);
        self.counted = self.counted.max(bytes);
    }

    /// Counts what came of an unfinished message, of empty fragments, and the heads of frames.
    fn count_unfinished(&mut self) {
        let read = self.read();
        // A close with a number that may not be sent is handed out longer than it came.
        if read.saturating_sub(self.counted) > UNCOUNTED {
            self.count_to(read);
        }
    }

    /// Counts a message as one masked frame with the shortest header: a message in pieces took more.
    fn account(&mut self, length: usize) {
        let extended = match length {
            0..126 => 0,
            126..65_536 => 2,
            _ => 8,
        };
        self.accounted += 2 + extended + 4 + length as u64;
        self.count_to(self.accounted);
        self.grown |= length > READ_BUFFER;
    }

    /// Makes a codec with small buffers when one has grown and nothing waits in either direction. The codec has
    /// handed out all that was whole, so between two messages it holds nothing.
    fn shrink(&mut self) -> bool {
        let idle = self.grown && !self.unflushed;
        if !idle || self.ws.as_ref().is_none_or(|ws| !ws.get_ref().frames.is_between_messages()) {
            return false;
        }
        self.grown = false;
        if let Some(ws) = self.ws.take() {
            self.ws = self.codec(ws.into_inner(), Vec::new());
        }
        true
    }

    /// Ready when the next message may be put in.
    pub fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Pin::new(self.ws()?).poll_ready(cx)
    }

    /// True once the client has sent a close: only the codec's own answer may be sent after it.
    pub fn has_left(&self) -> bool {
        self.left
    }

    /// Puts a text in, which is UTF-8 by its making; after [`Socket::poll_ready`].
    pub fn send(&mut self, text: Bytes) -> Result<(), Error> {
        self.put_bytes += text.len();
        self.put(Message::Frame(Frame::message(text, OpCode::Data(Data::Text), true)))
    }

    /// Puts a ping in.
    pub fn ping(&mut self) -> Result<(), Error> {
        self.put(Message::Frame(Frame::ping(Bytes::new())))
    }

    /// Puts any message in; after [`Socket::poll_ready`].
    pub fn put(&mut self, message: Message) -> Result<(), Error> {
        self.unflushed = true;
        Pin::new(self.ws()?).start_send(message)
    }

    /// Ready when the kernel has all that was put in.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        if self.unflushed {
            ready!(Pin::new(self.ws()?).poll_flush(cx))?;
            self.unflushed = false;
            self.grown |= std::mem::take(&mut self.put_bytes) > KEPT_WRITE_BUFFER;
        }
        Poll::Ready(Ok(()))
    }

    /// Sends a close and waits, within bounds, for the client's own.
    pub async fn close(mut self, code: CloseCode, reason: &'static str) {
        let closed = timeout(CLOSE_PATIENCE, async {
            let frame = CloseFrame { code: Number::from(code.number()), reason: reason.into() };
            let Ok(ws) = self.ws() else { return };
            if ws.send(Message::Close(Some(frame))).await.is_err() {
                return;
            }
            while let Some(Ok(message)) = ws.next().await {
                // The client has answered, and waits for the server to hang up first (RFC 6455, 7.1.1).
                if message.is_close() {
                    return;
                }
            }
            drain(ws.get_mut()).await;
        });
        // A client that takes no close within the time is cut off.
        let _ = closed.await;
    }
}

/// Hangs up, and reads what is still coming: closing with unread bytes would reset the connection and lose our close
/// frame.
async fn drain(stream: &mut CountingStream) {
    if stream.shutdown().await.is_err() {
        return;
    }
    let mut scratch = vec![0; 4096];
    let mut left = DRAIN_BYTES;
    while left > 0 {
        match stream.read(&mut scratch).await {
            Ok(0) | Err(_) => return,
            Ok(n) => left = left.saturating_sub(n as u64),
        }
    }
}

/// How a connection is closed after an error of the codec; `None` when the client is gone.
pub fn close_for(error: &Error) -> Option<(CloseCode, &'static str)> {
    match error {
        Error::Capacity(CapacityError::MessageTooLong { .. }) => {
            Some((CloseCode::TooBig, "the message is too large"))
        }
        Error::Utf8(_) => Some((CloseCode::InvalidUtf8, "the text is not UTF-8")),
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => None,
        Error::Protocol(_) => Some((CloseCode::ProtocolError, "RFC 6455 was violated")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    /// A connection kept the 4 KiB that its writing buffer had grown to with the events of a run.
    #[tokio::test]
    async fn the_buffer_of_a_large_write_is_let_go_once_nothing_waits() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (client, server) = tokio::join!(TcpStream::connect(address), listener.accept());
        let (_client, stream) = (client.unwrap(), tls::Stream::Plain(server.unwrap().0));
        let mut socket = Socket::new(stream, Bytes::new(), 1 << 20, Metrics::new(Default::default()));
        for (frames, grows) in [(1, false), (1, false), (2, true), (1, false)] {
            for _ in 0..frames {
                poll_fn(|cx| socket.poll_ready(cx)).await.unwrap();
                socket.send(vec![b'x'; 1 + KEPT_WRITE_BUFFER / 2].into()).unwrap();
            }
            poll_fn(|cx| socket.poll_flush(cx)).await.unwrap();
            assert_eq!(socket.grown, grows, "{frames} frames");
            assert!(poll_fn(|cx| Poll::Ready(socket.poll_receive(cx).is_pending())).await);
            assert!(!socket.grown, "{frames} frames");
        }
    }
}
