//! Agents that panic, hang, block, lie or do not stop: each run has its one end, and the log stays whole.

use std::time::Duration;

use serde_json::json;
use wireproof_agents::{AgentError, Emission, StatusUpdate, ToolArgumentsDelta};
use wireproof_protocol::{Outcome, ToolCallId};
use wireproof_testkit::{TestServer, event};

use crate::{
    acting::{acting, answer, completed, delta, executing, thinking, work},
    runs::ended,
};

#[tokio::test]
async fn an_agent_that_panics_or_gives_up_ends_its_run_and_no_other() {
    let server = TestServer::builder()
        .agents([
            acting("panics", |context| async move {
                context.emit(thinking("I am about to fail.")).await?;
                context.emit(executing(ToolCallId::new(), "bomb")).await?;
                panic!("a secret cause")
            }),
            acting("panics_at_once", |_| async move { panic!("a secret cause") }),
            acting("fails", |context| async move {
                context.emit(delta("So far ")).await?;
                Err(AgentError::Failed {
                    code: "no_model".to_owned(),
                    message: "The model is away.".to_owned(),
                })
            }),
            acting("stops", |_| async move { Err(AgentError::Cancelled) }),
        ])
        .start()
        .await;
    let ada = server.user("ada").connect().await;
    for (agent, code) in [
        ("panics", "agent_panicked"),
        ("panics_at_once", "agent_panicked"),
        ("fails", "no_model"),
        ("stops", "agent_stopped"),
    ] {
        let run = ada.chat_with(agent, "go").await;
        let run = ended(&server, &ada, run.run_id).await;
        assert_eq!((run.outcome(), run.failure()), (Some(Outcome::Failed), Some(code)), "{agent}");
        assert!(ada.frames().iter().all(|arrival| !arrival.text.contains("secret cause")));
    }
    let run = ada.chat("What is 2+3?").await;
    assert_eq!(ended(&server, &ada, run.run_id).await.outcome(), Some(Outcome::Success));
}

/// An agent that hangs is ended by the clock; one that blocks its thread is left behind, its run ends all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_agent_that_hangs_or_blocks_is_ended_by_the_clock() {
    let server = TestServer::builder()
        .config(|config| config.limits.run_seconds = 0.2)
        .agents([
            acting("hangs", |_| async move { std::future::pending().await }),
            acting("hears_nothing", |context| async move {
                let call = ToolCallId::new();
                context.emit(executing(call, "slow")).await?;
                work(60_000).await;
                answer("too late")
            }),
            acting("blocks", |_| async move {
                std::thread::sleep(Duration::from_secs(4));
                answer("too late")
            }),
        ])
        .start()
        .await;
    let ada = server.user("ada").connect().await;
    let mut runs = Vec::new();
    for agent in ["hangs", "hears_nothing", "blocks"] {
        runs.push(ada.chat_with(agent, "go").await);
    }
    let eve = server.user("eve").connect().await;
    let other = eve.chat("What is 2+3?").await;
    assert_eq!(eve.expect_run_completed(other.run_id).await.outcome(), Some(Outcome::Success));
    for run in runs {
        let run = ada.expect_run_completed(run.run_id).await;
        assert_eq!((run.outcome(), run.failure()), (Some(Outcome::Failed), Some("run_timeout")));
    }
    server.idle().await;
    ada.expect_none("agent_completed").await;
    ada.assert_exactly_once();
}

#[tokio::test]
async fn an_agent_that_breaks_a_rule_fails_its_run_and_the_log_stays_whole() {
    let call = ToolCallId::new;
    let server = TestServer::builder()
        .agents([
            acting("completes_twice", move |context| async move {
                let id = call();
                context.emit(executing(id, "t")).await?;
                context.emit(completed(id, "t")).await?;
                context.emit(completed(id, "t")).await?;
                answer("done")
            }),
            acting("executes_twice", move |context| async move {
                let id = call();
                context.emit(executing(id, "t")).await?;
                context.emit(executing(id, "t")).await?;
                answer("done")
            }),
            acting("completes_unbegun", move |context| async move {
                context.emit(completed(call(), "t")).await?;
                answer("done")
            }),
            acting("renames_a_tool", move |context| async move {
                let id = call();
                context.emit(executing(id, "t")).await?;
                context.emit(completed(id, "u")).await?;
                answer("done")
            }),
            acting("leaves_a_tool_open", move |context| async move {
                context.emit(executing(call(), "t")).await?;
                answer("done")
            }),
            acting("thinks_nothing", |context| async move {
                context.emit(thinking("  ")).await?;
                answer("done")
            }),
            acting("argues_late", move |context| async move {
                let id = call();
                context.emit(executing(id, "t")).await?;
                let delta = "late".to_owned();
                context
                    .emit(Emission::ToolArgumentsDelta(ToolArgumentsDelta { tool_call_id: id, delta }))
                    .await?;
                context.emit(completed(id, "t")).await?;
                answer("done")
            }),
            acting("answers_otherwise", |context| async move {
                context.emit(delta("one thing")).await?;
                answer("another thing")
            }),
        ])
        .start()
        .await;
    let ada = server.user("ada").connect().await;
    for agent in [
        "completes_twice",
        "executes_twice",
        "completes_unbegun",
        "renames_a_tool",
        "leaves_a_tool_open",
        "thinks_nothing",
        "argues_late",
        "answers_otherwise",
    ] {
        let run = ada.chat_with(agent, "go").await;
        let run = ended(&server, &ada, run.run_id).await;
        assert_eq!(
            (run.outcome(), run.failure()),
            (Some(Outcome::Failed), Some("agent_broke_rules")),
            "{agent}"
        );
    }
}

/// An agent that says `queued` in its own words does not make its run a waiting one.
#[tokio::test]
async fn an_agent_may_tell_its_state_and_answer_without_deltas_or_tools() {
    let server = TestServer::builder()
        .agents([acting("tells", |context| async move {
            for status in ["queued", "retrying"] {
                context
                    .emit(Emission::Status(StatusUpdate { status: status.to_owned(), detail: None }))
                    .await?;
            }
            context.emit(delta("")).await?;
            answer("")
        })])
        .start()
        .await;
    let ada = server.user("ada").connect().await;
    let run = ada.chat_with("tells", "go").await;
    let run = ended(&server, &ada, run.run_id).await;
    assert_eq!(run.kinds(), ["agent_started", "status_update", "status_update", "agent_completed"]);
    assert_eq!(run.final_response(), Some(""));
}

/// What an agent says after the cancel is heard while it stops, and never after the end.
#[tokio::test]
async fn an_agent_that_goes_on_after_a_cancel_is_cut_off() {
    let server = TestServer::builder()
        .agents([
            acting("goes_on", |context| async move {
                for number in 0.. {
                    context.emit(delta(&format!("{number} "))).await?;
                    work(5).await;
                }
                answer("never")
            }),
            acting("finishes", |context| async move {
                context.emit(delta("Before. ")).await?;
                context.cancelled().cancelled().await;
                let id = ToolCallId::new();
                context.emit(executing(id, "cleanup")).await?;
                context.emit(completed(id, "cleanup")).await?;
                context.emit(delta("After.")).await?;
                answer("Before. After.")
            }),
            acting("breaks_rules_late", |context| async move {
                context.cancelled().cancelled().await;
                let id = ToolCallId::new();
                context.emit(completed(id, "never begun")).await?;
                context.emit(executing(id, "open")).await?;
                answer("")
            }),
        ])
        .start()
        .await;
    let ada = server.user("ada").connect().await;
    for agent in ["finishes", "breaks_rules_late", "goes_on"] {
        let run = ada.chat_with(agent, "go").await;
        ada.expect(event("agent_started").of_run(run.run_id)).await;
        ada.ask(json!({ "type": "cancel_run", "run_id": run.run_id })).await;
        let run = ended(&server, &ada, run.run_id).await;
        assert_eq!(run.outcome(), Some(Outcome::Cancelled), "{agent}");
    }
}

/// An agent that says much at once waits for the store and loses nothing; another that never yields holds nobody up.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_agent_that_says_very_much_loses_nothing() {
    let server = TestServer::builder()
        .agents([acting("says_much", |context| async move {
            let mut said = String::new();
            for number in 0..20_000 {
                let text = format!("{number},");
                said.push_str(&text);
                context.emit(delta(&text)).await?;
            }
            for _ in 0..2_000 {
                let id = ToolCallId::new();
                context.emit(executing(id, "t")).await?;
                context.emit(completed(id, "t")).await?;
            }
            answer(&said)
        })])
        .config(|config| {
            // The client shares its threads with the server: it may be behind for a moment.
            config.limits.queue_hard_bytes = 64 << 20;
            (config.limits.run_bytes, config.limits.run_events, config.limits.run_tools) = (0, 0, 0);
        })
        .start()
        .await;
    let ada = server.user("ada").connect().await;
    let run = ada.chat_with("says_much", "go").await;
    let run = ended(&server, &ada, run.run_id).await;
    assert_eq!(run.outcome(), Some(Outcome::Success));
    assert_eq!(Some(run.text().as_str()), run.final_response());
    assert_eq!(run.kinds().iter().filter(|kind| **kind == "tool_completed").count(), 2_000);
}
