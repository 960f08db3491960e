//! The cheapest client there can be: bytes in, frames counted. It masks with zeros, which RFC 6455 allows.

use std::{collections::VecDeque, time::Duration};

use anyhow::{Context, Result, anyhow, bail};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
};
use wireproof_protocol::{FrameHeader, TooLong};

use crate::{
    dialect::{Dialect, Position},
    login::{Login, Refused},
};

/// How long any one frame may take.
const PATIENCE: Duration = Duration::from_secs(30);

const TEXT: u8 = 1;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// A connection to a server.
pub struct Wire {
    stream: TcpStream,
    buffer: Vec<u8>,
    start: usize,
    dialect: Dialect,
    /// Frames that came before the welcome.
    early: VecDeque<Vec<u8>>,
    position: Position,
}

impl Wire {
    /// Connects and shakes hands; `query` goes behind `/ws`. Many connections come from many local addresses.
    pub async fn connect(address: &str, token: &str, query: &str, index: usize) -> Result<Self> {
        let socket = TcpSocket::new_v4()?;
        let mut wire =
            Self::open(socket, Dialect::Plain, address, token, &format!("/ws{query}"), index).await?;
        wire.welcome().await?;
        Ok(wire)
    }

    /// The same with a kernel buffer that takes few bytes: one who does not read is soon full.
    pub async fn connect_narrow(address: &str, token: &str, index: usize) -> Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.set_recv_buffer_size(4096)?;
        let mut wire = Self::open(socket, Dialect::Plain, address, token, "/ws", index).await?;
        wire.welcome().await?;
        Ok(wire)
    }

    /// The same as a user of a server of any dialect, from a position.
    pub async fn log_in(login: &Login, position: Position) -> Result<Self> {
        let Login { dialect, address, token, index } = login;
        let (path, join) = (dialect.path(&position), dialect.join(&position));
        let mut wire = Self::open(TcpSocket::new_v4()?, *dialect, address, token, &path, *index).await?;
        wire.position = position;
        if let Some(join) = join {
            // Engine.IO's own greeting comes first, and needs no answer.
            wire.frame().await?;
            wire.send(&join).await?;
            let joined = wire.first(|frame| frame.starts_with(b"40")).await?;
            wire.note(&joined);
        }
        let welcome = wire.welcome().await?;
        if wire.position.is_open() {
            wire.note(&welcome);
        }
        Ok(wire)
    }

    /// A TCP connection that has become a WebSocket.
    async fn open(
        socket: TcpSocket,
        dialect: Dialect,
        address: &str,
        token: &str,
        path: &str,
        index: usize,
    ) -> Result<Self> {
        // A source address has some 28,000 ports.
        socket.bind(([127, 0, 1, 1 + (index / 10_000) as u8], 0).into())?;
        let mut stream = socket.connect(address.parse()?).await?;
        stream.set_nodelay(true)?;
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             Authorization: Bearer {token}\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await?;
        let (buffer, early, position) = (Vec::with_capacity(1024), VecDeque::new(), Position::default());
        let mut wire = Self { stream, buffer, start: 0, dialect, early, position };
        wire.read_head().await?;
        Ok(wire)
    }

    async fn welcome(&mut self) -> Result<Vec<u8>> {
        let welcome = self.first(|frame| contains(frame, b"\"connection_established\"")).await?;
        self.buffer.shrink_to(0);
        Ok(welcome)
    }

    /// The frame that is meant, which has to be the first; Socket.IO brings what was missed before it.
    async fn first(&mut self, is_meant: impl Fn(&[u8]) -> bool) -> Result<Vec<u8>> {
        let mut missed = VecDeque::new();
        loop {
            let frame = self.frame().await?;
            if is_meant(&frame) {
                missed.append(&mut self.early);
                self.early = missed;
                return Ok(frame);
            }
            if self.dialect == Dialect::Plain {
                bail!("the first frame was not a welcome: {}", String::from_utf8_lossy(&frame));
            }
            missed.push_back(frame);
        }
    }

    /// Takes from a frame where its reader is now.
    pub fn note(&mut self, frame: &[u8]) {
        self.dialect.note(frame, &mut self.position);
    }

    /// Where the frames stopped that were noted.
    pub fn position(&self) -> Position {
        self.position.clone()
    }

    async fn read_head(&mut self) -> Result<()> {
        loop {
            if let Some(end) = self.buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                if !self.buffer.starts_with(b"HTTP/1.1 101") {
                    return Err(Refused(String::from_utf8_lossy(&self.buffer).into_owned()).into());
                }
                self.buffer.drain(..end + 4);
                return Ok(());
            }
            self.fill().await?;
        }
    }

    async fn fill(&mut self) -> Result<()> {
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        self.buffer.reserve(16 << 10);
        let read = tokio::time::timeout(PATIENCE, self.stream.read_buf(&mut self.buffer)).await;
        if read.context("the server was silent for too long")?? == 0 {
            bail!("the server closed the connection");
        }
        Ok(())
    }

    /// Sends a text.
    pub async fn send(&mut self, text: &str) -> Result<()> {
        self.write(TEXT, text.as_bytes()).await
    }

    async fn write(&mut self, opcode: u8, payload: &[u8]) -> Result<()> {
        let mut frame = Vec::with_capacity(FrameHeader::LONGEST + payload.len());
        // A mask of zeros changes nothing, and costs nothing.
        FrameHeader { first: 0x80 | opcode, mask: Some([0; 4]), length: payload.len() as u64 }
            .write(&mut frame);
        frame.extend(payload);
        self.stream.write_all(&frame).await?;
        Ok(())
    }

    /// The next whole message, fragments put together; pings are answered, other control frames passed over.
    pub async fn frame(&mut self) -> Result<Vec<u8>> {
        if let Some(early) = self.early.pop_front() {
            return Ok(early);
        }
        let mut message = Vec::new();
        loop {
            let header = FrameHeader::read(&self.buffer[self.start..]);
            let Some((head, header)) = header.map_err(|TooLong| anyhow!("a frame without an end"))? else {
                self.fill().await?;
                continue;
            };
            let length = head.length as usize;
            if self.buffer.len() - self.start < header + length {
                self.fill().await?;
                continue;
            }
            let payload = &self.buffer[self.start + header..self.start + header + length];
            self.start += header + length;
            match head.opcode() {
                0..=2 => message.extend_from_slice(payload),
                CLOSE => bail!("the server closed: {}", String::from_utf8_lossy(payload)),
                PING => {
                    let payload = payload.to_vec();
                    self.write(PONG, &payload).await?;
                }
                _ => {}
            }
            if !head.is_final() || head.opcode() > 2 {
                continue;
            }
            if self.dialect == Dialect::SocketIo && message == b"2" {
                self.send("3").await?;
                message.clear();
                continue;
            }
            return Ok(message);
        }
    }

    /// Reads until a message holds the text; returns how many messages came, and that one.
    pub async fn until(&mut self, text: &[u8]) -> Result<(usize, Vec<u8>)> {
        let mut count = 0;
        loop {
            let frame = self.frame().await?;
            count += 1;
            if contains(&frame, text) {
                return Ok((count, frame));
            }
        }
    }
}

/// True when the bytes hold the text.
pub fn contains(bytes: &[u8], text: &[u8]) -> bool {
    bytes.windows(text.len()).any(|window| window == text)
}

/// The number behind a name in a JSON text.
pub fn number(frame: &[u8], name: &str) -> Option<f64> {
    value(frame, name)?.split([',', '}']).next()?.parse().ok()
}

/// The text behind a name in a JSON text, as far as it has no escapes.
pub fn text(frame: &[u8], name: &str) -> Option<String> {
    value(frame, name)?.strip_prefix('"')?.split('"').next().map(str::to_owned)
}

fn value<'a>(frame: &'a [u8], name: &str) -> Option<&'a str> {
    let text = std::str::from_utf8(frame).ok()?;
    Some(&text[text.find(&format!("\"{name}\":"))? + name.len() + 3..])
}
