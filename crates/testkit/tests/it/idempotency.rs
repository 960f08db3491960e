//! A request id is a promise: the same request again is answered again and carried out once.

use futures_util::future::join_all;
use serde_json::{Value, json};
use wireproof_testkit::{ReceivedFrame, TestClient, TestServer, answer_to, error, event};

/// The answer without its time.
fn said(answer: &ReceivedFrame) -> Value {
    let mut json = answer.json.clone();
    json.as_object_mut().unwrap().remove("timestamp");
    json
}

pub async fn answered(client: &TestClient, frame: &Value) -> Value {
    client.send(frame).await;
    said(&*client.expect(answer_to(frame["id"].as_str().unwrap())).await)
}

#[tokio::test]
async fn the_same_request_again_gets_the_same_answer_and_no_second_run() {
    let server = TestServer::start().await;
    let user = server.user("ada");
    let (phone, laptop) = (user.connect().await, user.connect().await);
    let frame = json!({ "type": "chat", "content": "What is 2+3?", "id": "q-1" });
    let first = answered(&phone, &frame).await;
    assert_eq!(first["type"], "accepted");
    phone.expect("agent_completed").await;
    // On the same connection, on another one, in the other shape and under the other name: all the same body.
    let other_shapes = [
        frame.clone(),
        json!({ "type": "user_message", "payload": { "content": "What is 2+3?" }, "id": "q-1" }),
        json!({ "type": "chat", "content": "What is 2+3?", "thread_id": null, "id": "q-1", "timestamp": 12.5 }),
    ];
    for again in &other_shapes {
        assert_eq!(answered(&phone, again).await, first);
        assert_eq!(answered(&laptop, again).await, first);
    }
    server.idle().await;
    for client in [&phone, &laptop] {
        client.barrier().await;
        assert_eq!(client.state().runs.len(), 1);
        assert_eq!(client.state().threads.len(), 1);
        client.assert_exactly_once();
    }
}

#[tokio::test]
async fn the_same_id_with_another_body_is_refused_and_changes_nothing() {
    let server = TestServer::start().await;
    let ada = server.user("ada").connect().await;
    let first = answered(&ada, &json!({ "type": "create_thread", "title": "one", "id": "x" })).await;
    let thread_id = first["thread_id"].as_str().unwrap().to_owned();
    for other in [
        json!({ "type": "create_thread", "title": "two", "id": "x" }),
        json!({ "type": "create_thread", "title": "one", "metadata": { "a": 1 }, "id": "x" }),
        json!({ "type": "delete_thread", "thread_id": thread_id, "id": "x" }),
        json!({ "type": "rename_thread", "thread_id": thread_id, "title": "two", "id": "x" }),
        json!({ "type": "chat", "content": "one", "id": "x" }),
    ] {
        ada.send(&other).await;
        let refused = ada.expect(answer_to("x")).await;
        assert_eq!(refused["error_code"], "id_reused", "{other}");
        assert_eq!(refused["retryable"], false);
    }
    assert_eq!(answered(&ada, &json!({ "type": "create_thread", "title": "one", "id": "x" })).await, first);
    ada.expect("thread_created").await;
    ada.expect_none("thread_created").await;
    ada.expect_none("thread_updated").await;
    ada.expect_none("message_created").await;
}

#[tokio::test]
async fn an_id_is_remembered_over_a_restart() {
    let mut server = TestServer::start().await;
    let mut ada = server.user("ada").connect().await;
    let chat = json!({ "type": "chat", "content": "What is 2+3?", "id": "q-1" });
    let create = json!({ "type": "create_thread", "title": "plans", "id": "t-1" });
    let (chatted, created) = (answered(&ada, &chat).await, answered(&ada, &create).await);
    ada.expect("agent_completed").await;
    let cancel = json!({ "type": "cancel_run", "run_id": chatted["run_id"], "id": "c-1" });
    let cancelled = answered(&ada, &cancel).await;
    assert_eq!((&cancelled["type"], &cancelled["outcome"]), (&json!("ack"), &json!("success")));
    server.restart().await;
    ada.resume().await;
    assert_eq!(answered(&ada, &chat).await, chatted);
    assert_eq!(answered(&ada, &create).await, created);
    assert_eq!(answered(&ada, &cancel).await, cancelled);
    ada.send(json!({ "type": "chat", "content": "What is 2+4?", "id": "q-1" })).await;
    ada.expect(error("id_reused").field("id", "q-1")).await;
    assert_eq!(server.runs(), 0);
    ada.barrier().await;
    assert_eq!((ada.state().runs.len(), ada.state().threads.len()), (1, 2));
    ada.assert_exactly_once();
}

#[tokio::test]
async fn an_id_is_its_users_own() {
    let server = TestServer::start().await;
    let frame = json!({ "type": "chat", "content": "What is 2+3?", "id": "1" });
    let (ada, eve) = (server.user("ada").connect().await, server.user("eve").connect().await);
    let (to_ada, to_eve) = (answered(&ada, &frame).await, answered(&eve, &frame).await);
    assert_ne!(to_ada["run_id"], to_eve["run_id"]);
    assert_ne!(to_ada["thread_id"], to_eve["thread_id"]);
    let other = json!({ "type": "chat", "content": "What is 2+4?", "id": "2" });
    answered(&ada, &other).await;
    let frame = json!({ "type": "create_thread", "id": "2" });
    assert_eq!(answered(&eve, &frame).await["type"], "ack");
}

/// Twenty connections ask the same at the same moment.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_duplicates_lead_to_one_run() {
    let server = TestServer::start_with(|config| {
        config.limits.connections_per_user = 0;
        config.limits.messages_per_minute = 0;
    })
    .await;
    let user = server.user("ada");
    let clients = join_all((0..20).map(|_| user.connect())).await;
    for round in 0..5 {
        let frame = json!({ "type": "chat", "content": "What is 2+3?", "id": format!("q-{round}") });
        let answers = join_all(clients.iter().map(|client| answered(client, &frame))).await;
        assert_eq!(answers[0]["type"], "accepted", "{}", answers[0]);
        assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    }
    for client in &clients {
        for _ in 0..5 {
            client.expect("agent_started").await;
            client.expect(event("agent_completed").field("outcome", "success")).await;
        }
        client.expect_none("agent_started").await;
        client.assert_exactly_once();
    }
}

/// The socket and REST know the same ids: a message sent again over the other one is the same message.
#[tokio::test]
async fn rest_and_socket_share_the_ids() {
    let server = TestServer::start().await;
    let user = server.user("ada");
    let ada = user.connect().await;
    let thread = user.post("/api/threads", json!({ "title": "plans" })).await;
    let thread_id = thread.json["thread_id"].as_str().unwrap();
    let path = format!("/api/threads/{thread_id}/messages");
    let body = json!({ "content": "What is 2+3?", "id": "q" });
    let (first, again) = (user.post(&path, body.clone()).await, user.post(&path, body).await);
    assert_eq!((first.status, again.status), (202, 202));
    assert_eq!(first.json["run_id"], again.json["run_id"]);
    let chat = json!({ "type": "chat", "content": "What is 2+3?", "thread_id": thread_id, "id": "q" });
    assert_eq!(answered(&ada, &chat).await["run_id"], first.json["run_id"]);
    let other = user.post(&path, json!({ "content": "What is 2+4?", "id": "q" })).await;
    assert_eq!((other.status, other.error_code()), (409, "id_reused"));
    ada.expect("agent_completed").await;
    ada.barrier().await;
    assert_eq!(ada.state().runs.len(), 1);
}
