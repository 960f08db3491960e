//! Requests that two readers of HTTP could read differently: refused, and nothing that is hidden in them is carried out.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use wireproof_testkit::{DEADLINE, TestServer};

/// What must come of a request.
enum Answer {
    /// This status, and the connection is closed: what follows is not read as a request.
    Closed(u16),
    /// No word, and the connection is closed.
    Silent,
    /// This status for the first request, which asks for a close itself.
    Status(u16),
}

use Answer::{Closed, Silent, Status};

/// The request that must not be carried out: it would make a thread.
fn hidden(token: &str) -> String {
    format!(
        "POST /api/threads HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nContent-Length: 19\r\n\r\n\
         {{\"title\":\"smuggle\"}}"
    )
}

/// Sends bytes and reads until the server closes, which it has to: each status, and the whole text.
async fn answers(server: &TestServer, bytes: &[u8]) -> (Vec<u16>, String) {
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    // A server that has heard enough may close while more is being sent.
    let _ = stream.write_all(bytes).await;
    let mut text = Vec::new();
    let read = timeout(DEADLINE, stream.read_to_end(&mut text)).await;
    // A reset after the answer is a close too.
    let _ = read.expect("the server closes in time");
    let text = String::from_utf8_lossy(&text).into_owned();
    let heads = text.match_indices("HTTP/1.1 ").filter_map(|(at, _)| text.get(at + 9..at + 12)?.parse().ok());
    (heads.collect(), text)
}

/// What a row's request does that needs an eye on the threads of the user.
async fn threads(server: &TestServer) -> u64 {
    server.user("ada").get("/api/threads").await.json["total"].as_u64().unwrap()
}

async fn table(rows: &[(&str, String, Answer)]) {
    let server = TestServer::start_with(|config| config.limits.messages_per_minute = 0).await;
    let token = server.user("ada").token();
    for (name, request, answer) in rows {
        let request = request.replace("TOKEN", &token).replace("HIDDEN", &hidden(&token));
        let (statuses, text) = answers(&server, request.as_bytes()).await;
        match answer {
            Closed(status) => assert_eq!(statuses, [*status], "{name}: {text}"),
            Silent => assert!(text.is_empty(), "{name}: {text}"),
            Status(status) => assert_eq!(statuses.first(), Some(status), "{name}: {text}"),
        }
        assert_eq!(threads(&server).await, 0, "{name}: something was carried out: {text}");
    }
    assert_eq!((server.connections(), server.runs()), (0, 0));
}

#[tokio::test]
async fn lengths_that_contradict_each_other() {
    let post = |lines: &str, body: &str| {
        format!(
            "POST /api/threads HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer TOKEN\r\n{lines}\r\n{body}"
        )
    };
    table(&[
        ("two lengths", post("Content-Length: 5\r\nContent-Length: 0\r\n", "nonseHIDDEN"), Closed(400)),
        ("two lengths in one line", post("Content-Length: 5, 0\r\n", "nonseHIDDEN"), Closed(400)),
        ("a length with a sign", post("Content-Length: +5\r\n", "nonseHIDDEN"), Closed(400)),
        ("a length in hex", post("Content-Length: 0x5\r\n", "nonseHIDDEN"), Closed(400)),
        ("a length of no digits", post("Content-Length: \r\n", "HIDDEN"), Closed(400)),
        ("a length beyond numbers", post("Content-Length: 99999999999999999999\r\n", "HIDDEN"), Closed(400)),
        (
            "a length and chunks",
            post("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "5\r\nnonse\r\n0\r\n\r\nHIDDEN"),
            Closed(400),
        ),
        (
            "chunks and a length",
            post("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", "5\r\nnonse\r\n0\r\n\r\nHIDDEN"),
            Closed(400),
        ),
        (
            "chunks that are not last",
            post("Transfer-Encoding: chunked, identity\r\n", "0\r\n\r\nHIDDEN"),
            Closed(400),
        ),
        ("an unknown encoding", post("Transfer-Encoding: xchunked\r\n", "0\r\n\r\nHIDDEN"), Closed(400)),
        (
            "chunks twice",
            post("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", "0\r\n\r\nHIDDEN"),
            Closed(400),
        ),
        (
            "a chunk without a size",
            post("Transfer-Encoding: chunked\r\n", "z\r\nnonse\r\n0\r\n\r\nHIDDEN"),
            Closed(422),
        ),
        (
            "a chunk of a negative size",
            post("Transfer-Encoding: chunked\r\n", "-1\r\nnonse\r\n0\r\n\r\nHIDDEN"),
            Closed(422),
        ),
        (
            "a chunk of a size beyond numbers",
            post("Transfer-Encoding: chunked\r\n", "fffffffffffffffff\r\nnonse\r\n0\r\n\r\nHIDDEN"),
            Closed(422),
        ),
    ])
    .await;
}

#[tokio::test]
async fn lines_and_addresses_that_could_be_read_in_two_ways() {
    let get = |line: &str, lines: &str| format!("{line} HTTP/1.1\r\n{lines}\r\nHIDDEN");
    let long = format!("GET /{} HTTP/1.1\r\nHost: localhost\r\n\r\nHIDDEN", "x".repeat(70 << 10));
    table(&[
        ("a folded header", get("GET /health", "Host: localhost\r\nX-A: b\r\n c\r\n"), Closed(400)),
        ("a space before the colon", get("GET /health", "Host : localhost\r\n"), Closed(400)),
        ("a line without a colon", get("GET /health", "Host: localhost\r\nnonsense\r\n"), Closed(400)),
        ("a bare CR in a header", get("GET /health", "Host: localhost\r\nX-A: b\rX-B: c\r\n"), Closed(400)),
        ("a NUL in a header", get("GET /health", "Host: localhost\r\nX-A: b\0c\r\n"), Closed(400)),
        ("a NUL in the address", get("GET /hea\0lth", "Host: localhost\r\n"), Closed(400)),
        ("no header name", get("GET /health", "Host: localhost\r\n: b\r\n"), Closed(400)),
        ("no host", get("GET /health", ""), Closed(400)),
        ("two hosts", get("GET /health", "Host: localhost\r\nHost: b\r\n"), Closed(400)),
        ("a very long address", long, Closed(414)),
        (
            "no such method",
            "BREW /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".into(),
            Closed(405),
        ),
        (
            "CONNECT",
            "CONNECT localhost:80 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".into(),
            Status(404),
        ),
        ("HTTP/2 without being asked", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nHIDDEN".into(), Silent),
        ("HTTP/0.9", "GET /health\r\n".into(), Closed(400)),
    ])
    .await;
}

/// Paths are compared as they are written: none is cleaned up into another.
#[tokio::test]
async fn paths_that_want_to_be_others() {
    let server = TestServer::start().await;
    let token = server.user("ada").token();
    for path in [
        "//api/threads",
        "/api//threads",
        "/api/./threads",
        "/x/../api/threads",
        "/x/%2e%2e/api/threads",
        "/api/threads/..",
        "/api/threads/%2e%2e/threads",
        "/%61pi/threads",
        "/api%2fthreads",
        "/api/threads/",
        "/api\\threads",
        "/API/threads",
        "/api/threads;x=y",
        "/api/threads%00",
        "/api/threads%20",
        "/../../../../etc/passwd",
        "/%2e%2e%2f%2e%2e%2fetc%2fpasswd",
        "/..%c0%af..%c0%afetc/passwd",
        "/metrics/../api/threads",
    ] {
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\r\n"
        );
        let (statuses, text) = answers(&server, request.as_bytes()).await;
        assert_eq!(statuses, [404], "{path}: {text}");
        assert!(text.contains("not_found") && !text.contains("root:"), "{path}: {text}");
    }
    // The form that proxies are asked in names the same route, and is asked for the same token.
    for (lines, status) in [(String::new(), 401), (format!("Authorization: Bearer {token}\r\n"), 200)] {
        let request = format!(
            "GET http://localhost/api/threads HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{lines}\r\n"
        );
        assert_eq!(answers(&server, request.as_bytes()).await.0, [status]);
    }
}

/// Two headers where there can be one: the request is refused, whichever of them is good.
#[tokio::test]
async fn credentials_and_keys_that_come_twice() {
    let server = TestServer::start().await;
    let token = server.user("ada").token();
    let other = server.user("eve").token();
    let upgrade = "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n";
    let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let bearer = |token: &str| format!("Authorization: Bearer {token}\r\n");
    for (name, path, lines, status) in [
        ("two users", "/api/threads", bearer(&token) + &bearer(&other), 401),
        ("a good token, then nonsense", "/api/threads", bearer(&token) + &bearer("nonsense"), 401),
        ("nonsense, then a good token", "/api/threads", bearer("nonsense") + &bearer(&token), 401),
        (
            "two tokens in one line",
            "/api/threads",
            format!("Authorization: Bearer {token}, Bearer {other}\r\n"),
            401,
        ),
        ("two keys", "/ws", format!("{upgrade}{key}{}", key.replace("dGhl", "dGhm")) + &bearer(&token), 400),
        ("two versions", "/ws", format!("{upgrade}{key}Sec-WebSocket-Version: 8\r\n") + &bearer(&token), 400),
    ] {
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade, close\r\n{lines}\r\n");
        let (statuses, text) = answers(&server, request.as_bytes()).await;
        assert_eq!(statuses, [status], "{name}: {text}");
    }
    assert_eq!(server.connections(), 0);
}

/// A handshake with a body is none: its bytes could be read as frames, or as a request.
#[tokio::test]
async fn a_handshake_with_a_body_is_refused() {
    let server = TestServer::start().await;
    let token = server.user("ada").token();
    let hidden = hidden(&token);
    let chunked = format!("{:x}\r\n{hidden}\r\n0\r\n\r\n", hidden.len());
    for (line, body) in [
        (format!("Content-Length: {}", hidden.len()), hidden.clone()),
        ("Transfer-Encoding: chunked".to_owned(), chunked),
    ] {
        let authorization = format!("Authorization: Bearer {token}");
        let request = crate::wire::handshake("/ws", &[&authorization, &line]) + &body;
        let (statuses, text) = answers(&server, request.as_bytes()).await;
        assert_eq!(statuses, [400], "{line}: {text}");
        assert_eq!(threads(&server).await, 0, "{line}: {text}");
    }
}
