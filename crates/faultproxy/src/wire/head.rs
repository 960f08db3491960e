//! Handshakes as text: the request that a test writes by hand, and the head of the answer.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::{Engine, engine::general_purpose::STANDARD};

use super::{WireError, seen};

/// The key of every handshake here.
pub const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
/// What RFC 6455 puts behind the key before it is hashed.
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// The head of an HTTP answer.
#[derive(Debug, Clone)]
pub struct Head {
    /// The status.
    pub status: u16,
    /// All of it, as it came.
    pub text: String,
}

impl Head {
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, WireError> {
        let malformed = |why| WireError::Malformed { what: "head of an HTTP answer", why, seen: seen(bytes) };
        let text = String::from_utf8(bytes.to_vec()).map_err(|_| malformed("it is not UTF-8"))?;
        if !text.starts_with("HTTP/") {
            return Err(malformed("it does not begin with HTTP/"));
        }
        let status = text.split(' ').nth(1).and_then(|status| status.parse().ok());
        Ok(Self { status: status.ok_or_else(|| malformed("it has no status"))?, text })
    }

    /// The value of the first header of this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        let lines = self.text.lines().skip(1).filter_map(|line| line.split_once(':'));
        let mut values =
            lines.filter_map(|(found, value)| found.eq_ignore_ascii_case(name).then_some(value.trim()));
        values.next()
    }
}

/// The head of a good handshake with a server on this machine, with more header lines.
pub fn handshake(path: &str, lines: &[&str]) -> String {
    handshake_at("localhost", path, lines)
}

/// The head of a good handshake with a host, with more header lines.
pub fn handshake_at(host: &str, path: &str, lines: &[&str]) -> String {
    let mut head = format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n"
    );
    for line in lines {
        head.push_str(line);
        head.push_str("\r\n");
    }
    head + "\r\n"
}

/// The `Sec-WebSocket-Accept` that a key has to be answered with.
pub fn accept_of(key: &str) -> String {
    STANDARD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, format!("{key}{GUID}").as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_standard() {
        assert_eq!(accept_of(KEY), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn what_is_no_head_is_refused_with_its_reason() {
        let head =
            Head::parse(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade:websocket\r\nX: \r\n\r\n").unwrap();
        assert_eq!(
            (head.status, head.header("upgrade"), head.header("x")),
            (101, Some("websocket"), Some(""))
        );
        for (bytes, why) in [
            (&b"SSH-2.0-x\r\n\r\n"[..], "it does not begin with HTTP/"),
            (b"HTTP/1.1 ok\r\n\r\n", "it has no status"),
            (b"\xff\r\n\r\n", "it is not UTF-8"),
        ] {
            let error = Head::parse(bytes).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }
}
