//! A part of the server that dies takes the server with it: it is unhealthy at once and asks to be taken down.
#![allow(clippy::unwrap_used)]

use std::{
    path::Path,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

use async_trait::async_trait;
use serde_json::{Value, json};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use wireproof_protocol::UserId;
use wireproof_server::{
    Config, Server,
    broker::{Broker, Notice, Subscriber, local::Local},
    shutdown::ShutdownKind,
    store::{
        Store, StoreError,
        embedded::Embedded,
        layer::{Layer, Layered},
    },
};

const WITHIN: Duration = Duration::from_secs(20);

/// A broker whose ears die on the word "poison".
#[derive(Default)]
struct Failing(Local);

#[async_trait]
impl Broker for Failing {
    fn try_publish(&self, notice: Notice) {
        let holds = |json: &[u8]| json.windows(6).any(|word| word == b"poison");
        match &notice {
            Notice::Committed(told)
                if told.events.iter().flat_map(|all| all.iter()).any(|e| holds(&e.json)) =>
            {
                self.0.close();
            }
            _ => self.0.try_publish(notice),
        }
    }
    async fn join(&self, user_id: &UserId) {
        self.0.join(user_id).await;
    }
    fn leave(&self, user_id: &UserId) {
        self.0.leave(user_id);
    }
    fn subscribe(&self, node: Weak<dyn Subscriber>) {
        self.0.subscribe(node);
    }
    fn ended(&self) -> CancellationToken {
        self.0.ended()
    }
    fn close(&self) {
        self.0.close();
    }
}

/// A writer that dies with its next write, and what then is cancelled.
#[derive(Default)]
struct Writer {
    dies: AtomicBool,
    ended: CancellationToken,
}

struct Dies(Arc<Writer>);

#[async_trait]
impl Layer for Dies {
    async fn before(&self, call: &'static str) -> Result<(), StoreError> {
        let writes = ["start_run", "append_events", "finish_run", "change_thread", "settle"];
        if writes.contains(&call) && self.0.dies.load(SeqCst) {
            self.0.ended.cancel();
            return Err(StoreError::Failed);
        }
        Ok(())
    }
    fn ended(&self) -> Option<CancellationToken> {
        Some(self.0.ended.clone())
    }
}

fn config(folder: &Path) -> Config {
    Config { listen: "127.0.0.1:0".parse().unwrap(), data_dir: folder.to_owned(), ..Config::default() }
}

async fn get(server: &Server, path: &str) -> (u16, Value) {
    let reply = reqwest::get(format!("http://{}{path}", server.address()));
    let reply = timeout(WITHIN, reply).await.expect("no answer").unwrap();
    let status = reply.status().as_u16();
    (status, serde_json::from_str(&reply.text().await.unwrap()).unwrap())
}

/// Makes a thread over HTTP; its status and error code.
async fn make(server: &Server, title: &str) -> (u16, String) {
    let token = server.keys().sign(&UserId::new("ada").unwrap(), Duration::from_secs(60));
    let request = reqwest::Client::new()
        .post(format!("http://{}/api/threads", server.address()))
        .bearer_auth(token)
        .body(json!({ "title": title }).to_string());
    let reply = timeout(WITHIN, request.send()).await.expect("no answer").unwrap();
    let status = reply.status().as_u16();
    let body: Value = serde_json::from_str(&reply.text().await.unwrap()).unwrap();
    (status, body["error_code"].as_str().unwrap_or_default().to_owned())
}

/// Bug: after a panic of the store's writer every write said "restarting", and `/ready` said ready, for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_writer_makes_the_server_unhealthy_and_ends_it() {
    let folder = tempfile::tempdir().unwrap();
    let writer = Arc::new(Writer::default());
    let layer = writer.clone();
    let around = move |store| Arc::new(Layered::new(store, Dies(layer.clone()))) as Arc<dyn Store>;
    let server = Server::builder(config(folder.path())).layer_store(Arc::new(around)).start().await.unwrap();
    assert_eq!(make(&server, "good").await.0, 201);
    assert_eq!(get(&server, "/ready").await.0, 200);
    // The one whose write was under way, and those who come after it, are told at once.
    writer.dies.store(true, SeqCst);
    assert_eq!(make(&server, "poison").await, (503, "shutting_down".to_owned()));
    let (status, ready) = get(&server, "/ready").await;
    assert_eq!((status, &ready["store"]), (503, &json!("failing")), "{ready}");
    let (status, health) = get(&server, "/ws/health").await;
    assert_eq!((status, &health["status"]), (503, &json!("unhealthy")), "{health}");
    assert_eq!(make(&server, "late").await, (503, "shutting_down".to_owned()));
    let ending = timeout(WITHIN, server.requested()).await.expect("the server goes on as a zombie");
    assert_eq!(ending, ShutdownKind::Failed("store"));
    timeout(WITHIN, server.shutdown()).await.expect("it does not end");
    // What was acknowledged is there, and the folder can be taken again.
    let store = Embedded::open(folder.path()).unwrap();
    let window = wireproof_server::store::Window { limit: 10, offset: 0 };
    let (threads, _) = store.threads(&UserId::new("ada").unwrap(), window).await.unwrap();
    assert!(threads.iter().any(|thread| thread.title == "good"));
}

/// Bug, a sibling: when what listens had ended, events were stored and delivered to nobody, and nothing showed it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_broker_ends_the_server() {
    let folder = tempfile::tempdir().unwrap();
    let broker = Arc::new(Failing::default());
    let server = Server::builder(config(folder.path())).broker(broker).start().await.unwrap();
    assert_eq!(make(&server, "good").await.0, 201);
    make(&server, "poison").await;
    let ending = timeout(WITHIN, server.requested()).await.expect("the server goes on as a zombie");
    assert_eq!(ending, ShutdownKind::Failed("broker"));
    assert_eq!(get(&server, "/ready").await.0, 503);
    timeout(WITHIN, server.shutdown()).await.expect("it does not end");
}
