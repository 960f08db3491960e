//! What a client has the server do is counted: each handshake, each snapshot, and each byte as it comes.

use serde_json::{Value, json};
use wireproof_testkit::{TestServer, TestUser, answer_to, error};

use crate::wire::{BINARY, FIN, PING, TEXT, Wire, handshake, masked};

/// A rate so slow that nothing comes back while a test lasts: of what it counts, the burst gets through.
const NEXT_TO_NOTHING: u64 = 1;
/// The opcode of a fragment that is not the first.
const MORE: u8 = 0;

/// A handshake at this address with a good token: its first frame, and the code of its close when it is refused.
async fn handshake_at(user: &TestUser, path: &str) -> (Value, Option<u16>, Wire) {
    let mut wire = Wire::dial(user.address()).await;
    let token = format!("Authorization: Bearer {}", user.token());
    wire.write(handshake(path, &[&token]).as_bytes()).await;
    assert_eq!(wire.head().await.status, 101);
    let first: Value = serde_json::from_slice(&wire.frame().await.unwrap().payload).unwrap();
    let closed = if first["type"] == "error" { wire.close_code().await } else { None };
    (first, closed, wire)
}

fn assert_too_fast(first: &Value, closed: Option<u16>) {
    assert_eq!((&first["error_code"], closed), (&json!("rate_limited"), Some(1013)), "{first}");
    assert_eq!(first["details"]["limit"], "other_frames_per_minute");
    assert!(first["retry_after_ms"].as_u64().is_some_and(|wait| wait > 0), "{first}");
}

/// Bug: handshakes counted under no limit of their user, whatever they made the server do.
#[tokio::test]
async fn a_handshake_is_a_frame_of_its_user() {
    let server = TestServer::start_with(|config| {
        config.limits.other_frames_per_minute = NEXT_TO_NOTHING;
        config.limits.other_frame_burst = 5;
    })
    .await;
    let ada = server.user("ada");
    let mut open = Vec::new();
    for _ in 0..4 {
        let (first, _, wire) = handshake_at(&ada, "/ws").await;
        assert_eq!(first["type"], "connection_established");
        open.push(wire);
    }
    assert_eq!(ada.get("/api/threads").await.status, 200);
    let (first, closed, _) = handshake_at(&ada, "/ws").await;
    assert_too_fast(&first, closed);
    assert_eq!(ada.get("/api/threads").await.status, 429, "it is the limit of reads");
    assert_eq!(handshake_at(&server.user("bob"), "/ws").await.0["type"], "connection_established");
    assert_eq!(server.connections(), 5);
}

/// Bug: `/ws?epoch=OTHER&after=0` again and again had a snapshot made each time, 20 ms of CPU and 3 MB, for nothing.
#[tokio::test]
async fn a_snapshot_counts_as_several_reads_however_it_is_asked_for() {
    let server = TestServer::start_with(|config| {
        config.limits.other_frames_per_minute = NEXT_TO_NOTHING;
        config.limits.other_frame_burst = 16;
    })
    .await;
    let ada = server.user("ada");
    let asked = "/ws?epoch=00000000000000aa&after=0";
    for _ in 0..3 {
        let (first, _, mut wire) = handshake_at(&ada, asked).await;
        assert_eq!(first["type"], "connection_established");
        wire.text_of_type("snapshot").await;
    }
    // 15 of 16 are taken: the handshake has one, its snapshot none.
    let (first, closed, _) = handshake_at(&ada, asked).await;
    assert_too_fast(&first, closed);

    let bob = server.user("bob").connect().await;
    let mut snapshots = 0;
    let refused = loop {
        let id = format!("r-{snapshots}");
        let frame = json!({ "type": "resume", "epoch": "00000000000000aa", "after": 0, "id": id });
        bob.send(frame).await;
        let answer = bob.expect(answer_to(&id)).await;
        if answer.kind() == "error" {
            break answer;
        }
        assert_eq!(answer.kind(), "caught_up");
        snapshots += 1;
    };
    assert_eq!((snapshots, refused.text_of("error_code")), (3, "rate_limited"));
    // The connection stays where it was, and live.
    let created = server.user("bob").post("/api/threads", json!({ "title": "live" })).await;
    assert_eq!(created.status, 201);
    bob.expect("thread_created").await;
}

/// Bug: with a burst below five, a client whose position was of no use any more could never come back: a snapshot takes
/// five reads, which the limit never holds.
#[tokio::test]
async fn a_snapshot_can_be_had_however_few_reads_may_come_at_once() {
    for burst in [1, 4] {
        let server = TestServer::start_with(|config| {
            config.limits.other_frames_per_minute = NEXT_TO_NOTHING;
            config.limits.other_frame_burst = burst;
        })
        .await;
        let asked = "/ws?epoch=00000000000000aa&after=0";
        let (first, _, mut wire) = handshake_at(&server.user("ada"), asked).await;
        assert_eq!(first["type"], "connection_established", "{burst} at once: {first}");
        wire.text_of_type("snapshot").await;
    }
}

/// Bug: empty fragments with a ping every 2 MB came without end, and no limit counted their bytes.
#[tokio::test]
async fn fragments_without_end_are_cut_off_whatever_comes_between_them() {
    let server = TestServer::start_with(|config| {
        config.limits.message_bytes = 16 << 10;
        config.limits.message_hard_bytes = 32 << 10;
        config.limits.other_frames_per_minute = 0;
        config.limits.bytes_per_minute = 0;
    })
    .await;
    let mut wire = Wire::welcomed(server.address(), &server.user("ada").token()).await;
    wire.write(&masked(TEXT, b"")).await;
    let piece = [masked(MORE, b"").repeat(1000), masked(FIN | PING, &[7; 125])].concat();
    for _ in 0..200 {
        wire.write(&piece).await;
    }
    assert_eq!(wire.close_code().await, Some(1009));
}

/// Bug: only the text of whole messages counted: neither the heads of fragments, nor pings, nor what was begun.
#[tokio::test]
async fn bytes_count_as_they_come() {
    let empty = masked(MORE, b"").repeat(8000);
    let pings = masked(FIN | PING, &[7; 125]).repeat(400);
    let begun = masked(TEXT, &vec![b' '; 50_000]);
    for (what, bytes, is_open) in [
        ("empty fragments", [masked(TEXT, b""), empty].concat(), true),
        ("pings with a payload", pings, false),
        ("a message that is not over", begun, true),
    ] {
        let server = TestServer::start_with(|config| {
            config.limits.bytes_per_minute = NEXT_TO_NOTHING;
            config.limits.byte_burst = 60_000;
            config.limits.other_frames_per_minute = 0;
        })
        .await;
        let ada = server.user("ada");
        let mut wire = Wire::welcomed(server.address(), &ada.token()).await;
        wire.write(&bytes).await;
        if is_open {
            wire.write(&masked(FIN | MORE, br#"{"type":"ping","id":"after"}"#)).await;
        } else {
            wire.write(&masked(FIN | TEXT, br#"{"type":"ping","id":"after"}"#)).await;
        }
        wire.text_of_type("pong").await;
        // 60,000 may come, and about 50,000 did.
        let body = json!({ "metadata": { "x": "y".repeat(14_000) } });
        let refused = ada.post("/api/threads", body).await;
        assert_eq!(
            (refused.status, &refused.json["details"]["limit"]),
            (429, &json!("bytes_per_minute")),
            "{what}"
        );
    }
}

/// A message in pieces has the limit of a whole one, and its connection answers on.
#[tokio::test]
async fn a_large_message_in_two_pieces_is_answered_and_so_is_the_next() {
    let server = TestServer::start_with(|config| config.limits.messages_per_minute = 0).await;
    let mut wire = Wire::welcomed(server.address(), &server.user("ada").token()).await;
    for number in 0..20 {
        let large = vec![b' '; 300_000];
        wire.write(&[masked(TEXT, &large), masked(FIN | PING, b"x"), masked(FIN | MORE, &large)].concat())
            .await;
        let refused = wire.text_of_type("error").await;
        let code = refused["error_code"].as_str().unwrap_or_default();
        assert!(["message_too_large", "rate_limited"].contains(&code), "{refused}");
        let ping = json!({ "type": "ping", "id": number.to_string() }).to_string();
        // Split where it hurts: the buffers may be made anew only between messages.
        let bytes = masked(FIN | TEXT, ping.as_bytes());
        for byte in bytes.chunks(5) {
            wire.write(byte).await;
        }
        let answer = wire.text_of_type("pong").await;
        assert_eq!(answer["id"], number.to_string());
    }
    wire.write(&masked(FIN | BINARY, b"")).await;
    assert_eq!(wire.close_code().await, Some(1003));
}

/// Bug: a frame that could not be read was refused without its id, so its client waited; and a number beyond 64 bits came
/// back as another one.
#[tokio::test]
async fn what_cannot_be_kept_exactly_is_refused_with_its_id() {
    let server = TestServer::start_with(|config| config.limits.messages_per_minute = 0).await;
    let ada = server.user("ada").connect().await;
    for (number, metadata) in
        ["18446744073709551616", "-9223372036854775809", "0.1234567890123456789", "1e999"].iter().enumerate()
    {
        let frame = format!(r#"{{"type":"create_thread","metadata":{{"n":{metadata}}},"id":"{number}"}}"#);
        ada.send_raw(frame).await;
        let refused = ada.expect(error("invalid_json")).await;
        assert_eq!(refused["id"], number.to_string(), "{metadata}");
        let body = format!(r#"{{"metadata":{{"n":{metadata}}}}}"#);
        let reply = server.user("ada").send(http::Method::POST, "/api/threads", &body).await;
        assert_eq!((reply.status, reply.error_code()), (400, "invalid_json"), "{metadata}");
    }
    let exact = r#"{"metadata":{"a":18446744073709551615,"b":-9223372036854775808,"c":0.1,"d":1e22}}"#;
    let thread = server.user("ada").send(http::Method::POST, "/api/threads", exact).await.json;
    let kept = serde_json::from_str::<Value>(exact).unwrap();
    assert_eq!(thread["metadata"], kept["metadata"]);
}

/// Bug: metadata was taken as deep as the server could read it, and our own client could not read the snapshot around it.
#[tokio::test]
async fn metadata_is_nested_so_deep_and_no_deeper() {
    let server = TestServer::start().await;
    let user = server.user("ada");
    let nested = |deep: usize| {
        let lists = (2..deep).fold(json!([]), |inner, _| json!([inner]));
        json!({ "metadata": { "x": lists } })
    };
    assert_eq!(user.post("/api/threads", nested(32)).await.status, 201);
    let refused = user.post("/api/threads", nested(33)).await;
    assert_eq!((refused.status, refused.error_code()), (422, "invalid_frame"));
    assert_eq!(refused.json["details"], json!({ "field": "metadata", "limit": 32 }));
    let ada = user.connect().await;
    let mut frame = nested(33);
    frame["type"] = json!("create_thread");
    frame["id"] = json!("deep");
    assert_eq!(ada.ask(frame).await["error_code"], "invalid_frame");
    let other = wireproof_protocol::Position { epoch: "00000000000000aa".parse().unwrap(), seq: 0 };
    let snapshot = user.connect_at(other).await.expect("snapshot").await;
    assert!(snapshot.control().is_some(), "our own client reads it");
}
