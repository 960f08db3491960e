//! Ways around the front door: no credentials, credentials in the wrong place, headers that once switched checks off,
//! foreign origins, and heads that are not HTTP as it should be.

use super::{
    row::{Row, Saw, answer, closed, head, http, raw, socket, steps},
    site::Site,
};
use crate::wire::{Wire, handshake};

fn outside() -> Saw {
    closed("unauthenticated", 1008)
}

/// A handshake with this line and nothing that says who it is.
fn line(line: impl Into<String>) -> (String, Vec<String>) {
    ("/ws".to_owned(), vec![line.into()])
}

fn at(path: impl Into<String>) -> (String, Vec<String>) {
    (path.into(), Vec::new())
}

/// A handshake of the attacker with this line.
fn mine(site: &Site, line: impl Into<String>) -> (String, Vec<String>) {
    ("/ws".to_owned(), vec![format!("Authorization: Bearer {}", site.attacker.token()), line.into()])
}

#[rustfmt::skip]
pub fn rows() -> Vec<Row> {
    vec![
        // Nobody, or somebody in the wrong place.
        head("a chat as the first frame", outside(), |_| at("/ws")),
        head("the same at the other address", outside(), |_| at("/websocket")),
        head("a token in the address", outside(), |s| at(format!("/ws?token={}", s.victim.token()))),
        head("a token in the address and an environment", outside(), |s| at(format!("/ws?token={}&env=testing", s.victim.token()))),
        head("a user in the address", outside(), |_| at("/ws?user_id=victim")),
        head("a token in a cookie", outside(), |s| line(format!("Cookie: token={}", s.victim.token()))),
        head("a token under another scheme", outside(), |s| line(format!("Authorization: Basic {}", s.victim.token()))),
        head("a token without a scheme", outside(), |s| line(format!("Authorization: {}", s.victim.token()))),
        head("a token in a header of another name", outside(), |s| line(format!("X-Access-Token: {}", s.victim.token()))),
        head("a token as a bare subprotocol", outside(), |s| line(format!("Sec-WebSocket-Protocol: wireproof.v1, {}", s.victim.token()))),
        // The headers that switched checks off elsewhere.
        head("X-Test-Type: e2e", outside(), |_| line("X-Test-Type: e2e")),
        head("X-Test-Type: integration", outside(), |_| line("X-Test-Type: integration")),
        head("X-Test-Environment: staging", outside(), |_| line("X-Test-Environment: staging")),
        head("X-E2E-Test: true", outside(), |_| line("X-E2E-Test: true")),
        head("X-Test-Mode: true", outside(), |_| line("X-Test-Mode: true")),
        head("X-Environment: development", outside(), |_| line("X-Environment: development")),
        head("X-User-Id: victim", outside(), |_| line("X-User-Id: victim")),
        head("X-Forwarded-User: victim", outside(), |_| line("X-Forwarded-User: victim")),
        head("the subprotocol e2e-testing", outside(), |_| line("Sec-WebSocket-Protocol: e2e-testing, staging-auth")),
        head("a bypass beside a bad token", outside(), |_| ("/ws".into(), vec!["X-E2E-Test: true".into(), "Authorization: Bearer bad".into()])),
        // Origins.
        head("the origin of another site", http(403, "forbidden"), |s| mine(s, "Origin: https://evil.example")),
        head("an origin that begins like ours", http(403, "forbidden"), |s| mine(s, "Origin: http://localhost.evil.example")),
        head("an origin that ends like ours", http(403, "forbidden"), |s| mine(s, "Origin: http://evil-localhost")),
        head("our host on another port", http(403, "forbidden"), |s| mine(s, "Origin: http://localhost:1")),
        head("the origin null", http(403, "forbidden"), |s| mine(s, "Origin: null")),
        head("an origin that is none", http(403, "forbidden"), |s| mine(s, "Origin: victim")),
        head("two origins, one of them ours", http(403, "forbidden"), |s| mine(s, "Origin: http://localhost\r\nOrigin: https://evil.example")),
        // Heads.
        head("a header of 70 KiB", http(431, "message_too_large"), |s| mine(s, format!("X-Long: {}", "x".repeat(70 << 10)))),
        steps("a handshake a byte at a time", Saw::Cut, slow),
        steps("a connection that says nothing", Saw::Cut, silent),
        steps("a handshake and then no word", outside(), |s| async move { vec![socket(&s, "/ws", &[], &[]).await] }),
        steps("two lengths", http(400, ""), |s| async move { vec![smuggled(&s, "Content-Length: 2\r\nContent-Length: 60\r\n").await] }),
        steps("a length and chunks that are none", http(422, "invalid_frame"), |s| async move { vec![smuggled(&s, "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n").await] }),
        steps("paths that climb", http(404, "not_found"), climbing),
    ]
}

/// Writes a good handshake of the attacker a byte at a time, until somebody has enough of it.
async fn slow(site: std::sync::Arc<Site>) -> Vec<Saw> {
    let mut wire = Wire::dial(site.server.address()).await;
    let head = handshake("/ws", &[&format!("Authorization: Bearer {}", site.attacker.token())]);
    for byte in head.bytes() {
        wire.write(&[byte]).await;
        if wire.ends_within(std::time::Duration::from_millis(20)).await {
            return vec![Saw::Cut];
        }
    }
    vec![answer(&mut wire).await]
}

async fn silent(site: std::sync::Arc<Site>) -> Vec<Saw> {
    vec![raw(&site, b"").await]
}

/// A request with another one hidden in its body, which would delete the victim's thread if it were carried out.
async fn smuggled(site: &Site, lines: &str) -> Saw {
    let (token, theirs) = (site.attacker.token(), site.victim.token());
    let hidden = format!(
        "DELETE /api/threads/{} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {theirs}\r\n\r\n",
        site.thread_id
    );
    let request = format!(
        "POST /api/threads HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n{lines}\r\n{{}}{hidden}"
    );
    raw(site, request.as_bytes()).await
}

async fn climbing(site: std::sync::Arc<Site>) -> Vec<Saw> {
    let mut seen = Vec::new();
    for path in [
        "/../../etc/passwd",
        "/api/threads/../../../etc/passwd",
        "/api/threads/..%2f..%2fetc%2fpasswd",
        "/api/threads/%2e%2e/%2e%2e/jwt.key",
        "/ws/../jwt.key",
        "//etc/passwd",
        "/api/threads/%00",
    ] {
        let reply = site.attacker.get(path).await;
        seen.push(Saw::http(reply.status, reply.error_code(), &reply.body));
    }
    seen
}
