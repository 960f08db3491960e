//! Clients that vanish at the worst moment, or hang on to a connection that should end: nothing is left behind.

use std::time::{Duration, Instant};

use serde_json::json;
use wireproof_protocol::{Position, UserState};
use wireproof_server::Config;
use wireproof_testkit::{TestServer, TestUser};

use crate::wire::{FIN, TEXT, Wire, masked};

/// Every run that the user's log tells of has its one end, and none is active.
async fn assert_all_ended(server: &TestServer, user: &TestUser, least: usize) {
    server.idle().await;
    let fresh = user.connect().await;
    assert!(fresh.welcome().active_runs.is_empty(), "{:?}", fresh.welcome().active_runs);
    let whole = user.connect_at(Position { epoch: fresh.welcome().epoch, seq: 0 }).await;
    whole.expect("caught_up").await;
    let mut state = UserState::default();
    for event in whole.events() {
        state.apply(&event).unwrap();
    }
    assert!(state.runs.len() >= least, "{} runs", state.runs.len());
    assert!(state.runs.values().all(|run| run.outcome.is_some()));
}

/// No limit that forty connections in a row could meet: the server may learn of a reset after the next one is there.
fn unbounded(config: &mut Config) {
    config.limits.queued_runs = 0;
    config.limits.connections_per_user = 0;
    config.limits.messages_per_minute = 0;
}

/// Bug: a run whose client reset its connection while the run was being stored had no driver and never ended.
#[tokio::test]
async fn a_reset_right_after_a_chat_leaves_no_run_without_an_end() {
    let server = TestServer::start_with(unbounded).await;
    let user = server.user("ada");
    for round in 0..40u64 {
        let mut wire = Wire::welcomed(server.address(), &user.token()).await;
        wire.write(&masked(FIN | TEXT, br#"{"type":"chat","content":"What is 2+2?"}"#)).await;
        // From at once to after the commit: the reset meets every step of the way.
        tokio::time::sleep(Duration::from_micros(100 * round)).await;
        wire.reset();
    }
    assert_all_ended(&server, &user, 5).await;
}

/// Bug: the same over HTTP, where a client that goes away drops the request's handler.
#[tokio::test]
async fn a_reset_right_after_a_post_leaves_no_run_without_an_end() {
    let server = TestServer::start_with(unbounded).await;
    let user = server.user("ada");
    let thread = user.post("/api/threads", json!({})).await.json["thread_id"].as_str().unwrap().to_owned();
    let body = r#"{"content":"What is 2+2?"}"#;
    let request = format!(
        "POST /api/threads/{thread}/messages HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\
         Content-Length: {}\r\n\r\n{body}",
        user.token(),
        body.len()
    );
    for round in 0..40u64 {
        let mut wire = Wire::dial(server.address()).await;
        wire.write(request.as_bytes()).await;
        tokio::time::sleep(Duration::from_micros(100 * round)).await;
        wire.reset();
    }
    assert_all_ended(&server, &user, 5).await;
}

/// Bug: a stalled connection whose token expired queued the same error again and again, 100 MiB a second.
#[tokio::test]
async fn an_expired_token_is_told_once_to_a_client_that_does_not_read() {
    let server = TestServer::start_with(|config| config.limits.token_grace_seconds = 0.0).await;
    let user = server.user("ada");
    let writer = user.connect().await;
    let run = writer.chat(&"long ".repeat(12_000)).await;
    writer.expect_run_completed(run.run_id).await;
    let thread = run.thread_id;
    let mut wire = Wire::dial_narrow(server.address()).await;
    wire.open(&user.token_for(Duration::from_secs(2))).await;
    let ask = format!(r#"{{"type":"get_thread_history","thread_id":"{thread}"}}"#);
    for _ in 0..10 {
        wire.write(&masked(FIN | TEXT, ask.as_bytes())).await;
    }
    server.until("the one with the old token is gone", |server| server.connections() == 1).await;
    let mut told = 0;
    while let Some(frame) = wire.frame().await {
        told += usize::from(frame.text().contains("token_expired"));
    }
    assert!(told <= 1, "told {told} times");
}

/// Bug: a client that read without pause was sent away as one that does not read, when a single frame took longer than
/// the time that a client may take nothing.
#[tokio::test]
async fn a_client_that_reads_slowly_but_steadily_is_kept() {
    let server = TestServer::start_with(|config| config.limits.stall_seconds = 0.5).await;
    let user = server.user("ada");
    let writer = user.connect().await;
    let mut thread = None;
    for _ in 0..14 {
        let mut chat = json!({"type": "chat", "content": "long ".repeat(12_000)});
        if let Some(thread) = &thread {
            chat["thread_id"] = json!(thread);
        }
        let run = writer.request_run(chat).await;
        writer.expect_run_completed(run.run_id).await;
        thread = Some(run.thread_id);
    }
    let mut wire = Wire::dial_narrow(server.address()).await;
    wire.open(&user.token()).await;
    let ask = format!(r#"{{"type":"get_thread_history","thread_id":"{}"}}"#, thread.unwrap());
    wire.write(&masked(FIN | TEXT, ask.as_bytes())).await;
    let (began, mut read) = (Instant::now(), 0);
    while began.elapsed() < Duration::from_millis(1500) {
        tokio::time::sleep(Duration::from_millis(25)).await;
        let came = wire.sip(4096).await;
        assert!(came > 0, "sent away after {read} bytes and {:?}", began.elapsed());
        read += came;
    }
    let history = wire.frame().await.expect("the whole frame");
    assert!(
        history.text().contains("thread_history") && history.payload.len() > read,
        "it outlasted the stall"
    );
}
