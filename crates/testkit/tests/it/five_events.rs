//! The five events of a real run: their order, every one of their fields, on every device, and on nobody else's.

use serde_json::{Value, json};
use wireproof_testkit::{ReceivedFrame, TestServer, event, matching};

const MESSAGE: &str = "What is 17*23, and how many words are in this sentence?";

fn assert_fields(arrival: &ReceivedFrame, names: &[&str]) {
    let always = ["type", "seq", "event_id", "user_id", "thread_id", "timestamp"];
    let mut expected: Vec<&str> = always.iter().chain(names).copied().collect();
    let mut found: Vec<&str> = arrival.json.as_object().unwrap().keys().map(String::as_str).collect();
    expected.sort();
    found.sort();
    assert_eq!(found, expected, "{}", arrival.text);
}

#[tokio::test]
async fn the_example_message_gets_its_events_in_order_with_every_field() {
    let server = TestServer::start().await;
    let ada = server.user("ada").connect().await;
    // As the protocol's example has it: fields under `payload`, no id.
    ada.send(json!({ "type": "chat", "payload": { "content": MESSAGE } })).await;
    let end = ada.expect("agent_completed").await;
    ada.expect_none("error").await;
    let run_id = end.run_id().unwrap();
    let frames = ada.frames();
    let of_run: Vec<_> = frames.iter().filter(|arrival| arrival.run_id() == Some(run_id)).collect();
    for (number, arrival) in (1..).zip(&of_run) {
        assert_eq!(arrival["run_seq"], json!(number), "{}", arrival.text);
        assert_eq!(arrival["user_id"], "ada");
        assert_eq!(arrival["agent_name"], "builtin");
        assert_eq!(arrival["thread_id"], end["thread_id"]);
        assert!(arrival["timestamp"].as_f64().unwrap() > 1.7e9);
    }
    let kinds: Vec<_> =
        of_run.iter().map(|arrival| arrival.kind()).filter(|kind| *kind != "message_delta").collect();
    assert_eq!(
        kinds,
        [
            "agent_started",
            "agent_thinking",
            "tool_executing",
            "tool_executing",
            "tool_completed",
            "tool_completed",
            "agent_completed"
        ]
    );
    let of_kind = |kind: &str| of_run.iter().find(|arrival| arrival.kind() == kind).unwrap();
    let of_a_run = |names: &[&'static str]| [&["run_id", "run_seq", "agent_name"], names].concat();
    assert_fields(of_kind("agent_started"), &of_a_run(&["message"]));
    assert_fields(of_kind("agent_thinking"), &of_a_run(&["reasoning", "step_number"]));
    assert_fields(of_kind("tool_executing"), &of_a_run(&["tool_call_id", "tool_name", "parameters"]));
    assert_fields(
        of_kind("tool_completed"),
        &of_a_run(&["tool_call_id", "tool_name", "result", "duration_ms"]),
    );
    assert_fields(of_kind("message_delta"), &of_a_run(&["message_id", "delta"]));
    let ends = ["outcome", "message_id", "final_response", "usage", "duration_ms"];
    assert_fields(of_kind("agent_completed"), &of_a_run(&ends));
    assert!(!of_kind("agent_thinking").text_of("reasoning").trim().is_empty());
    assert_eq!(of_kind("agent_thinking")["step_number"], 1);
    assert_eq!(end["outcome"], "success");
    assert_eq!(end["usage"], json!({ "input_tokens": 0, "output_tokens": 0, "total_tokens": 0 }));
    assert!(end["duration_ms"].as_f64().unwrap() > 0.0);
    let answer = end.text_of("final_response");
    assert!(answer.contains("391") && answer.contains("11 words"), "{answer}");
    assert_eq!(ada.run(run_id).text(), answer, "the deltas put together");
    let tools = |kind: &str| -> Vec<(Value, Value)> {
        let of_kind = of_run.iter().filter(|arrival| arrival.kind() == kind);
        let mut tools: Vec<_> =
            of_kind.map(|a| (a["tool_call_id"].clone(), a["tool_name"].clone())).collect();
        tools.sort_by_key(|(id, _)| id.to_string());
        tools
    };
    assert_eq!(tools("tool_executing"), tools("tool_completed"));
    ada.run(run_id).check().unwrap();
    ada.assert_exactly_once();
}

#[tokio::test]
async fn every_device_of_the_user_gets_the_same_bytes_and_another_user_gets_nothing() {
    let server = TestServer::start().await;
    let user = server.user("ada");
    let mut devices = Vec::new();
    for _ in 0..5 {
        devices.push(user.connect().await);
    }
    let eve = server.user("eve").connect().await;
    let run = devices[0].chat(MESSAGE).await;
    let mut seen = Vec::new();
    for device in &devices {
        device.expect_run_completed(run.run_id).await;
        device.assert_exactly_once();
        let texts = device.frames().iter().filter(|a| a.event().is_some()).map(|a| a.text.clone()).collect();
        let texts: Vec<String> = texts;
        assert!(texts.len() > 7);
        seen.push(texts);
    }
    assert!(seen.windows(2).all(|pair| pair[0] == pair[1]));
    eve.expect_none(matching("anything of the log", |arrival| arrival.event().is_some())).await;
    let kinds: Vec<_> = eve.frames().iter().map(|arrival| arrival.kind().to_owned()).collect();
    assert_eq!(kinds, ["connection_established", "pong"]);
}

#[tokio::test]
async fn the_three_spellings_of_a_request_lead_to_the_same_run() {
    let server = TestServer::start().await;
    let ada = server.user("ada").connect().await;
    for frame in [
        json!({ "type": "chat", "content": "What is 2+3?" }),
        json!({ "type": "user_message", "payload": { "content": "What is 2+3?" } }),
        json!({ "type": "start_agent", "user_request": "What is 2+3?", "agent": "builtin" }),
    ] {
        let run = ada.request_run(frame).await;
        let run = ada.expect_run_completed(run.run_id).await;
        assert!(run.final_response().unwrap().contains("2+3 = 5."), "{run:?}");
    }
    let unknown = ada.ask(json!({ "type": "chat", "content": "hi", "agent": "nobody" })).await;
    assert_eq!(unknown["error_code"], "not_found");
}

#[tokio::test]
async fn an_accepted_request_says_where_its_run_is() {
    let server = TestServer::start().await;
    let ada = server.user("ada").connect().await;
    let accepted = ada.chat("What is 2+3?").await;
    let started = ada.expect("agent_started").await;
    let said = ada.expect("message_created").await;
    assert_eq!(started["run_id"], accepted.run_id.to_string());
    assert_eq!(said["thread_id"], accepted.thread_id.to_string());
    assert_eq!((said.text_of("role"), said.text_of("content")), ("user", "What is 2+3?"));
    // `seq` is that of the first event that the request caused: here the new thread's.
    let caused: Vec<_> = ada.events().into_iter().filter(|event| event.seq >= accepted.seq).collect();
    let names: Vec<_> = caused[..3].iter().map(|event| event.body.name()).collect();
    assert_eq!(names, ["thread_created", "message_created", "agent_started"]);
    assert_eq!(caused[2].run.as_ref().unwrap().run_seq, 1);
    let next =
        ada.request_run(json!({ "type": "chat", "content": "2+4", "thread_id": said["thread_id"] })).await;
    let said = ada.expect("message_created").await;
    assert_eq!(said["seq"], next.seq);
}

/// A tool that fails is told as one, and the run still ends with an answer that says so.
#[tokio::test]
async fn a_failing_tool_is_a_completed_one_with_its_error() {
    let server = TestServer::start().await;
    let ada = server.user("ada").connect().await;
    let run = ada.chat("What is 1/0?").await;
    let failed =
        ada.expect(event("tool_completed").has("error.code").has("error.message").lacks("result")).await;
    let run = ada.expect_run_completed(run.run_id).await;
    let reason = failed.at_path("error.message").unwrap().as_str().unwrap();
    assert!(run.final_response().unwrap().contains(reason), "{run:?}");
}
