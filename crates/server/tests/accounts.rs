//! Accounts, logins and revocations in the embedded store, and stores of the first version that are brought up to it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{path::Path, sync::Arc};

use rusqlite::Connection;
use wireproof_protocol::UserId;
use wireproof_server::{
    auth::{
        Permission, Permissions,
        accounts::{AccountError, Accounts, Alteration},
    },
    store::{
        Account, AccountChange, AccountStore, Login, Refresh, Refreshed, Retention, Revocation, Revoked,
        Store, StoreError, ThreadChange, Window, embedded::Embedded,
    },
};

const FIRST_SHAPE: &str = include_str!("../migrations/0001_initial.sql");
const KEEP_ALL: Retention = Retention { seconds: 1e9, bytes_per_user: u64::MAX };
const EVERYTHING: Window = Window { limit: 100, offset: 0 };

fn open(folder: &Path) -> Embedded {
    Embedded::open(folder).unwrap()
}

fn user(name: &str) -> UserId {
    UserId::new(name).unwrap()
}

fn account(name: &str) -> Account {
    Account {
        user_id: user(name),
        password_hash: format!("hash of {name}"),
        permissions: Permissions::of_a_user(),
        disabled: false,
        created_at: 1.0,
    }
}

fn login(session_id: &str, name: &str, created_at: f64) -> Login {
    Login {
        session_id: session_id.to_owned(),
        user_id: user(name),
        refresh: [1; 32],
        created_at,
        expires_at: 1000.0,
    }
}

fn refresh(session_id: &str, shown: u8, next: u8) -> Refresh {
    let (shown, next) = ([shown; 32], [next; 32]);
    Refresh { session_id: session_id.to_owned(), shown, next, expires_at: 2000.0, now: 20.0, until: 920.0 }
}

fn revocation(what: Revoked, at: f64, until: f64) -> Revocation {
    Revocation { what, at, until }
}

/// A store as version 1 made it, with a thread in it; returns what a reader of it saw.
fn first_version(folder: &Path) {
    let connection = Connection::open(folder.join("wireproof.db")).unwrap();
    connection.pragma_update(None, "application_id", 0x7770_7266).unwrap();
    connection.execute_batch(FIRST_SHAPE).unwrap();
    connection
        .execute_batch(
            "INSERT INTO meta VALUES ('epoch', '0123456789abcdef0123456789abcdef');
             INSERT INTO users VALUES (1, 'ada');
             INSERT INTO threads VALUES (1, x'0190a0c000007000800000000000abcd', 1, 'plans', '{}', 5.0, 6.0, 0);
             PRAGMA user_version = 1;",
        )
        .unwrap();
}

#[tokio::test]
async fn a_store_of_the_first_version_keeps_what_it_has_and_takes_accounts() {
    let folder = tempfile::tempdir().unwrap();
    first_version(folder.path());
    for round in 0..2 {
        let store = open(folder.path());
        let (threads, total) = store.threads(&user("ada"), EVERYTHING).await.unwrap();
        assert_eq!((threads[0].title.as_str(), total), ("plans", 1), "start {round}");
        assert_eq!(store.create_account(account("eve"), true).await.unwrap(), round == 0);
        store.close().await;
    }
    let connection = Connection::open(folder.path().join("wireproof.db")).unwrap();
    let version = |connection: &Connection| -> i64 {
        connection.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap()
    };
    let fresh = tempfile::tempdir().unwrap();
    open(fresh.path()).close().await;
    let new = Connection::open(fresh.path().join("wireproof.db")).unwrap();
    assert_eq!(version(&connection), version(&new));
    let shape = |folder: &Path| {
        let connection = Connection::open(folder.join("wireproof.db")).unwrap();
        let mut rows = connection.prepare("SELECT name, sql FROM sqlite_schema ORDER BY name").unwrap();
        let rows = rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        rows.collect::<rusqlite::Result<Vec<(String, Option<String>)>>>().unwrap()
    };
    assert_eq!(shape(folder.path()), shape(fresh.path()), "brought up or made new: the same shape");
}

#[tokio::test]
async fn an_account_is_made_once_and_changed_in_parts() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    assert_eq!(store.account(&user("ada")).await.unwrap(), None);
    assert!(store.create_account(account("ada"), true).await.unwrap());
    let other = Account { password_hash: "other".into(), ..account("ada") };
    assert!(!store.create_account(other, false).await.unwrap());
    assert!(store.account(&user("ada")).await.unwrap() == Some(account("ada")));
    let admin: Permissions = [Permission::Chat, Permission::AdminUsers].into_iter().collect();
    let change = AccountChange { permissions: Some(admin), ..AccountChange::default() };
    let changed = store.change_account(&user("ada"), change, None).await.unwrap();
    assert!(changed == Account { permissions: admin, ..account("ada") });
    let nobody = store.change_account(&user("eve"), AccountChange::default(), None).await;
    assert!(matches!(nobody, Err(StoreError::NotFound)));
    assert!(store.create_account(account("bob"), true).await.unwrap());
    let (page, total) = store.accounts(Window { limit: 1, offset: 1 }).await.unwrap();
    assert_eq!((page[0].user_id.as_str(), page.len(), total), ("bob", 1, 2));
    store.close().await;
    drop(store);
    assert!(open(folder.path()).account(&user("ada")).await.unwrap() == Some(changed));
}

/// Whoever registers must not get the log of a user whose tokens came from elsewhere until now.
#[tokio::test]
async fn a_fresh_account_takes_no_log_that_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let change =
        ThreadChange::Create { thread_id: None, title: "mine".into(), metadata: serde_json::Map::new() };
    drop(store.change_thread(&user("ada"), None, change, 1.0).await.unwrap());
    assert!(!store.create_account(account("ada"), true).await.unwrap());
    assert!(store.create_account(account("ada"), false).await.unwrap());
}

#[tokio::test]
async fn of_many_refreshes_at_once_one_is_done_and_the_login_ends() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(open(folder.path()));
    store.create_account(account("ada"), true).await.unwrap();
    assert!(store.open_login(login("s", "ada", 10.0), "hash of ada", 100).await.unwrap().is_some());
    let all = (0..8).map(|next| {
        let store = store.clone();
        async move { store.refresh_login(refresh("s", 1, 100 + next)).await.unwrap() }
    });
    let all = futures_util::future::join_all(all).await;
    let count = |wanted: &Refreshed| all.iter().filter(|one| *one == wanted).count();
    assert_eq!(count(&Refreshed::Done(account("ada"))), 1);
    assert_eq!(count(&Refreshed::Reused(user("ada"))), 1);
    assert_eq!(count(&Refreshed::Unknown), 6);
    assert_eq!(store.login("s", 20.0).await.unwrap(), None);
    let revoked = revocation(Revoked::Session("s".into()), 20.0, 920.0);
    assert_eq!(store.revocations(20.0).await.unwrap(), [revoked]);
}

#[tokio::test]
async fn a_login_lasts_while_it_is_refreshed_in_time() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    store.create_account(account("ada"), true).await.unwrap();
    assert!(store.open_login(login("s", "ada", 10.0), "hash of ada", 100).await.unwrap().is_some());
    assert!(store.refresh_login(refresh("s", 1, 2)).await.unwrap() == Refreshed::Done(account("ada")));
    assert!(store.refresh_login(refresh("s", 2, 3)).await.unwrap() == Refreshed::Done(account("ada")));
    let late = Refresh { now: 2000.0, ..refresh("s", 3, 4) };
    assert!(store.refresh_login(late).await.unwrap() == Refreshed::Unknown);
    assert!(store.refresh_login(refresh("other", 1, 2)).await.unwrap() == Refreshed::Unknown);
    assert_eq!(store.revocations(0.0).await.unwrap(), []);
    store.retain(KEEP_ALL, 1999.0).await.unwrap();
    assert!(store.login("s", 1999.0).await.unwrap().is_some());
    store.retain(KEEP_ALL, 2000.0).await.unwrap();
    assert_eq!(store.login("s", 0.0).await.unwrap(), None, "the row is gone");
}

/// Bug to prevent: a login that was checked against a password which was changed meanwhile would outlive the change.
#[tokio::test]
async fn a_login_counts_only_with_the_password_that_is_good_now() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    store.create_account(account("ada"), true).await.unwrap();
    assert!(store.open_login(login("s", "ada", 10.0), "an older hash", 100).await.unwrap().is_none());
    assert!(store.open_login(login("s", "eve", 10.0), "hash of ada", 100).await.unwrap().is_none());
    let disabled = AccountChange { disabled: Some(true), ..AccountChange::default() };
    store.change_account(&user("ada"), disabled, None).await.unwrap();
    assert!(store.open_login(login("s", "ada", 10.0), "hash of ada", 100).await.unwrap().is_none());
    assert_eq!(store.login("s", 10.0).await.unwrap(), None);
}

/// Bug: whoever lost a permission while the password was being checked still got it with the new tokens.
#[tokio::test]
async fn a_login_grants_what_the_account_grants_when_it_opens() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    store.create_account(account("ada"), true).await.unwrap();
    let fewer = AccountChange { permissions: Some(Permissions::NONE), ..AccountChange::default() };
    store.change_account(&user("ada"), fewer, None).await.unwrap();
    let opened = store.open_login(login("s", "ada", 10.0), "hash of ada", 100).await.unwrap();
    assert_eq!(opened.map(|account| account.permissions), Some(Permissions::NONE));
}

/// Bug: an account that became an administrator's while its new password waited to be hashed still got that password.
#[tokio::test]
async fn nobody_takes_over_an_account_that_becomes_more_meanwhile() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(open(folder.path()));
    let accounts = Accounts::new(store.clone());
    store.create_account(account("ada"), true).await.unwrap();
    // More hashes than there are threads for them, several times: the change has to wait.
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let busy = (0..(2 * cores + 8).min(60))
        .map(|n| accounts.create(user(&format!("u{n}")), "long enough".into(), Permissions::NONE, false));
    let alteration = Alteration { password: Some("mine from now on".into()), ..Alteration::default() };
    let change = async {
        tokio::task::yield_now().await;
        accounts.alter(&user("ada"), alteration, Permissions::of_a_user()).await
    };
    let promote = async {
        tokio::time::sleep(std::time::Duration::from_millis(30)).await;
        let change = AccountChange { permissions: Some(Permissions::all()), ..AccountChange::default() };
        store.change_account(&user("ada"), change, None).await.unwrap();
    };
    let (_, changed, ()) = tokio::join!(futures_util::future::join_all(busy), change, promote);
    assert!(matches!(changed, Err(AccountError::Beyond)), "{changed:?}");
    assert_eq!(store.account(&user("ada")).await.unwrap().unwrap().password_hash, "hash of ada");
}

/// Bug: a login that was made before its user was revoked, and stored after, outlived the revocation by refreshing.
#[tokio::test]
async fn a_login_that_is_stored_after_its_user_was_revoked_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    store.create_account(account("ada"), true).await.unwrap();
    store.revoke(revocation(Revoked::User(user("ada")), 12.0, 300.0)).await.unwrap();
    for (at, good) in [(11.0, false), (12.0, false), (12.5, true)] {
        let opened = store.open_login(login("s", "ada", at), "hash of ada", 100).await.unwrap();
        assert_eq!(opened.is_some(), good, "{at}");
    }
}

#[tokio::test]
async fn the_oldest_logins_of_a_user_end_past_the_most() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    store.create_account(account("ada"), true).await.unwrap();
    store.create_account(account("eve"), true).await.unwrap();
    assert!(store.open_login(login("eve's", "eve", 1.0), "hash of eve", 3).await.unwrap().is_some());
    for number in 0..5 {
        let login = login(&format!("s{number}"), "ada", f64::from(number));
        assert!(store.open_login(login, "hash of ada", 3).await.unwrap().is_some());
    }
    for (session_id, there) in
        [("s0", false), ("s1", false), ("s2", true), ("s3", true), ("s4", true), ("eve's", true)]
    {
        assert_eq!(store.login(session_id, 5.0).await.unwrap().is_some(), there, "{session_id}");
    }
}

#[tokio::test]
async fn a_revocation_ends_its_logins_outlives_the_process_and_goes_when_it_is_over() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    store.create_account(account("ada"), true).await.unwrap();
    for (session_id, at) in [("a", 10.0), ("b", 11.0), ("c", 13.0)] {
        assert!(store.open_login(login(session_id, "ada", at), "hash of ada", 9).await.unwrap().is_some());
    }
    let token = revocation(Revoked::Token("jti".into()), 12.0, 100.0);
    let session = revocation(Revoked::Session("a".into()), 12.0, 200.0);
    store.revoke(token.clone()).await.unwrap();
    store.revoke(session.clone()).await.unwrap();
    let open_now = async |store: &Embedded| {
        let mut open = Vec::new();
        for session_id in ["a", "b", "c"] {
            open.extend(store.login(session_id, 20.0).await.unwrap().map(|login| login.session_id));
        }
        open
    };
    assert_eq!(open_now(&store).await, ["b", "c"]);
    let change = AccountChange { password_hash: Some("new".into()), ..AccountChange::default() };
    let everything = revocation(Revoked::User(user("ada")), 12.0, 300.0);
    store.change_account(&user("ada"), change, Some(everything.clone())).await.unwrap();
    assert_eq!(open_now(&store).await, ["c"], "those made up to the time of the revocation are over");
    // A revocation of the same thing later moves it on, one from before takes nothing back.
    store.revoke(revocation(Revoked::User(user("ada")), 5.0, 50.0)).await.unwrap();
    store.close().await;
    drop(store);
    let store = open(folder.path());
    let mut kept = store.revocations(99.0).await.unwrap();
    kept.sort_by(|a, b| a.until.total_cmp(&b.until));
    assert_eq!(kept, [token, session.clone(), everything.clone()]);
    assert_eq!(store.revocations(100.0).await.unwrap().len(), 2);
    store.retain(KEEP_ALL, 200.0).await.unwrap();
    assert_eq!(store.revocations(0.0).await.unwrap(), [everything]);
}
