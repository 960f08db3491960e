//! From the store to the connections: a commit is published, and each connection's feed delivers its events.

use std::{future::Future, sync::Arc, time::Duration};

use bytes::Bytes;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use wireproof_protocol::{Control, ControlBody, RequestId};

use crate::{
    broker::{Broker, Notice},
    metrics::Metrics,
    store::{Retention, Store, StoreError, Written, no_answer},
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

/// Tells the nodes of a user what was committed.
pub struct Publisher {
    broker: Arc<dyn Broker>,
    metrics: Arc<Metrics>,
    /// Writes whose callers may go away.
    writes: TaskTracker,
}

impl Publisher {
    /// Publishes through a broker.
    pub fn new(broker: Arc<dyn Broker>, metrics: Arc<Metrics>) -> Self {
        Self { broker, metrics, writes: TaskTracker::new() }
    }

    /// Publishes what a write committed, and returns what the write did.
    pub fn publish<T>(&self, written: Written<T>) -> T {
        if let Some(committed) = written.committed {
            // One that stands for events of an earlier try has been counted.
            let events = committed.events.as_ref().map_or(0, |events| events.len() as u64);
            self.metrics.events_appended.inc_by(events);
            self.broker.try_publish(Notice::Committed(committed));
            self.metrics.events_published.inc_by(events);
        }
        written.value
    }

    /// Carries a write out and publishes it, also when the caller goes away meanwhile.
    pub async fn carry_out<T: Send + 'static>(
        self: &Arc<Self>,
        write: impl Future<Output = Result<Written<T>, StoreError>> + Send + 'static,
    ) -> Result<T, StoreError> {
        let publisher = self.clone();
        let carried_out =
            self.writes.spawn(async move { write.await.map(|written| publisher.publish(written)) });
        carried_out.await.unwrap_or_else(|e| Err(StoreError::Backend(e.to_string())))
    }

    /// Carries a write out and publishes it. The caller waits for `longest` and no longer; the write goes on, and what it
    /// stores later is published later.
    pub async fn carry_out_in_time<T: Send + 'static>(
        self: &Arc<Self>,
        longest: Duration,
        write: impl Future<Output = Result<Written<T>, StoreError>> + Send + 'static,
    ) -> Result<T, StoreError> {
        let publisher = self.clone();
        let mut write = Box::pin(async move { write.await.map(|written| publisher.publish(written)) });
        // Most writes are answered at once: a task is made for those that are not.
        match tokio::time::timeout(longest, write.as_mut()).await {
            Ok(answer) => answer,
            Err(_) => {
                self.writes.spawn(async move { drop(write.await) });
                Err(no_answer(longest))
            }
        }
    }

    /// Tells a notice that is of no commit.
    pub fn tell(&self, notice: Notice) {
        self.broker.try_publish(notice);
    }

    /// Returns when no write is under way.
    pub async fn settle(&self) {
        self.writes.close();
        self.writes.wait().await;
    }
}

/// Applies the retention to the logs until `stop` is cancelled: merges finished deltas and drops old events.
pub async fn apply_retention(
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

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;
    use wireproof_protocol::{Epoch, UserId};

    use super::*;
    use crate::{
        broker::local::Local,
        store::{Committed, StoredEvent},
    };

    /// Bug: a write that a store did not answer was waited for without a bound, and what it stored was published only while
    /// somebody waited.
    #[tokio::test]
    async fn a_write_that_is_answered_late_is_waited_for_no_longer_and_published() {
        let metrics = Metrics::new(Default::default());
        let publisher = Arc::new(Publisher::new(Arc::new(Local::default()), metrics.clone()));
        let (answer, answered) = oneshot::channel();
        let write = async move { answered.await.map_err(|_| StoreError::Failed) };
        let within = tokio::time::timeout(
            Duration::from_secs(20),
            publisher.carry_out_in_time(Duration::from_millis(20), write),
        );
        let waited: Result<u64, _> = within.await.expect("it waits for ever");
        assert!(matches!(waited, Err(StoreError::Unavailable(_))), "{waited:?}");
        assert_eq!(metrics.events_published.get(), 0);
        let event = StoredEvent { first_seq: 1, seq: 1, json: Bytes::from_static(b"{}") };
        let committed = Committed {
            user_id: UserId::new("ada").unwrap(),
            epoch: Epoch::new(1),
            first_seq: 1,
            seq: 1,
            bytes: 2,
            stored_at: 0.0,
            events: Some(Arc::new([event])),
        };
        answer.send(Written { value: 1, committed: Some(committed) }).unwrap();
        tokio::time::timeout(Duration::from_secs(20), publisher.settle()).await.expect("it goes on for ever");
        assert_eq!(metrics.events_published.get(), 1);
    }
}
