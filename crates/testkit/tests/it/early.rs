//! Agents that may begin early do so before their message is stored: one commit for a run that ends at once, and nothing is heard of a run
//! whose message is refused.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::json;
use tokio::sync::mpsc;
use wireproof_agents::{Agent, AgentError};
use wireproof_protocol::{EventBody, Outcome};
use wireproof_server::{
    config::QuotaConfig,
    store::{self, LeaseTerm, StartRun, Started, Store, StoreError, Written, layer::Layer},
};
use wireproof_testkit::{Run, TestServer, event};

use crate::{
    acting::{acting, answer, commits, delta, early, thinking},
    idempotency::answered,
    runs::ended,
    unreliable::over,
};
async fn server(agent: Arc<dyn Agent>, quota: QuotaConfig) -> TestServer {
    TestServer::builder().config(|config| config.quota = quota).agents([agent]).start().await
}

/// Why a run failed.
fn code(run: &Run) -> Option<&str> {
    match &run.events.last()?.body {
        EventBody::AgentCompleted { error, .. } => error.as_ref().map(|error| error.code.as_str()),
        _ => None,
    }
}

/// The fewest commits of five runs: the server commits of itself too, now and then.
async fn fewest_commits(server: &TestServer, agent: &str) -> u64 {
    let ada = server.user("ada").connect().await;
    let mut fewest = u64::MAX;
    for _ in 0..5 {
        let before = commits(server).await;
        let asked = ada.chat_with(agent, "What is 17*23?").await;
        let run = ended(server, &ada, asked.run_id).await;
        assert_eq!(run.outcome(), Some(Outcome::Success));
        fewest = fewest.min(commits(server).await - before);
    }
    fewest
}

/// A run that ends at once took a commit for each thing that its agent said, then one for its start and one for its end.
#[tokio::test]
async fn a_run_that_ends_at_once_is_stored_in_one_commit() {
    let act = |context: wireproof_agents::RunContext| async move {
        context.emit(thinking("a thought")).await?;
        context.emit(delta("yes")).await?;
        answer("yes")
    };
    let quota = QuotaConfig::default;
    assert_eq!(fewest_commits(&TestServer::start().await, "builtin").await, 1);
    assert_eq!(fewest_commits(&server(early("quick", act), quota()).await, "quick").await, 1);
    assert_eq!(fewest_commits(&server(acting("quick", act), quota()).await, "quick").await, 2);
}

/// All that is known of a run that was stored in one commit is as of any other.
#[tokio::test]
async fn a_run_of_one_commit_is_kept_as_any_other() {
    let server = TestServer::start().await;
    let user = server.user("ada");
    let ada = user.connect().await;
    let ask = json!({ "type": "chat", "id": "once", "content": "What is 17*23?" });
    let accepted = answered(&ada, &ask).await;
    let text = |key: &str| accepted[key].as_str().unwrap().to_owned();
    let (run_id, thread_id) = (text("run_id"), text("thread_id"));
    let run = ended(&server, &ada, run_id.parse().unwrap()).await;
    let kinds: Vec<_> = ada.events().iter().map(|event| event.body.name()).collect();
    assert_eq!(kinds[..3], ["thread_created", "message_created", "agent_started"]);
    assert!(kinds.contains(&"tool_completed"), "{kinds:?}");
    // Bug: the message had the time at which its run was over, and the run's events went back in time.
    assert!(ada.events().is_sorted_by_key(|event| event.timestamp), "{:?}", ada.events());
    assert_eq!(ada.events()[0].seq, 1);
    assert_eq!(accepted["seq"], 1);
    assert_eq!(answered(&ada, &ask).await, accepted);
    let record = user.get(&format!("/api/runs/{run_id}")).await.json;
    assert_eq!((&record["outcome"], &record["first_seq"]), (&json!("success"), &json!(3)));
    assert_eq!(record["last_seq"], run.events.last().unwrap().seq);
    let messages = user.get(&format!("/api/threads/{thread_id}/messages")).await.json;
    let roles: Vec<_> = messages["messages"].as_array().unwrap().iter().map(|m| m["role"].clone()).collect();
    assert_eq!(roles, ["user", "assistant"]);
    // A second run of the thread, by its name.
    let more = ada.ask(json!({ "type": "chat", "content": "What is 2+3?", "thread_id": thread_id })).await;
    assert_eq!(more["thread_id"], thread_id);
    let run = ended(&server, &ada, more.text_of("run_id").parse().unwrap()).await;
    assert!(run.events.iter().all(|event| event.thread_id.as_str() == thread_id));
    // What other spelling of the name finds the thread is of the thread too.
    let capitals =
        json!({ "type": "chat", "content": "What is 2+4?", "thread_id": thread_id.to_uppercase() });
    let more = ada.ask(capitals).await;
    assert_eq!(more["thread_id"], thread_id);
    let run = ended(&server, &ada, more.text_of("run_id").parse().unwrap()).await;
    assert!(run.events.iter().all(|event| event.thread_id.as_str() == thread_id));
}

/// Tells when it is dropped.
struct Gone(mpsc::UnboundedSender<&'static str>);

impl Drop for Gone {
    fn drop(&mut self) {
        let _ = self.0.send("gone");
    }
}

#[tokio::test]
async fn the_agent_of_a_refused_message_is_stopped_and_nobody_hears_it() {
    let (told, mut heard) = mpsc::unbounded_channel();
    let agent = early("eager", move |context| {
        let told = told.clone();
        async move {
            let _gone = Gone(told.clone());
            let _ = told.send("begun");
            context.emit(delta("early")).await?;
            context.cancelled().cancelled().await;
            Err(AgentError::Cancelled)
        }
    });
    let server = server(agent, QuotaConfig { bytes_per_user: 10, ..QuotaConfig::default() }).await;
    let ada = server.user("ada").connect().await;
    let refused =
        ada.ask(json!({ "type": "chat", "agent": "eager", "content": "far more than ten bytes" })).await;
    assert_eq!(refused.text_of("error_code"), "quota_exceeded");
    let within = std::time::Duration::from_secs(20);
    for told in ["begun", "gone"] {
        let heard = tokio::time::timeout(within, heard.recv()).await.expect("the agent goes on");
        assert_eq!(heard, Some(told));
    }
    ada.expect_none(event("message_delta")).await;
    assert!(ada.events().is_empty() && server.runs() == 0);
    // One that is taken is heard, and goes on.
    let asked = ada.chat_with("eager", "short").await;
    ada.expect(event("message_delta").of_run(asked.run_id)).await;
    ada.ask(json!({ "type": "cancel_run", "run_id": asked.run_id })).await;
    assert_eq!(ended(&server, &ada, asked.run_id).await.outcome(), Some(Outcome::Cancelled));
}

#[tokio::test]
async fn an_early_agent_finds_its_own_message() {
    let agent = early("seeker", |context| async move {
        let hits = context.search_threads(context.content(), 5).await;
        answer(&hits.map_or_else(|e| e.to_string(), |hits| hits.len().to_string()))
    });
    let server = server(agent, QuotaConfig::default()).await;
    let ada = server.user("ada").connect().await;
    let asked = ada.chat_with("seeker", "needle").await;
    let run = ended(&server, &ada, asked.run_id).await;
    assert_eq!(run.final_response(), Some("1"));
}

#[tokio::test]
async fn an_answer_without_room_ends_a_run_that_was_over_at_once() {
    let agent = early("quick", |_| async { answer(&"long ".repeat(100)) });
    let server = server(agent, QuotaConfig { bytes_per_user: 100, ..QuotaConfig::default() }).await;
    let ada = server.user("ada").connect().await;
    let asked = ada.chat_with("quick", "short").await;
    let run = ended(&server, &ada, asked.run_id).await;
    assert_eq!((run.outcome(), code(&run)), (Some(Outcome::Failed), Some("quota_exceeded")));
    // Bug: the refused answer was counted with the start and again with the end.
    let metrics = server.rest().get("/metrics").await.body;
    let refused = r#"wireproof_quota_refused_total{quota="bytes_per_user"} 1"#;
    assert!(metrics.contains(refused), "{metrics}");
}

#[tokio::test]
async fn an_early_agent_that_breaks_a_rule_fails_its_run() {
    let agent = early("wrong", |context| async move {
        context.emit(delta("one thing")).await?;
        context.emit(crate::acting::completed(wireproof_protocol::ToolCallId::new(), "never begun")).await?;
        answer("one thing")
    });
    let server = server(agent, QuotaConfig::default()).await;
    let ada = server.user("ada").connect().await;
    let asked = ada.chat_with("wrong", "go").await;
    let run = ended(&server, &ada, asked.run_id).await;
    assert_eq!((run.outcome(), code(&run)), (Some(Outcome::Failed), Some("agent_broke_rules")));
}

#[tokio::test]
async fn an_early_agent_that_panics_fails_its_run() {
    let agent = early("broken", |_| async { panic!("on purpose") });
    let server = server(agent, QuotaConfig::default()).await;
    let ada = server.user("ada").connect().await;
    let asked = ada.chat_with("broken", "go").await;
    let run = ended(&server, &ada, asked.run_id).await;
    assert_eq!((run.outcome(), code(&run)), (Some(Outcome::Failed), Some("agent_panicked")));
}

/// A store that does not store a run's end with its start.
#[derive(Clone)]
struct StartsAlone;

#[async_trait]
impl Layer for StartsAlone {
    async fn start_run(
        &self,
        store: &Arc<dyn Store>,
        run: Arc<StartRun>,
        term: LeaseTerm,
    ) -> Result<Written<store::Answer<Started>>, StoreError> {
        store.start_run(Arc::new(StartRun { end: None, ..StartRun::clone(&run) }), term).await
    }
}

#[tokio::test]
async fn a_store_that_does_not_take_the_end_with_the_start_gets_it_behind() {
    let server = over(&StartsAlone).start().await;
    assert_eq!(fewest_commits(&server, "builtin").await, 2);
}
