//! Runs that wait for their turn, that are cancelled, and that go on without their user.

use serde_json::json;
use wireproof_protocol::{Outcome, RunId};
use wireproof_testkit::{Run, TestClient, TestServer, error, event};

use crate::acting::patient;

/// The run's end, checked: one terminal event, nothing behind it, no rule broken, and nothing left in the server.
pub async fn ended(server: &TestServer, client: &TestClient, run_id: RunId) -> Run {
    client.expect_run_completed(run_id).await;
    server.until("the run's place is free", |server| server.runs() == 0).await;
    client.barrier().await;
    let run = client.run(run_id);
    run.check().unwrap();
    assert_eq!(run.events.iter().filter(|event| event.body.name() == "agent_completed").count(), 1);
    assert_eq!(run.kinds().last(), Some(&"agent_completed"), "{:?}", run.kinds());
    client.assert_exactly_once();
    client.state();
    run
}

#[tokio::test]
async fn runs_beyond_the_limit_wait_in_order_and_say_so() {
    let server = TestServer::builder()
        .agents([patient()])
        .config(|config| (config.limits.concurrent_runs, config.limits.queued_runs) = (1, 2))
        .start()
        .await;
    let user = server.user("ada");
    let ada = user.connect().await;
    let first = ada.chat_with("patient", "one").await;
    let second = ada.chat("What is 2+3?").await;
    let third = ada.chat("What is 2+4?").await;
    ada.expect(event("status_update").of_run(second.run_id).field("status", "queued").field("run_seq", 1))
        .await;
    ada.expect(event("status_update").of_run(third.run_id).field("status", "queued").field("run_seq", 1))
        .await;
    let refused = ada.ask(json!({ "type": "chat", "content": "What is 2+5?" })).await;
    assert_eq!((refused.text_of("error_code"), &refused["retryable"]), ("too_many_runs", &json!(true)));
    let thread = format!("/api/threads/{}/messages", first.thread_id);
    let reply = user.post(&thread, json!({ "content": "What is 2+5?" })).await;
    assert_eq!((reply.status, reply.error_code()), (429, "too_many_runs"));
    assert!(reply.header("retry-after").is_some());
    // Another user's runs do not wait for these.
    let eve = server.user("eve").connect().await;
    let free = eve.chat("What is 1+1?").await;
    eve.expect_run_completed(free.run_id).await;
    ada.expect_none(event("agent_started").of_run(second.run_id)).await;
    server.until("only three runs are left", |server| server.runs() == 3).await;
    ada.ask(json!({ "type": "cancel_run", "run_id": first.run_id })).await;
    let second = ada.expect_run_completed(second.run_id).await;
    assert_eq!(second.kinds()[..2], ["status_update", "agent_started"]);
    let third = ended(&server, &ada, third.run_id).await;
    assert!(
        second.events.last().unwrap().seq < third.events[1].seq,
        "the third started before the second ended"
    );
    ada.expect_none(error("internal")).await;
}

#[tokio::test]
async fn a_run_is_cancelled_from_any_device_while_it_runs_while_it_waits_and_when_it_is_over() {
    let server = TestServer::builder()
        .agents([patient()])
        .config(|config| config.limits.concurrent_runs = 1)
        .start()
        .await;
    let user = server.user("ada");
    let (phone, laptop, eve) =
        (user.connect().await, user.connect().await, server.user("eve").connect().await);
    let running = phone.chat_with("patient", "one").await;
    let waiting = phone.chat("What is 2+3?").await;
    for run_id in [running.run_id, waiting.run_id, RunId::new()] {
        let refused = eve.ask(json!({ "type": "cancel_run", "run_id": run_id })).await;
        assert_eq!(refused["error_code"], "not_found");
        let path = format!("/api/runs/{run_id}");
        assert_eq!(server.user("eve").get(&path).await.status, 404);
        assert_eq!(
            server.user("eve").post(&format!("{path}/cancel"), json!({})).await.error_code(),
            "not_found"
        );
    }
    assert_eq!(
        phone.ask(json!({ "type": "cancel_run", "run_id": "nonsense" })).await["error_code"],
        "not_found"
    );
    let ack = laptop.ask(json!({ "type": "stop_agent", "run_id": waiting.run_id })).await;
    assert_eq!((ack.kind(), &ack["run_id"]), ("ack", &json!(waiting.run_id)));
    let waited = phone.expect_run_completed(waiting.run_id).await;
    assert_eq!(waited.outcome(), Some(Outcome::Cancelled));
    assert_eq!(waited.kinds(), ["status_update", "agent_started", "agent_completed"]);
    let reply = user.post(&format!("/api/runs/{}/cancel", running.run_id), json!({})).await;
    assert_eq!((reply.status, &reply.json["run_id"]), (200, &json!(running.run_id)));
    let ran = ended(&server, &phone, running.run_id).await;
    assert_eq!(
        (ran.outcome(), ran.kinds()),
        (Some(Outcome::Cancelled), vec!["agent_started", "agent_completed"])
    );
    let over = laptop.ask(json!({ "type": "cancel_run", "run_id": running.run_id })).await;
    assert_eq!((over.kind(), over.text_of("outcome")), ("ack", "cancelled"));
    let done = phone.chat("What is 1+1?").await;
    phone.expect_run_completed(done.run_id).await;
    let over = laptop.ask(json!({ "type": "cancel_run", "run_id": done.run_id })).await;
    assert_eq!((over.kind(), over.text_of("outcome")), ("ack", "success"));
    assert_eq!(user.get(&format!("/api/runs/{}", done.run_id)).await.json["outcome"], "success");
    eve.barrier().await;
    assert!(eve.events().is_empty());
}

/// Cancelled in the middle of three tools and in the middle of its answer: the open calls end, the text stays.
#[tokio::test]
async fn a_cancel_closes_open_tools_and_keeps_the_partial_answer() {
    let server = TestServer::start().await;
    let user = server.user("ada");
    let ada = user.connect().await;
    let in_tools = ada.chat("What is 2+3, wait 30 seconds, and how many words are in this sentence?").await;
    ada.expect(event("tool_executing").field("tool_name", "timer")).await;
    ada.ask(json!({ "type": "cancel_run", "run_id": in_tools.run_id })).await;
    let run = ended(&server, &ada, in_tools.run_id).await;
    assert_eq!(run.outcome(), Some(Outcome::Cancelled));
    let count = |kind: &str| run.kinds().iter().filter(|found| **found == kind).count();
    assert_eq!((count("tool_executing"), count("tool_completed")), (3, 3));
    let in_answer = ada.chat("count from 1 to 400").await;
    ada.expect(event("message_delta").of_run(in_answer.run_id).contains("delta", "5, ")).await;
    ada.ask(json!({ "type": "cancel_run", "run_id": in_answer.run_id })).await;
    let run = ended(&server, &ada, in_answer.run_id).await;
    assert_eq!((run.outcome(), run.final_response()), (Some(Outcome::Cancelled), None));
    let messages = user.get(&format!("/api/threads/{}/messages", in_answer.thread_id)).await.json;
    let partial = &messages["messages"][1];
    assert_eq!((&partial["incomplete"], &partial["content"]), (&json!(true), &json!(run.text())));
    assert!(run.text().starts_with("1, 2, 3, 4, 5, "));
}

#[tokio::test]
async fn a_disconnect_never_cancels_a_run() {
    let server = TestServer::start().await;
    let mut ada = server.user("ada").connect().await;
    let run = ada.chat("What is 2+3, and count from 1 to 10.").await;
    ada.drop_connection().await;
    server.until("the connection is gone", |server| server.connections() == 0).await;
    server.idle().await;
    ada.resume().await;
    let run = ended(&server, &ada, run.run_id).await;
    assert_eq!(run.outcome(), Some(Outcome::Success));
}
