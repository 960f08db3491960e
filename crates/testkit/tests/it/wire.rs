//! The kit's wire for tests: what fails panics, so does a frame that RFC 6455 forbids, and a connection that ends
//! inside of a frame is over.

use std::{net::SocketAddr, time::Duration};

use wireproof_faultproxy::wire::{self, strict::Strict};
pub use wireproof_faultproxy::wire::{
    BINARY, CLOSE, FIN, Head, PING, PONG, RawFrame, TEXT, WireError, handshake, handshake_at, masked,
    unmasked,
};

const WAIT: Duration = Duration::from_secs(10);

/// A TCP connection and the judge of the frames that come.
pub struct Wire {
    wire: wire::Wire,
    strict: Strict,
}

impl Wire {
    pub async fn dial(address: SocketAddr) -> Self {
        Self::judged(wire::Wire::dial(address, WAIT).await.unwrap())
    }

    /// A connection from a local address such as 127.0.0.7.
    pub async fn dial_from(source: [u8; 4], address: SocketAddr) -> Self {
        Self::judged(wire::Wire::dial_from(source, address, WAIT).await.unwrap())
    }

    /// A connection whose kernel buffer takes few bytes, so that a client that does not read is soon full.
    pub async fn dial_narrow(address: SocketAddr) -> Self {
        Self::judged(wire::Wire::dial_narrow(address, WAIT).await.unwrap())
    }

    fn judged(wire: wire::Wire) -> Self {
        Self { wire, strict: Strict::new() }
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
        self.wire.reset().unwrap();
    }

    /// Reads some bytes, at most so many; how many came.
    pub async fn sip(&mut self, most: usize) -> usize {
        self.wire.sip(most).await.unwrap()
    }

    /// Says that nothing more comes from here, and goes on reading.
    pub async fn finish(&mut self) {
        self.wire.finish().await;
    }

    /// True when something comes within this time, or the end; what comes is kept.
    pub async fn has_more_within(&mut self, time: Duration) -> bool {
        self.wire.allow(time);
        let came = self.wire.sip(1).await.is_ok();
        self.wire.allow(WAIT);
        came
    }

    /// Writes bytes; a server that closed already is no error, for its close is what is looked at next.
    pub async fn write(&mut self, bytes: &[u8]) {
        self.wire.write(bytes).await.unwrap();
    }

    /// Reads the head of an HTTP answer.
    pub async fn head(&mut self) -> Head {
        self.wire.head().await.unwrap()
    }

    /// The same; nothing when the connection ends first.
    pub async fn head_or_end(&mut self) -> Option<Head> {
        self.wire.head_or_end().await.unwrap()
    }

    /// The body of an HTTP answer that tells its length.
    pub async fn body(&mut self, head: &Head) -> String {
        self.wire.body(head).await.unwrap()
    }

    /// True when the connection ends within this time; what comes meanwhile is kept.
    pub async fn ends_within(&mut self, time: Duration) -> bool {
        self.wire.ends_within(time).await
    }

    /// The next frame; nothing when the connection is over.
    pub async fn frame(&mut self) -> Option<RawFrame> {
        let frame = match self.wire.frame().await {
            Err(WireError::Ended { .. }) => None,
            frame => frame.unwrap(),
        }?;
        self.strict.frame(&frame).unwrap_or_else(|violation| panic!("{violation}: {frame:?}"));
        Some(frame)
    }

    /// The next frame that is none of these kinds.
    pub async fn frame_but(&mut self, opcodes: &[u8]) -> Option<RawFrame> {
        loop {
            match self.frame().await {
                Some(frame) if opcodes.contains(&frame.opcode) => {}
                frame => return frame,
            }
        }
    }

    /// Reads until a close frame and gives its code; nothing when the connection ended without one.
    pub async fn close_code(&mut self) -> Option<u16> {
        while let Some(frame) = self.frame().await {
            if frame.opcode == CLOSE {
                return frame.close_code();
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
}
