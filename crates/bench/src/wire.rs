//! The cheapest client there can be: bytes in, frames counted. It masks with zeros, which RFC 6455 allows.

use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
};
use wireproof_protocol::{FrameHeader, TooLong};

/// How long any one frame may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// A connection to a server.
pub struct Wire {
    stream: TcpStream,
    buffer: Vec<u8>,
    start: usize,
}

impl Wire {
    /// Connects and shakes hands; `query` goes behind `/ws`. Many connections come from many local addresses.
    pub async fn connect(address: &str, token: &str, query: &str, index: usize) -> Result<Self> {
        Self::connect_by(TcpSocket::new_v4()?, address, token, query, index).await
    }

    /// The same with a kernel buffer that takes few bytes: one who does not read is soon full.
    pub async fn connect_narrow(address: &str, token: &str, index: usize) -> Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.set_recv_buffer_size(4096)?;
        Self::connect_by(socket, address, token, "", index).await
    }

    async fn connect_by(
        socket: TcpSocket,
        address: &str,
        token: &str,
        query: &str,
        index: usize,
    ) -> Result<Self> {
        // A source address has some 28,000 ports.
        socket.bind(([127, 0, 1, 1 + (index / 10_000) as u8], 0).into())?;
        let mut stream = socket.connect(address.parse()?).await?;
        stream.set_nodelay(true)?;
        let request = format!(
            "GET /ws{query} HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             Authorization: Bearer {token}\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await?;
        let mut wire = Self { stream, buffer: Vec::with_capacity(1024), start: 0 };
        wire.read_head().await?;
        let welcome = wire.frame().await?;
        if !contains(&welcome, b"connection_established") {
            bail!("the first frame was not a welcome: {}", String::from_utf8_lossy(&welcome));
        }
        wire.buffer.shrink_to(0);
        Ok(wire)
    }

    async fn read_head(&mut self) -> Result<()> {
        loop {
            if let Some(end) = self.buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                if !self.buffer.starts_with(b"HTTP/1.1 101") {
                    bail!("the handshake was refused: {}", String::from_utf8_lossy(&self.buffer));
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
        let mut frame = Vec::with_capacity(FrameHeader::LONGEST + text.len());
        // A mask of zeros changes nothing, and costs nothing.
        FrameHeader { first: 0x81, mask: Some([0; 4]), length: text.len() as u64 }.write(&mut frame);
        frame.extend(text.as_bytes());
        self.stream.write_all(&frame).await?;
        Ok(())
    }

    /// The next whole message, fragments put together; control frames are passed over.
    pub async fn frame(&mut self) -> Result<Vec<u8>> {
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
            match head.opcode() {
                0..=2 => message.extend_from_slice(payload),
                8 => bail!("the server closed: {}", String::from_utf8_lossy(payload)),
                _ => {}
            }
            self.start += header + length;
            if head.is_final() && head.opcode() <= 2 {
                return Ok(message);
            }
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
    let text = std::str::from_utf8(frame).ok()?;
    let rest = &text[text.find(&format!("\"{name}\":"))? + name.len() + 3..];
    rest.split([',', '}']).next()?.parse().ok()
}
