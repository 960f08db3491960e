//! Clients that are slow on purpose: each part of a request has its time as a whole, and those who say nothing cannot
//! keep out those who do.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::json;
use wireproof_testkit::TestServer;

use crate::wire::Wire;

async fn quick() -> TestServer {
    TestServer::start_with(|config| {
        config.limits.header_seconds = 1.5;
        config.limits.body_seconds = 0.5;
        config.limits.authenticate_seconds = 0.5;
    })
    .await
}

/// Writes a byte every 50 ms until the connection ends; how long that took.
async fn trickle(wire: &mut Wire, bytes: &[u8]) -> Duration {
    let began = Instant::now();
    for byte in bytes.iter().cycle() {
        wire.write(&[*byte]).await;
        if wire.ends_within(Duration::from_millis(50)).await {
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(10), "it is never cut off");
    }
    began.elapsed()
}

#[tokio::test]
async fn a_head_that_comes_byte_by_byte_is_cut_off() {
    let server = quick().await;
    let mut wire = Wire::dial(server.address()).await;
    wire.write(b"GET /ws HTTP/1.1\r\nHost: localhost\r\n").await;
    let lived = trickle(&mut wire, b"X-Slow: 1\r\n").await;
    assert!(lived < Duration::from_secs(5), "the time is the head's, not each byte's: {lived:?}");
}

#[tokio::test]
async fn a_connection_that_says_nothing_is_closed() {
    let server = quick().await;
    let mut wire = Wire::dial(server.address()).await;
    assert!(wire.ends_within(Duration::from_secs(5)).await);
}

#[tokio::test]
async fn a_connection_that_asks_nothing_more_is_closed() {
    let server = quick().await;
    let mut wire = Wire::dial(server.address()).await;
    for _ in 0..2 {
        wire.write(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
        let head = wire.head().await;
        assert_eq!(head.status, 200);
        wire.body(&head).await;
    }
    assert!(wire.ends_within(Duration::from_secs(5)).await);
}

#[tokio::test]
async fn a_body_that_comes_byte_by_byte_is_cut_off() {
    let server = quick().await;
    let user = server.user("ada");
    for length in ["Content-Length: 1000000", "Transfer-Encoding: chunked"] {
        let mut wire = Wire::dial(server.address()).await;
        let head = format!(
            "POST /api/threads HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n{length}\r\n\r\n",
            user.token()
        );
        wire.write(head.as_bytes()).await;
        let lived =
            trickle(&mut wire, if length.contains("chunked") { b"1\r\nx\r\n" } else { b"      " }).await;
        assert!(lived < Duration::from_secs(5), "{length}: {lived:?}");
        assert_eq!(wire.head().await.status, 408, "{length}");
    }
    assert_eq!(user.get("/api/threads").await.json["total"], 0);
}

/// A connection is kept so long for HTTP, however busy it is; a WebSocket is no HTTP any more.
#[tokio::test]
async fn a_busy_connection_is_kept_for_its_time() {
    let server = TestServer::start_with(|config| config.limits.http_seconds = 0.5).await;
    let client = server.user("ada").connect().await;
    let mut wire = Wire::dial(server.address()).await;
    let began = Instant::now();
    loop {
        wire.write(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
        let Some(head) = wire.head_or_end().await else { break };
        wire.body(&head).await;
        assert!(began.elapsed() < Duration::from_secs(10), "it is kept for ever");
    }
    assert!(began.elapsed() > Duration::from_millis(400));
    client.ask(json!({ "type": "ping" })).await;
}

#[tokio::test]
async fn a_handshake_without_a_first_frame_is_closed() {
    let server = quick().await;
    let mut wire = Wire::dial(server.address()).await;
    wire.write(crate::wire::handshake("/ws", &[]).as_bytes()).await;
    assert_eq!(wire.head().await.status, 101);
    assert_eq!(wire.close_code().await, Some(1008));
}

/// More silent connections than there is room for: who has something to say gets in all the same, and they go.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_who_say_nothing_keep_nobody_out() {
    let server = TestServer::start_with(|config| {
        config.limits.silent_connections = 50;
        config.limits.connections = 120;
        config.limits.header_seconds = 600.0;
    })
    .await;
    let mut silent = join_all((0..120).map(|_| async {
        let mut wire = Wire::dial(server.address()).await;
        wire.write(b"GET /ws HTTP/1.1\r\n").await;
        wire
    }))
    .await;
    // There is room for nobody more, and who is told so makes the oldest go.
    let mut knocks = 0;
    let client = loop {
        match wireproof_testkit::TestClient::open(server.user("ada").connection()).await {
            Ok(client) => break client,
            Err(error) => assert!(knocks < 50, "{error}"),
        }
        knocks += 1;
    };
    client.expect("connection_established").await;
    let gone = join_all(silent.iter_mut().map(|wire| wire.ends_within(Duration::from_millis(500)))).await;
    let gone = gone.into_iter().filter(|gone| *gone).count();
    assert!((1..=knocks + 1).contains(&gone), "{gone} had to go after {knocks} refusals");
}

/// Bug: whoever let the server wait for a body held its place for `body_seconds`, without a token: an address that did
/// so with all connections kept everybody out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_whose_body_does_not_come_keep_nobody_out() {
    let server = TestServer::start_with(|config| {
        config.limits.connections = 30;
        config.limits.body_seconds = 600.0;
    })
    .await;
    let _waiting = join_all((0..30).map(|_| async {
        let mut wire = Wire::dial(server.address()).await;
        wire.write(b"POST /auth/login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n{").await;
        wire
    }))
    .await;
    let mut knocks = 0;
    while let Err(error) = wireproof_testkit::TestClient::open(server.user("ada").connection()).await {
        assert!(knocks < 50, "{error}");
        knocks += 1;
    }
}
