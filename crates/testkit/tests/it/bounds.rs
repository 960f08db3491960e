//! What one run may say is bounded, whichever agent speaks: nothing it does takes more than its share of store or memory.

use serde_json::{Value, json};
use wireproof_agents::{Emission, StatusUpdate, ToolArgumentsDelta, ToolCompleted, ToolExecuting};
use wireproof_protocol::{EventBody, Outcome, ToolCallId};
use wireproof_testkit::{Run, ScriptedAgent, TestServer, event};

use crate::{
    acting::{acting, answer, completed, delta, executing},
    runs::ended,
};

/// The most that one message may leave in the store, with default settings.
const STORED: usize = 2 << 20;

fn large(bytes: usize) -> String {
    "x".repeat(bytes)
}

/// The bytes of a run's events on the wire.
fn bytes(run: &Run) -> usize {
    run.events.iter().map(|event| serde_json::to_string(event).unwrap().len()).sum()
}

/// One message with sixteen large results of tools stored 200 MB.
#[tokio::test]
async fn a_large_result_is_cut_with_a_mark_and_the_run_goes_on() {
    let result = json!({ "rows": vec![large(1_000); 10_000] });
    let script =
        ScriptedAgent::named("reads").tool("read", json!({ "all": large(200_000) }), result).times(10);
    let server = TestServer::builder().agent(script.says("Done.")).start().await;
    let ada = server.user("ada").connect().await;
    let run = ada.chat_with("reads", "go").await;
    let run = ended(&server, &ada, run.run_id).await;
    assert_eq!((run.outcome(), run.final_response()), (Some(Outcome::Success), Some("Done.")));
    let mut seen = 0;
    for event in &run.events {
        let (value, size) = match &event.body {
            EventBody::ToolExecuting(ToolExecuting { parameters, .. }) => (parameters, 200_010),
            EventBody::ToolCompleted(ToolCompleted { result: Some(result), .. }) => (result, 4 << 20),
            _ => continue,
        };
        assert_eq!(value["truncated"], true);
        assert!(value["bytes"].as_u64() >= Some(size), "{}", value["bytes"]);
        assert!(value["start"].as_str().unwrap().starts_with("{\""));
        assert!(value.to_string().len() <= (32 << 10) + 100);
        seen += 1;
    }
    assert_eq!(seen, 20);
    assert!(bytes(&run) < STORED);
}

/// Nothing bounded an event, an answer or a run: whatever an agent said was stored, published and kept in memory.
#[tokio::test]
async fn a_run_beyond_a_bound_ends_failed_with_a_code_of_its_own() {
    let call = ToolCallId::new();
    let pieces =
        |bytes| Emission::ToolArgumentsDelta(ToolArgumentsDelta { tool_call_id: call, delta: large(bytes) });
    let status = |status: String, detail| Emission::Status(StatusUpdate { status, detail });
    let many = |name, emission, times| ScriptedAgent::named(name).emits(emission).times(times);
    let scripts = [
        (ScriptedAgent::named("thinks").thinks(&large(300_000)), "event_too_large"),
        (ScriptedAgent::named("escapes").thinks(&"\u{1}".repeat(50_000)), "event_too_large"),
        (ScriptedAgent::named("says").says(&large(300_000)), "event_too_large"),
        (many("argues", pieces(300_000), 1), "event_too_large"),
        (many("tells", status("s".into(), Some(large(300_000))), 1), "event_too_large"),
        (many("words", status(large(1_000), None), 1), "event_too_large"),
        (ScriptedAgent::named("names").tool(&large(300), json!({}), 1), "event_too_large"),
        (ScriptedAgent::named("answers").answers(&large(300_000)), "answer_too_large"),
        (ScriptedAgent::named("streams").says(&large(1_000)).times(300), "answer_too_large"),
        (ScriptedAgent::named("ponders").thinks(&large(200_000)).times(10), "run_too_large"),
        (many("argues_on", pieces(1_000), 1_200), "run_too_large"),
        (ScriptedAgent::named("reports").tells("s").times(3_000), "too_many_events"),
        (ScriptedAgent::named("calls").tool("t", json!({}), 1).times(300), "too_many_tool_calls"),
    ];
    let codes: Vec<_> = scripts.iter().map(|(_, code)| *code).collect();
    let agents =
        scripts.map(|(script, _)| std::sync::Arc::new(script) as std::sync::Arc<dyn wireproof_agents::Agent>);
    let names: Vec<String> = agents.iter().map(|agent| agent.name().to_owned()).collect();
    let server = TestServer::builder()
        .agents(agents)
        .config(|config| config.limits.messages_per_minute = 0)
        .start()
        .await;
    let ada = server.user("ada").connect().await;
    for (name, code) in names.iter().zip(codes) {
        let run = ada.chat_with(name, "go").await;
        let run = ended(&server, &ada, run.run_id).await;
        assert_eq!((run.outcome(), run.failure()), (Some(Outcome::Failed), Some(code)), "{name}");
        assert!(bytes(&run) < STORED, "{name}: {}", bytes(&run));
    }
    let run = ada.chat("What is 2+3?").await;
    assert_eq!(ended(&server, &ada, run.run_id).await.outcome(), Some(Outcome::Success));
}

/// A failure's code and message went into the last event whole, and each open tool was named once more.
#[tokio::test]
async fn the_end_of_a_run_is_bounded_too() {
    let server = TestServer::builder()
        .agents([
            acting("fails", |_| async move {
                Err(wireproof_agents::AgentError::Failed { code: large(1 << 20), message: large(10 << 20) })
            }),
            acting("leaves_tools_open", |context| async move {
                for _ in 0..1_000 {
                    context.emit(executing(ToolCallId::new(), &large(250))).await?;
                }
                answer("")
            }),
        ])
        .start()
        .await;
    let ada = server.user("ada").connect().await;
    for agent in ["fails", "leaves_tools_open"] {
        let run = ada.chat_with(agent, "go").await;
        let run = ended(&server, &ada, run.run_id).await;
        assert_eq!(run.outcome(), Some(Outcome::Failed), "{agent}");
        assert!(bytes(&run) < 600_000, "{agent}: {}", bytes(&run));
    }
}

/// What an agent said while it was being stopped had no bound but the time.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_agent_that_floods_while_it_is_stopped_stores_no_more_than_any_other() {
    let status =
        |bytes| Emission::Status(StatusUpdate { status: "s".to_owned(), detail: Some(large(bytes)) });
    let server = TestServer::builder()
        .agents([acting("when_told_to_stop", move |context| async move {
            context.emit(delta("Before. ")).await?;
            context.cancelled().cancelled().await;
            loop {
                context.emit(status(50_000)).await?;
            }
        })])
        .agent(ScriptedAgent::named("always").floods(status(10)))
        .start()
        .await;
    let ada = server.user("ada").connect().await;
    for (agent, outcome) in [("when_told_to_stop", Outcome::Cancelled), ("always", Outcome::Failed)] {
        let run = ada.chat_with(agent, "go").await;
        ada.expect(event("agent_started").of_run(run.run_id)).await;
        if outcome == Outcome::Cancelled {
            ada.expect(event("message_delta").of_run(run.run_id)).await;
            ada.ask(json!({ "type": "cancel_run", "run_id": run.run_id })).await;
        }
        let run = ended(&server, &ada, run.run_id).await;
        assert_eq!(run.outcome(), Some(outcome), "{agent}");
        assert!(bytes(&run) < STORED, "{agent}: {}", bytes(&run));
    }
}

/// The bounds are settings, and 0 is no bound.
#[tokio::test]
async fn each_bound_is_a_setting() {
    let script =
        || ScriptedAgent::named("says").tool("t", json!({}), large(100)).says(&large(500)).says(&large(500));
    type Change = fn(&mut wireproof_server::Config);
    let cases: [(Change, Option<&str>); 7] = [
        (|_| (), None),
        (|config| config.limits.event_bytes = 499, Some("event_too_large")),
        (|config| config.limits.answer_bytes = 999, Some("answer_too_large")),
        (|config| config.limits.run_bytes = 1_000, Some("run_too_large")),
        (|config| config.limits.run_events = 2, Some("too_many_events")),
        (|config| config.limits.run_tools = 0, None),
        (|config| config.limits.tool_result_bytes = 50, None),
    ];
    for (number, (change, code)) in cases.into_iter().enumerate() {
        let server = TestServer::builder().agent(script()).config(change).start().await;
        let ada = server.user("ada").connect().await;
        let run = ada.chat_with("says", "go").await;
        let run = ended(&server, &ada, run.run_id).await;
        assert_eq!(run.failure(), code, "case {number}");
        let result = ada.expect(event("tool_completed")).await["result"].clone();
        assert_eq!(result.is_string(), server.config().limits.tool_result_bytes > 50, "{result}");
    }
}

/// Deltas of different kinds that came within 40 ms were sent kind by kind: text a, thought x, text b as ab, x.
#[tokio::test]
async fn deltas_of_several_kinds_keep_their_order() {
    let (first, second) = (ToolCallId::new(), ToolCallId::new());
    let thought = |text: &str| Emission::ThinkingDelta { delta: text.to_owned() };
    let argument = |tool_call_id, text: &str| {
        Emission::ToolArgumentsDelta(ToolArgumentsDelta { tool_call_id, delta: text.to_owned() })
    };
    let status = Emission::Status(StatusUpdate { status: "s".to_owned(), detail: None });
    let said = vec![
        delta("a"),
        thought("x"),
        delta("b"),
        delta("c"),
        argument(first, "{"),
        argument(second, "["),
        argument(first, "}"),
        delta("d"),
        status,
        delta("e"),
        thought("y"),
        argument(second, "]"),
        executing(first, "t"),
        executing(second, "t"),
        completed(second, "t"),
        completed(first, "t"),
    ];
    let script =
        said.iter().cloned().fold(ScriptedAgent::named("turns"), ScriptedAgent::emits).answers("abcde");
    let mut server = TestServer::builder().agent(script).start().await;
    let ada = server.user("ada").connect().await;
    let run = ada.chat_with("turns", "go").await;
    let run = ended(&server, &ada, run.run_id).await;
    assert_eq!(run.outcome(), Some(Outcome::Success));
    let expected = ["a", "x", "bc", "{", "[", "}", "d", "e", "y", "]"];
    assert_eq!(run.events.iter().filter_map(|event| event.body.delta()).collect::<Vec<_>>(), expected);
    let kinds = run.kinds();
    let status = kinds.iter().position(|kind| *kind == "status_update").unwrap();
    assert_eq!((kinds[status - 1], kinds[status + 1]), ("message_delta", "message_delta"));
    // The same from the store, where neighbours of a kind are put together and their numbers have no gap.
    server.restart().await;
    let again = server
        .user("ada")
        .connect_at(wireproof_protocol::Position { seq: 0, ..ada.position().unwrap() })
        .await;
    again.barrier().await;
    again.assert_exactly_once();
    let again = again.run(run.run_id);
    again.check().unwrap();
    assert_eq!(again.events.iter().filter_map(|event| event.body.delta()).collect::<Vec<_>>(), expected);
}

/// A result nested deeper than clients read broke the frame for them.
#[tokio::test]
async fn a_result_that_is_nested_too_deep_is_cut() {
    let deep = (0..200).fold(json!(1), |inner, _| json!([inner]));
    let script = ScriptedAgent::named("deep").tool("t", json!({ "deep": deep }), deep.clone());
    let server = TestServer::builder().agent(script).start().await;
    let ada = server.user("ada").connect().await;
    let run = ada.chat_with("deep", "go").await;
    let run = ended(&server, &ada, run.run_id).await;
    let results: Vec<&Value> = run
        .events
        .iter()
        .filter_map(|event| match &event.body {
            EventBody::ToolCompleted(ToolCompleted { result: Some(value), .. }) => Some(value),
            EventBody::ToolExecuting(ToolExecuting { parameters, .. }) => Some(parameters),
            _ => None,
        })
        .collect();
    assert!(results.len() == 2 && results.iter().all(|value| value["truncated"] == true), "{results:?}");
}

/// A duration that is no number became `null`, and no client could read the frame.
#[tokio::test]
async fn a_duration_that_is_no_number_is_told_as_none() {
    let server = TestServer::builder()
        .agents([acting("odd", |context| async move {
            for duration_ms in [f64::NAN, f64::INFINITY, -1.0] {
                let (tool_call_id, tool_name) = (ToolCallId::new(), "t".to_owned());
                context.emit(executing(tool_call_id, "t")).await?;
                let result = Ok(json!(1));
                context
                    .emit(Emission::ToolCompleted(ToolCompleted::new(
                        tool_call_id,
                        tool_name,
                        result,
                        duration_ms,
                    )))
                    .await?;
            }
            answer("")
        })])
        .start()
        .await;
    let ada = server.user("ada").connect().await;
    let run = ada.chat_with("odd", "go").await;
    let run = ended(&server, &ada, run.run_id).await;
    assert_eq!(run.kinds().iter().filter(|kind| **kind == "tool_completed").count(), 3);
}
