//! Frames that are none: each gets its documented error, the connection lives, and nothing is left behind.

use serde::Deserialize;
use serde_json::{Value, json};
use wireproof_testkit::{TestServer, matching};

/// The table of crates/protocol: what is wrong, the frame, and what must come of it.
#[derive(Deserialize)]
struct Row {
    name: String,
    text: String,
    error_code: String,
    id: Option<String>,
    field: Option<String>,
}

fn rows() -> Vec<Row> {
    serde_json::from_str(include_str!("../../../protocol/tests/malformed_frames.json")).unwrap()
}

#[tokio::test]
async fn every_malformed_frame_gets_its_error_through_one_socket_and_leaves_nothing_behind() {
    let server = TestServer::start_with(|config| config.limits.messages_per_minute = 0).await;
    let user = server.user("ada");
    let ada = user.connect().await;
    ada.barrier().await;
    let tasks = tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let rows = rows();
    assert!(rows.len() >= 60);
    for row in &rows {
        ada.send_raw(row.text.as_str()).await;
        let answer = ada.expect("error").await;
        assert_eq!(answer.text_of("error_code"), row.error_code, "{}: {}", row.name, answer.text);
        assert_eq!(answer.json.get("id").and_then(Value::as_str), row.id.as_deref(), "{}", row.name);
        let field = answer.at_path("details.field").and_then(Value::as_str);
        assert_eq!(field, row.field.as_deref(), "{}", row.name);
        assert_eq!(
            (&answer["retryable"], &answer["error"]),
            (&json!(false), &answer["message"]),
            "{}",
            row.name
        );
        assert!(answer["timestamp"].is_f64());
    }
    // One answer each and no more; the connection works; neither a run, a thread, a task nor an event is left.
    ada.expect_none(matching("another frame", |arrival| {
        !["connection_established", "pong", "error"].contains(&arrival.kind())
    }))
    .await;
    ada.expect_none("error").await;
    assert_eq!((server.runs(), server.connections()), (0, 1));
    assert_eq!(user.get("/api/threads").await.json["total"], 0);
    assert_eq!(ada.state().seq, 0);
    server
        .until("no task is left", |_| tokio::runtime::Handle::current().metrics().num_alive_tasks() <= tasks)
        .await;
    let run = ada.chat("What is 2+3?").await;
    ada.expect_run_completed(run.run_id).await;
}

/// Many at once, without waiting for an answer in between: the answers come in the order of the frames.
#[tokio::test]
async fn malformed_frames_in_a_burst_are_answered_in_order() {
    let server = TestServer::start_with(|config| config.limits.messages_per_minute = 0).await;
    let ada = server.user("ada").connect().await;
    let rows = rows();
    for row in rows.iter().chain(&rows) {
        ada.send_raw(row.text.as_str()).await;
    }
    ada.barrier().await;
    let codes: Vec<_> = ada.frames().iter().map(|arrival| arrival.text_of("error_code").to_owned()).collect();
    let expected: Vec<_> = rows.iter().chain(&rows).map(|row| row.error_code.clone()).collect();
    assert_eq!(codes.into_iter().filter(|code| !code.is_empty()).collect::<Vec<_>>(), expected);
}

/// The soft limit is an error and the next byte below it is none.
#[tokio::test]
async fn a_frame_over_the_soft_limit_is_an_error_and_the_connection_lives() {
    let server = TestServer::start().await;
    let ada = server.user("ada").connect().await;
    let limit = ada.welcome().limits.message_bytes;
    let around = r#"{"type":"create_thread","id":"","metadata":{}}"#.len();
    for (size, kind) in [(limit - 1, "error"), (limit, "error"), (limit + 1, "error"), (2 * limit, "error")] {
        let frame = json!({ "type": "create_thread", "id": "", "metadata": {} });
        let mut text = frame.to_string();
        assert_eq!(text.len(), around);
        text.insert_str(text.len() - 1, &" ".repeat(size - around));
        assert_eq!(text.len(), size);
        ada.send_raw(text).await;
        let answer = ada.expect(kind).await;
        let code = if size > limit { "message_too_large" } else { "invalid_frame" };
        assert_eq!(answer.text_of("error_code"), code, "{size} bytes");
        if size > limit {
            assert_eq!(answer.at_path("details.limit"), Some(&json!(limit)));
        }
    }
    ada.barrier().await;
    let chat = json!({ "type": "chat", "content": "x".repeat(limit) });
    ada.send(chat).await;
    ada.expect(wireproof_testkit::error("message_too_large")).await;
    assert_eq!(server.runs(), 0);
    ada.barrier().await;
}
