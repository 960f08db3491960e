//! A real server in the thread of the target: its tasks run while the target waits, so every input meets it idle.

use std::{cell::RefCell, future::Future, time::Duration};

use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    runtime::{Builder, Runtime},
    time::timeout,
};
use wireproof_protocol::{FrameHeader, UserId, apply_mask};
use wireproof_server::{Config, Server};

/// Longer than any answer takes; what takes longer is a finding.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
/// Inputs after which the server begins anew, so that what they stored does not fill the memory.
const INPUTS: usize = 20_000;

/// A server, a user with a token, and what the user has from the start.
pub(crate) struct Rig {
    runtime: Runtime,
    server: Server,
    pub(crate) token: String,
    /// The user's one thread.
    pub(crate) thread_id: String,
    /// The user's number line.
    pub(crate) epoch: String,
    inputs: usize,
    _folder: TempDir,
}

thread_local! {
    static RIG: RefCell<Option<Rig>> = const { RefCell::new(None) };
}

/// Events that the log of the rig's user begins with.
pub(crate) const EVENTS: u64 = 6;

/// Runs one input against this thread's server.
pub(crate) fn with(input: impl FnOnce(&Rig)) {
    RIG.with_borrow_mut(|place| {
        let worn = place.take_if(|rig| rig.inputs >= INPUTS);
        drop(worn);
        let rig = place.get_or_insert_with(Rig::new);
        rig.inputs += 1;
        input(rig);
    });
}

impl Rig {
    fn new() -> Self {
        let folder = TempDir::with_prefix("wireproof-fuzz-").unwrap();
        let mut config = Config { data_dir: folder.path().to_owned(), ..Config::default() };
        config.listen.set_port(0);
        config.limits.tool_seconds = 0.05;
        config.limits.run_seconds = 0.1;
        unlimited(&mut config);
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let server = runtime.block_on(Server::start(config)).unwrap();
        let token = server.keys().sign(&UserId::new("fuzz").unwrap(), Duration::from_secs(86_400));
        let mut rig = Self {
            runtime,
            server,
            token,
            thread_id: String::new(),
            epoch: String::new(),
            inputs: 0,
            _folder: folder,
        };
        for number in 1..=EVENTS {
            let reply =
                rig.request("POST", "/api/threads", "", format!("{{\"title\":\"{number}\"}}").as_bytes());
            rig.thread_id = reply.json["thread_id"].as_str().unwrap().to_owned();
        }
        let welcome = rig.block_on(async |rig: &Rig| {
            let mut socket = rig.upgrade("").await.expect("a good handshake");
            socket.frame().await.expect("a welcome")
        });
        rig.epoch = welcome.json()["epoch"].as_str().unwrap().to_owned();
        rig
    }

    /// Runs the server and this until this is done.
    pub(crate) fn block_on<'a, F: Future>(&'a self, work: impl FnOnce(&'a Self) -> F) -> F::Output {
        let done = self.runtime.block_on(async { timeout(PATIENCE, work(self)).await });
        done.unwrap_or_else(|_| panic!("not done within {PATIENCE:?}"))
    }

    async fn dial(&self) -> TcpStream {
        let stream = TcpStream::connect(self.server.address()).await.unwrap();
        stream.set_nodelay(true).unwrap();
        // Closed with a reset, so that ports are free again at once.
        stream.set_zero_linger().unwrap();
        stream
    }

    /// One request over a connection of its own.
    pub(crate) fn request(&self, method: &str, path: &str, lines: &str, body: &[u8]) -> Reply {
        self.block_on(async |rig: &Rig| {
            let mut stream = rig.dial().await;
            let head = format!(
                "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer {}\r\n\
                 Content-Length: {}\r\n{lines}\r\n",
                rig.token,
                body.len()
            );
            // A server that answers before it has read all may close: its answer is what counts.
            let _ = stream.write_all(head.as_bytes()).await;
            let _ = stream.write_all(body).await;
            let mut answer = Vec::new();
            let _ = stream.read_to_end(&mut answer).await;
            Reply::parse(&answer)
        })
    }

    /// Asks for a WebSocket with this query; an answer other than 101 comes back as its status.
    pub(crate) async fn upgrade(&self, query: &str) -> Result<Socket, u16> {
        let mut stream = self.dial().await;
        let head = format!(
            "GET /ws{query} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             Authorization: Bearer {}\r\n\r\n",
            self.token
        );
        let _ = stream.write_all(head.as_bytes()).await;
        let mut socket = Socket { stream, read: Vec::new() };
        let head = socket.head().await;
        let status: u16 = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        if status == 101 { Ok(socket) } else { Err(status) }
    }
}

/// No bound on what one user may ask for: the fuzzer is one user.
fn unlimited(config: &mut Config) {
    let limits = &mut config.limits;
    limits.connections_per_user = 0;
    limits.connections_per_address = 0;
    limits.unauthenticated_per_address = 0;
    limits.failed_tokens_per_minute = 0;
    limits.messages_per_minute = 0;
    limits.messages_per_minute_per_address = 0;
    limits.other_frames_per_minute = 0;
    limits.bytes_per_minute = 0;
    limits.handshakes_per_second = 0;
}

/// An answer over HTTP.
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
    pub(crate) json: serde_json::Value,
}

impl Reply {
    fn parse(answer: &[u8]) -> Self {
        let answer = String::from_utf8(answer.to_vec()).expect("an answer is UTF-8");
        let (head, body) = answer.split_once("\r\n\r\n").expect("an answer has a head");
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        let json = serde_json::from_str(body).unwrap_or_default();
        Self { status, head: head.to_ascii_lowercase(), body: body.to_owned(), json }
    }
}

/// A connection after its upgrade, with nothing between the target and the bytes.
pub(crate) struct Socket {
    stream: TcpStream,
    read: Vec<u8>,
}

/// One frame of the server.
pub(crate) struct Frame {
    pub(crate) first: u8,
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.payload).unwrap_or_default()
    }
}

impl Socket {
    async fn head(&mut self) -> String {
        loop {
            if let Some(end) = self.read.windows(4).position(|window| window == b"\r\n\r\n") {
                return String::from_utf8(self.read.drain(..end + 4).collect()).expect("a head is UTF-8");
            }
            assert!(self.more().await, "the connection ended before a head");
        }
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        // A server that has closed is no finding; what it said before is.
        let _ = self.stream.write_all(bytes).await;
    }

    /// Says that nothing more comes.
    pub(crate) async fn finish(&mut self) {
        let _ = self.stream.shutdown().await;
    }

    /// The next frame; nothing when the connection is over.
    pub(crate) async fn frame(&mut self) -> Option<Frame> {
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

    async fn more(&mut self) -> bool {
        matches!(self.stream.read_buf(&mut self.read).await, Ok(1..))
    }
}

fn parse(bytes: &[u8]) -> Option<(Frame, usize)> {
    let (head, start) = FrameHeader::read(bytes).expect("a server's frame has an end")?;
    assert!(head.mask.is_none(), "a server masks nothing");
    let end = start + head.length as usize;
    let payload = bytes.get(start..end)?.to_vec();
    Some((Frame { first: head.first, payload }, end))
}

/// A frame as a client sends it: masked.
pub(crate) fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mask = Some([0x1d, 0x2e, 0x3f, 0x4a]);
    let mut bytes = Vec::with_capacity(FrameHeader::LONGEST + payload.len());
    FrameHeader { first, mask, length: payload.len() as u64 }.write(&mut bytes);
    let start = bytes.len();
    bytes.extend(payload);
    apply_mask(&mut bytes[start..], mask);
    bytes
}
