//! Bytes on a socket: handshakes and frames that no client library would send.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::timeout,
};

const WAIT: Duration = Duration::from_secs(10);

pub const TEXT: u8 = 0x1;
pub const BINARY: u8 = 0x2;
pub const CLOSE: u8 = 0x8;
pub const PING: u8 = 0x9;
pub const PONG: u8 = 0xa;
pub const FIN: u8 = 0x80;

/// A TCP connection and what was read of it ahead of need.
pub struct Wire {
    stream: TcpStream,
    read: Vec<u8>,
}

/// A frame as it came.
#[derive(Debug)]
pub struct RawFrame {
    pub opcode: u8,
    pub payload: Vec<u8>,
}

/// The head of an HTTP answer.
#[derive(Debug)]
pub struct Head {
    pub status: u16,
    pub text: String,
}

impl Head {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.text
            .lines()
            .filter_map(|line| line.split_once(": "))
            .find_map(|(found, value)| found.eq_ignore_ascii_case(name).then_some(value.trim()))
    }
}

/// The head of a good handshake, with more header lines.
pub fn handshake(path: &str, lines: &[&str]) -> String {
    let mut head = format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    );
    for line in lines {
        head.push_str(line);
        head.push_str("\r\n");
    }
    head + "\r\n"
}

/// A frame as a client sends it: masked.
pub fn masked(first_byte: u8, payload: &[u8]) -> Vec<u8> {
    let mask = [0x1d, 0x2e, 0x3f, 0x4a];
    let mut bytes = header(first_byte, 0x80, payload.len());
    bytes.extend(mask);
    bytes.extend(payload.iter().enumerate().map(|(index, byte)| byte ^ mask[index % 4]));
    bytes
}

/// A frame as only a server may send it: not masked.
pub fn unmasked(first_byte: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = header(first_byte, 0, payload.len());
    bytes.extend(payload);
    bytes
}

fn header(first_byte: u8, mask_bit: u8, length: usize) -> Vec<u8> {
    match length {
        0..=125 => vec![first_byte, mask_bit | length as u8],
        126..=0xffff => {
            let [a, b] = (length as u16).to_be_bytes();
            vec![first_byte, mask_bit | 126, a, b]
        }
        _ => [vec![first_byte, mask_bit | 127], (length as u64).to_be_bytes().to_vec()].concat(),
    }
}

impl Wire {
    pub async fn dial(address: SocketAddr) -> Self {
        let stream = timeout(WAIT, TcpStream::connect(address)).await.unwrap().unwrap();
        Self { stream, read: Vec::new() }
    }

    /// A connection from a local address such as 127.0.0.7.
    pub async fn dial_from(source: [u8; 4], address: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((source, 0).into()).unwrap();
        let stream = timeout(WAIT, socket.connect(address)).await.unwrap().unwrap();
        Self { stream, read: Vec::new() }
    }

    /// A connection whose kernel buffer takes few bytes, so that a client that does not read is soon full.
    pub async fn dial_narrow(address: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        let stream = timeout(WAIT, socket.connect(address)).await.unwrap().unwrap();
        Self { stream, read: Vec::new() }
    }

    /// An open WebSocket of a user, welcomed.
    pub async fn welcomed(address: SocketAddr, token: &str) -> Self {
        let mut wire = Self::dial(address).await;
        wire.open(token).await;
        wire
    }

    /// Makes the connection a WebSocket of the token's user, and reads its welcome.
    pub async fn open(&mut self, token: &str) {
        self.write(handshake("/ws", &[&format!("Authorization: Bearer {token}")]).as_bytes()).await;
        assert_eq!(self.head().await.status, 101);
        let first = self.frame().await.unwrap();
        assert!(first.text().contains("connection_established"), "{first:?}");
    }

    /// Ends the connection with a reset: what is on its way in either direction is lost.
    pub fn reset(self) {
        self.stream.set_zero_linger().unwrap();
    }

    /// Reads some bytes, at most so many; how many came.
    pub async fn sip(&mut self, most: usize) -> usize {
        let mut bytes = vec![0; most];
        let came = timeout(WAIT, self.stream.read(&mut bytes)).await.expect("bytes in time").unwrap_or(0);
        self.read.extend(&bytes[..came]);
        came
    }

    /// Writes bytes; a server that closed already is no error, for its close is what is looked at next.
    pub async fn write(&mut self, bytes: &[u8]) {
        let _ = timeout(WAIT, self.stream.write_all(bytes)).await.expect("the server takes bytes");
    }

    /// Reads the head of an HTTP answer.
    pub async fn head(&mut self) -> Head {
        loop {
            if let Some(end) = self.read.windows(4).position(|window| window == b"\r\n\r\n") {
                let head: Vec<u8> = self.read.drain(..end + 4).collect();
                let text = String::from_utf8(head).unwrap();
                let status = text.split(' ').nth(1).and_then(|status| status.parse().ok());
                return Head { status: status.unwrap_or_else(|| panic!("no status: {text}")), text };
            }
            let shown = String::from_utf8_lossy(&self.read).into_owned();
            assert!(self.more().await, "the connection ended before a head: {shown:?}");
        }
    }

    /// The same; nothing when the connection ends first.
    pub async fn head_or_end(&mut self) -> Option<Head> {
        while !self.read.windows(4).any(|window| window == b"\r\n\r\n") {
            if !self.more().await {
                return None;
            }
        }
        Some(self.head().await)
    }

    /// The body of an HTTP answer that tells its length.
    pub async fn body(&mut self, head: &Head) -> String {
        let length = head.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        while self.read.len() < length && self.more().await {}
        let body = self.read.drain(..length.min(self.read.len())).collect();
        String::from_utf8(body).unwrap()
    }

    /// True when the connection ends within this time; what comes meanwhile is kept.
    pub async fn ends_within(&mut self, time: Duration) -> bool {
        matches!(timeout(time, self.stream.read_buf(&mut self.read)).await, Ok(Ok(0) | Err(_)))
    }

    /// The next frame; nothing when the connection is over.
    pub async fn frame(&mut self) -> Option<RawFrame> {
        loop {
            if let Some((frame, length)) = parse(&self.read) {
                self.read.drain(..length);
                return Some(frame);
            }
            if !self.more().await {
                return None;
            }
        }
    }

    /// Reads until a close frame and gives its code; nothing when the connection ended without one.
    pub async fn close_code(&mut self) -> Option<u16> {
        while let Some(frame) = self.frame().await {
            if frame.opcode == CLOSE {
                return frame.payload.first_chunk().map(|code| u16::from_be_bytes(*code));
            }
        }
        None
    }

    /// Reads the next frame that is a text of this type.
    pub async fn text_of_type(&mut self, kind: &str) -> serde_json::Value {
        loop {
            let frame = self.frame().await.unwrap_or_else(|| panic!("the connection ended before a {kind}"));
            let json: serde_json::Value = serde_json::from_slice(&frame.payload).unwrap_or_default();
            if frame.opcode == TEXT && json["type"] == kind {
                return json;
            }
        }
    }

    async fn more(&mut self) -> bool {
        let read = timeout(WAIT, self.stream.read_buf(&mut self.read)).await;
        matches!(read.expect("the server says something in time"), Ok(1..))
    }
}

impl RawFrame {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.payload).into_owned()
    }
}

fn parse(bytes: &[u8]) -> Option<(RawFrame, usize)> {
    let (opcode, short) = (bytes.first()? & 0x0f, bytes.get(1)? & 0x7f);
    let (length, start) = match short {
        126 => (u16::from_be_bytes(*bytes.get(2..)?.first_chunk()?) as usize, 4),
        127 => (u64::from_be_bytes(*bytes.get(2..)?.first_chunk()?) as usize, 10),
        short => (short as usize, 2),
    };
    let payload = bytes.get(start..start + length)?.to_vec();
    Some((RawFrame { opcode, payload }, start + length))
}
