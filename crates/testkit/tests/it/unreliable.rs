//! Seams that do what a network does: every event still comes, once and in order, and every run still has one end.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use async_trait::async_trait;
use serde_json::json;
use wireproof_protocol::{Outcome, Position, UserId};
use wireproof_server::{
    broker::{Broker, Notice, local::Local},
    store::{
        Store, StoreError,
        layer::{Layer, Layered},
    },
};
use wireproof_testkit::{
    TestServer,
    unreliable::{LossyBroker, UnreliableBroker, UnreliableStore},
};

use crate::{acting::patient, runs::ended};

/// A server over a store with a layer around it.
pub fn over<L: Layer + Clone>(layer: &L) -> wireproof_testkit::Builder {
    let layer = layer.clone();
    let around = move |store| Arc::new(Layered::new(store, layer.clone())) as Arc<dyn Store>;
    TestServer::builder().layer_store(Arc::new(around))
}

/// A store that is away for the first call of one name.
#[derive(Clone)]
struct AwayAtFirst(&'static str, Arc<AtomicUsize>);

#[async_trait]
impl Layer for AwayAtFirst {
    async fn before(&self, call: &'static str) -> Result<(), StoreError> {
        match call == self.0 && self.1.fetch_add(1, SeqCst) == 0 {
            true => Err(StoreError::Unavailable("it is away".to_owned())),
            false => Ok(()),
        }
    }
}

/// Bug: a store that was away for a moment when the revocations were read ended the start with an error.
#[tokio::test]
async fn a_store_that_is_away_for_a_moment_keeps_no_server_down() {
    for call in ["bound_revocations", "revocations", "disabled_users", "take_over_runs"] {
        let layer = AwayAtFirst(call, Arc::default());
        let server = over(&layer).start().await;
        assert!(layer.1.load(SeqCst) > 1, "{call} was not made again");
        server.user("ada").connect().await.barrier().await;
    }
}

/// Many runs, so that last notices are lost too: the barrier's pong and the comparison of heads bring what they told of.
#[tokio::test]
async fn whatever_becomes_of_notices_every_device_has_every_event() {
    let broker = Arc::new(UnreliableBroker::new(Arc::new(Local::default()), 7));
    let made = broker.clone();
    let server = TestServer::builder()
        .broker(Arc::new(move || made.clone() as Arc<dyn Broker>))
        .config(|config| config.limits.heartbeat_seconds = 0.5)
        .start()
        .await;
    let user = server.user("ada");
    let (asks, listens) = (user.connect().await, user.connect().await);
    for number in 0..12 {
        let run = asks.chat(&format!("What is {number}+1, and count from 1 to 5.")).await;
        // This one says nothing itself: only heads tell it of a last notice that was lost.
        listens.expect_run_completed(run.run_id).await;
        ended(&server, &asks, run.run_id).await;
    }
    asks.assert_exactly_once();
    listens.assert_exactly_once();
    assert!(broker.lost() > 10, "the proof needs notices that are lost: {}", broker.lost());
}

#[tokio::test]
async fn a_store_that_is_away_now_and_then_stores_everything_once() {
    let layer = UnreliableStore::new(7);
    let server = over(&layer).config(|config| config.limits.messages_per_minute = 0).start().await;
    let ada = server.user("ada").connect().await;
    for number in 0..24 {
        let run = ada.chat(&format!("What is {number}+1?")).await;
        let run = ended(&server, &ada, run.run_id).await;
        assert_eq!(run.outcome(), Some(Outcome::Success));
    }
    assert!(layer.refusals() > 10, "the proof needs a store that is away: {}", layer.refusals());
    // One thread with its two messages for each.
    let threads = server.user("ada").get("/api/threads?limit=100").await.json;
    assert_eq!(threads["total"], 24, "{threads}");
    let counts = threads["threads"].as_array().unwrap().iter().map(|thread| &thread["message_count"]);
    assert!(counts.clone().all(|count| *count == 2), "{threads}");
    ada.assert_exactly_once();
}

/// Bug: a change of a thread was refused when the store was away for a moment, though it may have been made.
#[tokio::test]
async fn threads_are_changed_once_by_a_store_that_is_away_now_and_then() {
    let layer = UnreliableStore::new(3);
    let server = over(&layer).config(|config| config.limits.messages_per_minute = 0).start().await;
    let user = server.user("ada");
    let ada = user.connect().await;
    for number in 0..10 {
        let made = user.post("/api/threads", json!({ "title": format!("Thread {number}") })).await;
        assert_eq!(made.status, 201, "{}", made.body);
        let path = format!("/api/threads/{}", made.json["thread_id"].as_str().unwrap());
        let renamed = user.patch(&path, json!({ "title": format!("Renamed {number}") })).await;
        assert_eq!(renamed.status, 200, "{}", renamed.body);
        let by_frame = ada.ask(json!({ "type": "create_thread", "title": "By frame" })).await;
        let deleted = ada.ask(json!({ "type": "delete_thread", "thread_id": by_frame["thread_id"] })).await;
        assert_eq!((by_frame.kind(), deleted.kind()), ("ack", "ack"), "{} {}", by_frame.text, deleted.text);
    }
    assert!(layer.refusals() > 5, "the proof needs a store that is away: {}", layer.refusals());
    assert_eq!(user.get("/api/threads").await.json["total"], 10);
    ada.barrier().await;
    ada.assert_exactly_once();
    let events = ada.events();
    let told = |kind: &str| events.iter().filter(|event| event.body.name() == kind).count();
    assert_eq!(["thread_created", "thread_updated", "thread_deleted"].map(told), [20, 10, 10]);
}

/// A run that is cancelled while the store is away ends once the store is back; one that is going on in a drain ends with the
/// next start. The drain itself waits for no store.
#[tokio::test]
async fn a_store_that_is_away_for_long_costs_no_run_its_end_and_holds_no_drain() {
    let layer = UnreliableStore::new(5);
    let mut server = over(&layer)
        .agents([patient()])
        .config(|config| (config.drain.seconds, config.drain.spread_seconds) = (0.1, 0.1))
        .start()
        .await;
    let user = server.user("ada");
    let ada = user.connect().await;
    let cancelled = ada.chat_with("patient", "one").await;
    layer.go_away();
    let before = layer.refusals();
    ada.send(json!({ "type": "cancel_run", "run_id": cancelled.run_id })).await;
    server.until("the end was tried", |_| layer.refusals() > before + 2).await;
    assert_eq!(server.runs(), 1, "it was given up");
    layer.come_back();
    assert_eq!(ended(&server, &ada, cancelled.run_id).await.outcome(), Some(Outcome::Cancelled));
    let drained = ada.chat_with("patient", "two").await;
    layer.go_away();
    let begun = Instant::now();
    server.shutdown().await;
    assert!(begun.elapsed() < Duration::from_secs(25), "the drain took {:?}", begun.elapsed());
    layer.come_back();
    server.restart().await;
    let start = Position { epoch: ada.welcome().epoch, seq: 0 };
    let ada = user.connect_at(start).await;
    ada.expect("caught_up").await;
    assert_eq!(ended(&server, &ada, drained.run_id).await.outcome(), Some(Outcome::Failed));
}

/// Tells no heads of several users at once, and never that of a user whose name begins with "bad".
#[derive(Clone)]
struct BadHeads;

#[async_trait]
impl Layer for BadHeads {
    async fn heads(&self, _: &Arc<dyn Store>, _: &[UserId]) -> Result<Vec<u64>, StoreError> {
        Err(StoreError::Backend("one of them is broken".to_owned()))
    }

    async fn head(&self, store: &Arc<dyn Store>, user_id: &UserId) -> Result<Position, StoreError> {
        match user_id.as_str().starts_with("bad") {
            true => Err(StoreError::Backend("the log is broken".to_owned())),
            false => store.head(user_id).await,
        }
    }
}

/// Bug: the head of one user that could not be read kept the comparison from all users behind.
#[tokio::test]
async fn a_head_that_cannot_be_read_keeps_nobody_else_from_lost_events() {
    let server = over(&BadHeads)
        .broker(Arc::new(|| {
            let is_lost = |notice: &Notice| matches!(notice, Notice::Committed(_));
            Arc::new(LossyBroker::new(Arc::new(Local::default()), is_lost))
        }))
        .config(|config| config.limits.heartbeat_seconds = 0.3)
        .start()
        .await;
    // Users stand in no order: with several of each somebody stands behind a bad one.
    let mut bad = Vec::new();
    for number in 0..4 {
        bad.push(server.user(&format!("bad-{number}")).connect().await);
    }
    for number in 0..4 {
        let user = server.user(&format!("good-{number}"));
        let listens = user.connect().await;
        let made = user.post("/api/threads", json!({ "title": "A thread" })).await;
        assert_eq!(made.status, 201, "{}", made.body);
        listens.expect("thread_created").await;
    }
}
