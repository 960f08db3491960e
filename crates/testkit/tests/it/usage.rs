//! What a run cost is told with its end, whichever way it ends.

use std::time::Duration;

use serde_json::json;
use wireproof_agents::AgentError;
use wireproof_protocol::{Outcome, Usage};
use wireproof_testkit::{ScriptedAgent, TestServer, event};

use crate::{
    acting::{acting, answer, delta, early},
    runs::ended,
};

fn cost(input_tokens: u64, output_tokens: u64) -> Usage {
    Usage { input_tokens, output_tokens, total_tokens: input_tokens + output_tokens, estimated: false }
}

/// An agent that has cost something, twice, once it says so.
fn costly(name: &str) -> ScriptedAgent {
    ScriptedAgent::named(name).costs(cost(100, 20)).costs(cost(7, 3)).says("So far.")
}

const SUM: Usage = Usage { input_tokens: 107, output_tokens: 23, total_tokens: 130, estimated: false };

#[tokio::test]
async fn a_run_that_ends_by_itself_tells_what_it_cost() {
    let server = TestServer::builder()
        .agent(costly("good"))
        .agent(costly("failing").fails("no_model", "The model is away."))
        .agent(costly("panicking").panics("oh"))
        .agents([early("early", |context| async move {
            context.add_usage(cost(100, 20));
            context.add_usage(cost(7, 3));
            answer("at once")
        })])
        .start()
        .await;
    let ada = server.user("ada").connect().await;
    for (agent, outcome, code) in [
        ("good", Outcome::Success, None),
        ("early", Outcome::Success, None),
        ("failing", Outcome::Failed, Some("no_model")),
        ("panicking", Outcome::Failed, Some("agent_panicked")),
    ] {
        let asked = ada.chat_with(agent, "go").await;
        let run = ended(&server, &ada, asked.run_id).await;
        assert_eq!((run.outcome(), run.failure()), (Some(outcome), code), "{agent}");
        assert_eq!(run.usage(), Some(SUM), "{agent}");
    }
}

/// One guess among the numbers makes the sum a guess; nothing of it stays for the next run.
#[tokio::test]
async fn a_guess_makes_the_sum_a_guess_and_each_run_has_its_own() {
    let guess = Usage { estimated: true, ..cost(1, 1) };
    let guessing = ScriptedAgent::named("guessing").costs(cost(2, 2)).costs(guess);
    let server = TestServer::builder().agent(guessing).agent(costly("good")).start().await;
    let ada = server.user("ada").connect().await;
    for (agent, usage) in [
        ("guessing", Usage { estimated: true, ..cost(3, 3) }),
        ("good", SUM),
        ("builtin", Usage::default()),
        ("good", SUM),
    ] {
        let asked = ada.chat_with(agent, "What is 1+1?").await;
        assert_eq!(ada.expect_run_completed(asked.run_id).await.usage(), Some(usage), "{agent}");
    }
}

#[tokio::test]
async fn a_cancelled_run_tells_what_it_cost_until_it_stopped() {
    let counting = acting("counting", |context| async move {
        context.add_usage(cost(100, 20));
        context.emit(delta("So far.")).await?;
        context.cancelled().cancelled().await;
        context.add_usage(cost(7, 3));
        Err(AgentError::Cancelled)
    });
    let server = TestServer::builder().agents([counting]).agent(costly("deaf").hangs()).start().await;
    let ada = server.user("ada").connect().await;
    for agent in ["counting", "deaf"] {
        let asked = ada.chat_with(agent, "go").await;
        ada.expect(event("message_delta").of_run(asked.run_id)).await;
        ada.ask(json!({ "type": "cancel_run", "run_id": asked.run_id })).await;
        let run = ended(&server, &ada, asked.run_id).await;
        assert_eq!((run.outcome(), run.usage()), (Some(Outcome::Cancelled), Some(SUM)), "{agent}");
    }
}

#[tokio::test]
async fn a_run_that_takes_too_long_tells_what_it_cost() {
    let server = TestServer::builder()
        .agent(costly("slow").waits(Duration::from_secs(100)))
        .config(|config| config.limits.run_seconds = 0.2)
        .start()
        .await;
    let ada = server.user("ada").connect().await;
    let asked = ada.chat_with("slow", "go").await;
    let run = ended(&server, &ada, asked.run_id).await;
    assert_eq!((run.failure(), run.usage()), (Some("run_timeout"), Some(SUM)));
}

#[tokio::test]
async fn a_run_that_a_drain_ends_tells_what_it_cost() {
    let mut server = TestServer::builder()
        .agent(costly("slow").waits(Duration::from_secs(100)))
        .config(|config| config.drain.seconds = 0.2)
        .start()
        .await;
    let ada = server.user("ada").connect().await;
    let asked = ada.chat_with("slow", "go").await;
    ada.expect("message_delta").await;
    server.shutdown().await;
    let run = ada.expect_run_completed(asked.run_id).await;
    assert_eq!((run.failure(), run.usage()), (Some("server_restarting"), Some(SUM)));
}
