//! A welcome asks the store once, whatever position the client brings.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use wireproof_protocol::Position;
use wireproof_server::store::{
    Store, StoreError,
    layer::{Layer, Layered},
};
use wireproof_testkit::TestServer;

/// The calls of a store, in order.
#[derive(Clone, Default)]
struct Calls(Arc<Mutex<Vec<&'static str>>>);

impl Calls {
    /// The calls since this was last called, without those that the server makes at each heartbeat.
    fn take(&self) -> Vec<&'static str> {
        let at_heartbeats = ["heads", "revocations", "disabled_users"];
        self.0.lock().unwrap().drain(..).filter(|call| !at_heartbeats.contains(call)).collect()
    }
}

#[async_trait]
impl Layer for Calls {
    async fn before(&self, call: &'static str) -> Result<(), StoreError> {
        self.0.lock().unwrap().push(call);
        Ok(())
    }
}

#[tokio::test]
async fn a_welcome_asks_the_store_once() {
    let calls = Calls::default();
    let layer = calls.clone();
    let around = move |store| Arc::new(Layered::new(store, layer.clone())) as Arc<dyn Store>;
    let server = TestServer::builder().layer_store(Arc::new(around)).start().await;
    let ada = server.user("ada");
    calls.take();
    let first = ada.connect().await;
    assert_eq!(calls.take(), ["open"], "without a position");
    let run = first.chat("What is 17*23?").await;
    first.expect_run_completed(run.run_id).await;
    let (epoch, head) = (first.welcome().epoch, first.state().seq);
    for seq in [0, head / 2, head] {
        calls.take();
        let client = ada.connect_at(Position { epoch, seq }).await;
        client.expect("caught_up").await;
        assert_eq!(calls.take(), ["open"], "after {seq}");
    }
    calls.take();
    let ahead = ada.connect_at(Position { epoch, seq: head + 1 }).await;
    ahead.expect("error").await;
    assert_eq!(calls.take(), ["open"], "ahead of the log");
}
