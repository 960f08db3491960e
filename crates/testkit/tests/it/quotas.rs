//! Quotas through the front door: exact, told in one shape by every way that makes something, and never in the way of the
//! end of a run.

use futures_util::future::join_all;
use serde_json::{Value, json};
use wireproof_protocol::Outcome;
use wireproof_server::config::QuotaConfig;
use wireproof_testkit::{TestServer, TestUser, matching};

use crate::{
    acting::{acting, answer, delta},
    runs::ended,
};

async fn server(quota: QuotaConfig) -> TestServer {
    TestServer::builder()
        .config(|config| {
            config.quota = quota;
            config.limits.messages_per_minute = 0;
        })
        .agents([
            acting("long", |context| async move {
                context.emit(delta("a long ")).await?;
                context.emit(delta("answer")).await?;
                answer("a long answer")
            }),
            acting("fails", |context| async move {
                context.emit(delta("half an answer")).await?;
                Err(wireproof_agents::AgentError::Failed { code: "no_model".into(), message: "away".into() })
            }),
        ])
        .start()
        .await
}

/// What `/auth/me` tells of a quota: used and allowed.
async fn quota(user: &TestUser, name: &str) -> (u64, u64) {
    let me = user.get("/auth/me").await.json;
    let quotas = me["quotas"].as_array().unwrap_or_else(|| panic!("{me}"));
    let found = quotas.iter().find(|quota| quota["quota"] == name).unwrap_or_else(|| panic!("{me}"));
    (found["used"].as_u64().unwrap(), found["allowed"].as_u64().unwrap())
}

fn assert_refused(error: &Value, name: &str, used: u64, allowed: u64) {
    assert_eq!(
        (&error["error_code"], &error["retryable"]),
        (&json!("quota_exceeded"), &json!(false)),
        "{error}"
    );
    assert_eq!(error["details"], json!({ "quota": name, "used": used, "allowed": allowed }), "{error}");
}

/// Nothing bounded how many threads a user keeps. Of many asked for at once, over sockets and HTTP, just the allowed ones
/// are made; the others are refused in one shape, and deleting makes room at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_threads_asked_for_at_once_the_allowed_ones_are_made() {
    let server = server(QuotaConfig { threads_per_user: 7, ..QuotaConfig::default() }).await;
    let (user, other) = (server.user("ada"), server.user("bob"));
    let clients = join_all((0..3).map(|_| user.connect())).await;
    let by_socket = join_all(clients.iter().map(|client| async move {
        let mut replies = Vec::new();
        for _ in 0..5 {
            replies.push(client.ask(json!({ "type": "create_thread" })).await);
        }
        replies
    }));
    let by_http = join_all((0..5).map(|_| user.post("/api/threads", json!({}))));
    let (by_socket, by_http) = tokio::join!(by_socket, by_http);
    let mut made = 0;
    for reply in by_socket.iter().flatten() {
        match reply.kind() {
            "ack" => made += 1,
            _ => assert_refused(&reply.json, "threads_per_user", 7, 7),
        }
    }
    for reply in &by_http {
        match reply.status {
            201 => made += 1,
            _ => {
                assert_eq!(reply.status, 403);
                assert_refused(&reply.json, "threads_per_user", 7, 7);
            }
        }
    }
    assert_eq!(made, 7);
    let threads = user.get("/api/threads").await.json;
    assert_eq!(threads["total"], 7);
    for frame in
        [json!({ "type": "chat", "content": "hi" }), json!({ "type": "start_agent", "user_request": "hi" })]
    {
        assert_refused(&clients[0].ask(frame).await.json, "threads_per_user", 7, 7);
    }
    assert_eq!(quota(&user, "threads_per_user").await, (7, 7));
    assert_eq!(quota(&other, "threads_per_user").await, (0, 7));
    assert_eq!(other.post("/api/threads", json!({})).await.status, 201);
    let path = format!("/api/threads/{}", threads["threads"][0]["thread_id"].as_str().unwrap());
    assert_eq!(user.delete(&path).await.status, 204);
    assert_eq!(quota(&user, "threads_per_user").await, (6, 7));
    let run = clients[0].chat("What is 2+3?").await;
    clients[0].expect_run_completed(run.run_id).await;
    clients[0].barrier().await;
    clients[0].assert_exactly_once();
    assert_eq!(
        server
            .rest()
            .get("/metrics")
            .await
            .body
            .lines()
            .filter(|line| {
                *line == "wireproof_kept_threads 8"
                    || *line == "wireproof_kept_messages 2"
                    || *line == "wireproof_quota_refused_total{quota=\"threads_per_user\"} 15"
            })
            .count(),
        3
    );
}

/// A user's messages and bytes grew without a bound, by the agent's answers most of all. A run whose answer has no room
/// ends as `failed` with `quota_exceeded`, and its end is stored: the answer is not.
#[tokio::test]
async fn a_run_whose_answer_has_no_room_ends_failed_and_its_end_is_stored() {
    for (quotas, name, used, allowed) in [
        (QuotaConfig { messages_per_user: 1, ..QuotaConfig::default() }, "messages_per_user", 1, 1),
        (QuotaConfig { bytes_per_user: 16, ..QuotaConfig::default() }, "bytes_per_user", 4, 16),
    ] {
        let server = server(quotas).await;
        let user = server.user("ada");
        let ada = user.connect().await;
        for agent in ["long"] {
            let run = ada.chat_with(agent, "go").await;
            let path = format!("/api/threads/{}", run.thread_id);
            let run_id = run.run_id;
            let run = ended(&server, &ada, run_id).await;
            assert_eq!((run.outcome(), run.failure()), (Some(Outcome::Failed), Some("quota_exceeded")));
            assert_eq!(run.text(), "a long answer", "what was streamed was streamed");
            let record = user.get(&format!("/api/runs/{run_id}")).await.json;
            assert_eq!(record["outcome"], "failed", "{record}");
            let kept = user.get(&format!("{path}/messages")).await.json;
            assert_eq!((&kept["total"], &kept["messages"][0]["content"]), (&json!(1), &json!("go")));
            assert_eq!(quota(&user, name).await, (used, allowed));
            assert_eq!(user.delete(&path).await.status, 204);
            assert_eq!(quota(&user, name).await, (0, allowed));
        }
        assert_eq!(server.rest().get("/metrics").await.body.matches("outcome=\"failed\"} 1\n").count(), 1);
    }
}

/// What a run that failed by itself had said so far is kept where there is room; where there is none, the run ends as it
/// would, without it.
#[tokio::test]
async fn a_partial_answer_without_room_changes_nothing_of_its_runs_end() {
    let server = server(QuotaConfig { bytes_per_user: 10, ..QuotaConfig::default() }).await;
    let user = server.user("ada");
    let ada = user.connect().await;
    let run = ada.chat_with("fails", "go").await;
    let path = format!("/api/threads/{}/messages", run.thread_id);
    let run = ended(&server, &ada, run.run_id).await;
    assert_eq!((run.outcome(), run.failure()), (Some(Outcome::Failed), Some("no_model")));
    assert_eq!(user.get(&path).await.json["total"], 1);
}

/// The same quota holds for metadata that is changed and for messages over HTTP; smaller is always allowed.
#[tokio::test]
async fn bytes_count_for_metadata_and_messages_by_every_way() {
    let server = server(QuotaConfig { bytes_per_user: 60, ..QuotaConfig::default() }).await;
    let user = server.user("ada");
    let ada = user.connect().await;
    let created = user.post("/api/threads", json!({ "metadata": { "x": "y".repeat(42) } })).await;
    let thread_id = created.json["thread_id"].clone();
    let path = format!("/api/threads/{}", thread_id.as_str().unwrap());
    assert_eq!(quota(&user, "bytes_per_user").await, (50, 60));
    let larger = json!({ "x": "y".repeat(53) });
    let refused = user.patch(&path, json!({ "metadata": larger })).await;
    assert_eq!(refused.status, 403);
    assert_refused(&refused.json, "bytes_per_user", 50, 60);
    let frame = json!({ "type": "rename_thread", "thread_id": thread_id, "metadata": larger });
    assert_refused(&ada.ask(frame).await.json, "bytes_per_user", 50, 60);
    let message = json!({ "content": "z".repeat(11) });
    let refused = user.post(&format!("{path}/messages"), message).await;
    assert_eq!(refused.status, 403);
    assert_refused(&refused.json, "bytes_per_user", 50, 60);
    let frame = json!({ "type": "chat", "content": "z".repeat(11), "thread_id": thread_id });
    assert_refused(&ada.ask(frame).await.json, "bytes_per_user", 50, 60);
    assert_eq!(user.patch(&path, json!({ "title": "another title", "metadata": {} })).await.status, 200);
    assert_eq!(quota(&user, "bytes_per_user").await, (2, 60));
    let run = ada.chat("What is 2+3?").await;
    ada.expect_run_completed(run.run_id).await;
    ada.expect_none(matching("a refused request leaves nothing", |frame| frame.text.contains("zzz"))).await;
}
