//! Positions of every kind, good and bad: each gets its replay, its snapshot or its error, and then the tail.

use serde_json::json;
use wireproof_client::Connect;
use wireproof_protocol::{Epoch, Position};
use wireproof_testkit::{TestClient, TestServer, TestUser, error, event, frame};

/// What comes next is live: a thread made now arrives, once.
async fn assert_live(user: &TestUser, client: &TestClient) {
    let title = format!("live {}", client.frames().len());
    let created = user.post("/api/threads", json!({ "title": title })).await;
    assert_eq!(created.status, 201);
    let ours = event("thread_created").field("title", title);
    client.expect(&ours).await;
    client.expect_none(&ours).await;
}

async fn opened_with(user: &TestUser, query: &str) -> TestClient {
    let url = format!("ws://{}/ws?{query}", user.address());
    let client = user.open(Connect::to(url).token(user.token())).await;
    assert_eq!(client.expect("connection_established").await["resumed"], false);
    client
}

#[tokio::test]
async fn a_malformed_position_is_an_error_and_the_connection_is_live_from_the_head() {
    let server = TestServer::start().await;
    let user = server.user("ada");
    let witness = user.connect().await;
    witness.chat("What is 2+3?").await;
    witness.expect("agent_completed").await;
    let epoch = witness.welcome().epoch;
    for (query, field) in [
        ("after=1".to_owned(), "epoch"),
        ("epoch=&after=1".to_owned(), "epoch"),
        ("epoch=zz&after=1".to_owned(), "epoch"),
        ("epoch=0123456789ABCDEF&after=1".to_owned(), "epoch"),
        (format!("epoch={epoch}0&after=1"), "epoch"),
        (format!("epoch={epoch}"), "after"),
        (format!("epoch={epoch}&after="), "after"),
        (format!("epoch={epoch}&after=-1"), "after"),
        (format!("epoch={epoch}&after=%2B1"), "after"),
        (format!("epoch={epoch}&after=+1"), "after"),
        (format!("epoch={epoch}&after=1.5"), "after"),
        (format!("epoch={epoch}&after=one"), "after"),
        (format!("epoch={epoch}&after=99999999999999999999999"), "after"),
        (format!("epoch={epoch}&after=0x1"), "after"),
    ] {
        let client = opened_with(&user, &query).await;
        let refused = client.expect(error("invalid_frame")).await;
        assert_eq!((refused.index, &refused["details"]["field"]), (1, &json!(field)), "{query}");
        assert_live(&user, &client).await;
        client.expect_none("caught_up").await;
    }
}

#[tokio::test]
async fn a_position_ahead_of_the_log_is_an_error_and_the_connection_is_live_from_the_head() {
    let server = TestServer::start().await;
    let user = server.user("ada");
    let witness = user.connect().await;
    let epoch = witness.welcome().epoch;
    for seq in [1, 1000, u64::MAX] {
        let client = user.connect_at(Position { epoch, seq: seq.max(witness.state().seq + 1) }).await;
        assert!(!client.welcome().resumed);
        client.expect(error("cursor_ahead").field("details.seq", witness.state().seq)).await;
        assert_live(&user, &client).await;
        client.expect_none("caught_up").await;
        witness.expect("thread_created").await;
    }
}

#[tokio::test]
async fn a_position_at_the_head_is_served_with_nothing_and_at_the_start_with_everything() {
    let server = TestServer::start().await;
    let user = server.user("ada");
    let witness = user.connect().await;
    let epoch = witness.welcome().epoch;
    let empty = user.connect_at(Position { epoch, seq: 0 }).await;
    assert_eq!(empty.expect("caught_up").await["seq"], 0);
    let run = witness.chat("What is 2+3?").await;
    witness.expect_run_completed(run.run_id).await;
    let head = witness.state().seq;
    let at_head = user.connect_at(Position { epoch, seq: head }).await;
    assert_eq!(at_head.expect("caught_up").await["seq"], head);
    assert!(at_head.welcome().resumed && at_head.events().is_empty());
    let from_start = user.connect_at(Position { epoch, seq: 0 }).await;
    assert_eq!(from_start.expect("caught_up").await["seq"], head);
    assert_eq!(from_start.state(), witness.state());
    for client in [&empty, &at_head, &from_start] {
        assert_live(&user, client).await;
        client.assert_exactly_once();
    }
}

#[tokio::test]
async fn a_position_on_another_number_line_gets_a_snapshot_of_ones_own_state_and_then_the_tail() {
    let server = TestServer::start().await;
    let (user, eve) = (server.user("ada"), server.user("eve"));
    let witness = user.connect().await;
    let evil = eve.connect().await;
    evil.chat("What is secretword 6*7?").await;
    evil.expect("agent_completed").await;
    let run = witness.chat("What is 17*23?").await;
    witness.expect_run_completed(run.run_id).await;
    let head = witness.state().seq;
    for (epoch, seq) in
        [(Epoch::new(7), 0), (Epoch::new(7), 10_000), (evil.welcome().epoch, evil.state().seq)]
    {
        let client = user.connect_at(Position { epoch, seq }).await;
        assert!(!client.welcome().resumed);
        let snapshot = client.expect(frame("snapshot").field("reason", "epoch_changed")).await;
        assert_eq!((snapshot.index, &snapshot["seq"]), (1, &json!(head)));
        assert_eq!(snapshot["epoch"], witness.welcome().epoch.to_string());
        assert!(!snapshot.text.contains("secretword"));
        assert_eq!(client.expect("caught_up").await["seq"], head);
        assert_eq!(client.state().threads, witness.state().threads);
        assert!(client.events().is_empty());
    }
    let client = user.connect_at(Position { epoch: Epoch::new(7), seq: 0 }).await;
    assert_live(&user, &client).await;
    client.expect("caught_up").await;
    client.expect_none("caught_up").await;
    client.assert_exactly_once();
}

/// A retention of one byte lets go of all but the last row; what is asked for from before gets the state instead.
#[tokio::test]
async fn a_position_older_than_the_retention_gets_a_snapshot_and_then_the_tail() {
    let server = TestServer::start_with(|config| {
        config.retention.bytes_per_user = 1;
        config.retention.every_seconds = 0.05;
    })
    .await;
    let user = server.user("ada");
    let witness = user.connect().await;
    let mut thread_id = None;
    for _ in 0..3 {
        let run = witness
            .request_run(
                json!({ "type": "chat", "content": "count from 1 to 5 fast", "thread_id": thread_id }),
            )
            .await;
        witness.expect_run_completed(run.run_id).await;
        thread_id = Some(run.thread_id.to_string());
    }
    let start = Position { epoch: witness.welcome().epoch, seq: 0 };
    let mut old = user.connect_at(start).await;
    while old.welcome().resumed {
        old = user.connect_at(start).await;
    }
    let snapshot = old.expect(frame("snapshot").field("reason", "too_old")).await;
    assert_eq!((&snapshot["seq"], &snapshot["active_runs"]), (&json!(witness.state().seq), &json!([])));
    assert_eq!(old.expect("caught_up").await["seq"], witness.state().seq);
    assert_eq!(old.state().threads, witness.state().threads);
    assert_live(&user, &old).await;
    old.expect_none("caught_up").await;
    old.assert_exactly_once();
    // The head itself is never too old, whatever the retention let go.
    let head = user.connect_at(witness_position(&witness).await).await;
    assert!(head.welcome().resumed);
}

async fn witness_position(witness: &TestClient) -> Position {
    witness.barrier().await;
    witness.position().unwrap()
}

/// A snapshot in the middle of a run holds the run as far as it is, and its tail completes the answer.
#[tokio::test]
async fn a_snapshot_in_the_middle_of_a_run_goes_on_with_the_run() {
    let server = TestServer::start().await;
    let user = server.user("ada");
    let witness = user.connect().await;
    let run = witness.chat("What is 17*23, wait 0.3 seconds, and count from 1 to 20.").await;
    let elsewhere = Position { epoch: Epoch::new(7), seq: 3 };
    witness.expect(event("tool_completed").field("tool_name", "calculate")).await;
    let in_tools = user.connect_at(elsewhere).await;
    let snapshot = in_tools.expect("snapshot").await;
    assert_eq!(snapshot["active_runs"][0]["run_id"], run.run_id.to_string());
    assert_eq!(snapshot["active_runs"][0]["open_tool_calls"][0]["tool_name"], "timer");
    witness.expect(event("message_delta").contains("delta", "8, ")).await;
    let in_answer = user.connect_at(elsewhere).await;
    let snapshot = in_answer.expect("snapshot").await;
    assert!(snapshot["active_runs"][0]["text"].as_str().unwrap().contains("391"), "{}", snapshot.text);
    let whole = witness.expect_run_completed(run.run_id).await;
    for client in [&in_tools, &in_answer] {
        assert_eq!(client.welcome().active_runs[0].run_id, run.run_id);
        client.expect("caught_up").await;
        client.expect_run_completed(run.run_id).await;
        client.expect_none("caught_up").await;
        assert_eq!(client.state().threads, witness.state().threads);
        assert_eq!(client.state().runs[&run.run_id].outcome, whole.outcome());
        client.assert_exactly_once();
    }
}

#[tokio::test]
async fn a_resume_frame_later_in_life_serves_the_log_again() {
    let server = TestServer::start().await;
    let user = server.user("ada");
    let client = user.connect().await;
    let epoch = client.welcome().epoch.to_string();
    let run = client.chat("What is 2+3?").await;
    client.expect_run_completed(run.run_id).await;
    let before = client.events();
    let head = before.last().unwrap().seq;
    for after in [0, 1, head - 1, head] {
        let known = client.events().len();
        let id = format!("again-{after}");
        client.send(json!({ "type": "resume", "epoch": epoch, "after": after, "id": id })).await;
        let caught_up = client.expect("caught_up").await;
        assert_eq!((&caught_up["seq"], caught_up.text_of("id")), (&json!(head), id.as_str()));
        client.expect_none("caught_up").await;
        let replayed: Vec<_> = client.events()[known..].iter().map(|event| event.range()).collect();
        assert_eq!(replayed.first().map_or(head + 1, |(first, _)| *first), after + 1);
        assert!(replayed.windows(2).all(|pair| pair[1].0 == pair[0].1 + 1), "{replayed:?}");
        assert_eq!(replayed.last().map_or(head, |(_, last)| *last), head);
    }
    // `assert_live` makes an event, so the head moves on.
    assert_live(&user, &client).await;
    for (frame, code) in [
        (json!({ "type": "resume", "epoch": epoch, "after": 9_999 }), "cursor_ahead"),
        (json!({ "type": "resume", "epoch": "nonsense", "after": 1 }), "invalid_frame"),
        (json!({ "type": "resume", "epoch": epoch }), "missing_field"),
    ] {
        assert_eq!(client.ask(frame).await["error_code"], code);
        assert_live(&user, &client).await;
        client.expect_none("caught_up").await;
    }
    let known = client.events().len();
    client.send(json!({ "type": "resume", "epoch": "00000000000000aa", "after": 1, "id": "other" })).await;
    client.expect(frame("snapshot").field("reason", "epoch_changed")).await;
    client.expect(frame("caught_up").field("id", "other")).await;
    client.expect_none("caught_up").await;
    assert_eq!(client.events().len(), known);
    assert_live(&user, &client).await;
    assert_eq!(client.state().threads.len(), 6);
}
