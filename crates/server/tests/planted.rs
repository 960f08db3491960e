//! A store or a backup into whose schema something was planted is refused before any of it runs.
#![allow(clippy::unwrap_used)]

use std::{fs, path::Path};

use rusqlite::Connection;
use serde_json::Value;
use sha2::{Digest, Sha256};
use wireproof_protocol::UserId;
use wireproof_server::{
    auth::Permissions,
    store::{
        Account, AccountStore, OpenError, Store,
        embedded::{
            Embedded,
            backup::{self, BackupError},
            inspect::inspect,
            restore,
        },
    },
};

const PAGE: usize = 4096;
const MAGIC: &[u8] = b"wireproof backup 1\n";

/// What is planted, and the words that name it.
const PLANTS: [(&str, &str); 8] = [
    (
        "CREATE TRIGGER promote AFTER INSERT ON logins BEGIN UPDATE accounts SET permissions = 'admin:write'; END",
        "trigger \"promote\"",
    ),
    ("CREATE VIEW everybody AS SELECT * FROM accounts", "view \"everybody\""),
    ("CREATE TABLE more (text)", "table \"more\""),
    ("CREATE INDEX slow ON messages (content)", "index \"slow\""),
    ("DROP INDEX runs_active", "no index \"runs_active\""),
    ("ALTER TABLE accounts ADD COLUMN admin INTEGER DEFAULT 1", "another table \"accounts\""),
    ("ALTER TABLE users RENAME TO persons", "persons"),
    ("DROP TABLE revocations", "no index \"revocations_by_end\""),
];

fn plant(path: &Path, sql: &str) {
    let connection = Connection::open(path).unwrap();
    connection.execute_batch(sql).unwrap();
    connection.close().map_err(|(_, e)| e).unwrap();
}

async fn store_with_an_account(folder: &Path) {
    let store = Embedded::open(folder).unwrap();
    let account = Account {
        user_id: UserId::new("ada").unwrap(),
        password_hash: "hash".to_owned(),
        permissions: Permissions::of_a_user(),
        disabled: false,
        created_at: 1.0,
    };
    store.create_account(account, true).await.unwrap();
    store.close().await;
}

/// Plants into a backup and makes its digest anew, as whoever keeps it can.
fn plant_in_backup(path: &Path, sql: &str) {
    let whole = fs::read(path).unwrap();
    let (database, page) = whole.split_at(whole.len() - PAGE);
    let text = page.strip_prefix(MAGIC).unwrap();
    let end = text.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    let mut seal: Value = serde_json::from_slice(&text[..end]).unwrap();
    fs::write(path, database).unwrap();
    plant(path, sql);
    let mut whole = fs::read(path).unwrap();
    seal["sha256"] =
        Sha256::digest(&whole).iter().map(|byte| format!("{byte:02x}")).collect::<String>().into();
    let mut page = MAGIC.to_vec();
    page.extend(serde_json::to_vec(&seal).unwrap());
    page.resize(PAGE, 0);
    whole.extend(page);
    fs::write(path, whole).unwrap();
}

/// Bug: a trigger in a backup whose digest was made anew was restored, and made an ordinary account an admin.
#[tokio::test]
async fn a_backup_with_another_schema_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    store_with_an_account(folder.path()).await;
    let good = folder.path().join("good.backup");
    backup::take(folder.path(), &good, false, &mut |_| {}).unwrap();
    for (sql, words) in PLANTS {
        let bad = folder.path().join("bad.backup");
        fs::copy(&good, &bad).unwrap();
        plant_in_backup(&bad, sql);
        let into = tempfile::tempdir().unwrap();
        let refused = restore::stage(&bad, into.path(), false, &mut |_| {});
        let Err(BackupError::Altered { path, what }) = refused else { panic!("{sql}: {refused:?}") };
        assert!(what.contains(words) && path == bad, "{sql}: {what}");
        assert!(!restore::is_staged(into.path()), "{sql}");
    }
    // The same steps with nothing planted: it is restored.
    let same = folder.path().join("same.backup");
    fs::copy(&good, &same).unwrap();
    plant_in_backup(&same, "UPDATE meta SET value = value");
    let into = tempfile::tempdir().unwrap();
    restore::stage(&same, into.path(), false, &mut |_| {}).unwrap();
    restore::apply_now(into.path()).unwrap();
    let store = Embedded::open(into.path()).unwrap();
    assert!(store.account(&UserId::new("ada").unwrap()).await.unwrap().is_some());
}

/// Bug, at the start: a store into which something was planted while no server had it was opened.
#[tokio::test]
async fn a_store_with_another_schema_is_refused_and_left() {
    for (sql, words) in PLANTS {
        let folder = tempfile::tempdir().unwrap();
        store_with_an_account(folder.path()).await;
        let path = folder.path().join("wireproof.db");
        plant(&path, sql);
        let before = fs::read(&path).unwrap();
        let opened = Embedded::open(folder.path());
        let refused = [
            opened.err().map(|e| e.to_string()),
            inspect(folder.path()).err().map(|e| e.to_string()),
            backup::take(folder.path(), &folder.path().join("b"), false, &mut |_| {})
                .err()
                .map(|e| e.to_string()),
        ];
        for refusal in refused {
            let refusal = refusal.unwrap_or_else(|| panic!("{sql}: it was taken"));
            assert!(refusal.contains(words) && refusal.contains("restore a backup"), "{sql}: {refusal}");
        }
        assert!(fs::read(&path).unwrap() == before, "{sql}: the file was changed");
    }
}

/// What was staged for the next start is looked at again there.
#[tokio::test]
async fn a_staged_restore_with_another_schema_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    store_with_an_account(folder.path()).await;
    let file = folder.path().join("good.backup");
    backup::take(folder.path(), &file, false, &mut |_| {}).unwrap();
    restore::stage(&file, folder.path(), false, &mut |_| {}).unwrap();
    plant(&folder.path().join("wireproof.restore"), PLANTS[0].0);
    let refused = Embedded::open(folder.path()).err();
    assert!(matches!(refused, Some(OpenError::Altered { .. })), "{refused:?}");
}
