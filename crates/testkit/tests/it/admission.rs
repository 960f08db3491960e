//! When everybody comes at once: those who fit are let in, the others are told when to come back, nobody is left
//! hanging, and those who are in do not notice.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::json;
use wireproof_client::{Backoff, Client, Connect, OpenError, Update};
use wireproof_testkit::{TestServer, frame};

use crate::wire::{FIN, TEXT, Wire, handshake, masked};

/// Handshakes at once: those that were let in, and what the others were told to wait, in seconds.
async fn knock(server: &TestServer, count: usize, line: &str) -> (Vec<Wire>, Vec<u64>) {
    let answers = join_all((0..count).map(|_| async {
        let mut wire = Wire::dial(server.address()).await;
        wire.write(handshake("/ws", &[line]).as_bytes()).await;
        // Where there is no room, who has not been heard yet may have to go without a word.
        let Some(head) = wire.head_or_end().await else { return Err(None) };
        if head.status == 101 {
            return Ok(wire);
        }
        assert_eq!((head.status, head.header("connection")), (503, Some("close")));
        let wait: u64 = head.header("retry-after").unwrap().parse().unwrap();
        let body: serde_json::Value = serde_json::from_str(&wire.body(&head).await).unwrap();
        assert_eq!((&body["type"], &body["retryable"]), (&json!("error"), &json!(true)), "{body}");
        assert!(wire.ends_within(Duration::from_secs(5)).await, "a refused connection is closed");
        Err(Some(wait))
    }))
    .await;
    let (mut inside, mut waits) = (Vec::new(), Vec::new());
    for answer in answers {
        match answer {
            Ok(wire) => inside.push(wire),
            Err(wait) => waits.extend(wait),
        }
    }
    (inside, waits)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handshakes_beyond_the_bucket_are_told_when_there_is_room() {
    let server = TestServer::start_with(|config| {
        config.limits.handshakes_per_second = 4;
        config.limits.handshake_burst = 5;
        config.limits.connections_per_user = 0;
    })
    .await;
    let user = server.user("ada");
    let line = format!("Authorization: Bearer {}", user.token());
    let began = Instant::now();
    let (inside, mut waits) = knock(&server, 25, &line).await;
    let came_back = (began.elapsed().as_secs_f64() * 4.0) as usize;
    assert!((5..=5 + came_back).contains(&inside.len()), "{} of 5", inside.len());
    assert_eq!(inside.len() + waits.len(), 25, "everybody gets an answer");
    waits.sort();
    assert!(waits.iter().all(|wait| (1..=16).contains(wait)), "{waits:?}");
    let soonest = waits.iter().filter(|wait| **wait <= 1).count();
    assert!(soonest <= 5 + came_back, "no more are told to come back in a second than fit in it: {waits:?}");
    // Who is refused before it says who it is costs nothing of its user's; HTTP is not a handshake.
    assert_eq!(user.get("/api/threads").await.status, 200);
}

/// Clients that are sent away come back by themselves at their time, and all of them get in.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_are_sent_away_come_back_and_get_in() {
    let server = TestServer::start_with(|config| {
        config.limits.handshakes_per_second = 20;
        config.limits.handshake_burst = 5;
        config.limits.connections_per_user = 0;
        config.limits.other_frames_per_minute = 0;
    })
    .await;
    let user = server.user("ada");
    let resident = user.connect().await;
    let connect = Connect::to(server.url()).token(user.token());
    let mut clients = join_all((0..60).map(|_| patiently(&connect))).await;
    server.until("everybody is in", |server| server.connections() == 61).await;
    let all = join_all(clients.iter_mut().map(|client| async {
        client.cut();
        let mut refusals = 0;
        loop {
            match client.next(Duration::from_secs(10)).await.expect("nobody gives up") {
                Update::Reconnected { .. } => return refusals,
                Update::Lost { wait, .. } if wait >= Duration::from_secs(1) => refusals += 1,
                _ => {}
            }
        }
    }));
    let (refusals, run) = tokio::join!(all, async {
        let run = resident.chat("What is 17*23?").await;
        resident.expect_run_completed(run.run_id).await
    });
    assert!(run.final_response().is_some(), "who is in goes on meanwhile");
    assert!(refusals.iter().any(|refusals| *refusals > 0), "the bucket was too large for this test");
    server.until("everybody is in", |server| server.connections() == 61).await;
}

/// The first connection is the caller's to try again.
async fn patiently(connect: &Connect) -> Client {
    loop {
        match Client::connect(connect.clone(), Backoff::default()).await {
            Ok(client) => return client,
            Err(OpenError::Refused { status: 503, retry_after: Some(wait), .. }) => {
                tokio::time::sleep(wait).await
            }
            Err(error) => panic!("{error}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_so_many_connections_of_any_kind_are_open() {
    let server = TestServer::start_with(|config| {
        config.limits.connections = 8;
        config.limits.connections_per_user = 0;
    })
    .await;
    let line = format!("Authorization: Bearer {}", server.user("ada").token());
    let (mut inside, _) = knock(&server, 20, &line).await;
    assert!(inside.len() <= 8, "{} of 8", inside.len());
    let began = Instant::now();
    while inside.len() < 8 {
        assert!(
            began.elapsed() < Duration::from_secs(10),
            "there is room for 8, and {} are in",
            inside.len()
        );
        inside.extend(knock(&server, 1, &line).await.0);
    }
    // Bug: a handshake that was answered could be sent away as silent before it was a WebSocket.
    let (more, waits) = knock(&server, 12, &line).await;
    assert_eq!((more.len(), waits.len()), (0, 12));
    server.until("all are connected", |server| server.connections() == 8).await;
    assert!(waits.iter().all(|wait| (1..=5).contains(wait)));
    drop(inside);
    server.until("all are gone", |server| server.connections() == 0).await;
    let began = Instant::now();
    // The places come back when the server has seen the ends of the connections.
    loop {
        let (inside, _) = knock(&server, 1, &line).await;
        if !inside.is_empty() {
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(10), "a place that was left can be had again");
    }
}

/// Bug: a handshake without a token held its place in the queue of handshakes for as long as it said nothing.
#[tokio::test]
async fn who_owes_a_token_holds_up_nobody() {
    let server = TestServer::start_with(|config| config.limits.handshakes_in_progress = 2).await;
    let (silent, _) = knock(&server, 10, "X-Nothing: here").await;
    assert!(silent.len() >= 2);
    let client = server.user("ada").connect().await;
    client.send(json!({ "type": "ping" })).await;
    client.expect(frame("pong")).await;
}

/// A client cannot have its messages unpacked: extensions are not agreed to, and a packed body is refused.
#[tokio::test]
async fn nothing_is_unpacked() {
    let server = TestServer::start().await;
    let user = server.user("ada");
    let mut wire = Wire::dial(server.address()).await;
    let lines = [
        &*format!("Authorization: Bearer {}", user.token()),
        "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits",
    ];
    wire.write(handshake("/ws", &lines).as_bytes()).await;
    let head = wire.head().await;
    assert_eq!((head.status, head.header("sec-websocket-extensions")), (101, None));
    wire.text_of_type("connection_established").await;
    // RSV1 marks a packed message.
    wire.write(&masked(FIN | 0x40 | TEXT, b"{}")).await;
    assert_eq!(wire.close_code().await, Some(1002));
    for encoding in ["gzip", "br", "identity, gzip"] {
        let mut wire = Wire::dial(server.address()).await;
        let head = format!(
            "POST /api/threads HTTP/1.1\r\nHost: localhost\r\n{}\r\nContent-Encoding: {encoding}\r\n\
             Content-Length: 2\r\n\r\n{{}}",
            lines[0]
        );
        wire.write(head.as_bytes()).await;
        assert_eq!(wire.head().await.status, 415, "{encoding}");
    }
    assert_eq!(user.get("/api/threads").await.json["total"], 0);
}
