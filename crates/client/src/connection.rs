//! One socket: send frames, receive frames, know how it ended. It never comes back by itself.

use std::{future::poll_fn, time::Duration};

use futures_util::{SinkExt, StreamExt};
use serde::Serialize;
use tokio::time::{Instant, error::Elapsed, timeout, timeout_at};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Error, Message, Utf8Bytes,
        protocol::{CloseFrame, frame::coding::CloseCode},
    },
};
use wireproof_protocol::{ClientFrame, ControlBody, ErrorBody, Incoming, RequestId, parse_incoming};

use crate::{
    error::{Ended, RecvError, SendError},
    stream::Stream,
};

/// One frame of a server: when it came, what it says, and its text as it was on the wire.
#[derive(Debug, Clone)]
pub struct Frame {
    /// When the client had read it.
    pub at: Instant,
    /// What it says.
    pub incoming: Incoming,
    text: Utf8Bytes,
}

impl Frame {
    /// The frame as it was on the wire.
    pub fn text(&self) -> &str {
        &self.text
    }
}

/// One open WebSocket. Pings are answered while somebody receives.
#[derive(Debug)]
pub struct Connection {
    socket: WebSocketStream<Stream>,
    within: Duration,
    /// True while the socket may hold back what was put into it.
    unflushed: bool,
    last_heard: Instant,
    last_text: Utf8Bytes,
    refusal: Option<ErrorBody>,
    ended: Option<Box<Ended>>,
}

#[derive(Serialize)]
struct Outgoing<'a> {
    #[serde(flatten)]
    frame: &'a ClientFrame,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a RequestId>,
}

/// A frame as it goes on the wire.
pub(crate) fn write_frame(frame: &ClientFrame, id: Option<&RequestId>) -> String {
    // Nothing in a frame can fail to be JSON: its maps have text keys.
    serde_json::to_string(&Outgoing { frame, id }).unwrap_or_default()
}

impl Connection {
    pub(crate) fn new(socket: WebSocketStream<Stream>, within: Duration) -> Self {
        Self {
            socket,
            within,
            unflushed: false,
            last_heard: Instant::now(),
            last_text: Utf8Bytes::default(),
            refusal: None,
            ended: None,
        }
    }

    /// The next frame. Cancel-safe: what was read is not lost when the future is dropped.
    pub async fn recv(&mut self, within: Duration) -> Result<Frame, RecvError> {
        self.recv_until(Instant::now() + within).await.unwrap_or(Err(RecvError::Timeout(within)))
    }

    /// The text of the next frame, unread. Cancel-safe.
    pub async fn recv_text(&mut self, within: Duration) -> Result<Utf8Bytes, RecvError> {
        let received = timeout(within, self.next_text()).await;
        received.map_err(|_| RecvError::Timeout(within))?.map_err(RecvError::Ended)
    }

    /// The next message, unread: a text or, which the protocol does not know, bytes. Cancel-safe.
    pub async fn recv_message(&mut self, within: Duration) -> Result<Message, RecvError> {
        let received = timeout(within, self.next_message()).await;
        received.map_err(|_| RecvError::Timeout(within))?.map_err(RecvError::Ended)
    }

    /// The next frame, or nothing when the time has come.
    pub(crate) async fn recv_until(&mut self, deadline: Instant) -> Option<Result<Frame, RecvError>> {
        let text = match timeout_at(deadline, self.next_text()).await.ok()? {
            Ok(text) => text,
            Err(ended) => return Some(Err(RecvError::Ended(ended))),
        };
        self.last_text = text.clone();
        Some(match parse_incoming(&text) {
            Ok(incoming) => {
                self.remember_refusal(&incoming);
                Ok(Frame { at: self.last_heard, incoming, text })
            }
            Err(cause) => Err(RecvError::Unreadable { text: text.to_string(), cause }),
        })
    }

    async fn next_text(&mut self) -> Result<Utf8Bytes, Box<Ended>> {
        loop {
            if let Message::Text(text) = self.next_message().await? {
                return Ok(text);
            }
        }
    }

    async fn next_message(&mut self) -> Result<Message, Box<Ended>> {
        if let Some(ended) = &self.ended {
            return Err(ended.clone());
        }
        loop {
            let message = self.socket.next().await;
            self.last_heard = Instant::now();
            match message {
                Some(Ok(message @ (Message::Text(_) | Message::Binary(_)))) => return Ok(message),
                Some(Ok(Message::Close(close))) => {
                    let (code, reason) = match close {
                        Some(close) => (Some(close.code.into()), close.reason.to_string()),
                        None => (Some(1005), String::new()),
                    };
                    let ended = self.end(Ended { code, reason, ..Ended::default() });
                    // Sends the answer to the close; whether it arrives is the server's business.
                    let _ = self.socket.flush().await;
                    return Err(ended);
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                Some(Err(error)) => return Err(self.end(Ended::broken(&error))),
                None => return Err(self.end(Ended::default())),
            }
        }
    }

    /// Sends a frame, with the id that its answer will echo.
    pub async fn send(&mut self, frame: &ClientFrame, id: Option<&RequestId>) -> Result<(), SendError> {
        self.send_text(write_frame(frame, id)).await
    }

    /// Sends any text.
    pub async fn send_text(&mut self, text: impl Into<String>) -> Result<(), SendError> {
        self.send_message(Message::text(text.into())).await
    }

    /// Sends bytes in a binary frame, which the protocol does not know.
    pub async fn send_binary(&mut self, bytes: Vec<u8>) -> Result<(), SendError> {
        self.send_message(Message::binary(bytes)).await
    }

    async fn send_message(&mut self, message: Message) -> Result<(), SendError> {
        self.check_open()?;
        self.unflushed = true;
        let sent = timeout(self.within, self.socket.send(message)).await;
        self.unflushed = false;
        self.taken(sent)
    }

    /// Waits until the socket takes a text. Cancel-safe.
    pub(crate) async fn ready(&mut self) -> Result<(), SendError> {
        self.check_open()?;
        let ready = timeout(self.within, poll_fn(|cx| self.socket.poll_ready_unpin(cx))).await;
        self.taken(ready)
    }

    /// Puts a text into the socket, which has to be [`ready`](Self::ready); it goes out with the next flush.
    pub(crate) fn put(&mut self, text: &str) -> Result<(), SendError> {
        self.unflushed = true;
        let put = self.socket.start_send_unpin(Message::text(text));
        self.taken(Ok(put))
    }

    /// Waits until all that was put into the socket is on its way. Cancel-safe.
    pub(crate) async fn flush(&mut self) -> Result<(), SendError> {
        if !self.unflushed {
            return Ok(());
        }
        self.check_open()?;
        let flushed = timeout(self.within, self.socket.flush()).await;
        self.unflushed = false;
        self.taken(flushed)
    }

    fn check_open(&self) -> Result<(), SendError> {
        self.ended.as_ref().map_or(Ok(()), |ended| Err(SendError::Ended(ended.clone())))
    }

    /// What the socket said to something that goes out.
    fn taken(&mut self, result: Result<Result<(), Error>, Elapsed>) -> Result<(), SendError> {
        match result {
            Ok(Ok(())) => Ok(()),
            // The close frame that says why may still wait to be read: the next receive tells it.
            Ok(Err(error)) => {
                let mut ended = Ended::broken(&error);
                ended.error = self.refusal.clone();
                Err(SendError::Ended(Box::new(ended)))
            }
            Err(_) => {
                self.end(Ended::broken("a frame was not taken in time"));
                Err(SendError::Timeout(self.within))
            }
        }
    }

    /// Says goodbye with a close code and waits for the server's own, at most as long as a handshake may take.
    pub async fn close(mut self, code: u16, reason: &str) -> Result<Ended, RecvError> {
        let within = self.within;
        let close = CloseFrame { code: CloseCode::from(code), reason: reason.into() };
        let goodbye = async {
            if let Err(error) = self.socket.close(Some(close)).await {
                return *self.end(Ended::broken(&error));
            }
            loop {
                if let Err(ended) = self.next_text().await {
                    return *ended;
                }
            }
        };
        timeout(within, goodbye).await.map_err(|_| RecvError::Timeout(within))
    }

    /// Ends the connection without a word, as a lost network would: the server gets a reset, no close frame.
    pub fn cut(self) {
        // Failing means that the socket is dead already, which is what is wanted.
        let _ = self.socket.get_ref().tcp().set_zero_linger();
    }

    /// How the connection ended, once it did.
    pub fn ended(&self) -> Option<&Ended> {
        self.ended.as_deref()
    }

    /// When the server last gave a sign of life, pings included; only receiving notices one.
    pub fn last_heard(&self) -> Instant {
        self.last_heard
    }

    /// The latest frame that was received with [`recv`](Self::recv), as it was on the wire.
    pub fn last_text(&self) -> &str {
        &self.last_text
    }

    /// The local address of the socket.
    pub fn local_address(&self) -> Option<std::net::SocketAddr> {
        self.socket.get_ref().tcp().local_addr().ok()
    }

    fn remember_refusal(&mut self, incoming: &Incoming) {
        // Only the error right before a close is the close's reason.
        self.refusal = match incoming {
            Incoming::Control(control) => match &control.body {
                ControlBody::Error(error) => Some(error.clone()),
                _ => None,
            },
            _ => None,
        };
    }

    fn end(&mut self, mut ended: Ended) -> Box<Ended> {
        ended.error = self.refusal.take();
        self.ended.insert(Box::new(ended)).clone()
    }
}
