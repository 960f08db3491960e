//! What users keep, counted and bounded in the real store; what was deleted leaves it in small steps.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use proptest::prelude::*;
use rusqlite::Connection;
use serde_json::{Map, json};
use wireproof_protocol::{EventBody, MessageId, Outcome, RequestId, RunId, ThreadId, UserId};
use wireproof_server::{
    config::QuotaConfig,
    metrics::CommitMetrics,
    store::{
        Answer, FinishRun, Lease, LeaseTerm, NodeId, QuotaUse, RequestKey, Retention, StartRun, Store,
        StoreError, ThreadChange, Window,
        embedded::{Embedded, compact::compact},
    },
};

const WITHIN: Duration = Duration::from_secs(60);
const UNLIMITED: QuotaConfig = QuotaConfig {
    bytes_per_user: 0,
    threads_per_user: 0,
    messages_per_user: 0,
    runs_per_user: 0,
    request_ids_per_user: 0,
};

fn open(folder: &Path, quota: QuotaConfig) -> Embedded {
    Embedded::open_counted(folder, CommitMetrics::default(), quota).unwrap()
}

fn file_in(folder: &Path) -> PathBuf {
    folder.join("wireproof.db")
}

/// The closed store of a folder, to look at and to change by hand.
fn by_hand(folder: &Path) -> Connection {
    Connection::open(file_in(folder)).unwrap()
}

fn user(name: &str) -> UserId {
    UserId::new(name).unwrap()
}

fn term() -> LeaseTerm {
    LeaseTerm { node_id: NodeId::new(), until: 1e12 }
}

fn ask(user_id: &UserId, thread_id: Option<&ThreadId>, content: &str) -> StartRun {
    StartRun {
        user_id: user_id.clone(),
        request: None,
        thread_id: thread_id.cloned().unwrap_or_else(ThreadId::generate),
        end: None,
        title: "title".to_owned(),
        message_id: MessageId::new(),
        content: content.to_owned(),
        run_id: RunId::new(),
        agent_name: "agent".to_owned(),
        first: EventBody::AgentStarted { message: "begins".to_owned() },
        now: 1.0,
    }
}

/// A message and its run, and an answer to it. Returns the thread.
async fn talk(
    store: &Embedded,
    user_id: &UserId,
    thread_id: Option<&ThreadId>,
    content: &str,
    answer: Option<&str>,
) -> Result<ThreadId, StoreError> {
    let run = ask(user_id, thread_id, content);
    let run_id = run.run_id;
    let Answer::Done(started) = store.start_run(Arc::new(run), term()).await?.value else {
        panic!("it has no id")
    };
    let finish = FinishRun {
        user_id: user_id.clone(),
        lease: Lease { run_id, number: 1 },
        events: Vec::new(),
        outcome: Outcome::Success,
        answer: answer.map(|text| (MessageId::new(), text.to_owned())),
        now: 2.0,
    };
    drop(store.finish_run(Arc::new(finish)).await?);
    Ok(started.thread_id)
}

async fn change(store: &Embedded, user_id: &UserId, change: ThreadChange) -> Result<ThreadId, StoreError> {
    match store.change_thread(user_id, None, change, 3.0).await?.value {
        Answer::Done(thread) => Ok(thread.thread_id),
        other => panic!("{other:?}"),
    }
}

fn creation(letters: usize) -> ThreadChange {
    let metadata = Map::from_iter([("x".to_owned(), json!("y".repeat(letters)))]);
    ThreadChange::Create { thread_id: None, title: "title".to_owned(), metadata }
}

/// Bytes, threads and messages that a user keeps.
async fn kept(store: &Embedded, user_id: &UserId) -> [u64; 3] {
    let quotas = store.quotas(user_id).await.unwrap();
    let names: Vec<_> = quotas.iter().map(|quota| quota.quota).collect();
    assert_eq!(names, ["bytes_per_user", "threads_per_user", "messages_per_user"]);
    [quotas[0].used, quotas[1].used, quotas[2].used]
}

fn refused<T: std::fmt::Debug>(result: Result<T, StoreError>) -> QuotaUse {
    match result {
        Err(StoreError::QuotaExceeded(full)) => full,
        other => panic!("no quota refused it: {other:?}"),
    }
}

/// Looks again and again, with its own eyes on the file, until something holds.
async fn until(folder: &Path, what: &str, holds: impl Fn(&Connection) -> bool) {
    let (connection, began) = (by_hand(folder), Instant::now());
    while !holds(&connection) {
        assert!(began.elapsed() < WITHIN, "not within {WITHIN:?}: {what}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

fn count(connection: &Connection, sql: &str) -> i64 {
    connection.query_row(sql, [], |row| row.get(0)).unwrap()
}

fn messages_left(connection: &Connection) -> i64 {
    count(connection, "SELECT count(*) FROM messages")
}

/// One user could fill the disk: nothing bounded the threads, messages and bytes that are kept. What exceeds a quota is
/// refused and changes nothing, deleting makes room at once, and less is always allowed.
#[tokio::test]
async fn a_quota_is_exact_and_deleting_makes_room_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let quota = QuotaConfig { bytes_per_user: 100, threads_per_user: 3, messages_per_user: 4, ..UNLIMITED };
    let store = open(folder.path(), quota);
    let (ada, bob) = (user("ada"), user("bob"));
    let first = change(&store, &ada, creation(2)).await.unwrap();
    assert_eq!(kept(&store, &ada).await, [10, 1, 0], "{{\"x\":\"yy\"}} has 10 bytes");
    let more = |thread_id: &ThreadId, letters| ThreadChange::Update {
        thread_id: thread_id.clone(),
        title: None,
        metadata: Some(Map::from_iter([("x".to_owned(), json!("y".repeat(letters)))])),
    };
    change(&store, &ada, more(&first, 92)).await.unwrap();
    assert_eq!(kept(&store, &ada).await, [100, 1, 0]);
    let full = refused(change(&store, &ada, more(&first, 93)).await);
    assert_eq!(full, QuotaUse { quota: "bytes_per_user", used: 100, allowed: 100 });
    assert_eq!(refused(talk(&store, &ada, Some(&first), "a", None).await).quota, "bytes_per_user");
    let title =
        ThreadChange::Update { thread_id: first.clone(), title: Some("other".to_owned()), metadata: None };
    change(&store, &ada, title).await.unwrap();
    change(&store, &ada, more(&first, 2)).await.unwrap();
    talk(&store, &ada, Some(&first), "é", Some("answer")).await.unwrap();
    assert_eq!(kept(&store, &ada).await, [18, 1, 2]);
    talk(&store, &ada, None, "ab", Some("cd")).await.unwrap();
    assert_eq!(kept(&store, &ada).await, [24, 2, 4]);
    let full = refused(talk(&store, &ada, None, "ab", None).await);
    assert_eq!(full, QuotaUse { quota: "messages_per_user", used: 4, allowed: 4 });
    change(&store, &ada, creation(1)).await.unwrap();
    assert_eq!(refused(change(&store, &ada, creation(1)).await).quota, "threads_per_user");
    // Nothing of what was refused is there, and another user has room.
    assert_eq!(kept(&store, &ada).await, [33, 3, 4]);
    assert_eq!(store.threads(&ada, Window { limit: 9, offset: 0 }).await.unwrap().1, 3);
    talk(&store, &bob, None, "ab", Some("cd")).await.unwrap();
    change(&store, &ada, ThreadChange::Delete { thread_id: first }).await.unwrap();
    assert_eq!(kept(&store, &ada).await, [15, 2, 2]);
    talk(&store, &ada, None, "ab", None).await.unwrap();
}

/// An answer had always room. One that has none is refused with nothing changed, and the same run ends without it.
#[tokio::test]
async fn an_answer_without_room_is_refused_and_the_end_of_its_run_never_is() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), QuotaConfig { messages_per_user: 1, ..UNLIMITED });
    let ada = user("ada");
    let run = ask(&ada, None, "hi");
    let run_id = run.run_id;
    drop(store.start_run(Arc::new(run), term()).await.unwrap());
    let finish = FinishRun {
        user_id: ada.clone(),
        lease: Lease { run_id, number: 1 },
        events: Vec::new(),
        outcome: Outcome::Success,
        answer: Some((MessageId::new(), "too much".to_owned())),
        now: 2.0,
    };
    let head = store.head(&ada).await.unwrap();
    let full = refused(store.finish_run(Arc::new(finish.clone())).await);
    assert_eq!(store.head(&ada).await.unwrap(), head);
    assert_eq!(store.run(&ada, run_id).await.unwrap().outcome, None);
    drop(store.finish_run(Arc::new(finish.without_answer(full))).await.unwrap());
    assert!(store.run(&ada, run_id).await.unwrap().outcome.is_some());
    assert_eq!(kept(&store, &ada).await, [4, 1, 1]);
}

/// A store above a quota that was lowered is read and deleted from; only more is refused.
#[tokio::test]
async fn a_store_above_its_quotas_is_readable_and_deletable() {
    let folder = tempfile::tempdir().unwrap();
    let ada = user("ada");
    let store = open(folder.path(), UNLIMITED);
    let thread = talk(&store, &ada, None, "a question", Some("an answer")).await.unwrap();
    let other = talk(&store, &ada, None, "a question", None).await.unwrap();
    store.close().await;
    drop(store);
    let quota = QuotaConfig { bytes_per_user: 1, threads_per_user: 1, messages_per_user: 1, ..UNLIMITED };
    let store = open(folder.path(), quota);
    assert_eq!(store.messages(&ada, &thread, 10, None).await.unwrap().0.len(), 2);
    assert_eq!(refused(talk(&store, &ada, Some(&thread), "x", None).await).used, 33);
    let smaller = ThreadChange::Update { thread_id: thread.clone(), title: None, metadata: Some(Map::new()) };
    change(&store, &ada, smaller).await.unwrap();
    for thread_id in [thread, other] {
        change(&store, &ada, ThreadChange::Delete { thread_id }).await.unwrap();
    }
    assert_eq!(kept(&store, &ada).await, [0, 0, 0]);
}

/// Records of runs and request ids of one user were kept without a bound. The oldest go; an id that was forgotten counts
/// as a new one.
#[tokio::test]
async fn records_of_runs_and_request_ids_are_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), QuotaConfig { runs_per_user: 3, request_ids_per_user: 2, ..UNLIMITED });
    let (ada, bob) = (user("ada"), user("bob"));
    let active = ask(&ada, None, "goes on");
    drop(store.start_run(Arc::new(active.clone()), term()).await.unwrap());
    talk(&store, &bob, None, "mine stays", None).await.unwrap();
    for number in 0..5 {
        let thread_id = talk(&store, &ada, None, "hi", None).await.unwrap();
        let key = RequestKey { id: RequestId::new(format!("r{number}")).unwrap(), digest: [number; 32] };
        let delete = ThreadChange::Delete { thread_id };
        drop(store.change_thread(&ada, Some(key), delete, f64::from(number)).await.unwrap());
    }
    let connection = by_hand(folder.path());
    assert_eq!(count(&connection, "SELECT count(*) FROM runs WHERE user = 1 AND outcome IS NOT NULL"), 3);
    assert_eq!(count(&connection, "SELECT count(*) FROM runs WHERE user = 2"), 1);
    assert_eq!(store.run(&ada, active.run_id).await.unwrap().outcome, None, "a run that goes on stays");
    let known =
        |number: u8| RequestKey { id: RequestId::new(format!("r{number}")).unwrap(), digest: [number; 32] };
    for (number, remembered) in [(2, false), (3, true), (4, true)] {
        assert_eq!(store.answered(&ada, &known(number)).await.unwrap().is_some(), remembered, "r{number}");
    }
    store.retain(Retention { seconds: 1.0, bytes_per_user: u64::MAX }, 4.5).await.unwrap();
    assert!(store.answered(&ada, &known(3)).await.unwrap().is_none(), "too old");
    assert_eq!(count(&connection, "SELECT request_ids FROM users WHERE user = 1"), 1);
}

#[derive(Debug, Clone)]
enum Step {
    Create(u8),
    Update(u8, u8),
    Talk(Option<u8>, u8, Option<u8>),
    Delete(u8),
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => (0..40u8).prop_map(Step::Create),
        2 => (any::<u8>(), 0..40u8).prop_map(|(thread, letters)| Step::Update(thread, letters)),
        4 => (prop::option::of(any::<u8>()), 1..30u8, prop::option::of(1..30u8))
            .prop_map(|(thread, asked, answered)| Step::Talk(thread, asked, answered)),
        2 => any::<u8>().prop_map(Step::Delete),
        1 => Just(Step::Reopen),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    /// Counters that run beside the rows drift where one change is forgotten: after any history they are what the rows
    /// add up to, within the quotas.
    #[test]
    fn the_counters_are_what_the_rows_add_up_to(steps in prop::collection::vec(step(), 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let folder = tempfile::tempdir().unwrap();
            let quota = QuotaConfig { bytes_per_user: 300, threads_per_user: 5, messages_per_user: 12, ..UNLIMITED };
            let (mut store, ada) = (open(folder.path(), quota.clone()), user("ada"));
            let mut threads: Vec<ThreadId> = Vec::new();
            let chosen = |threads: &[ThreadId], index: u8| threads.get(usize::from(index) % threads.len().max(1)).cloned();
            for step in steps {
                let done = match step {
                    Step::Create(letters) => change(&store, &ada, creation(letters.into())).await.map(Some),
                    Step::Update(index, letters) => {
                        let Some(thread_id) = chosen(&threads, index) else { continue };
                        let ThreadChange::Create { metadata, .. } = creation(letters.into()) else { continue };
                        let update = ThreadChange::Update { thread_id, title: None, metadata: Some(metadata) };
                        change(&store, &ada, update).await.map(|_| None)
                    }
                    Step::Talk(index, asked, answered) => {
                        let thread = index.and_then(|index| chosen(&threads, index));
                        let answer = answered.map(|letters| "é".repeat(letters.into()));
                        let said = talk(&store, &ada, thread.as_ref(), &"é".repeat(asked.into()), answer.as_deref()).await;
                        said.map(Some)
                    }
                    Step::Delete(index) => {
                        let Some(thread_id) = chosen(&threads, index) else { continue };
                        threads.retain(|thread| *thread != thread_id);
                        change(&store, &ada, ThreadChange::Delete { thread_id }).await.map(|_| None)
                    }
                    Step::Reopen => {
                        store.close().await;
                        drop(store);
                        store = open(folder.path(), quota.clone());
                        Ok(None)
                    }
                };
                match done {
                    Ok(thread) => threads.extend(thread),
                    Err(StoreError::QuotaExceeded(_)) => {}
                    Err(other) => panic!("{other}"),
                }
                threads = store.threads(&ada, Window { limit: 9, offset: 0 }).await.unwrap().0
                    .into_iter().map(|thread| thread.thread_id).collect();
            }
            let found = kept(&store, &ada).await;
            let connection = by_hand(folder.path());
            let sum = |sql| count(&connection, sql) as u64;
            assert_eq!(found, [
                sum("SELECT coalesce(sum(octet_length(metadata)), 0) FROM threads")
                    + sum("SELECT coalesce(sum(octet_length(content)), 0) FROM messages WHERE position >> 24 IN (SELECT thread FROM threads)"),
                sum("SELECT count(*) FROM threads"),
                sum("SELECT coalesce(sum(message_count), 0) FROM threads"),
            ]);
            assert!(found[0] <= 300 && found[1] <= 5 && found[2] <= 12, "{found:?}");
        });
    }
}

/// A store of an earlier version has no counters: the migration counts what is there.
#[tokio::test]
async fn an_old_store_is_counted_when_it_is_opened() {
    let folder = tempfile::tempdir().unwrap();
    second_version(folder.path());
    let store = open(folder.path(), UNLIMITED);
    assert_eq!(kept(&store, &user("ada")).await, [7 + 10 + 2 + 2 + 2, 3, 2]);
    assert_eq!(kept(&store, &user("bob")).await, [0, 0, 0]);
    let counted = by_hand(folder.path());
    assert_eq!(count(&counted, "SELECT runs FROM users WHERE user = 1"), 2);
    assert_eq!(count(&counted, "SELECT request_ids FROM users WHERE user = 1"), 1);
    assert_eq!(count(&counted, "SELECT bytes FROM threads WHERE thread = 1"), 7 + 10 + 2);
}

/// A store as version 2 made it: of ada three threads, two messages, three runs of which one goes on, and one request id.
fn second_version(folder: &Path) {
    let connection = by_hand(folder);
    connection.pragma_update(None, "application_id", 0x7770_7266).unwrap();
    connection.execute_batch(include_str!("../migrations/0001_initial.sql")).unwrap();
    connection.execute_batch(include_str!("../migrations/0002_accounts.sql")).unwrap();
    connection
        .execute_batch(
            "INSERT INTO meta VALUES ('epoch', '0123456789abcdef0123456789abcdef');
             INSERT INTO users VALUES (1, 'ada'), (2, 'bob');
             INSERT INTO threads VALUES (1, randomblob(16), 1, 'plans', '{\"x\":1}', 5.0, 6.0, 2),
                 (2, randomblob(16), 1, 'empty', '{}', 5.0, 6.0, 0), (3, randomblob(16), 1, 'empty', '{}', 5.0, 6.0, 0);
             INSERT INTO messages VALUES ((1 << 24) | 1, randomblob(16), 0, '0123456789', 5.0, NULL, 0),
                 ((1 << 24) | 2, randomblob(16), 1, 'é', 6.0, NULL, 0);
             INSERT INTO runs VALUES (randomblob(16), 1, randomblob(16), 'agent', 1, 2, 0, 5.0, 6.0),
                 (randomblob(16), 1, randomblob(16), 'agent', 1, 2, 0, 5.0, 6.0),
                 (randomblob(16), 1, randomblob(16), 'agent', 1, NULL, NULL, 5.0, NULL);
             INSERT INTO requests VALUES (1, 'r', x'00', '{}', 1.0);
             PRAGMA user_version = 2;",
        )
        .unwrap();
    connection.close().unwrap();
}

/// Fills the first thread with messages of 32 KiB by hand, as many at once as no user could write.
fn fill(folder: &Path, messages: i64) {
    let store = by_hand(folder);
    store
        .execute(
            "WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)
             INSERT INTO messages SELECT (1 << 24) | i, randomblob(16), 0, hex(zeroblob(16384)), 1.0, NULL, 0 FROM n",
            [messages],
        )
        .unwrap();
    store
        .execute(
            "UPDATE threads SET message_count = ?1, bytes = bytes + 32768 * (?1 - 1) WHERE thread = 1",
            [messages],
        )
        .unwrap();
    store
        .execute(
            "UPDATE users SET messages = ?1, bytes = bytes + 32768 * (?1 - 1) WHERE user = 1",
            [messages],
        )
        .unwrap();
    store.close().unwrap();
}

/// Deleting a large thread held the one writer for as long as it took, 6 s a gigabyte. The thread is gone at once; its
/// messages leave in many small transactions, between which others write, and the file gets smaller.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_thread_is_gone_at_once_and_its_messages_leave_in_small_steps() {
    let folder = tempfile::tempdir().unwrap();
    let (ada, bob) = (user("ada"), user("bob"));
    let store = open(folder.path(), UNLIMITED);
    let thread_id = talk(&store, &ada, None, "hi", None).await.unwrap();
    store.close().await;
    drop(store);
    fill(folder.path(), 2000);
    let full = std::fs::metadata(file_in(folder.path())).unwrap().len();
    assert!(full > 60 << 20);
    let store = open(folder.path(), UNLIMITED);
    let (path, mut seen) = (folder.path().to_owned(), BTreeSet::new());
    let watching = std::thread::spawn(move || {
        let (connection, began) = (by_hand(&path), Instant::now());
        while !seen.contains(&0) && began.elapsed() < WITHIN {
            let left = "SELECT count(*) FROM messages WHERE position BETWEEN 1 << 24 AND (2 << 24) - 1";
            seen.insert(count(&connection, left));
        }
        seen
    });
    change(&store, &ada, ThreadChange::Delete { thread_id: thread_id.clone() }).await.unwrap();
    assert_eq!(kept(&store, &ada).await, [0, 0, 0]);
    assert!(matches!(store.thread(&ada, &thread_id).await, Err(StoreError::NotFound)));
    talk(&store, &bob, None, "mine", Some("yours")).await.unwrap();
    let seen = watching.join().unwrap();
    assert!(seen.len() > 10 && seen.contains(&0), "it left in few steps, or did not: {seen:?}");
    let small = |_: &Connection| std::fs::metadata(file_in(folder.path())).unwrap().len() < 24 << 20;
    until(folder.path(), "the file gives its space back", small).await;
    store.close().await;
    assert_eq!(messages_left(&by_hand(folder.path())), 2);
}

/// Who dies in the middle of a deletion leaves some of it: the next start goes on, and until then no new thread gets the
/// number of the deleted one, and so its messages.
#[tokio::test]
async fn a_deletion_goes_on_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let ada = user("ada");
    let store = open(folder.path(), UNLIMITED);
    talk(&store, &ada, None, "secret of the deleted thread", Some("answer")).await.unwrap();
    store.close().await;
    drop(store);
    let hand = by_hand(folder.path());
    hand.execute_batch("INSERT INTO deleted_threads SELECT thread FROM threads; DELETE FROM threads;")
        .unwrap();
    hand.close().unwrap();
    let store = open(folder.path(), UNLIMITED);
    let thread_id = talk(&store, &ada, None, "new", None).await.unwrap();
    let (messages, total, _) = store.messages(&ada, &thread_id, 10, None).await.unwrap();
    assert_eq!((messages.len(), total, messages[0].content.as_str()), (1, 1, "new"));
    assert!(store.search(&ada, "secret", 10).await.unwrap().is_empty());
    until(folder.path(), "the messages are gone", |store| messages_left(store) == 1).await;
    until(folder.path(), "the mark is gone", |store| {
        count(store, "SELECT count(*) FROM deleted_threads") == 0
    })
    .await;
}

/// The 16,777,216th message of a thread got a key in the range of the next thread, maybe another user's. It is refused,
/// and so are the numbers of users and events whose keys would fall into another's range.
#[tokio::test]
async fn keys_never_fall_into_the_range_of_another() {
    let folder = tempfile::tempdir().unwrap();
    let (ada, bob) = (user("ada"), user("bob"));
    let store = open(folder.path(), UNLIMITED);
    let full = talk(&store, &ada, None, "hi", None).await.unwrap();
    let next = talk(&store, &bob, None, "bob's own", None).await.unwrap();
    store.retain(Retention { seconds: 1e9, bytes_per_user: u64::MAX }, 2.0).await.unwrap();
    store.close().await;
    drop(store);
    let hand = by_hand(folder.path());
    hand.execute("UPDATE threads SET message_count = (1 << 24) - 2 WHERE thread = 1", []).unwrap();
    hand.close().unwrap();
    let store = open(folder.path(), UNLIMITED);
    talk(&store, &ada, Some(&full), "the last one", None).await.unwrap();
    let refusal = refused(talk(&store, &ada, Some(&full), "one too many", None).await);
    assert_eq!((refusal.quota, refusal.used), ("messages_per_thread", (1 << 24) - 1));
    let (messages, total, _) = store.messages(&bob, &next, 10, None).await.unwrap();
    assert_eq!((total, messages[0].content.as_str()), (1, "bob's own"));
    store.close().await;
    drop(store);
    // The log of a user nears its last number, and the users theirs.
    let hand = by_hand(folder.path());
    let near = (1_i64 << 36) - 1 - (1 << 20) - 2;
    hand.execute("DELETE FROM log WHERE position >> 36 = 1 AND position < (SELECT max(position) FROM log WHERE position >> 36 = 1)", [])
        .unwrap();
    hand.execute("UPDATE log SET position = (1 << 36) | ?1 WHERE position >> 36 = 1", [near]).unwrap();
    hand.execute("INSERT INTO users (user, user_id) VALUES ((1 << 27) - 1, 'the last one')", []).unwrap();
    hand.close().unwrap();
    let store = open(folder.path(), UNLIMITED);
    let run = ask(&ada, None, "begun in time");
    let run_id = run.run_id;
    drop(store.start_run(Arc::new(run), term()).await.unwrap());
    assert_eq!(refused(talk(&store, &ada, None, "too late", None).await).quota, "events_per_user");
    let finish = FinishRun {
        user_id: ada.clone(),
        lease: Lease { run_id, number: 1 },
        events: Vec::new(),
        outcome: Outcome::Success,
        answer: None,
        now: 2.0,
    };
    drop(store.finish_run(Arc::new(finish)).await.unwrap());
    let stranger = talk(&store, &user("one too many"), None, "hi", None).await;
    assert!(matches!(stranger, Err(StoreError::Backend(_))), "{stranger:?}");
    talk(&store, &bob, Some(&next), "still here", None).await.unwrap();
}

/// Retention dropped all rows of a large log in one transaction, and everybody's old request ids in one. Many small ones
/// do it now.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retention_lets_go_in_small_steps() {
    let folder = tempfile::tempdir().unwrap();
    let ada = user("ada");
    let store = open(folder.path(), UNLIMITED);
    talk(&store, &ada, None, "hi", None).await.unwrap();
    store.close().await;
    drop(store);
    let hand = by_hand(folder.path());
    hand.execute_batch(
        "WITH RECURSIVE n(i) AS (SELECT 100 UNION ALL SELECT i + 1 FROM n WHERE i < 700)
         INSERT INTO log SELECT (1 << 36) | i, i, 1.0, CAST(hex(zeroblob(32768)) AS BLOB), NULL FROM n;
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000)
         INSERT INTO requests SELECT 1, 'r' || i, x'00', '{}', 1.0 FROM n;
         UPDATE users SET request_ids = 5000;",
    )
    .unwrap();
    hand.close().unwrap();
    let store = open(folder.path(), UNLIMITED);
    let path = folder.path().to_owned();
    let watching = std::thread::spawn(move || {
        let (connection, began) = (by_hand(&path), Instant::now());
        let (mut rows, mut requests) = (BTreeSet::new(), BTreeSet::new());
        while !(rows.contains(&1) && requests.contains(&0)) && began.elapsed() < WITHIN {
            rows.insert(count(&connection, "SELECT count(*) FROM log"));
            requests.insert(count(&connection, "SELECT count(*) FROM requests"));
        }
        BTreeMap::from([("rows", rows), ("requests", requests)])
    });
    let gone = store.retain(Retention { seconds: 10.0, bytes_per_user: u64::MAX }, 100.0).await.unwrap();
    let seen = watching.join().unwrap();
    assert_eq!(gone, 600);
    assert!(seen["rows"].len() > 10 && seen["rows"].contains(&1), "{:?}", seen["rows"]);
    assert!(seen["requests"].len() > 2 && seen["requests"].contains(&0), "{:?}", seen["requests"]);
    assert_eq!(count(&by_hand(folder.path()), "SELECT request_ids FROM users"), 0);
}

/// The file of a store never got smaller, whatever was deleted. An old one is made so that it does, with its content as it
/// was, readable for its owner only, and never while a server has it open.
#[tokio::test]
async fn compacting_gives_the_free_space_of_an_old_store_back() {
    let folder = tempfile::tempdir().unwrap();
    let (ada, bob) = (user("ada"), user("bob"));
    let store = open(folder.path(), UNLIMITED);
    talk(&store, &ada, None, "hi", None).await.unwrap();
    let kept_thread = talk(&store, &bob, None, "stays", Some("as it is")).await.unwrap();
    store.close().await;
    drop(store);
    let hand = by_hand(folder.path());
    // As a store of an earlier version is.
    hand.execute_batch(
        "PRAGMA journal_mode = DELETE; PRAGMA auto_vacuum = NONE; VACUUM; PRAGMA journal_mode = WAL;",
    )
    .unwrap();
    assert_eq!(count(&hand, "PRAGMA auto_vacuum"), 0);
    hand.close().unwrap();
    fill(folder.path(), 1000);
    let hand = by_hand(folder.path());
    hand.execute_batch("INSERT INTO deleted_threads VALUES (1); DELETE FROM threads WHERE thread = 1;")
        .unwrap();
    hand.close().unwrap();
    let store = open(folder.path(), UNLIMITED);
    let epoch = store.head(&bob).await.unwrap();
    let busy = compact(folder.path(), &mut |_| {}).unwrap_err().to_string();
    assert!(busy.contains("in use"), "{busy}");
    until(folder.path(), "the messages are gone", |store| messages_left(store) == 2).await;
    store.close().await;
    drop(store);
    let told = compact(folder.path(), &mut |_| {}).unwrap();
    let bytes = std::fs::metadata(file_in(folder.path())).unwrap().len();
    assert!(told.before > 30 << 20 && told.after < 1 << 20 && told.after == bytes, "{told:?}");
    let names: BTreeSet<_> =
        std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, BTreeSet::from(["wireproof.db".into(), "wireproof.lock".into()]));
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &std::fs::metadata(file_in(folder.path())).unwrap().permissions(),
    );
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(count(&by_hand(folder.path()), "PRAGMA auto_vacuum"), 2);
    let store = open(folder.path(), UNLIMITED);
    assert_eq!(store.head(&bob).await.unwrap(), epoch);
    assert_eq!(store.messages(&bob, &kept_thread, 10, None).await.unwrap().0.len(), 2);
}

/// Nothing is made where no store is, and a file that is no store is left as it was.
#[test]
fn compacting_touches_nothing_but_a_store() {
    let folder = tempfile::tempdir().unwrap();
    let nowhere = folder.path().join("nowhere");
    assert!(compact(&nowhere, &mut |_| {}).unwrap_err().to_string().contains("holds no store"));
    assert!(!nowhere.exists());
    std::fs::write(
        file_in(folder.path()),
        "a shopping list that is longer than a header of a database".repeat(9),
    )
    .unwrap();
    assert!(compact(folder.path(), &mut |_| {}).unwrap_err().to_string().contains("not a wireproof store"));
    assert!(std::fs::read(file_in(folder.path())).unwrap().starts_with(b"a shopping list"));
}
