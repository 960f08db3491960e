//! From the store to the connections: append makes durable, the commit is published, each connection's feed delivers.

use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use crate::{
    broker::Broker,
    metrics::Metrics,
    store::{CommitSink, Retention, Store},
};

pub mod feed;
pub mod snapshot;

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
