//! The fault proxy, observed from both ends of real connections: it does on the wire what it says, and nothing else.
#![allow(clippy::unwrap_used)]

use std::{io, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};
use wireproof_faultproxy::{Entry, FaultProxy, Toxic};

mod bytes;
mod ends;
mod frames;
mod leaks;
mod resume;

const WAIT: Duration = Duration::from_secs(20);

/// What a server and a client say to make the rest of a connection frames.
const REQUEST: &[u8] = b"GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n";
const ANSWER: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n";

/// A listener, and a proxy in front of it.
struct Site {
    listener: TcpListener,
    proxy: FaultProxy,
}

/// Both ends of one connection through a proxy.
struct Ends {
    client: TcpStream,
    server: TcpStream,
}

impl Site {
    async fn start(seed: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = FaultProxy::start(listener.local_addr().unwrap(), seed).await.unwrap();
        Self { listener, proxy }
    }

    async fn with(toxic: Toxic) -> Self {
        let site = Self::start(1).await;
        site.proxy.add(toxic);
        site
    }

    async fn dial(&self) -> TcpStream {
        let client = timeout(WAIT, TcpStream::connect(self.proxy.address())).await.unwrap().unwrap();
        client.set_nodelay(true).unwrap();
        client
    }

    /// A connection through the proxy; accepted at the server's end.
    async fn connect(&self) -> Ends {
        let client = self.dial().await;
        let (server, _) = timeout(WAIT, self.listener.accept()).await.unwrap().unwrap();
        server.set_nodelay(true).unwrap();
        Ends { client, server }
    }

    /// The same, after the handshake of a WebSocket.
    async fn upgraded(&self) -> Ends {
        let mut ends = self.connect().await;
        write(&mut ends.client, REQUEST).await;
        assert_eq!(read(&mut ends.server, REQUEST.len()).await, REQUEST);
        write(&mut ends.server, ANSWER).await;
        assert_eq!(read(&mut ends.client, ANSWER.len()).await, ANSWER);
        ends
    }

    /// Waits for the journal's n-th entry and gives all so far.
    async fn journal(&self, entries: u64) -> Vec<Entry> {
        timeout(WAIT, self.proxy.journal_grown(entries - 1)).await.expect("an entry in time");
        self.proxy.journal()
    }

    /// Waits until the connection has ended and gives how.
    async fn end_of(&self, number: u64) -> wireproof_faultproxy::End {
        let ended = async {
            loop {
                let known = self.proxy.connections().into_iter().find(|known| known.number == number);
                if let Some(end) = known.and_then(|known| known.end) {
                    return end;
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(WAIT, ended).await.expect("the connection ends in time")
    }
}

async fn write(to: &mut TcpStream, bytes: &[u8]) {
    timeout(WAIT, to.write_all(bytes)).await.expect("the bytes are taken in time").unwrap();
}

/// Exactly so many bytes.
async fn read(from: &mut TcpStream, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    let read = timeout(WAIT, from.read_exact(&mut bytes)).await;
    read.expect("the bytes come in time").unwrap();
    bytes
}

/// All bytes until the end, and how it ended.
async fn read_out(from: &mut TcpStream) -> (Vec<u8>, io::Result<()>) {
    let mut bytes = Vec::new();
    let ended = timeout(WAIT, from.read_to_end(&mut bytes)).await.expect("the connection ends in time");
    (bytes, ended.map(|_| ()))
}

/// True when an end came as a reset.
fn is_reset(ended: &io::Result<()>) -> bool {
    matches!(ended, Err(error) if error.kind() == io::ErrorKind::ConnectionReset)
}

/// Nothing is there to be read now.
fn is_silent(from: &TcpStream) -> bool {
    matches!(from.try_read(&mut [0; 1]), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
}
