//! Credentials in the first frame: in one piece with what follows, too many, too large, and too late.

use std::time::Duration;

use serde_json::json;
use wireproof_testkit::{TestServer, error, frame};

use crate::{
    front_door::{assert_refused, open},
    wire::{FIN, TEXT, Wire, handshake, masked},
};

fn text(frame: &serde_json::Value) -> Vec<u8> {
    masked(FIN | TEXT, frame.to_string().as_bytes())
}

/// Handshake, token and work in one segment: the work is carried out for the token's user, in order.
#[tokio::test]
async fn what_follows_the_token_in_the_same_segment_is_carried_out_in_order() {
    let server = TestServer::start().await;
    let ada = server.user("ada");
    let mut bytes = handshake("/ws", &[]).into_bytes();
    bytes.extend(text(&json!({ "type": "authenticate", "token": ada.token(), "id": "a" })));
    bytes.extend(text(&json!({ "type": "create_thread", "title": "first", "id": "b" })));
    bytes.extend(text(&json!({ "type": "create_thread", "title": "second", "id": "c" })));
    bytes.extend(text(&json!({ "type": "ping", "id": "d" })));
    let mut wire = Wire::dial(server.address()).await;
    wire.write(&bytes).await;
    assert_eq!(wire.head().await.status, 101);
    let mut ids = Vec::new();
    let welcome = wire.frame().await.unwrap().text();
    assert!(welcome.contains("connection_established") && welcome.contains("ada"), "{welcome}");
    while ids.last().is_none_or(|id| id != "d") {
        let said: serde_json::Value = serde_json::from_str(&wire.frame().await.unwrap().text()).unwrap();
        ids.extend(said["id"].as_str().map(str::to_owned));
    }
    assert_eq!(ids, ["a", "b", "c", "d"]);
    let threads = ada.get("/api/threads").await;
    assert_eq!((&threads.json["total"], &threads.json["threads"][0]["title"]), (&json!(2), &json!("second")));
}

/// The first token decides whose connection it is: what comes behind it, before its answer, is a renewal.
#[tokio::test]
async fn of_several_tokens_the_first_decides() {
    let server = TestServer::start().await;
    let (ada, eve) = (server.user("ada"), server.user("eve"));
    let several = |tokens: &[&str]| {
        let frames = tokens.iter().enumerate();
        let frames = frames.flat_map(|(n, token)| {
            text(&json!({ "type": "authenticate", "token": token, "id": n.to_string() }))
        });
        handshake("/ws", &[]).into_bytes().into_iter().chain(frames).collect::<Vec<u8>>()
    };
    let mut wire = Wire::dial(server.address()).await;
    wire.write(&several(&[&ada.token(), &eve.token(), "bad", &ada.token()])).await;
    assert_eq!(wire.head().await.status, 101);
    assert_eq!(wire.text_of_type("connection_established").await["user_id"], "ada");
    assert_eq!(wire.text_of_type("ack").await["id"], "0");
    for (id, code) in [("1", "forbidden"), ("2", "unauthenticated")] {
        let refused = wire.text_of_type("error").await;
        assert_eq!((&refused["id"], &refused["error_code"]), (&json!(id), &json!(code)));
    }
    assert_eq!(wire.text_of_type("ack").await["id"], "3");

    // A bad one first is the end, whatever comes behind it.
    let mut wire = Wire::dial(server.address()).await;
    wire.write(&several(&["bad", &ada.token()])).await;
    assert_eq!(wire.head().await.status, 101);
    assert!(wire.frame().await.unwrap().text().contains("unauthenticated"));
    assert_eq!(wire.close_code().await, Some(1008));
}

#[tokio::test]
async fn a_first_frame_that_is_too_large_is_refused() {
    let server = TestServer::start().await;
    for (bytes, code) in [(70_000, "message_too_large"), (60_000, "unauthenticated")] {
        let client = open(server.connect()).await;
        client.send(json!({ "type": "authenticate", "token": "x".repeat(bytes) })).await;
        assert_refused(&client, code).await;
    }
    let huge = open(server.connect()).await;
    huge.send(json!({ "type": "authenticate", "token": "x".repeat(2 << 20) })).await;
    assert_eq!(huge.expect_closed().await.code, Some(1009));
    server.until("nobody is left", |server| server.connections() == 0).await;
}

/// Pings, pieces of a frame and half a frame are signs of life, and no credentials: the deadline stands.
#[tokio::test]
async fn nothing_but_a_token_puts_the_deadline_off() {
    let server = TestServer::start_with(|config| config.limits.authenticate_seconds = 0.5).await;
    let mut wire = Wire::dial(server.address()).await;
    wire.write(handshake("/ws", &[]).as_bytes()).await;
    assert_eq!(wire.head().await.status, 101);
    let whole = text(&json!({ "type": "authenticate", "token": server.user("ada").token() }));
    let begun = std::time::Instant::now();
    wire.write(&whole[..whole.len() - 1]).await;
    assert_eq!(wire.close_code().await, Some(1008));
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    // The rest of it comes too late.
    wire.write(&whole[whole.len() - 1..]).await;
    server.until("nobody is left", |server| server.connections() == 0).await;
}

/// In the grace after its token's end a connection is renewed; without that it ends, and says why.
#[tokio::test]
async fn a_token_is_renewed_in_its_grace_and_not_behind_it() {
    let server = TestServer::start_with(|config| config.limits.token_grace_seconds = 1.0).await;
    let ada = server.user("ada");
    let brief = || ada.connection().token(ada.token_for(Duration::from_millis(300)));
    let (renews, ends) = (ada.open(brief()).await, ada.open(brief()).await);
    renews.expect("connection_established").await;
    let old = ada.token_for(Duration::from_millis(1));
    tokio::time::sleep(Duration::from_millis(400)).await;
    // One that has expired itself renews nothing.
    let refused = renews.ask(json!({ "type": "authenticate", "token": old })).await;
    assert_eq!(refused["error_code"], "token_expired");
    assert_eq!(renews.ask(json!({ "type": "authenticate", "token": ada.token() })).await.kind(), "ack");
    ends.expect(error("token_expired")).await;
    assert_eq!(ends.expect_closed().await.code, Some(1008));
    renews.barrier().await;
    renews.expect_none(frame("error").field("error_code", "unauthenticated")).await;
}
