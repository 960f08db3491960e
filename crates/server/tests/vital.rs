//! A part of the server that dies takes the server with it: it is unhealthy at once and asks to be taken down.
#![allow(clippy::unwrap_used)]

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{sync::mpsc, time::timeout};
use wireproof_agents::Builtin;
use wireproof_protocol::UserId;
use wireproof_server::{
    Config, Server,
    broker::{Broker, Notice, local::Local},
    shutdown::Ending,
    store::{Store, StoreError, ThreadChange, embedded::Embedded},
};

const WITHIN: Duration = Duration::from_secs(20);

/// A broker of which one part fails on the word "poison": the writer's thread, which publishes, or the hub's queue.
struct Failing {
    local: Local,
    /// True when publishing panics, false when the subscriptions end.
    panics: bool,
    hub: Mutex<Option<mpsc::Sender<Vec<Notice>>>>,
}

impl Broker for Failing {
    fn publish(&self, notices: Vec<Notice>) {
        let holds = |json: &[u8]| json.windows(6).any(|word| word == b"poison");
        if notices.iter().flat_map(|notice| notice.events.iter()).any(|event| holds(&event.json)) {
            assert!(!self.panics, "the writer's thread dies here");
            self.hub.lock().unwrap().take();
        }
        let hub = self.hub.lock().unwrap().clone();
        hub.map(|hub| hub.blocking_send(notices.clone()));
        self.local.publish(notices);
    }
    fn subscribe(&self) -> mpsc::Receiver<Vec<Notice>> {
        let (sender, receiver) = mpsc::channel(64);
        *self.hub.lock().unwrap() = Some(sender);
        receiver
    }
    fn close(&self) {
        self.hub.lock().unwrap().take();
    }
}

fn failing(panics: bool) -> Arc<dyn Broker> {
    Arc::new(Failing { local: Local::default(), panics, hub: Mutex::default() })
}

async fn server(folder: &std::path::Path, panics: bool) -> Server {
    let config =
        Config { listen: "127.0.0.1:0".parse().unwrap(), data_dir: folder.to_owned(), ..Config::default() };
    Server::start_over(config, vec![Arc::new(Builtin::new())], failing(panics)).await.unwrap()
}

async fn get(server: &Server, path: &str) -> (u16, Value) {
    let reply = reqwest::get(format!("http://{}{path}", server.address())).await.unwrap();
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
    let server = server(folder.path(), true).await;
    assert_eq!(make(&server, "good").await.0, 201);
    assert_eq!(get(&server, "/ready").await.0, 200);
    // The one whose write was under way, and those who come after it, are told at once.
    assert_eq!(make(&server, "poison").await, (503, "shutting_down".to_owned()));
    let (status, ready) = get(&server, "/ready").await;
    assert_eq!((status, &ready["store"]), (503, &json!("failing")), "{ready}");
    let (status, health) = get(&server, "/ws/health").await;
    assert_eq!((status, &health["status"]), (503, &json!("unhealthy")), "{health}");
    assert_eq!(make(&server, "late").await, (503, "shutting_down".to_owned()));
    let ending = timeout(WITHIN, server.requested()).await.expect("the server goes on as a zombie");
    assert_eq!(ending, Ending::Failed("store"));
    timeout(WITHIN, server.shutdown()).await.expect("it does not end");
    // What was acknowledged is there, and the folder can be taken again.
    let store = Embedded::open(folder.path(), Box::new(drop)).unwrap();
    let window = wireproof_server::store::Window { limit: 10, offset: 0 };
    let (threads, _) = store.threads(&UserId::new("ada").unwrap(), window).await.unwrap();
    assert!(threads.iter().any(|thread| thread.title == "good"));
}

/// Bug, a sibling: when the hub's task ended, events were stored and delivered to nobody, and nothing showed it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_hub_ends_the_server() {
    let folder = tempfile::tempdir().unwrap();
    let server = server(folder.path(), false).await;
    assert_eq!(make(&server, "good").await.0, 201);
    make(&server, "poison").await;
    let ending = timeout(WITHIN, server.requested()).await.expect("the server goes on as a zombie");
    assert_eq!(ending, Ending::Failed("hub"));
    assert_eq!(get(&server, "/ready").await.0, 503);
    timeout(WITHIN, server.shutdown()).await.expect("it does not end");
}

/// Whoever waits for a write when the writer dies gets an error, and so does everybody after; nobody waits for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_who_wait_for_a_dead_writer_get_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let store =
        Arc::new(Embedded::open(folder.path(), Box::new(|_| panic!("the writer dies here"))).unwrap());
    assert!(!store.ended().is_cancelled());
    let writes = (0..50).map(|number| {
        let store = store.clone();
        tokio::spawn(async move {
            let user = UserId::new(format!("user{number}")).unwrap();
            let change =
                ThreadChange::Create { thread_id: None, title: "t".to_owned(), metadata: Default::default() };
            store.change_thread(&user, None, change, 1.0).await
        })
    });
    for write in writes.collect::<Vec<_>>() {
        let answer = timeout(WITHIN, write).await.expect("a caller waits for ever").unwrap();
        assert!(matches!(answer, Err(StoreError::Failed)), "{answer:?}");
    }
    timeout(WITHIN, store.ended().cancelled()).await.expect("nobody is told");
    assert!(matches!(store.settle().await, Err(StoreError::Failed)));
    store.close().await;
    assert!(matches!(store.settle().await, Err(StoreError::Closed)));
}
