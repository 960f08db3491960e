//! From the store to the connections: append makes durable, the commit is published, each connection's feed delivers.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use tokio_util::sync::CancellationToken;
use wireproof_protocol::{Control, ControlBody, RequestId};

use crate::{
    broker::Broker,
    metrics::Metrics,
    store::{CommitSink, Retention, Store},
};

pub mod feed;
mod log_reader;
mod shared_feed;
pub mod snapshot;
pub mod start;
pub mod subscription;

pub use log_reader::{LogReader, PAGE_BYTES};
pub use shared_feed::SharedFeed;

/// A control frame as it goes on the wire.
pub fn encode(body: ControlBody, id: Option<RequestId>) -> Bytes {
    let control = Control { body, id, timestamp: crate::clock::unix_now() };
    // Serialising our own types does not fail.
    serde_json::to_vec(&control).unwrap_or_default().into()
}

/// Publishes every commit, in the order of the commits.
pub fn publisher(broker: Arc<dyn Broker>, metrics: Arc<Metrics>) -> CommitSink {
    Box::new(move |committed| {
        let events = committed.iter().map(|one| one.events.len() as u64).sum();
        metrics.events_appended.inc_by(events);
        broker.publish(committed);
        metrics.events_published.inc_by(events);
    })
}

/// Keeps the logs short until `stop` is cancelled: finished deltas are put together, what is too old goes.
pub async fn keep_short(
    store: Arc<dyn Store>,
    retention: Retention,
    every: Duration,
    stop: CancellationToken,
) {
    let mut sweep = tokio::time::interval(every);
    sweep.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    sweep.tick().await;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = sweep.tick() => match store.retain(retention, crate::clock::unix_now()).await {
                Ok(0) => {}
                Ok(rows) => tracing::info!(rows, "the retention let rows of logs go"),
                Err(e) => tracing::warn!(error = %e, "the retention could not be applied"),
            }
        }
    }
}
