//! The embedded store against a model: whatever is appended, folded, reopened and let go, every read is right.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{collections::BTreeMap, path::Path, sync::Arc};

use proptest::prelude::*;
use wireproof_protocol::{
    Event, EventBody, EventId, MessageId, RunId, RunPart, StatusUpdate, ThreadId, UserId, UserState,
    parse_incoming,
};
use wireproof_server::store::{Retention, Store, StoreError, embedded::Embedded};

const FAR_FUTURE: f64 = 4e9;
const KEEP_ALL: Retention = Retention { seconds: 1e9, bytes_per_user: u64::MAX };

fn open(folder: &Path) -> Embedded {
    Embedded::open(folder).unwrap()
}

fn user(index: u8) -> UserId {
    UserId::new(format!("user{index}")).unwrap()
}

/// A run of one user that only ever streams: its events follow one another in the log.
struct Stream {
    run_id: RunId,
    thread_id: ThreadId,
    message_id: MessageId,
    run_seq: u64,
}

impl Stream {
    fn new() -> Self {
        Self {
            run_id: RunId::new(),
            thread_id: ThreadId::generate(),
            message_id: MessageId::new(),
            run_seq: 0,
        }
    }

    fn event(&mut self, user_id: &UserId, delta: bool) -> Event {
        let body = match (self.run_seq, delta) {
            (0, _) => EventBody::AgentStarted { message: "begins".into() },
            (_, true) => {
                EventBody::MessageDelta { message_id: self.message_id, delta: format!("é{}", self.run_seq) }
            }
            (_, false) => {
                EventBody::StatusUpdate(StatusUpdate { status: "a_delta\",\"".into(), detail: None })
            }
        };
        self.run_seq += 1;
        let run = RunPart {
            run_id: self.run_id,
            run_seq: self.run_seq,
            first_run_seq: None,
            agent_name: "stream".into(),
        };
        Event {
            seq: 0,
            first_seq: None,
            event_id: EventId::new(),
            user_id: user_id.clone(),
            thread_id: self.thread_id.clone(),
            timestamp: 1.0,
            run: Some(run),
            body,
        }
    }
}

#[derive(Debug, Clone)]
enum Step {
    Append(u8, Vec<bool>),
    Fold,
    Reopen,
    Read(u8, u8, u16),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..3u8, prop::collection::vec(prop::bool::weighted(0.8), 1..12)).prop_map(|(u, d)| Step::Append(u, d)),
        2 => Just(Step::Fold),
        1 => Just(Step::Reopen),
        4 => (0..3u8, any::<u8>(), 1..2000u16).prop_map(|(u, a, b)| Step::Read(u, a, b)),
    ]
}

/// Reads a log to its end in small pages; every number is there once.
async fn read_all(store: &Embedded, user_id: &UserId, mut after: u64, bytes: usize) -> Vec<Event> {
    let mut events = Vec::new();
    loop {
        let page = store.read(user_id, after, bytes).await.unwrap();
        for stored in &page.events {
            assert_eq!(stored.first_seq, after + 1, "no gap and no double");
            after = stored.seq;
            let text = std::str::from_utf8(&stored.json).unwrap();
            let wireproof_protocol::Incoming::Event(event) = parse_incoming(text).unwrap() else {
                panic!("{text}")
            };
            assert_eq!(event.range(), (stored.first_seq, stored.seq));
            events.push(*event);
        }
        if page.complete {
            return events;
        }
    }
}

fn fold(events: &[Event], after: u64, before: &UserState) -> UserState {
    let mut state = before.clone();
    for event in events.iter().filter(|event| event.seq > after) {
        state.apply(event).unwrap();
    }
    state
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// From every position, whatever was folded or reopened meanwhile, the rest of the log leads to the same state.
    #[test]
    fn reads_are_right_from_everywhere(steps in prop::collection::vec(step(), 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let folder = tempfile::tempdir().unwrap();
            let mut store = open(folder.path());
            let mut model: BTreeMap<u8, Vec<Event>> = BTreeMap::new();
            let mut streams: BTreeMap<u8, Stream> = BTreeMap::new();
            for step in steps {
                match step {
                    Step::Append(who, deltas) => {
                        let stream = streams.entry(who).or_insert_with(Stream::new);
                        let events: Vec<_> = deltas.iter().map(|delta| stream.event(&user(who), *delta)).collect();
                        let last = store.append_events(&user(who), None, Arc::new(events.clone())).await.unwrap().value;
                        let log = model.entry(who).or_default();
                        for mut event in events {
                            event.seq = log.len() as u64 + 1;
                            log.push(event);
                        }
                        assert_eq!(last, log.len() as u64);
                    }
                    Step::Fold => drop(store.retain(KEEP_ALL, 2.0).await.unwrap()),
                    Step::Reopen => {
                        store.close().await;
                        drop(store);
                        store = open(folder.path());
                    }
                    Step::Read(who, after, bytes) => {
                        let log = model.entry(who).or_default();
                        let after = u64::from(after) % (log.len() as u64 + 1);
                        let before = fold(&log[..after as usize], 0, &UserState::default());
                        let read = read_all(&store, &user(who), after, bytes as usize).await;
                        assert_eq!(fold(&read, after, &before), fold(log, 0, &UserState::default()));
                        assert_eq!(store.head(&user(who)).await.unwrap().seq, log.len() as u64);
                        assert_eq!(store.records(&user(who), 10, 10, 1000).await.unwrap().seq, log.len() as u64);
                    }
                }
            }
        });
    }
}

/// The tail is folded by the writer while readers page through the log: none may see a gap or an error.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_never_notice_a_fold() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(open(folder.path()));
    let writer = {
        let store = store.clone();
        tokio::spawn(async move {
            let mut stream = Stream::new();
            for round in 0..300 {
                let events = (0..5).map(|_| stream.event(&user(0), true)).collect();
                let _ = store.append_events(&user(0), None, Arc::new(events)).await.unwrap();
                if round % 3 == 0 {
                    store.retain(KEEP_ALL, 2.0).await.unwrap();
                }
            }
        })
    };
    let mut from = 0;
    while !writer.is_finished() {
        let head = store.head(&user(0)).await.unwrap().seq;
        let read = read_all(&store, &user(0), from, 500).await;
        let last = read.last().map_or(from, |event| event.seq);
        assert!(last >= head, "what was there before the read is in it");
        from = (from + 7).min(head);
        tokio::task::yield_now().await;
    }
    writer.await.unwrap();
    assert_eq!(read_all(&store, &user(0), 0, 4000).await.last().unwrap().seq, 1500);
}

#[tokio::test]
async fn what_is_too_old_or_too_much_goes_and_the_head_stays() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let mut stream = Stream::new();
    for _ in 0..20 {
        let events = (0..10).map(|_| stream.event(&user(0), false)).collect();
        let _ = store.append_events(&user(0), None, Arc::new(events)).await.unwrap();
        store.retain(KEEP_ALL, 0.0).await.unwrap();
    }
    let gone = store.retain(Retention { seconds: 1e9, bytes_per_user: 10_000 }, 0.0).await.unwrap();
    assert!(gone > 0);
    let Err(StoreError::TooOld { floor }) = store.read(&user(0), 0, 1000).await else {
        panic!("the start is gone")
    };
    assert_eq!(read_all(&store, &user(0), floor, 1000).await.last().unwrap().seq, 200);
    store.retain(Retention { seconds: 1.0, bytes_per_user: u64::MAX }, FAR_FUTURE).await.unwrap();
    assert_eq!(store.head(&user(0)).await.unwrap().seq, 200);
    store.close().await;
    drop(store);
    assert_eq!(open(folder.path()).head(&user(0)).await.unwrap().seq, 200);
}

/// A row of the tail stays until all its users are folded: reopened in between, no event may be there twice or missing.
#[tokio::test]
async fn a_tail_that_is_folded_in_part_is_taken_up_where_it_stood() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(folder.path());
    let mut streams: Vec<Stream> = (0..40).map(|_| Stream::new()).collect();
    let mut last = 0;
    for round in 0..6 {
        // All users share each commit, and there are more of them than one commit folds.
        let appends = streams.iter_mut().enumerate().map(|(who, stream)| {
            let who = user(who as u8);
            let events = (0..40).map(|_| stream.event(&who, false)).collect();
            let store = &store;
            async move { store.append_events(&who, None, Arc::new(events)).await.unwrap().value }
        });
        last = futures_util::future::join_all(appends).await[0];
        if round % 2 == 1 {
            store.close().await;
            drop(store);
            store = open(folder.path());
        }
    }
    for who in 0..40 {
        let read = read_all(&store, &user(who), 0, 10_000).await;
        assert_eq!(read.last().map(|event| event.seq), Some(last));
        fold(&read, 0, &UserState::default());
    }
}
