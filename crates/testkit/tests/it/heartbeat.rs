//! Signs of life: the server asks for them, and lets go of who gives none.

use serde_json::json;
use wireproof_testkit::TestServer;

use crate::wire::{CLOSE, FIN, PING, PONG, TEXT, Wire, masked};

async fn quick() -> TestServer {
    TestServer::start_with(|config| {
        config.limits.heartbeat_seconds = 0.1;
        config.limits.dead_seconds = 0.6;
    })
    .await
}

#[tokio::test]
async fn who_answers_lives_and_who_does_not_is_closed() {
    let server = quick().await;
    let token = server.user("ada").token();
    let kept = server.user("ada").connect().await;
    let mut silent = Wire::welcomed(server.address(), &token).await;
    let mut answering = Wire::welcomed(server.address(), &token).await;
    let mut pings = 0;
    // Ten pings take a second: longer than the dead live.
    while pings < 10 {
        let frame = answering.frame().await.expect("who answers is not closed");
        if frame.opcode == PING {
            answering.write(&masked(FIN | PONG, &frame.payload)).await;
            pings += 1;
        }
    }
    answering.write(&masked(FIN | TEXT, br#"{"type":"ping"}"#)).await;
    answering.text_of_type("pong").await;
    kept.barrier().await;
    server.until("the silent one is gone", |server| server.connections() == 2).await;
    let mut heard = Vec::new();
    while let Some(frame) = silent.frame().await {
        heard.push(frame);
    }
    let close = heard.last().unwrap();
    assert_eq!((close.opcode, close.payload.first_chunk()), (CLOSE, Some(&1001u16.to_be_bytes())));
    let asked = heard.iter().filter(|frame| frame.opcode == PING).count();
    assert!((4..=7).contains(&asked), "{asked} pings before the end");
}

/// Any frame is a sign of life, not only a pong.
#[tokio::test]
async fn frames_are_signs_of_life_too() {
    let server = quick().await;
    let mut wire = Wire::welcomed(server.address(), &server.user("ada").token()).await;
    let mut pings = 0;
    while pings < 10 {
        let frame = wire.frame().await.expect("who speaks is not closed");
        if frame.opcode == PING {
            pings += 1;
            wire.write(&masked(FIN | TEXT, br#"{"type":"heartbeat","id":"h"}"#)).await;
        }
    }
    assert_eq!(wire.text_of_type("heartbeat_ack").await["id"], "h");
}

/// A client that is gone without a word, as after a pulled plug, does not stay in the server's books.
#[tokio::test]
async fn a_cut_connection_is_forgotten_and_its_place_is_free() {
    let server = TestServer::start_with(|config| config.limits.connections_per_user = 1).await;
    let user = server.user("ada");
    for _ in 0..5 {
        let client = user.connect().await;
        client.drop_connection().await;
        server.until("the place is free", |server| server.connections() == 0).await;
    }
    let client = user.connect().await;
    let answer = client.ask(json!({ "type": "heartbeat" })).await;
    assert_eq!((answer.kind(), &answer["seq"]), ("heartbeat_ack", &json!(0)));
}
