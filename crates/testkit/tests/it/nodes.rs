//! Two nodes in one process, over one store and one broker: what each end of a seam promises holds between them.

use std::sync::Arc;

use serde_json::json;
use tempfile::TempDir;
use wireproof_protocol::Outcome;
use wireproof_server::{
    broker::{Broker, local::Local},
    store::{Store, embedded::Embedded},
};
use wireproof_testkit::{TestServer, event};

use crate::acting::patient;

/// Two nodes; both sign with the same secret, as nodes must.
async fn nodes() -> (TempDir, TestServer, TestServer) {
    let folder = TempDir::with_prefix("wireproof-").unwrap();
    let store: Arc<dyn Store> = Arc::new(Embedded::open(folder.path()).unwrap());
    let network = Arc::new(Local::default());
    let node = || {
        let (store, network) = (store.clone(), network.clone());
        TestServer::builder()
            .store(store)
            .broker(Arc::new(move || Arc::new(network.another()) as Arc<dyn Broker>))
            .agents([patient()])
            .config(|config| config.jwt.secret = "0123456789abcdef0123456789abcdef".to_owned())
            .start()
    };
    let (one, other) = (node().await, node().await);
    (folder, one, other)
}

#[tokio::test]
async fn a_user_has_the_same_events_on_every_node_and_nobody_elses() {
    let (_folder, one, other) = nodes().await;
    let (here, there) = (one.user("ada").connect().await, other.user("ada").connect().await);
    let eve = other.user("eve").connect().await;
    let run = here.chat("What is 17*23, and count from 1 to 50.").await;
    here.expect_run_completed(run.run_id).await;
    there.expect_run_completed(run.run_id).await;
    let texts = |client: &wireproof_testkit::TestClient| -> Vec<String> {
        client.events().iter().map(|event| serde_json::to_string(event).unwrap()).collect()
    };
    assert_eq!(texts(&here), texts(&there));
    there.assert_exactly_once();
    eve.barrier().await;
    assert!(eve.events().is_empty());
}

#[tokio::test]
async fn a_cancel_reaches_the_node_that_has_the_run() {
    let (_folder, one, other) = nodes().await;
    let (here, there) = (one.user("ada").connect().await, other.user("ada").connect().await);
    let run = here.chat_with("patient", "one").await;
    there.expect(event("agent_started").of_run(run.run_id)).await;
    let ack = there.ask(json!({ "type": "cancel_run", "run_id": run.run_id })).await;
    // Whoever took the cancel has ended the run by the time that it is acknowledged.
    assert_eq!((ack.kind(), ack.text_of("outcome")), ("ack", "cancelled"));
    assert_eq!(here.expect_run_completed(run.run_id).await.outcome(), Some(Outcome::Cancelled));
    assert_eq!(there.expect_run_completed(run.run_id).await.outcome(), Some(Outcome::Cancelled));
}

/// A node that starts ends what nobody leases, and no run of a node that lives.
#[tokio::test]
async fn a_node_that_starts_leaves_the_runs_of_others_alone() {
    let (_folder, one, mut other) = nodes().await;
    let here = one.user("ada").connect().await;
    let run = here.chat_with("patient", "one").await;
    other.restart().await;
    assert_eq!(one.runs(), 1);
    let state = other.user("ada").get(&format!("/api/runs/{}", run.run_id)).await.json;
    assert_eq!(state.get("outcome"), None, "{state}");
    here.ask(json!({ "type": "cancel_run", "run_id": run.run_id })).await;
    here.expect_run_completed(run.run_id).await;
}

#[tokio::test]
async fn a_user_who_is_revoked_or_disconnected_on_one_node_is_so_on_all() {
    let (_folder, one, other) = nodes().await;
    let there = other.user("ada").connect().await;
    let path = "/api/admin/users/ada/disconnect";
    assert_eq!(one.admin().post(path, json!({})).await.json["disconnected"], 0, "none is here");
    there.expect(wireproof_testkit::error("forbidden")).await;
    let user = other.user("eve");
    let eve = user.connect().await;
    let token = user.token();
    let reply = one.admin().post("/api/admin/revoke", json!({ "user_id": "eve" })).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    eve.expect(wireproof_testkit::error("unauthenticated")).await;
    let refused = other.rest().token(token).get("/auth/me").await;
    assert_eq!((refused.status, refused.error_code()), (401, "unauthenticated"));
}
