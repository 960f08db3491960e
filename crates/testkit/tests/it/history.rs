//! What an agent is told of its thread: what came before its message, of its own user's thread and no other.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::{Notify, mpsc};
use wireproof_agents::{Agent, AgentError, Answer, RunContext};
use wireproof_protocol::{Outcome, ThreadId};
use wireproof_server::config::QuotaConfig;
use wireproof_testkit::{Accepted, ScriptedAgent, TestClient, TestServer, event};

use crate::{
    acting::{acting, answer, early},
    runs::ended,
};

#[path = "../../examples/remembering_agent.rs"]
mod remembering_agent;

/// Answers with the history as JSON; the message says how much of it is wanted, if it is a number.
async fn recite(context: RunContext) -> Result<Answer, AgentError> {
    let history = context.history(context.content().parse().unwrap_or(100)).await?;
    let rows = history.iter().map(|message| json!([message.role, message.content, message.incomplete]));
    answer(&Value::from_iter(rows).to_string())
}

/// The history that the run of `reciting` was told.
async fn told(client: &TestClient, asked: &Accepted) -> Value {
    let run = client.expect_run_completed(asked.run_id).await;
    assert_eq!(run.outcome(), Some(Outcome::Success), "{:?}", run.failure());
    serde_json::from_str(run.final_response().unwrap()).unwrap()
}

fn reciting() -> Arc<dyn Agent> {
    acting("reciting", recite)
}

/// Asks `reciting` in the thread and returns the history that it was told.
async fn recited(client: &TestClient, thread_id: &ThreadId, content: &str) -> Value {
    told(client, &client.chat_in(thread_id, "reciting", content).await).await
}

#[test]
fn the_example_remembers_and_the_page_shows_it() {
    remembering_agent::main();
    let (page, example) =
        (include_str!("../../../../docs/agents.md"), include_str!("../../examples/remembering_agent.rs"));
    let shown = page.split("```rust\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    assert!(example.ends_with(shown), "docs/agents.md shows another agent than the example");
}

#[tokio::test]
async fn a_second_question_sees_the_first_and_its_answer() {
    let server = TestServer::builder().agents([reciting()]).start().await;
    let user = server.user("ada");
    let ada = user.connect().await;
    let first = ada.chat("What is 17*23?").await;
    let sum = ada.expect_run_completed(first.run_id).await.final_response().unwrap().to_owned();
    let history = recited(&ada, &first.thread_id, "And what was that?").await;
    let expected = json!([
        ["user", "What is 17*23?", false],
        ["assistant", sum, false],
        ["user", "And what was that?", false],
    ]);
    assert_eq!(history, expected);
    // A thread of its own has its own history.
    let alone = told(&ada, &ada.chat_with("reciting", "hello").await).await;
    assert_eq!(alone, json!([["user", "hello", false]]));
}

/// The ids are those that the thread shows to its user, also that of the run's own message.
#[tokio::test]
async fn messages_have_the_ids_of_the_thread() {
    let agent = acting("ids", |context| async move {
        let history = context.history(100).await?;
        answer(&Value::from_iter(history.iter().map(|message| json!(message.message_id))).to_string())
    });
    let server = TestServer::builder().agents([agent]).start().await;
    let user = server.user("ada");
    let ada = user.connect().await;
    let first = ada.chat("What is 2+3?").await;
    ada.expect_run_completed(first.run_id).await;
    let ids = told(&ada, &ada.chat_in(&first.thread_id, "ids", "which").await).await;
    let page = user.get(&format!("/api/threads/{}/messages", first.thread_id)).await.json;
    let shown: Vec<_> =
        page["messages"].as_array().unwrap().iter().map(|m| m["message_id"].clone()).collect();
    assert_eq!(ids.as_array().unwrap()[..], shown[..3]);
}

#[tokio::test]
async fn a_partial_answer_is_marked() {
    let torn = ScriptedAgent::named("torn").says("Half of ").fails("torn", "It broke.");
    let server = TestServer::builder().agents([reciting()]).agent(torn).start().await;
    let ada = server.user("ada").connect().await;
    let first = ada.chat_with("torn", "go").await;
    ada.expect_run_completed(first.run_id).await;
    let history = recited(&ada, &first.thread_id, "more").await;
    let expected = json!([["user", "go", false], ["assistant", "Half of ", true], ["user", "more", false]]);
    assert_eq!(history, expected);
}

#[tokio::test]
async fn another_users_thread_is_never_seen() {
    let server = TestServer::builder().agents([reciting()]).start().await;
    let (ada, eve) = (server.user("ada").connect().await, server.user("eve").connect().await);
    let thread_id: ThreadId = "plans".parse().unwrap();
    let secret = ada.chat_in(&thread_id, "builtin", "my secret is 7").await;
    ada.expect_run_completed(secret.run_id).await;
    assert_eq!(recited(&eve, &thread_id, "tell").await, json!([["user", "tell", false]]));
    // Not by the id of a thread that the server named either.
    let named = ada.chat("my secret is 8").await;
    ada.expect_run_completed(named.run_id).await;
    assert_eq!(recited(&eve, &named.thread_id, "tell").await, json!([["user", "tell", false]]));
    assert_eq!(recited(&ada, &thread_id, "tell").await[0], json!(["user", "my secret is 7", false]));
}

/// An early agent looked into the store before its message was there, and was told of nothing before it.
#[tokio::test]
async fn the_history_of_an_early_agent_waits_for_its_message() {
    let server = TestServer::builder().agents([early("reciting", recite)]).start().await;
    let ada = server.user("ada").connect().await;
    let first = ada.chat_with("reciting", "one").await;
    let only = told(&ada, &first).await;
    assert_eq!(only, json!([["user", "one", false]]));
    for round in 2..6 {
        let history = recited(&ada, &first.thread_id, "again").await;
        assert_eq!(history.as_array().unwrap().len(), 2 * round - 1);
        assert_eq!(history[0], json!(["user", "one", false]));
    }
}

/// What a user keeps is not read for a message that is refused.
#[tokio::test]
async fn an_early_agent_of_a_refused_message_reads_nothing() {
    let (told, mut heard) = mpsc::unbounded_channel();
    let agent = early("curious", move |context| {
        let told = told.clone();
        async move {
            let history = context.history(5).await?;
            let _ = told.send(history.len());
            answer("read")
        }
    });
    let quota = QuotaConfig { bytes_per_user: 10, ..QuotaConfig::default() };
    let server = TestServer::builder().config(|config| config.quota = quota).agents([agent]).start().await;
    let ada = server.user("ada").connect().await;
    let long = json!({ "type": "chat", "agent": "curious", "content": "far more than ten bytes" });
    assert_eq!(ada.ask(long).await.text_of("error_code"), "quota_exceeded");
    server.idle().await;
    assert!(heard.try_recv().is_err());
    let short = ada.chat_with("curious", "go").await;
    assert_eq!(ended(&server, &ada, short.run_id).await.outcome(), Some(Outcome::Success));
    assert_eq!(heard.recv().await, Some(1));
}

#[tokio::test]
async fn a_history_has_the_latest_messages_whole_and_at_most_a_hundred() {
    let quick = early("quick", |context| async move { answer(&format!("to {}", context.content())) });
    let server = TestServer::builder()
        .agents([reciting(), quick])
        .config(|config| (config.limits.messages_per_minute, config.limits.message_burst) = (6_000, 1_000))
        .start()
        .await;
    let ada = server.user("ada").connect().await;
    let long = "x".repeat(60_000);
    let first = ada.chat_with("quick", &long).await;
    ada.expect_run_completed(first.run_id).await;
    let history = recited(&ada, &first.thread_id, "3").await;
    let expected =
        json!([["user", long, false], ["assistant", format!("to {long}"), false], ["user", "3", false]]);
    assert_eq!(history, expected);
    for number in 0..55 {
        let asked = ada.chat_in(&first.thread_id, "quick", &format!("{number}")).await;
        ada.expect_run_completed(asked.run_id).await;
    }
    assert_eq!(recited(&ada, &first.thread_id, "0").await, json!([["user", "0", false]]));
    let three = recited(&ada, &first.thread_id, "3").await;
    assert_eq!(three[0], json!(["user", "0", false]));
    assert_eq!(three.as_array().unwrap().len(), 3);
    let most = recited(&ada, &first.thread_id, "500").await;
    assert_eq!(most.as_array().unwrap().len(), 100);
    assert_eq!(most[99], json!(["user", "500", false]));
}

/// Reads its history once it is let, and says that it waits.
fn waiting() -> (Arc<dyn Agent>, Arc<Notify>) {
    let go = Arc::new(Notify::new());
    let gate = go.clone();
    let agent = acting("waiting", move |context| {
        let gate = gate.clone();
        async move {
            gate.notified().await;
            recite(context).await
        }
    });
    (agent, go)
}

#[tokio::test]
async fn what_comes_after_the_runs_message_is_left_out() {
    let (agent, go) = waiting();
    let server = TestServer::builder().agents([agent]).start().await;
    let ada = server.user("ada").connect().await;
    let first = ada.chat("What is 1+1?").await;
    ada.expect_run_completed(first.run_id).await;
    let held = ada.chat_in(&first.thread_id, "waiting", "two").await;
    let later = ada.chat_in(&first.thread_id, "builtin", "What is 3+3?").await;
    ada.expect_run_completed(later.run_id).await;
    go.notify_one();
    let history = told(&ada, &held).await;
    assert_eq!(history[0], json!(["user", "What is 1+1?", false]));
    assert_eq!((history.as_array().unwrap().len(), &history[2]), (3, &json!(["user", "two", false])));
}

/// A thread that is deleted under its run, and made again under the same name, tells the run nothing.
#[tokio::test]
async fn a_deleted_thread_leaves_the_runs_own_message() {
    let (agent, go) = waiting();
    let server = TestServer::builder().agents([agent]).start().await;
    let ada = server.user("ada").connect().await;
    let thread_id: ThreadId = "plans".parse().unwrap();
    for made_again in [false, true] {
        let first = ada.chat_in(&thread_id, "builtin", "What is 1+1?").await;
        ada.expect_run_completed(first.run_id).await;
        let held = ada.chat_in(&thread_id, "waiting", "two").await;
        ada.ask(json!({ "type": "delete_thread", "thread_id": thread_id })).await;
        ada.expect(event("thread_deleted")).await;
        if made_again {
            let new = ada.chat_in(&thread_id, "builtin", "What is 3+3?").await;
            ada.expect_run_completed(new.run_id).await;
        }
        go.notify_one();
        let run = ada.expect_run_completed(held.run_id).await;
        assert_eq!(run.final_response(), Some(r#"[["user","two",false]]"#), "made again: {made_again}");
    }
}
