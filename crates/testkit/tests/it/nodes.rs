//! Two nodes in one process, over one store and one broker: what each end of a seam promises holds between them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

use async_trait::async_trait;
use serde_json::json;
use tempfile::TempDir;
use wireproof_protocol::{Outcome, UserId};
use wireproof_server::{
    broker::{Broker, Notice, local::Local},
    store::{
        Revocation, Revoked, Store, StoreError,
        embedded::Embedded,
        layer::{Layer, Layered},
    },
};
use wireproof_testkit::{TestClient, TestServer, error, event, unreliable::LossyBroker};

use crate::acting::patient;

/// What a test changes of two nodes.
struct Nodes {
    /// Makes the broker of the first node out of its end of the network.
    first_broker: fn(Local) -> Arc<dyn Broker>,
    /// Stands around the store of the second.
    second_layer: OutOfReach,
    /// Between two heartbeats of the second.
    heartbeat_seconds: f64,
}

impl Default for Nodes {
    fn default() -> Self {
        let first_broker = |network: Local| Arc::new(network) as Arc<dyn Broker>;
        Self { first_broker, second_layer: OutOfReach::default(), heartbeat_seconds: 25.0 }
    }
}

impl Nodes {
    /// Starts both; they sign with the same secret, as nodes must.
    async fn start(self) -> (TempDir, TestServer, TestServer) {
        let folder = TempDir::with_prefix("wireproof-").unwrap();
        let store: Arc<dyn Store> = Arc::new(Embedded::open(folder.path()).unwrap());
        let network = Arc::new(Local::default());
        let node = |broker: fn(Local) -> Arc<dyn Broker>| {
            let (store, network) = (store.clone(), network.clone());
            TestServer::builder()
                .store(store)
                .broker(Arc::new(move || broker(network.another())))
                .agents([patient()])
                .config(|config| config.jwt.secret = "0123456789abcdef0123456789abcdef".to_owned())
        };
        let Self { first_broker, second_layer, heartbeat_seconds } = self;
        let one = node(first_broker).start().await;
        let around = move |store| Arc::new(Layered::new(store, second_layer.clone())) as Arc<dyn Store>;
        let other = node(Self::default().first_broker)
            .layer_store(Arc::new(around))
            .config(|config| {
                config.limits.heartbeat_seconds = heartbeat_seconds;
                // A client may be silent for longer than that.
                config.limits.dead_seconds = config.limits.dead_seconds.max(2.0 * heartbeat_seconds);
            })
            .start()
            .await;
        (folder, one, other)
    }
}

async fn nodes() -> (TempDir, TestServer, TestServer) {
    Nodes::default().start().await
}

/// A store that does not tell who is disabled while it is out of reach.
#[derive(Clone, Default)]
struct OutOfReach(Arc<AtomicBool>);

#[async_trait]
impl Layer for OutOfReach {
    async fn before(&self, call: &'static str) -> Result<(), StoreError> {
        match self.0.load(SeqCst) && ["account", "disabled_users", "revocations"].contains(&call) {
            true => Err(StoreError::Unavailable("out of reach".to_owned())),
            false => Ok(()),
        }
    }
}

#[tokio::test]
async fn a_user_has_the_same_events_on_every_node_and_nobody_elses() {
    let (_folder, one, other) = nodes().await;
    let (here, there) = (one.user("ada").connect().await, other.user("ada").connect().await);
    let eve = other.user("eve").connect().await;
    let run = here.chat("What is 17*23, and count from 1 to 50.").await;
    here.expect_run_completed(run.run_id).await;
    there.expect_run_completed(run.run_id).await;
    let texts = |client: &TestClient| -> Vec<String> {
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
    there.expect(error("forbidden")).await;
    let user = other.user("eve");
    let eve = user.connect().await;
    let token = user.token();
    let reply = one.admin().post("/api/admin/revoke", json!({ "user_id": "eve" })).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    eve.expect(error("unauthenticated")).await;
    let refused = other.rest().token(token).get("/auth/me").await;
    assert_eq!((refused.status, refused.error_code()), (401, "unauthenticated"));
}

/// Bug: a node that no notice of a revocation reached left the connections open until their tokens expired.
#[tokio::test]
async fn a_revocation_whose_notice_is_lost_holds_everywhere_after_a_heartbeat() {
    let nodes = Nodes {
        first_broker: |network| {
            let is_lost = |notice: &Notice| matches!(notice, Notice::Revoked(_) | Notice::Disabled(_));
            Arc::new(LossyBroker::new(Arc::new(network), is_lost))
        },
        heartbeat_seconds: 0.5,
        ..Nodes::default()
    };
    let (_folder, one, other) = nodes.start().await;
    let (ada, eve) = (other.user("ada").connect().await, other.user("eve").connect().await);
    let reply = one.admin().post("/api/admin/revoke", json!({ "user_id": "eve" })).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    eve.expect(error("unauthenticated")).await;
    assert_eq!(eve.expect_closed().await.code, Some(1008));
    // The same for an account that is disabled, whatever its tokens.
    other.account("bob", "correct horse battery").await;
    let bob = other.user("bob").connect().await;
    let reply = one.admin().patch("/api/admin/users/bob", json!({ "disabled": true })).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    bob.expect(error("unauthenticated")).await;
    let refused = other.user("bob").get("/auth/me").await;
    assert_eq!((refused.status, refused.error_code()), (401, "unauthenticated"));
    let reply = one.admin().patch("/api/admin/users/bob", json!({ "disabled": false })).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    welcome_again(&other, "bob").await;
    ada.barrier().await;
}

/// Bug: a node that was told of a disabled account held it for disabled and left its connections open, those that had been
/// opened behind the revocation, until their tokens expired.
#[tokio::test]
async fn a_node_that_is_told_of_a_disabled_account_ends_its_connections() {
    let nodes = Nodes {
        // Of the change the one notice arrives that names the account.
        first_broker: |network| {
            Arc::new(LossyBroker::new(Arc::new(network), |notice| matches!(notice, Notice::Revoked(_))))
        },
        heartbeat_seconds: 600.0,
        ..Nodes::default()
    };
    let (_folder, one, other) = nodes.start().await;
    one.account("eve", "correct horse battery").await;
    let (ada, eve) = (other.user("ada").connect().await, other.user("eve").connect().await);
    let reply = one.admin().patch("/api/admin/users/eve", json!({ "disabled": true })).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    eve.expect(error("unauthenticated")).await;
    assert_eq!(eve.expect_closed().await.code, Some(1008));
    ada.barrier().await;
}

/// Waits until a user of a node is let in.
async fn welcome_again(server: &TestServer, name: &str) {
    let is_let_in = async {
        while server.user(name).get("/auth/me").await.status != 200 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(wireproof_testkit::DEADLINE, is_let_in).await.expect("not let in in time");
}

/// Bug: a node that could not read an account when it was told of a change held it for disabled, for good.
#[tokio::test]
async fn a_node_that_cannot_read_an_account_leaves_it_as_it_was_and_reads_it_again() {
    let second_layer = OutOfReach::default();
    let nodes = Nodes { second_layer: second_layer.clone(), ..Nodes::default() };
    let (_folder, one, other) = nodes.start().await;
    for name in ["ada", "eve"] {
        one.account(name, "correct horse battery").await;
    }
    second_layer.0.store(true, SeqCst);
    for (name, disabled) in [("ada", false), ("eve", true)] {
        let reply =
            one.admin().patch(&format!("/api/admin/users/{name}"), json!({ "disabled": disabled })).await;
        assert_eq!(reply.status, 200, "{}", reply.body);
    }
    other.user("ada").connect().await.barrier().await;
    second_layer.0.store(false, SeqCst);
    let is_refused = async {
        // Made anew, so that no revocation but only the account can refuse it.
        while other.user("eve").get("/api/threads").await.status != 401 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(wireproof_testkit::DEADLINE, is_refused).await.expect("not refused in time");
    other.user("ada").connect().await.barrier().await;
}

/// What was revoked elsewhere while the broker was cut off holds as soon as it hears again, long before a heartbeat.
#[tokio::test]
async fn a_node_whose_broker_was_cut_off_reads_what_was_revoked() {
    let folder = TempDir::with_prefix("wireproof-").unwrap();
    let store: Arc<dyn Store> = Arc::new(Embedded::open(folder.path()).unwrap());
    let broker = Arc::new(LossyBroker::new(Arc::new(Local::default()), |_| false));
    let made = broker.clone();
    let server = TestServer::builder()
        .store(store.clone())
        .broker(Arc::new(move || made.clone() as Arc<dyn Broker>))
        .config(|config| config.limits.heartbeat_seconds = 600.0)
        .config(|config| config.limits.dead_seconds = 900.0)
        .start()
        .await;
    let (ada, eve) = (server.user("ada").connect().await, server.user("eve").connect().await);
    let made = server.keys().claims(server.user("eve").id(), Duration::from_secs(60)).iat.unwrap();
    let now = made + 1.0;
    let what = Revoked::User(UserId::new("eve").unwrap());
    store.revoke(Revocation { what, at: now, until: now + 600.0 }).await.unwrap();
    broker.reconnect();
    eve.expect(error("unauthenticated")).await;
    ada.barrier().await;
}
