//! Seams that do what a network does: every event still comes, once and in order, and every run still has one end.

use std::sync::Arc;

use wireproof_server::{
    broker::{Broker, local::Local},
    store::{Store, layer::Layered},
};
use wireproof_testkit::{
    TestServer,
    unreliable::{UnreliableBroker, UnreliableStore},
};

use crate::runs::ended;

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
    let around = layer.clone();
    let server = TestServer::builder()
        .layer_store(Arc::new(move |store| Arc::new(Layered::new(store, around.clone())) as Arc<dyn Store>))
        .start()
        .await;
    let ada = server.user("ada").connect().await;
    for number in 0..12 {
        let run = ada.chat(&format!("What is {number}+1?")).await;
        let run = ended(&server, &ada, run.run_id).await;
        assert_eq!(run.outcome(), Some(wireproof_protocol::Outcome::Success));
    }
    assert!(layer.refusals() > 10, "the proof needs a store that is away: {}", layer.refusals());
    // One thread with its two messages for each.
    let threads = server.user("ada").get("/api/threads?limit=100").await.json;
    assert_eq!(threads["total"], 12, "{threads}");
    let counts = threads["threads"].as_array().unwrap().iter().map(|thread| &thread["message_count"]);
    assert!(counts.clone().all(|count| *count == 2), "{threads}");
    ada.assert_exactly_once();
}
