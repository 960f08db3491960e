//! What the server holds for requests over HTTP: so many at once, so many bytes, and each answer for its time. And who
//! has asked and says no more gets the answer.

use std::{
    cell::Cell,
    time::{Duration, Instant},
};

use futures_util::future::{join, join_all};
use serde_json::{Value, json};
use wireproof_server::Config;
use wireproof_testkit::{TestServer, TestUser};

use crate::wire::{Wire, handshake};

/// Bytes of the metadata of a thread; so many of them are an answer that no kernel buffers.
const METADATA: usize = 15 << 10;
const THREADS: usize = 40;

async fn server(change: impl FnOnce(&mut Config)) -> TestServer {
    TestServer::start_with(|config| {
        config.limits.messages_per_minute = 0;
        config.limits.other_frames_per_minute = 0;
        config.limits.bytes_per_minute = 0;
        change(config);
    })
    .await
}

async fn fill(user: &TestUser) {
    let thread = json!({ "metadata": { "x": "y".repeat(METADATA) } });
    for _ in 0..THREADS {
        assert_eq!(user.post("/api/threads", thread.clone()).await.status, 201);
    }
}

fn get(user: &TestUser, path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\r\n", user.token())
}

/// Connections that ask for a long list and read no more of the answer than its head; those of its status.
async fn ask_and_not_read(user: &TestUser, count: usize) -> (Vec<Wire>, Vec<Value>) {
    let (mut untaken, mut refused) = (Vec::new(), Vec::new());
    for _ in 0..count {
        let mut wire = Wire::dial_narrow(user.address()).await;
        wire.write(get(user, "/api/threads?limit=100").as_bytes()).await;
        let head = wire.head().await;
        if head.status == 200 {
            untaken.push(wire);
        } else {
            assert_eq!(head.status, 429);
            refused.push(serde_json::from_str(&wire.body(&head).await).unwrap());
        }
    }
    (untaken, refused)
}

async fn metric(server: &TestServer, name: &str) -> u64 {
    let metrics = server.rest().get("/metrics").await.body;
    metrics.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok()).unwrap_or(0)
}

/// Bug: each answer that its client did not take was held for 340 s, and one token could have any number of them: 2.7 GB
/// of one user.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_that_nobody_takes_are_few_and_end() {
    let server = server(|config| {
        config.limits.requests_per_user = 6;
        config.limits.answer_seconds = 3.0;
    })
    .await;
    let (ada, bob) = (server.user("ada"), server.user("bob"));
    fill(&ada).await;
    let (mut untaken, refused) = ask_and_not_read(&ada, 20).await;
    assert_eq!((untaken.len(), refused.len()), (6, 14));
    for body in &refused {
        assert_eq!(
            (&body["error_code"], &body["details"]["limit"]),
            (&json!("rate_limited"), &json!("requests_per_user"))
        );
        assert_eq!((&body["retryable"], &body["retry_after_ms"]), (&json!(true), &json!(1000)));
    }
    assert_eq!(bob.get("/api/threads").await.status, 200, "others are not concerned");
    // Nobody reads on: each answer has its time, and then its place is free again.
    let began = Instant::now();
    while metric(&server, "wireproof_limits_hit_total{limit=\"answer\"}").await < 6 {
        assert!(began.elapsed() < Duration::from_secs(15), "they are held for ever");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(ada.get("/api/threads?limit=100").await.status, 200);
    let ends = join_all(untaken.iter_mut().map(|wire| wire.ends_within(Duration::from_secs(5)))).await;
    assert_eq!(ends, vec![true; 6]);
}

/// Bug: a client that took a little of its answer now and then was never late.
#[tokio::test]
async fn the_time_is_the_answers_and_not_each_bytes() {
    let server = server(|config| config.limits.answer_seconds = 1.0).await;
    let ada = server.user("ada");
    fill(&ada).await;
    let mut wire = Wire::dial_narrow(server.address()).await;
    wire.write(get(&ada, "/api/threads?limit=100").as_bytes()).await;
    let (began, mut came) = (Instant::now(), 0);
    loop {
        let sip = wire.sip(2000).await;
        came += sip;
        if sip == 0 {
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "{came} bytes came, and it goes on");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(came < THREADS * METADATA, "it was cut off before its end");
}

/// The requests that stand behind an answer in one connection wait, and hold nothing.
#[tokio::test]
async fn requests_in_a_row_hold_one_answer_at_a_time() {
    let server = server(|config| config.limits.requests_per_user = 2).await;
    let ada = server.user("ada");
    fill(&ada).await;
    let mut wire = Wire::dial_narrow(server.address()).await;
    wire.write(get(&ada, "/api/threads?limit=100").repeat(50).as_bytes()).await;
    assert_eq!(wire.head().await.status, 200);
    assert_eq!(ada.get("/api/threads").await.status, 200);
    assert_eq!(ada.rest().send(http::Method::HEAD, "/api/threads?limit=100", "").await.status, 200);
}

#[tokio::test]
async fn bytes_of_answers_and_of_bodies_are_held_up_to_a_bound() {
    let server = server(|config| config.limits.request_bytes_per_user = 1 << 20).await;
    let ada = server.user("ada");
    fill(&ada).await;
    let (untaken, refused) = ask_and_not_read(&ada, 3).await;
    assert_eq!((untaken.len(), refused.len()), (1, 2), "600 KB each");
    assert_eq!(refused[0]["details"]["limit"], "request_bytes_per_user");
    drop(untaken);
    // Bodies count from their announcement on.
    let announce = |length: &str| {
        format!(
            "POST /api/threads HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n{length}\r\n\r\n",
            ada.token()
        )
    };
    for length in ["Content-Length: 900000", "Transfer-Encoding: chunked"] {
        let eve = server.user("eve");
        let announce = announce(length).replace(&ada.token(), &eve.token());
        let mut waiting = Wire::dial(server.address()).await;
        waiting.write(announce.as_bytes()).await;
        let mut second = Wire::dial(server.address()).await;
        second.write(announce.as_bytes()).await;
        let head = second.head().await;
        assert_eq!(head.status, 429, "{length}");
        assert!(second.body(&head).await.contains("request_bytes_per_user"), "{length}");
        drop((waiting, second));
        let began = Instant::now();
        while eve.post("/api/threads", json!({ "metadata": { "x": "y".repeat(9000) } })).await.status != 201 {
            assert!(began.elapsed() < Duration::from_secs(10), "who is gone holds nothing");
        }
    }
}

/// Bug: an address could have any number of requests that wait for their bodies.
#[tokio::test]
async fn an_address_has_so_many_requests_in_progress() {
    let server = server(|config| config.limits.unauthenticated_requests_per_address = 4).await;
    let (ada, from) = (server.user("ada"), [127, 0, 0, 61]);
    let mut wires = join_all((0..10).map(|_| async {
        let mut wire = Wire::dial_from(from, server.address()).await;
        wire.write(b"POST /auth/login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n{").await;
        wire
    }))
    .await;
    let (mut refused, began) = (0, Instant::now());
    while refused < 6 {
        assert!(began.elapsed() < Duration::from_secs(10), "{refused} of 6 are refused");
        let mut rest = Vec::new();
        for mut wire in wires {
            if wire.has_more_within(Duration::from_millis(50)).await {
                assert_eq!(wire.head().await.status, 429);
                refused += 1;
            } else {
                rest.push(wire);
            }
        }
        wires = rest;
    }
    assert_eq!(wires.len(), 4);
    let mut same = Wire::dial_from(from, server.address()).await;
    same.write(b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    let head = same.head().await;
    assert_eq!(head.status, 429);
    assert!(same.body(&head).await.contains("unauthenticated_requests_per_address"));
    // Bug: those that did not even say who they are kept out users with a good token, and who looks after the server.
    for path in ["/health", "/ready", "/metrics", "/ws/health"] {
        let mut same = Wire::dial_from(from, server.address()).await;
        same.write(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes()).await;
        assert_eq!(same.head().await.status, 200, "{path}");
    }
    let mut same = Wire::dial_from(from, server.address()).await;
    same.write(get(&ada, "/api/threads").as_bytes()).await;
    assert_eq!(same.head().await.status, 200);
    Wire::dial_from(from, server.address()).await.open(&ada.token()).await;
    let mut stranger = Wire::dial_from(from, server.address()).await;
    stranger.write(handshake("/ws", &[]).as_bytes()).await;
    assert_eq!(stranger.head().await.status, 101, "its token may come in the first frame");
    let mut other = Wire::dial_from([127, 0, 0, 62], server.address()).await;
    other.write(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert_eq!(other.head().await.status, 200, "other addresses are not concerned");
}

/// Bug: who closed its side behind a request, as `nc -N` does, got no answer.
#[tokio::test]
async fn who_has_asked_and_says_no_more_gets_the_answer() {
    let server = server(|_| {}).await;
    let ada = server.user("ada");
    let bearer = format!("Authorization: Bearer {}\r\n", ada.token());
    let body = r#"{"title":"half"}"#;
    let length = format!("{bearer}Content-Length: {}\r\n", body.len());
    for (line, lines, body, status) in [
        ("GET /metrics", "", "", 200),
        ("GET /health", "", "", 200),
        ("HEAD /ready", "", "", 200),
        ("GET /openapi.json", "", "", 200),
        ("GET /nowhere", "", "", 404),
        ("GET /api/threads", "", "", 401),
        ("GET /api/threads", bearer.as_str(), "", 200),
        ("POST /ws/ticket", &bearer, "", 200),
        ("POST /api/threads", &length, body, 201),
    ] {
        let mut wire = Wire::dial(server.address()).await;
        wire.write(format!("{line} HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n{body}").as_bytes()).await;
        wire.finish().await;
        let head = wire.head_or_end().await.unwrap_or_else(|| panic!("{line} got no answer"));
        assert_eq!(head.status, status, "{line}");
        let length = head.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        let body = if line.starts_with("HEAD") { String::new() } else { wire.body(&head).await };
        assert!(line.starts_with("HEAD") || body.len() == length, "{line}: the whole answer");
        assert!(wire.ends_within(Duration::from_secs(5)).await, "{line}: nothing more is awaited");
    }
    assert_eq!(ada.get("/api/threads").await.json["total"], 1);
    // A WebSocket needs both ways: the handshake is answered, and that is the end of it.
    let mut wire = Wire::dial(server.address()).await;
    wire.write(handshake("/ws", &[bearer.trim_end()]).as_bytes()).await;
    wire.finish().await;
    assert_eq!(wire.head().await.status, 101);
    assert!(wire.ends_within(Duration::from_secs(5)).await);
    server.until("it is gone", |server| server.connections() == 0).await;
}

/// Bug: a body of 1 MB that was full of numbers was read on a thread that serves everybody, for half a second.
#[tokio::test]
async fn a_large_body_is_read_beside_what_serves_everybody() {
    let server = server(|_| {}).await;
    let ada = server.user("ada");
    let numbers = vec!["1.5"; 250_000].join(",");
    let body = format!(r#"{{"title":"x","metadata":{{"a":[{numbers}]}}}}"#);
    let began = Instant::now();
    wireproof_protocol::read_json(body.as_bytes()).unwrap();
    let alone = began.elapsed();
    // The server runs on the thread of the test: what keeps that busy keeps this loop waiting.
    let (is_answered, mut longest) = (Cell::new(false), Duration::ZERO);
    let watch = async {
        while !is_answered.get() {
            let before = Instant::now();
            tokio::task::yield_now().await;
            longest = longest.max(before.elapsed());
        }
    };
    let post = async {
        let reply = ada.send(http::Method::POST, "/api/threads", &body).await;
        is_answered.set(true);
        reply
    };
    let (reply, ()) = join(post, watch).await;
    assert_eq!((reply.status, reply.error_code()), (422, "invalid_frame"));
    assert!(longest < alone / 2, "the thread was busy for {longest:?}, and reading takes {alone:?}");
}
