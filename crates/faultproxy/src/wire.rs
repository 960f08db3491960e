//! Bytes on a socket: handshakes and frames that no client library would send, and what comes back as it came.
//! Nothing here is a client: nothing is answered, checked or hidden by itself.

mod frame;
mod head;
pub mod strict;

pub use frame::{
    BINARY, CLOSE, CONTINUATION, FIN, PING, PONG, RSV1, RSV2, RSV3, RawFrame, TEXT, masked, unmasked,
};
pub use head::{Head, KEY, accept_of, handshake, handshake_at};

use std::{io, net::SocketAddr, time::Duration};

use thiserror::Error;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::{Instant, timeout, timeout_at},
};

/// Bytes that are kept for what is read next: a whole frame of the largest size, and some. What sends more is not waited for.
const KEPT: usize = 65 << 20;
/// Bytes of a kernel buffer that is soon full.
const NARROW: u32 = 4096;

/// Why bytes did not go or come.
#[derive(Debug, Error)]
pub enum WireError {
    /// No connection.
    #[error("no connection to {address}: {cause}")]
    Dial {
        /// Where to.
        address: SocketAddr,
        /// What the kernel said.
        cause: io::Error,
    },
    /// The time was over.
    #[error("{what} took longer than {within:?}; so far came {seen:?}")]
    Late {
        /// What was waited for.
        what: &'static str,
        /// How long.
        within: Duration,
        /// What had come, unused.
        seen: String,
    },
    /// The connection ended inside of something.
    #[error("the connection ended before {what}; the last that came is {seen:?}")]
    Ended {
        /// What was waited for.
        what: &'static str,
        /// What had come, unused.
        seen: String,
    },
    /// What came is not what was waited for.
    #[error("what came is no {what}: {why}; it begins with {seen:?}")]
    Malformed {
        /// What was waited for.
        what: &'static str,
        /// What is wrong with it.
        why: &'static str,
        /// How it begins.
        seen: String,
    },
}

/// A TCP connection, what was read of it ahead of need, and how long each step on it may take.
#[derive(Debug)]
pub struct Wire {
    stream: TcpStream,
    read: Vec<u8>,
    within: Duration,
}

impl Wire {
    /// A connection on which each step, dialling included, has this much time.
    pub async fn dial(address: SocketAddr, within: Duration) -> Result<Self, WireError> {
        Self::connect(Ok, address, within).await
    }

    /// A connection from a local address such as 127.0.0.7.
    pub async fn dial_from(
        source: [u8; 4],
        address: SocketAddr,
        within: Duration,
    ) -> Result<Self, WireError> {
        let bound = |socket: TcpSocket| socket.bind((source, 0).into()).map(|()| socket);
        Self::connect(bound, address, within).await
    }

    /// A connection whose kernel buffer takes few bytes, so that a client that does not read is soon full.
    pub async fn dial_narrow(address: SocketAddr, within: Duration) -> Result<Self, WireError> {
        let narrow = |socket: TcpSocket| socket.set_recv_buffer_size(NARROW).map(|()| socket);
        Self::connect(narrow, address, within).await
    }

    async fn connect(
        prepare: impl FnOnce(TcpSocket) -> io::Result<TcpSocket>,
        address: SocketAddr,
        within: Duration,
    ) -> Result<Self, WireError> {
        let failed = |cause| WireError::Dial { address, cause };
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() };
        let socket = socket.and_then(prepare).map_err(failed)?;
        let dialled = timeout(within, socket.connect(address)).await;
        let late = |_| WireError::Late { what: "a connection", within, seen: String::new() };
        let stream = dialled.map_err(late)?.map_err(failed)?;
        // Each write is to be its own segment, as far as the kernel lets it.
        stream.set_nodelay(true).map_err(failed)?;
        Ok(Self { stream, read: Vec::new(), within })
    }

    /// Gives each further step another time.
    pub fn allow(&mut self, within: Duration) {
        self.within = within;
    }

    /// The local end.
    pub fn local_address(&self) -> io::Result<SocketAddr> {
        self.stream.local_addr()
    }

    /// Has the kernel acknowledge what comes at once, or as late as it may; every byte that goes or comes undoes it.
    #[cfg(target_os = "linux")]
    pub fn acknowledge_at_once(&self, at_once: bool) -> io::Result<()> {
        Ok(rustix::net::sockopt::set_tcp_quickack(&self.stream, at_once)?)
    }

    /// Has the kernel acknowledge what comes at once: this system cannot be told.
    #[cfg(not(target_os = "linux"))]
    pub fn acknowledge_at_once(&self, _: bool) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Ends the connection with a reset: what is on its way in either direction is lost.
    pub fn reset(self) -> io::Result<()> {
        self.stream.set_zero_linger()
    }

    /// Says that nothing more comes from here, and goes on reading.
    pub async fn finish(&mut self) {
        // A connection that is over already has nothing more to say.
        let _ = self.stream.shutdown().await;
    }

    /// Writes bytes; a server that closed already is no error, for its close is what is looked at next.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), WireError> {
        let written = timeout(self.within, self.stream.write_all(bytes)).await;
        written.map_or_else(|_| Err(self.late("taking our bytes")), |_| Ok(()))
    }

    /// Reads some bytes, at most so many, and keeps them for what is read next; how many came, 0 at the end.
    pub async fn sip(&mut self, most: usize) -> Result<usize, WireError> {
        let mut bytes = vec![0; most];
        let came = match timeout(self.within, self.stream.read(&mut bytes)).await {
            Ok(came) => came.unwrap_or(0),
            Err(_) => return Err(self.late("some bytes")),
        };
        self.read.extend(&bytes[..came]);
        Ok(came)
    }

    /// Reads the head of an HTTP answer.
    pub async fn head(&mut self) -> Result<Head, WireError> {
        self.head_or_end().await?.ok_or_else(|| self.ended("the head of an answer"))
    }

    /// The same; nothing when the connection ends first.
    pub async fn head_or_end(&mut self) -> Result<Option<Head>, WireError> {
        let deadline = self.deadline();
        loop {
            if let Some(end) = self.read.windows(4).position(|window| window == b"\r\n\r\n") {
                let bytes: Vec<u8> = self.read.drain(..end + 4).collect();
                return Head::parse(&bytes).map(Some);
            }
            if !self.more("the head of an answer", deadline).await? {
                return Ok(None);
            }
        }
    }

    /// The body of an HTTP answer that tells its length; shorter when the connection ends first.
    pub async fn body(&mut self, head: &Head) -> Result<String, WireError> {
        let deadline = self.deadline();
        let length = head.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        while self.read.len() < length && self.more("a body", deadline).await? {}
        let body: Vec<u8> = self.read.drain(..length.min(self.read.len())).collect();
        String::from_utf8(body).map_err(|error| WireError::Malformed {
            what: "body",
            why: "it is not UTF-8",
            seen: seen(error.as_bytes()),
        })
    }

    /// True when the connection ends within this time; what comes meanwhile is kept.
    pub async fn ends_within(&mut self, time: Duration) -> bool {
        let deadline = Instant::now() + time;
        while let Ok(came) = timeout_at(deadline, self.stream.read_buf(&mut self.read)).await {
            if self.read.len() > KEPT {
                return false;
            }
            if !matches!(came, Ok(1..)) {
                return true;
            }
        }
        false
    }

    /// The next frame; nothing when the connection is over.
    pub async fn frame(&mut self) -> Result<Option<RawFrame>, WireError> {
        let deadline = self.deadline();
        loop {
            if let Some((frame, length)) = RawFrame::parse(&self.read)? {
                self.read.drain(..length);
                return Ok(Some(frame));
            }
            if !self.more("a frame", deadline).await? {
                return if self.read.is_empty() { Ok(None) } else { Err(self.ended("the end of a frame")) };
            }
        }
    }

    /// Reads until a close frame and gives its code; nothing when it has none, or the connection ended without one.
    pub async fn close_code(&mut self) -> Result<Option<u16>, WireError> {
        while let Some(frame) = self.frame().await? {
            if frame.opcode == CLOSE {
                return Ok(frame.close_code());
            }
        }
        Ok(None)
    }

    fn deadline(&self) -> Instant {
        Instant::now() + self.within
    }

    /// Reads more; false when the connection is over, in order or not.
    async fn more(&mut self, what: &'static str, deadline: Instant) -> Result<bool, WireError> {
        if self.read.len() > KEPT {
            return Err(WireError::Malformed {
                what,
                why: "it has no end in 65 MiB",
                seen: seen(&self.read),
            });
        }
        match timeout_at(deadline, self.stream.read_buf(&mut self.read)).await {
            Ok(came) => Ok(matches!(came, Ok(1..))),
            Err(_) => Err(self.late(what)),
        }
    }

    fn late(&self, what: &'static str) -> WireError {
        WireError::Late { what, within: self.within, seen: seen(&self.read) }
    }

    fn ended(&self, what: &'static str) -> WireError {
        WireError::Ended { what, seen: seen(&self.read) }
    }
}

/// How bytes begin, for a message.
fn seen(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(200)]).into_owned()
}
