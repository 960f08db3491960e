//! Sequences: what the kit says of what came, in which order and when, and how it shows where that parts from the plan.

use std::time::Duration;

use serde_json::json;
use wireproof_protocol::{CRITICAL_EVENTS, Outcome};
use wireproof_testkit::{EventReport, ScriptedAgent, Since, TestServer, event};

const ASK: &str = "What is 17*23?";

/// The panic's words; the panic itself is the test's purpose and shows nothing.
fn panic_of(act: impl FnOnce() + std::panic::UnwindSafe) -> String {
    let panic = std::panic::catch_unwind(act).expect_err("it must fail");
    panic.downcast_ref::<String>().cloned().unwrap_or_default()
}

#[tokio::test]
async fn a_report_tells_each_run_with_its_times_for_each_user() {
    let server = TestServer::start().await;
    let (phone, laptop) = tokio::join!(server.user("ada").connect(), server.user("ada").connect());
    let eve = server.user("eve").connect().await;
    let (asked, other) = (phone.chat(ASK).await, eve.chat("What is 2+3?").await);
    laptop.expect_run_completed(asked.run_id).await;
    phone.expect_run_completed(asked.run_id).await;
    eve.expect_run_completed(other.run_id).await;
    let report = EventReport::of([&phone, &laptop, &eve]);
    report.assert_complete();
    assert_eq!((report.runs_of("ada").count(), report.runs_of("eve").count()), (2, 1));
    let run = report.run(asked.run_id).unwrap();
    assert!(run.is_complete() && run.missing.is_empty() && run.coverage == 1.0, "{report}");
    assert_eq!((run.outcome, run.since), (Some(Outcome::Success), Since::Request));
    let kinds = run.kinds();
    let critical: Vec<_> = kinds.into_iter().filter(|kind| CRITICAL_EVENTS.contains(kind)).collect();
    assert_eq!(critical, CRITICAL_EVENTS, "{report}");
    let times: Vec<_> = CRITICAL_EVENTS.iter().map(|name| run.timing_ms[*name]).collect();
    assert!(times.is_sorted() && times[0] >= 0.0, "{times:?}");
    // Somebody else asked: this device cannot know when.
    assert!(report.runs_of("ada").any(|run| run.since == Since::FirstEvent));
    let text = report.to_string();
    for words in
        ["seen by ada: success", "ms  since the request", "critical events: 5 of 5", "order: as it must be"]
    {
        assert!(text.contains(words), "{words:?} is not in\n{text}");
    }
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(
        (&json["clients"][2]["user"], &json["runs"][0]["outcome"]),
        (&json!("eve"), &json!("success"))
    );
}

#[tokio::test]
async fn what_is_missing_is_named_and_an_open_run_is_no_finished_one() {
    let silent = ScriptedAgent::named("silent").says("Well, ").hangs();
    let brief = ScriptedAgent::named("brief").says("No.");
    let server = TestServer::builder().agent(silent).agent(brief).start().await;
    let ada = server.user("ada").connect().await;
    let open = ada.chat_with("silent", "Go on.").await;
    ada.expect(event("message_delta").of_run(open.run_id)).await;
    let brief = ada.chat_with("brief", "Yes?").await;
    ada.expect_run_completed(brief.run_id).await;
    let report = ada.event_report();
    let open = report.run(open.run_id).unwrap();
    assert_eq!((open.outcome, open.coverage), (None, 0.2));
    assert_eq!(open.missing, ["agent_thinking", "tool_executing", "tool_completed", "agent_completed"]);
    assert!(!open.is_complete() && !report.run(brief.run_id).unwrap().is_complete());
    let problems = report.problems();
    assert!(problems.iter().any(|words| words.contains("no agent_completed")), "{problems:?}");
    let words = panic_of(std::panic::AssertUnwindSafe(|| report.assert_complete()));
    assert!(words.contains("its end did not come") && words.contains("missing: agent_thinking"), "{words}");
}

/// A client that got nothing at all was once complete.
#[tokio::test]
async fn a_report_without_a_run_is_not_complete() {
    let server = TestServer::start().await;
    let ada = server.user("ada").connect().await;
    let report = ada.event_report();
    let words = panic_of(std::panic::AssertUnwindSafe(|| report.assert_complete()));
    assert!(words.contains("no client saw a run"), "{words}");
}

#[tokio::test]
async fn a_report_counts_what_came_over_several_connections_once() {
    let server = TestServer::start().await;
    let mut ada = server.user("ada").connect().await;
    ada.cut_on(event("tool_executing"));
    ada.send(json!({ "type": "chat", "content": ASK, "id": "one" })).await;
    ada.expect_closed().await;
    ada.resume().await;
    ada.expect("agent_completed").await;
    let report = ada.event_report();
    report.assert_complete();
    assert_eq!((report.clients[0].connections, report.runs[0].connections), (2, 2));
    assert_eq!(report.runs.len(), 1, "{report}");
}

#[tokio::test]
async fn a_sequence_is_found_among_other_frames_and_taken_once() {
    let server = TestServer::start().await;
    let ada = server.user("ada").connect().await;
    ada.chat(ASK).await;
    let came = ada.expect_sequence(["agent_started", "tool_executing", "agent_completed"]).await;
    assert_eq!(came[1]["tool_name"], "calculate");
    ada.expect_none("agent_started").await;
    ada.expect("tool_completed").await;
}

#[tokio::test]
async fn a_sequence_that_did_not_come_is_shown_beside_what_did() {
    let server = TestServer::start().await;
    let ada = server.user("ada").connect().await;
    let asked = ada.chat(ASK).await;
    let run = ada.expect_run_completed(asked.run_id).await;
    let wanted = [event("tool_completed").field("tool_name", "calculate"), event("tool_executing")];
    let unmet = ada.try_expect_sequence(wanted, Duration::from_millis(20)).await.unwrap_err().to_string();
    for words in
        ["ada did not receive this sequence (waited 20ms)", "> ", "not expected", "missing", "what ada saw:"]
    {
        assert!(unmet.contains(words), "{words:?} is not in\n{unmet}");
    }
    let wrong = ["agent_started", "tool_executing", "agent_thinking", "tool_completed", "agent_completed"];
    let words = panic_of(|| run.assert_milestones(wrong));
    assert!(words.contains(">   2 tool_executing") && words.contains("not expected"), "{words}");
    run.assert_milestones(CRITICAL_EVENTS);
}

/// A crash gives no goodbye; the next start ends what the run left, and the client goes on behind it.
#[tokio::test]
async fn a_server_that_is_killed_leaves_no_run_open() {
    let silent = ScriptedAgent::named("silent").says("Well, ").hangs();
    let mut server = TestServer::builder().agent(silent).server_thread().start().await;
    let mut ada = server.user("ada").connect().await;
    let open = ada.chat_with("silent", "Go on.").await;
    ada.expect(event("message_delta").of_run(open.run_id)).await;
    server.kill_and_restart().await;
    assert_eq!(ada.expect_closed().await.code, None);
    ada.resume().await;
    let run = ada.expect_run_completed(open.run_id).await;
    assert_eq!(run.outcome(), Some(Outcome::Failed));
    ada.assert_exactly_once();
    assert_eq!(server.runs(), 0);
    server.user("eve").connect().await.barrier().await;
}

#[tokio::test]
async fn a_scripted_agent_does_what_it_is_told() {
    let busy = ScriptedAgent::named("busy")
        .thinks("Two things.")
        .tool("look", json!({ "at": "it" }), json!({ "seen": true }))
        .tool_fails("fetch", "gone", "It is not there.")
        .tells("retrying")
        .waits(Duration::from_millis(5))
        .says("One of two.");
    let server = TestServer::builder()
        .agent(busy)
        .agent(ScriptedAgent::named("breaks").panics("a secret cause"))
        .start()
        .await;
    let ada = server.user("ada").connect().await;
    let asked = ada.chat_with("busy", "Do both.").await;
    let run = ada.expect_run_completed(asked.run_id).await;
    run.assert_milestones([
        "agent_started",
        "agent_thinking",
        "tool_executing",
        "tool_completed",
        "tool_executing",
        "tool_completed",
        "agent_completed",
    ]);
    assert_eq!((run.outcome(), run.final_response()), (Some(Outcome::Success), Some("One of two.")));
    ada.expect(event("tool_completed").field("tool_name", "fetch").field("error.code", "gone")).await;
    let broken = ada.chat_with("breaks", "Now you.").await;
    let run = ada.expect_run_completed(broken.run_id).await;
    assert_eq!((run.outcome(), run.failure()), (Some(Outcome::Failed), Some("agent_panicked")));
    assert!(ada.frames().iter().all(|frame| !frame.text.contains("secret cause")));
}
