//! Limits are exact: of many that ask at once, from several connections and addresses, just as many get through as the
//! limit says, and the others are told so and lose nothing.

use std::{
    collections::HashSet,
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use serde_json::{Value, json};
use wireproof_server::Config;
use wireproof_testkit::{TestServer, TestUser};

use crate::{
    acting::patient,
    wire::{FIN, PING, TEXT, Wire, handshake, masked},
};

/// A rate so slow that nothing comes back while a test lasts: of what it counts, the burst gets through.
const NEXT_TO_NOTHING: u64 = 1;

/// Connections of a user, each from an address of its own.
async fn connections(user: &TestUser, count: u8) -> Vec<Wire> {
    let token = user.token();
    join_all((0..count).map(|number| {
        let token = token.clone();
        async move {
            let mut wire = Wire::dial_from([127, 0, 0, 10 + number], user.address()).await;
            wire.open(&token).await;
            wire
        }
    }))
    .await
}

/// Sends so many frames at once over each connection; the answers to them, by id, each exactly once.
async fn flood(wires: &mut [Wire], each: usize, frame: impl Fn(&str) -> String) -> Vec<Value> {
    let frame = &frame;
    let answers = join_all(wires.iter_mut().enumerate().map(|(number, wire)| async move {
        let ids: HashSet<String> = (0..each).map(|index| format!("{number}-{index}")).collect();
        let bytes: Vec<u8> = ids.iter().flat_map(|id| masked(FIN | TEXT, frame(id).as_bytes())).collect();
        wire.write(&bytes).await;
        let (mut missing, mut answers) = (ids, Vec::new());
        while !missing.is_empty() {
            let came = wire.frame().await.expect("the connection stays");
            let json: Value = serde_json::from_slice(&came.payload).unwrap_or_default();
            if json["id"].as_str().is_some_and(|id| missing.remove(id)) {
                answers.push(json);
            }
        }
        answers
    }))
    .await;
    answers.into_iter().flatten().collect()
}

/// How many of the answers are no refusals; all refusals name this limit and are worth another try.
fn allowed(answers: &[Value], limit: &str) -> usize {
    for refused in answers.iter().filter(|answer| answer["type"] == "error") {
        assert_eq!(refused["error_code"], "rate_limited", "{refused}");
        assert_eq!((&refused["retryable"], &refused["details"]["limit"]), (&json!(true), &json!(limit)));
        assert!(refused["retry_after_ms"].as_u64().is_some_and(|wait| wait > 0), "{refused}");
    }
    answers.iter().filter(|answer| answer["type"] != "error").count()
}

fn create_thread(id: &str) -> String {
    json!({ "type": "create_thread", "title": id, "id": id }).to_string()
}

fn ping(id: &str) -> String {
    json!({ "type": "ping", "id": id }).to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_messages_sent_at_once_the_burst_gets_through() {
    let server = TestServer::start_with(|config| {
        config.limits.messages_per_minute = NEXT_TO_NOTHING;
        config.limits.message_burst = 7;
    })
    .await;
    let (user, other) = (server.user("ada"), server.user("bob"));
    let mut wires = connections(&user, 5).await;
    let began = Instant::now();
    let answers = flood(&mut wires, 8, create_thread).await;
    assert_eq!(allowed(&answers, "messages_per_minute"), 7);
    // What was refused has no effect; reads and other users have limits of their own.
    assert_eq!(user.get("/api/threads").await.json["total"], 7);
    assert_eq!(other.post("/api/threads", json!({})).await.status, 201);
    let refused = user.post("/api/threads", json!({})).await;
    assert_eq!((refused.status, refused.error_code()), (429, "rate_limited"));
    let seconds: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    let gone = began.elapsed().as_secs() + 1;
    assert!((60 - gone.min(59)..=60).contains(&seconds), "a token comes back every 60 s: {seconds}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_over_http_count_with_the_messages_of_sockets() {
    let server = TestServer::start_with(|config| {
        config.limits.messages_per_minute = NEXT_TO_NOTHING;
        config.limits.message_burst = 9;
    })
    .await;
    let user = server.user("ada");
    let mut wires = connections(&user, 2).await;
    let over_http = join_all((0..12).map(|_| user.post("/api/threads", json!({}))));
    let (answers, replies) = tokio::join!(flood(&mut wires, 6, create_thread), over_http);
    let over_http = replies.iter().filter(|reply| reply.status == 201).count();
    assert!(replies.iter().all(|reply| matches!(reply.status, 201 | 429)));
    assert_eq!(allowed(&answers, "messages_per_minute") + over_http, 9);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_reads_and_signs_of_life_the_burst_gets_through() {
    let server = TestServer::start_with(|config| {
        config.limits.other_frames_per_minute = NEXT_TO_NOTHING;
        config.limits.other_frame_burst = 11;
    })
    .await;
    let user = server.user("ada");
    let mut wires = connections(&user, 4).await;
    let reads = join_all((0..6).map(|_| user.get("/api/threads")));
    let (answers, replies) = tokio::join!(flood(&mut wires, 10, ping), reads);
    let read = replies.iter().filter(|reply| reply.status == 200).count();
    // Each of the four handshakes was one of them.
    assert_eq!(wires.len() + allowed(&answers, "other_frames_per_minute") + read, 11);
    assert_eq!(user.post("/api/threads", json!({})).await.status, 201, "work has a limit of its own");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_bytes_sent_at_once_the_burst_gets_through() {
    let server = TestServer::start_with(|config| {
        config.limits.bytes_per_minute = NEXT_TO_NOTHING;
        config.limits.byte_burst = 10_500;
    })
    .await;
    let user = server.user("ada");
    let mut wires = connections(&user, 3).await;
    let sized = |id: &str| {
        let frame = json!({ "type": "ping", "id": id, "filler": "" }).to_string();
        frame.replace("\"filler\":\"\"", &format!("\"filler\":\"{}\"", "x".repeat(1000 - frame.len())))
    };
    assert_eq!(sized("0-1").len(), 1000);
    let answers = flood(&mut wires, 8, sized).await;
    assert_eq!(allowed(&answers, "bytes_per_minute"), 10);
    let refused =
        user.post("/api/threads", json!({ "title": "x".repeat(150), "metadata": { "x": "y".repeat(500) } }));
    assert_eq!(refused.await.error_code(), "rate_limited", "bodies count as well");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_has_a_share_of_messages_whoever_sends_them() {
    let server = TestServer::start_with(|config| config.limits.messages_per_minute_per_address = 6).await;
    let from = |name: &'static str, source| {
        let user = server.user(name);
        async move {
            let mut wire = Wire::dial_from(source, user.address()).await;
            wire.open(&user.token()).await;
            wire
        }
    };
    let mut same = join_all(["ada", "bob", "eve"].map(|name| from(name, [127, 0, 0, 77]))).await;
    let mut other = [from("eve", [127, 0, 0, 78]).await];
    let began = Instant::now();
    let answers = flood(&mut same, 5, create_thread).await;
    // One comes back every 10 s; in a slow test there may be one more.
    let came_back = began.elapsed().as_secs() as usize / 10;
    let got = allowed(&answers, "messages_per_minute_per_address");
    assert!((6..=6 + came_back).contains(&got), "{got} of 6");
    assert_eq!(allowed(&flood(&mut other, 5, create_thread).await, "none"), 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_id_can_be_used_again_when_the_wait_is_over() {
    let server = TestServer::start_with(|config| {
        config.limits.messages_per_minute = 240;
        config.limits.message_burst = 1;
    })
    .await;
    let client = server.user("ada").connect().await;
    let mut number = 0;
    let refused = loop {
        let frame = json!({ "type": "create_thread", "title": "again", "id": format!("id-{number}") });
        client.send(&frame).await;
        let answer = client.expect(wireproof_testkit::answer_to(&format!("id-{number}"))).await;
        if answer.kind() == "error" {
            break answer;
        }
        number += 1;
    };
    let wait = refused.at_path("retry_after_ms").and_then(Value::as_u64).unwrap();
    assert!((1..=250).contains(&wait), "{wait} ms");
    tokio::time::sleep(Duration::from_millis(wait)).await;
    let id = format!("id-{number}");
    client.send(json!({ "type": "create_thread", "title": "again", "id": id })).await;
    client.expect(wireproof_testkit::frame("ack").field("id", id)).await;
    assert_eq!(server.user("ada").get("/api/threads").await.json["total"], number + 1);
}

/// Refusals cost the server work too: who does not mind them is sent away, and so is who does nothing but ping.
#[tokio::test]
async fn who_goes_on_all_the_same_is_sent_away() {
    let server = TestServer::start_with(|config| {
        config.limits.messages_per_minute = NEXT_TO_NOTHING;
        config.limits.message_burst = 2;
        config.limits.other_frame_burst = 5;
    })
    .await;
    let mut wire = Wire::welcomed(server.address(), &server.user("ada").token()).await;
    let bytes: Vec<u8> = (0..60).flat_map(|_| masked(FIN | TEXT, b"nonsense")).collect();
    wire.write(&bytes).await;
    let mut codes = Vec::new();
    let closed = loop {
        let frame = wire.frame().await.expect("a close comes");
        if frame.opcode == crate::wire::CLOSE {
            break frame.payload.first_chunk().map(|code| u16::from_be_bytes(*code));
        }
        let json: Value = serde_json::from_slice(&frame.payload).unwrap();
        codes.push(json["error_code"].as_str().unwrap_or_default().to_owned());
    };
    let count = |code: &str| codes.iter().filter(|found| *found == code).count();
    assert_eq!((count("invalid_json"), count("rate_limited"), closed), (2, 21, Some(1013)));

    let mut wire = Wire::welcomed(server.address(), &server.user("bob").token()).await;
    let bytes: Vec<u8> = (0..400).flat_map(|_| masked(FIN | PING, b"")).collect();
    wire.write(&bytes).await;
    assert_eq!(wire.close_code().await, Some(1008));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_connections_opened_at_once_as_many_stay_as_a_user_may_have() {
    let server = TestServer::start_with(|config| config.limits.connections_per_user = 10).await;
    let user = server.user("ada");
    let (first, closes) =
        opened_at_once(&server, &user.token(), 30, |number| [127, 0, 0, 20 + number % 3]).await;
    assert_eq!((first.len(), closes), (10, vec![Some(1013); 20]));
    drop(first);
    server.until("all are gone", |server| server.connections() == 0).await;
    let (again, _) = opened_at_once(&server, &user.token(), 12, |_| [127, 0, 0, 1]).await;
    assert_eq!(again.len(), 10, "a place that was left can be had again");
}

/// Handshakes at once: the connections that were welcomed, and how the others were closed.
async fn opened_at_once(
    server: &TestServer,
    token: &str,
    count: u8,
    source: impl Fn(u8) -> [u8; 4],
) -> (Vec<Wire>, Vec<Option<u16>>) {
    let opened = join_all((0..count).map(|number| {
        let (address, source) = (server.address(), source(number));
        async move {
            let mut wire = Wire::dial_from(source, address).await;
            wire.write(handshake("/ws", &[&format!("Authorization: Bearer {token}")]).as_bytes()).await;
            assert_eq!(wire.head().await.status, 101);
            let first = wire.frame().await.unwrap().text();
            if first.contains("connection_established") {
                return Ok(wire);
            }
            assert!(first.contains("too_many_connections"), "{first}");
            Err(wire.close_code().await)
        }
    }))
    .await;
    let (mut stay, mut go) = (Vec::new(), Vec::new());
    for result in opened {
        match result {
            Ok(wire) => stay.push(wire),
            Err(code) => go.push(code),
        }
    }
    (stay, go)
}

/// Handshakes at once, with these header lines and without: those that were let in, and the refusals' statuses.
async fn knocking(
    server: &TestServer,
    count: u8,
    source: impl Fn(u8) -> [u8; 4],
    lines: &[&str],
) -> (Vec<Wire>, Vec<u16>) {
    let answers = join_all((0..count).map(|number| {
        let (address, source) = (server.address(), source(number));
        async move {
            let mut wire = Wire::dial_from(source, address).await;
            wire.write(handshake("/ws", lines).as_bytes()).await;
            let head = wire.head().await;
            if head.status != 101 {
                assert!(
                    head.header("retry-after").is_some_and(|wait| wait.parse::<u64>().is_ok_and(|s| s > 0))
                );
            }
            (wire, head.status)
        }
    }))
    .await;
    let (inside, outside): (Vec<_>, Vec<_>) = answers.into_iter().partition(|(_, status)| *status == 101);
    (
        inside.into_iter().map(|(wire, _)| wire).collect(),
        outside.into_iter().map(|(_, status)| status).collect(),
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_has_so_many_connections() {
    let server = TestServer::start_with(|config| {
        config.limits.connections_per_address = 5;
        config.limits.connections_per_user = 0;
    })
    .await;
    let line = format!("Authorization: Bearer {}", server.user("ada").token());
    let (inside, refused) = knocking(&server, 20, |_| [127, 0, 0, 31], &[&line]).await;
    assert_eq!((inside.len(), refused), (5, vec![429; 15]));
    let (others, _) = knocking(&server, 8, |number| [127, 0, 0, 32 + number % 2], &[&line]).await;
    assert_eq!(others.len(), 8);
    drop(inside);
    server.until("the five are gone", |server| server.connections() == 8).await;
    // A connection's place comes back a moment after it has left its user's.
    let began = Instant::now();
    while knocking(&server, 1, |_| [127, 0, 0, 31], &[&line]).await.0.is_empty() {
        assert!(began.elapsed() < Duration::from_secs(10), "a place that was left can be had again");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_has_so_many_connections_that_owe_their_token() {
    let server = TestServer::start_with(|config| {
        config.limits.unauthenticated_per_address = 6;
        // None of them is sent away while a slow machine counts.
        config.limits.authenticate_seconds = 600.0;
    })
    .await;
    let (mut inside, refused) = knocking(&server, 25, |_| [127, 0, 0, 41], &[]).await;
    assert_eq!((inside.len(), refused), (6, vec![429; 19]));
    let (others, _) = knocking(&server, 6, |_| [127, 0, 0, 42], &[]).await;
    assert_eq!(others.len(), 6);
    // Who shows a token in the handshake owes none; and who has shown one makes room.
    let line = format!("Authorization: Bearer {}", server.user("ada").token());
    assert_eq!(knocking(&server, 1, |_| [127, 0, 0, 41], &[&line]).await.0.len(), 1);
    let token = json!({ "type": "authenticate", "token": server.user("bob").token() }).to_string();
    inside[0].write(&masked(FIN | TEXT, token.as_bytes())).await;
    inside[0].text_of_type("connection_established").await;
    let (more, refused) = knocking(&server, 3, |_| [127, 0, 0, 41], &[]).await;
    assert_eq!((more.len(), refused.len()), (1, 2));
}

/// After so many bad tokens from an address, none from there is looked at, good or bad; other addresses go on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_has_so_many_bad_tokens() {
    let server = TestServer::start_with(|config| config.limits.failed_tokens_per_minute = 6).await;
    let good = format!("Authorization: Bearer {}", server.user("ada").token());
    for _ in 0..20 {
        let (inside, _) = knocking(&server, 1, |_| [127, 0, 0, 51], &[&good]).await;
        assert_eq!(inside.len(), 1, "good ones do not count");
        drop(inside);
        server.until("it is gone", |server| server.connections() == 0).await;
    }
    let looked_at = AtomicUsize::new(0);
    let bad = format!("Authorization: Bearer {}x", server.user("ada").token());
    let began = Instant::now();
    join_all((0..30).map(|_| async {
        let mut wire = Wire::dial_from([127, 0, 0, 51], server.address()).await;
        wire.write(handshake("/ws", &[&bad]).as_bytes()).await;
        let head = wire.head().await;
        if head.status == 429 {
            return;
        }
        let error = wire.text_of_type("error").await;
        let code = wire.close_code().await;
        match error["error_code"].as_str() {
            Some("unauthenticated") => assert_eq!(code, Some(1008)),
            _ => assert_eq!((&error["error_code"], code), (&json!("rate_limited"), Some(1013))),
        }
        if error["error_code"] == "unauthenticated" {
            looked_at.fetch_add(1, Ordering::Relaxed);
        }
    }))
    .await;
    let came_back = began.elapsed().as_secs() as usize / 10;
    let looked_at = looked_at.into_inner();
    assert!((6..=6 + came_back).contains(&looked_at), "{looked_at} of 6");
    if came_back == 0 {
        let (inside, refused) = knocking(&server, 1, |_| [127, 0, 0, 51], &[&good]).await;
        assert_eq!((inside.len(), refused), (0, vec![429]));
    }
    assert_eq!(knocking(&server, 3, |_| [127, 0, 0, 52], &[&good]).await.0.len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_runs_asked_for_at_once_as_many_go_as_a_user_may_have() {
    let server = TestServer::builder()
        .agents([patient()])
        .config(|config| config.limits.messages_per_minute = 0)
        .start()
        .await;
    let user = server.user("ada");
    let mut wires = connections(&user, 8).await;
    let ask =
        |id: &str| json!({ "type": "chat", "content": "wait", "agent": "patient", "id": id }).to_string();
    let answers = flood(&mut wires, 6, ask).await;
    let of = |kind: &str, code: Value| {
        answers.iter().filter(|answer| answer["type"] == kind && answer["error_code"] == code).count()
    };
    assert_eq!((of("accepted", Value::Null), of("error", json!("too_many_runs"))), (20, 28));
    assert_eq!(server.runs(), 20);
    let client = user.connect().await;
    let running = client.welcome().active_runs;
    assert_eq!(running.len(), 20);
    // A run that ends makes room for exactly one.
    client.ask(json!({ "type": "cancel_run", "run_id": running[0].run_id })).await;
    server.until("one run is over", |server| server.runs() == 19).await;
    let more = flood_with(&mut wires[..3], "second").await;
    assert_eq!(more, 1);
}

async fn flood_with(wires: &mut [Wire], prefix: &str) -> usize {
    let ids: Vec<String> = (0..wires.len()).map(|number| format!("{prefix}-{number}")).collect();
    let accepted = join_all(wires.iter_mut().zip(&ids).map(|(wire, id)| async move {
        let frame = json!({ "type": "chat", "content": "wait", "agent": "patient", "id": id }).to_string();
        wire.write(&masked(FIN | TEXT, frame.as_bytes())).await;
        loop {
            let came = wire.frame().await.expect("the connection stays");
            let json: Value = serde_json::from_slice(&came.payload).unwrap_or_default();
            if json["id"] == **id {
                return json["type"] == "accepted";
            }
        }
    }))
    .await;
    accepted.into_iter().filter(|accepted| *accepted).count()
}

/// Who stands behind a trusted proxy counts under the address that the proxy tells, and nobody else can tell one.
#[tokio::test]
async fn only_a_trusted_proxy_tells_an_address() {
    let limits = |config: &mut Config| {
        config.limits.connections_per_address = 1;
        config.limits.connections_per_user = 0;
    };
    let server = TestServer::start_with(|config| {
        limits(config);
        config.http.trusted_proxies = vec!["127.0.0.61".to_owned()];
    })
    .await;
    let token = format!("Authorization: Bearer {}", server.user("ada").token());
    let as_client = async |source: u8, client: &str| {
        let line = format!("X-Forwarded-For: {client}");
        let (inside, _) = knocking(&server, 1, |_| [127, 0, 0, source], &[&token, &line]).await;
        inside
    };
    let mut open = Vec::new();
    for client in ["1.1.1.1", "6.6.6.6, 2.2.2.2", "2001:db8::1"] {
        let inside = as_client(61, client).await;
        assert_eq!(inside.len(), 1, "{client}");
        open.extend(inside);
    }
    assert!(
        as_client(61, "7.7.7.7, 2.2.2.2").await.is_empty(),
        "what the client wrote itself changes nothing"
    );
    assert!(as_client(61, "2001:db8::2").await.is_empty(), "an IPv6 network is one address");
    let (first, second) = (as_client(62, "3.3.3.3").await, as_client(62, "4.4.4.4").await);
    assert_eq!((first.len(), second.len()), (1, 0), "a peer that is not trusted speaks for itself");
}
