//! Tests of a subscription with a real store behind it and no socket before it.

use std::{future::poll_fn, sync::Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::FutureExt;
use serde_json::{Map, Value};
use wireproof_protocol::{ErrorBody, Position};

use super::*;
use crate::{
    limits::{Limits, rates::Rates},
    store::{
        Committed, Page, Retention, Store, StoredEvent, ThreadChange,
        embedded::Embedded,
        layer::{Layer, Layered},
    },
};

/// The notice of a commit of one event.
fn told(event: StoredEvent) -> Committed {
    Committed {
        user_id: UserId::new("ada").unwrap(),
        epoch: wireproof_protocol::Epoch::new(1),
        first_seq: event.first_seq,
        seq: event.seq,
        bytes: event.json.len(),
        stored_at: 0.0,
        events: Some([event].into()),
    }
}

/// A user with a store, a feed and a subscription.
struct Reader {
    _folder: tempfile::TempDir,
    store: Arc<dyn Store>,
    user_id: UserId,
    feed: Arc<SharedFeed>,
    log: Arc<LogReader>,
    subscription: Subscription,
}

impl Reader {
    fn new(limits: &Limits) -> Self {
        Self::over(limits, |store| store)
    }

    /// The same over a store with a layer around it.
    fn over(limits: &Limits, layer: impl FnOnce(Arc<dyn Store>) -> Arc<dyn Store>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = layer(Arc::new(Embedded::open(folder.path()).unwrap()));
        let metrics = Metrics::new(Default::default());
        let rates = Rates::new(limits, metrics.clone(), Instant::now());
        let log = Arc::new(LogReader::new(store.clone(), limits, rates, metrics));
        let feed = Arc::new(SharedFeed::new(limits.queue_soft_bytes));
        let user_id = UserId::new("ada").unwrap();
        let subscription = Subscription::new(log.clone(), user_id.clone(), feed.clone());
        Self { _folder: folder, store, user_id, feed, log, subscription }
    }

    /// Stores an event; returns it as it is stored.
    async fn append(&self) -> StoredEvent {
        let after = self.store.head(&self.user_id).await.unwrap().seq;
        let change =
            ThreadChange::Create { thread_id: None, title: "A thread".to_owned(), metadata: Map::new() };
        drop(self.store.change_thread(&self.user_id, None, change, 1.0).await.unwrap());
        self.store.read(&self.user_id, after, 1).await.unwrap().events.remove(0)
    }

    /// Stores an event and tells the feed.
    async fn commit(&self) {
        let event = self.append().await;
        self.feed.notice(&told(event));
    }

    async fn start(&mut self, requested: Option<Result<Position, ErrorBody>>) {
        let start = self.log.open(&self.user_id, requested).await.unwrap();
        self.subscription.start(start.at, start.head.seq, None);
    }

    async fn after(&self, seq: u64) -> Option<Result<Position, ErrorBody>> {
        Some(Ok(Position { seq, ..self.store.head(&self.user_id).await.unwrap() }))
    }

    /// The number of the next item, and its type.
    async fn next(&mut self) -> (u64, String) {
        let item = poll_fn(|cx| self.subscription.poll_next(cx));
        let item =
            tokio::time::timeout(Duration::from_secs(20), item).await.expect("an item in time").unwrap();
        fields(&item.into_frame())
    }

    /// True when there is no item now.
    fn is_done(&mut self) -> bool {
        poll_fn(|cx| self.subscription.poll_next(cx)).now_or_never().is_none()
    }
}

fn fields(frame: &Bytes) -> (u64, String) {
    let json: Value = serde_json::from_slice(frame).unwrap();
    (json["seq"].as_u64().unwrap(), json["type"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn a_replay_goes_over_to_what_happens_without_gap_or_double() {
    let mut reader = Reader::new(&Limits::default());
    for _ in 0..600 {
        reader.append().await;
    }
    let position = reader.after(10).await;
    reader.start(position).await;
    // While the log is read on, more happens, some of it without notice.
    reader.append().await;
    for seq in 11..=600 {
        assert_eq!(reader.next().await, (seq, "thread_created".to_owned()));
    }
    assert_eq!(reader.next().await, (600, "caught_up".to_owned()));
    reader.commit().await;
    for seq in 601..=602 {
        assert_eq!(reader.next().await, (seq, "thread_created".to_owned()));
    }
    assert!(reader.is_done());
    reader.subscription.count();
    assert_eq!(reader.log.metrics.events_delivered.get(), 592);
}

#[tokio::test]
async fn a_subscription_that_waits_is_woken_by_a_commit() {
    let mut reader = Reader::new(&Limits::default());
    reader.start(None).await;
    assert!(reader.is_done());
    let (event, feed) = (reader.append().await, reader.feed.clone());
    let waiting = tokio::spawn(async move { reader.next().await });
    // The task waits by now, or finds the event when it begins to.
    tokio::task::yield_now().await;
    feed.notice(&told(event));
    assert_eq!(waiting.await.unwrap(), (1, "thread_created".to_owned()));
}

#[tokio::test]
async fn a_reader_that_takes_nothing_is_too_slow_after_the_stall_time_or_the_hard_limit() {
    let limits = Limits { queue_soft_bytes: 500, queue_hard_bytes: 2_000, ..Limits::default() };
    let mut reader = Reader::new(&limits);
    reader.start(None).await;
    reader.commit().await;
    reader.next().await;
    reader.subscription.progressed(Progress::None);
    let now = Instant::now();
    assert!(reader.subscription.is_stalled() && !reader.subscription.is_too_slow(now));
    let deadline = reader.subscription.stall_deadline().unwrap();
    assert!(deadline > now + Duration::from_secs(20) && reader.subscription.is_too_slow(deadline));
    reader.subscription.progressed(Progress::Some);
    assert!(reader.subscription.stall_deadline().unwrap() >= deadline, "a part was taken");
    for _ in 0..40 {
        reader.commit().await;
    }
    assert!(reader.subscription.is_too_slow(now), "it fell too far behind");
    // It takes what waits, and is served from the log until it has all.
    for seq in 2..=41 {
        assert_eq!(reader.next().await.0, seq);
    }
    reader.subscription.progressed(Progress::All);
    assert!(!reader.subscription.is_stalled() && !reader.subscription.is_too_slow(deadline));
}

#[tokio::test]
async fn a_position_of_another_epoch_gets_the_state_and_then_what_happens() {
    let mut reader = Reader::new(&Limits::default());
    reader.commit().await;
    reader.start(Some(Ok(Position { epoch: wireproof_protocol::Epoch::new(7), seq: 1 }))).await;
    assert_eq!(reader.next().await, (1, "snapshot".to_owned()));
    assert_eq!(reader.next().await, (1, "caught_up".to_owned()));
    reader.commit().await;
    assert_eq!(reader.next().await, (2, "thread_created".to_owned()));
}

#[tokio::test]
async fn a_notice_that_is_ahead_of_the_log_is_waited_for() {
    let mut reader = Reader::new(&Limits::default());
    reader.start(None).await;
    reader.commit().await;
    assert_eq!(reader.next().await.0, 1);
    let ahead = StoredEvent { first_seq: 3, seq: 3, json: Bytes::from_static(b"{}") };
    reader.feed.notice(&told(ahead));
    assert!(reader.is_done(), "nor does it turn round and round");
    reader.append().await;
    reader.append().await;
    assert_eq!(reader.next().await.0, 2);
    assert_eq!(reader.next().await.0, 3);
}

#[tokio::test]
async fn a_log_that_cannot_be_read_ends_the_subscription_after_some_tries() {
    let mut reader = Reader::new(&Limits::default());
    for _ in 0..3 {
        reader.append().await;
    }
    // What is in memory could be read all the same.
    let all = Retention { seconds: 1e9, bytes_per_user: u64::MAX };
    reader.store.retain(all, 2.0).await.unwrap();
    reader.start(None).await;
    reader.feed.lock().place_in_log(0);
    reader.store.close().await;
    let item = poll_fn(|cx| reader.subscription.poll_next(cx));
    let item = tokio::time::timeout(Duration::from_secs(30), item).await.expect("an end in time");
    assert!(matches!(item, Err(LogUnreadable)), "{item:?}");
}

/// A store whose next reads fail in these ways, the last one first.
#[derive(Clone, Default)]
struct Fails(Arc<Mutex<Vec<StoreError>>>);

#[async_trait]
impl Layer for Fails {
    async fn read(
        &self,
        store: &Arc<dyn Store>,
        user_id: &UserId,
        after: u64,
        max_bytes: usize,
    ) -> Result<Page, StoreError> {
        let next = self.0.lock().unwrap().pop();
        match next {
            Some(error) => Err(error),
            None => store.read(user_id, after, max_bytes).await,
        }
    }
}

/// Bug: a store that was away five times had used up the tries for other errors, and one more ended the connection.
#[tokio::test]
async fn a_store_that_was_away_leaves_the_tries_for_other_errors() {
    let fails = Fails::default();
    let mut reader = Reader::over(&Limits::default(), |store| Arc::new(Layered::new(store, fails.clone())));
    reader.append().await;
    reader.start(None).await;
    reader.feed.lock().place_in_log(0);
    let mut errors = vec![StoreError::Backend("broken".to_owned())];
    errors.extend((0..LOG_TRIES).map(|_| StoreError::Unavailable("away".to_owned())));
    *fails.0.lock().unwrap() = errors;
    assert_eq!(reader.next().await.0, 1);
    assert!(fails.0.lock().unwrap().is_empty());
}

/// Neither answers nor fails.
struct Silent;

#[async_trait]
impl Layer for Silent {
    async fn before(&self, call: &'static str) -> Result<(), StoreError> {
        if call == "open" { std::future::pending().await } else { Ok(()) }
    }
}

/// Bug: a welcome waited for ever for a store that did not answer.
#[tokio::test]
async fn a_store_that_does_not_answer_is_away() {
    let reader = Reader::over(&Limits::default(), |store| Arc::new(Layered::new(store, Silent)));
    let Reader { log, subscription, user_id, .. } = reader;
    drop(subscription);
    let mut log = Arc::into_inner(log).unwrap();
    log.patience = Duration::from_millis(50);
    let opened = log.open(&user_id, None);
    let opened = tokio::time::timeout(Duration::from_secs(60), opened).await.expect("an answer in time");
    assert!(matches!(opened, Err(StoreError::Unavailable(_))), "{opened:?}");
}
