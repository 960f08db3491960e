//! The kit itself: that it starts fast, many at once, explains what it misses, and never loses a message.

use std::time::{Duration, Instant};

use serde_json::json;
use wireproof_protocol::{Outcome, Position};
use wireproof_testkit::{TestServer, error, event, frame, matching};

#[tokio::test]
async fn a_run_arrives_on_every_device_of_its_user_and_nowhere_else() {
    let server = TestServer::start().await;
    let (phone, laptop) = tokio::join!(server.user("ada").connect(), server.user("ada").connect());
    let eve = server.user("eve").connect().await;
    let run = phone.chat("What is 17*23?").await;
    laptop.expect(event("tool_completed").field("tool_name", "calculate")).await;
    let run = laptop.expect_run_completed(run.run_id).await;
    assert!(run.final_response().is_some_and(|text| text.contains("391")));
    eve.expect_none(event("agent_started")).await;
}

#[tokio::test]
async fn an_unmet_expectation_tells_what_came_and_what_came_nearest() {
    let server = TestServer::start().await;
    let ada = server.user("ada").connect().await;
    let run = ada.chat("What is 17*23?").await;
    ada.expect_run_completed(run.run_id).await;
    let wanted = event("tool_completed").field("tool_name", "search_threads").has("result");
    let unmet = ada.try_expect(wanted, Duration::from_millis(20)).await.unwrap_err().to_string();
    for words in [
        "ada did not receive event tool_completed with tool_name = \"search_threads\" and a result (waited 20ms)",
        "but tool_name is \"calculate\" and not \"search_threads\"",
        "connection_established",
        "agent_completed  ",
        "-> {\"",
    ] {
        assert!(unmet.contains(words), "{words:?} is not in:\n{unmet}");
    }
    let again = event("agent_completed").field("outcome", "success");
    let unmet = ada.try_expect(again, Duration::from_millis(1)).await.unwrap_err().to_string();
    assert!(unmet.contains("an earlier expectation took it"), "{unmet}");
}

#[tokio::test]
async fn expectations_in_any_order_find_what_they_look_for() {
    let server = TestServer::start().await;
    let ada = server.user("ada").connect().await;
    let run = ada.chat("What is 17*23, and how many words are in this sentence?").await;
    ada.expect("agent_completed").await;
    ada.expect("agent_started").await;
    let first = ada.expect("tool_executing").await;
    let second = ada.expect("tool_executing").await;
    assert!(first.index < second.index);
    ada.expect(matching("a piece of the answer", |arrival| arrival.json["delta"].is_string())).await;
    assert_eq!(ada.run(run.run_id).outcome(), Some(Outcome::Success));
    ada.assert_exactly_once();
}

#[tokio::test]
#[should_panic(expected = "ada must not receive event message_created")]
async fn what_came_and_must_not_fails() {
    let server = TestServer::start().await;
    let ada = server.user("ada").connect().await;
    ada.chat("What is 17*23?").await;
    ada.expect_none("agent_thinkin").await;
    ada.expect_none(event("message_created").contains("content", "17*23")).await;
}

#[tokio::test]
async fn a_cut_is_at_the_frame_and_a_resume_goes_on_behind_it() {
    let server = TestServer::start().await;
    let mut ada = server.user("ada").connect().await;
    ada.cut_on(event("agent_thinking"));
    ada.send(json!({ "type": "chat", "content": "What is 17*23?" })).await;
    let ended = ada.expect_closed().await;
    assert_eq!((ended.code, ended.cause.as_deref()), (None, Some("cut by the test")));
    assert_eq!(ada.frames().last().unwrap().kind(), "agent_thinking");
    ada.resume().await;
    ada.expect("agent_completed").await;
    ada.expect("caught_up").await;
    ada.assert_exactly_once();
    assert_eq!(ada.state().runs.len(), 1);
}

#[tokio::test]
async fn users_and_clients_outlive_a_restart() {
    let mut server = TestServer::start().await;
    let user = server.user("ada");
    let (token, mut ada) = (user.token(), user.connect().await);
    let run = ada.chat("What is 17*23?").await;
    ada.expect_run_completed(run.run_id).await;
    let (address, epoch) = (server.address(), ada.welcome().epoch);
    server.restart().await;
    assert_eq!(server.address(), address);
    ada.resume().await;
    assert_eq!((ada.welcome().epoch, ada.welcome().resumed), (epoch, true));
    let again = ada.chat("What is 2+3?").await;
    ada.expect_run_completed(again.run_id).await;
    ada.assert_exactly_once();
    let old_token = user.open(server.connect().token(token).resume(Position { epoch, seq: 0 })).await;
    old_token.expect(event("agent_completed").of_run(run.run_id)).await;
}

#[tokio::test]
async fn rest_speaks_with_and_without_a_token() {
    let server = TestServer::start().await;
    assert_eq!(server.rest().get("/health").await.json["status"], "healthy");
    assert_eq!(server.rest().get("/api/threads").await.status, 401);
    let reply = server.user("ada").post("/api/threads", json!({ "title": "plans" })).await;
    assert_eq!((reply.status, &reply.json["title"]), (201, &json!("plans")));
}

/// The time from the call to accepting, and a hundred servers side by side in one process.
#[tokio::test]
async fn a_server_starts_in_milliseconds_and_many_live_side_by_side() {
    let mut times = Vec::new();
    let mut servers = Vec::new();
    for _ in 0..100 {
        let began = Instant::now();
        servers.push(TestServer::start().await);
        times.push(began.elapsed());
    }
    times.sort();
    println!("start: p50 {:?}, p99 {:?}", times[50], times[98]);
    assert!(times[50] < Duration::from_millis(50), "p50 {:?}", times[50]);
    for (index, server) in servers.iter().enumerate() {
        let ada = server.user("ada").connect().await;
        ada.ask(json!({ "type": "create_thread", "title": format!("on {index}") })).await;
        ada.expect(event("thread_created").field("title", format!("on {index}"))).await;
        ada.expect_none("thread_created").await;
        ada.expect_none(error("internal")).await;
        ada.expect(frame("connection_established").field("seq", 0)).await;
    }
}
