//! A store of an earlier version is brought to this one's shape, with all that is in it.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use rusqlite::Connection;
use wireproof_protocol::{RunId, ThreadId, UserId};
use wireproof_server::store::{Answer, RequestKey, Store, ThreadChange, embedded::Embedded};

/// A store as the first two migrations made it: a user with two threads, one of them of 16 bytes that sort after, a
/// deleted one, and a run in each.
fn store_of_before(folder: &Path, threads: &[RunId; 2], deleted: RunId, runs: &[RunId; 3]) {
    let connection = Connection::open(folder.join("wireproof.db")).unwrap();
    connection.execute_batch(include_str!("../migrations/0001_initial.sql")).unwrap();
    connection.execute_batch(include_str!("../migrations/0002_accounts.sql")).unwrap();
    connection.pragma_update(None, "application_id", 0x7770_7266).unwrap();
    connection.pragma_update(None, "user_version", 2).unwrap();
    connection.execute("INSERT INTO meta VALUES ('epoch', 'seed')", []).unwrap();
    connection.execute("INSERT INTO users VALUES (1, 'ada')", []).unwrap();
    for (number, thread) in (5_i64..).zip(threads) {
        let thread_row = (number, thread.as_bytes(), format!("title {number}"), r#"{"a":1}"#);
        connection
            .execute("INSERT INTO threads VALUES (?1, ?2, 1, ?3, ?4, 1.5, 2.5, 1)", thread_row)
            .unwrap();
        let message = (number << 24 | 1, RunId::new().as_bytes().to_vec(), format!("message {number}"));
        connection.execute("INSERT INTO messages VALUES (?1, ?2, 0, ?3, 1.5, NULL, 0)", message).unwrap();
    }
    for (run, thread) in runs.iter().zip(threads.iter().chain([&deleted])) {
        let row = (run.as_bytes(), thread.as_bytes());
        connection.execute("INSERT INTO runs VALUES (?1, 1, ?2, 'builtin', 1, 3, 0, 1.5, 2.5)", row).unwrap();
    }
    let answer = format!(r#"{{"type":"ack","thread_id":"{}"}}"#, threads[0]);
    let request = ("again", [7_u8; 32], answer);
    connection.execute("INSERT INTO requests VALUES (1, ?1, ?2, ?3, 1.0)", request).unwrap();
}

/// Bug: threads were found by 16 bytes; those of an old store keep the text that their clients know them by.
#[tokio::test]
async fn threads_of_an_old_store_keep_their_names() {
    let folder = tempfile::tempdir().unwrap();
    let (threads, runs) = ([RunId::new(), RunId::new()], [RunId::new(), RunId::new(), RunId::new()]);
    let deleted = RunId::new();
    store_of_before(folder.path(), &threads, deleted, &runs);
    let store = Embedded::open(folder.path()).unwrap();
    let ada = UserId::new("ada").unwrap();
    for (number, thread) in (5..).zip(threads) {
        let name = ThreadId::new(thread.to_string()).unwrap();
        let found = store.thread(&ada, &name).await.unwrap();
        assert_eq!((found.thread_id, found.title), (name.clone(), format!("title {number}")));
        assert_eq!((found.metadata["a"].as_u64(), found.created_at, found.updated_at), (Some(1), 1.5, 2.5));
        let (messages, total, _) = store.messages(&ada, &name, 10, None).await.unwrap();
        assert_eq!((messages[0].content.clone(), total), (format!("message {number}"), 1));
    }
    for (run, thread) in runs.into_iter().zip(threads.into_iter().chain([deleted])) {
        let record = store.run(&ada, run).await.unwrap();
        assert_eq!((record.thread_id.to_string(), record.last_seq), (thread.to_string(), Some(3)));
    }
    let again = RequestKey { id: "again".parse().unwrap(), digest: [7; 32] };
    let answer = serde_json::to_value(store.answered(&ada, &again).await.unwrap().unwrap()).unwrap();
    assert_eq!(answer["thread_id"], threads[0].to_string());
    // A new thread gets a number that no thread had.
    let change =
        ThreadChange::Create { thread_id: None, title: "new".to_owned(), metadata: Default::default() };
    let Answer::Done(new) = store.change_thread(&ada, None, change, 3.0).await.unwrap().value else {
        panic!()
    };
    assert_eq!(store.messages(&ada, &new.thread_id, 10, None).await.unwrap().1, 0);
    store.close().await;
    let connection = Connection::open(folder.path().join("wireproof.db")).unwrap();
    let number = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(number("SELECT max(thread) FROM threads"), 7);
    assert_eq!(number("SELECT count(*) FROM runs WHERE thread IN (5, 6)"), 2);
    assert_eq!(number("PRAGMA user_version"), 4);
}
