//! Files that are not a sound store of this version: refused with a sentence, and left byte for byte as they were.

use std::{
    collections::BTreeMap,
    fs::{self, read_dir},
    path::Path,
};

use anyhow::{Context, Result};
use rusqlite::Connection;
use tempfile::{TempDir, tempdir};

use crate::{
    history::until_completed,
    process::{Server, finish, serve, token},
};
use wireproof_protocol::ClientFrame;

const PAGE: usize = 4096;

/// The store's own files and what is in them.
fn store_files(folder: &Path) -> Result<BTreeMap<String, Vec<u8>>> {
    let mut files = BTreeMap::new();
    for entry in read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        // The index of the write-ahead log is no data: whoever opens the store makes it anew.
        if name.starts_with("wireproof.db") && name != "wireproof.db-shm" && entry.metadata()?.len() > 0 {
            files.insert(name, fs::read(entry.path())?);
        }
    }
    Ok(files)
}

/// A server on this folder refuses to start, says why in these words, and changes nothing.
async fn assert_refused(folder: &Path, words: &[&str], what: &str) -> Result<()> {
    let before = store_files(folder)?;
    let ended = finish(serve(folder)).await.with_context(|| format!("{what}: it was taken"))?;
    assert_eq!(ended.code, Some(1), "{what}: {}", ended.stderr);
    assert_eq!(ended.stdout, "", "{what}");
    assert!(ended.stderr.starts_with("error: "), "{what}: {}", ended.stderr);
    for word in words.iter().chain(&["wireproof.db"]) {
        assert!(ended.stderr.contains(word), "{what}: {word:?} is missing in: {}", ended.stderr);
    }
    assert!(store_files(folder)? == before, "{what}: the files were changed");
    Ok(())
}

/// A folder with these bytes as its store.
fn folder_with(bytes: &[u8]) -> Result<TempDir> {
    let folder = tempdir()?;
    fs::write(folder.path().join("wireproof.db"), bytes)?;
    Ok(folder)
}

/// A server with some runs behind it, still serving.
async fn used(folder: &Path) -> Result<Server> {
    let server = Server::start(folder).await?;
    let (mut connection, _) = server.connect(&token(folder, "ada").await?).open_welcomed().await?;
    for content in ["What is 17*23?", "Count from 1 to 50 without a pause.", "What is 2^5000?"] {
        let chat = ClientFrame::Chat { content: content.to_owned(), thread_id: None, agent: None };
        connection.send(&chat, None).await?;
        until_completed(&mut connection).await?;
    }
    Ok(server)
}

/// The bytes of a store that was used and closed in order.
async fn sound_store() -> Result<Vec<u8>> {
    let folder = tempdir()?;
    let server = used(folder.path()).await?;
    server.terminate()?;
    server.ended().await?;
    let files = store_files(folder.path())?;
    assert_eq!(files.len(), 1, "an orderly end folds the write-ahead log in: {:?}", files.keys());
    files.into_values().next().context("a store")
}

#[tokio::test]
async fn files_of_somebody_else_are_refused() -> Result<()> {
    let other = tempdir()?;
    let path = other.path().join("other.db");
    Connection::open(&path)?.execute_batch("CREATE TABLE notes (text); INSERT INTO notes VALUES ('mine')")?;
    let mut no_magic = sound_store().await?;
    no_magic[3] ^= 1;
    let words = ["is not a wireproof store", "left as it was", "Give another --data-dir"];
    for (what, bytes) in [
        ("a short text", b"hello".to_vec()),
        ("a long text", b"hello, world\n".repeat(1000)),
        ("zeros", vec![0; 8192]),
        ("another program's database", fs::read(path)?),
        ("a flipped bit in the first bytes", no_magic),
    ] {
        assert_refused(folder_with(&bytes)?.path(), &words, what).await?;
    }
    Ok(())
}

/// Bug: a store that lacked the end of its last page only was taken, and read as if zeros stood there.
#[tokio::test]
async fn a_store_that_was_cut_short_is_refused() -> Result<()> {
    let store = sound_store().await?;
    let words = ["is damaged", "left as it was", "Restore a backup"];
    let pages = store.len() / PAGE;
    assert!(pages > 4, "{pages} pages");
    for length in [PAGE, 2 * PAGE, store.len() / 2 + 100, store.len() - PAGE, store.len() - 1] {
        let what = format!("{length} of {} bytes", store.len());
        assert_refused(folder_with(&store[..length])?.path(), &words, &what).await?;
    }
    Ok(())
}

#[tokio::test]
async fn flipped_bytes_in_the_tree_of_any_page_are_found() -> Result<()> {
    let store = sound_store().await?;
    let mut found = 0;
    for (number, page) in store.chunks(PAGE).enumerate().skip(1) {
        // The kinds of pages that are part of a tree; in others (overflow, free) there is no shape to check.
        if ![0x02, 0x05, 0x0a, 0x0d].contains(&page[0]) {
            continue;
        }
        let mut damaged = store.clone();
        damaged[number * PAGE..][..8].iter_mut().for_each(|byte| *byte ^= 0x5a);
        let words = ["is damaged", "left as it was", "Restore a backup"];
        assert_refused(folder_with(&damaged)?.path(), &words, &format!("page {}", number + 1)).await?;
        found += 1;
    }
    assert!(found >= 5, "{found} pages of trees");
    Ok(())
}

const LATER: [&str; 4] = ["later version of wireproof", "schema 99", "known up to", "left as it was"];

#[tokio::test]
async fn a_store_of_a_later_version_is_refused() -> Result<()> {
    let folder = folder_with(&sound_store().await?)?;
    let path = folder.path().join("wireproof.db");
    Connection::open(&path)?.pragma_update(None, "user_version", 99)?;
    assert_refused(folder.path(), &LATER, "a later schema").await
}

/// Bug: the version was read on the connection that writes, and closing that one folded the later version's
/// write-ahead log into its store.
#[tokio::test]
async fn a_store_of_a_later_version_that_was_killed_is_refused() -> Result<()> {
    let (used_folder, folder) = (tempdir()?, tempdir()?);
    used(used_folder.path()).await?.kill().await?;
    let connection = Connection::open(used_folder.path().join("wireproof.db"))?;
    connection.pragma_update(None, "user_version", 99)?;
    // Copied while it is open: what its process would leave behind if it were killed now.
    for (name, bytes) in store_files(used_folder.path())? {
        fs::write(folder.path().join(name), bytes)?;
    }
    drop(connection);
    assert_eq!(store_files(folder.path())?.len(), 2, "a store and its write-ahead log");
    assert_refused(folder.path(), &LATER, "a later schema beside its write-ahead log").await
}

/// Bug: a new store was made beside the write-ahead log of one that was gone, and that log was played into it. Who
/// moved a damaged store away, as its refusal advises, came to this.
#[tokio::test]
async fn a_write_ahead_log_without_its_store_is_refused() -> Result<()> {
    let folder = tempdir()?;
    used(folder.path()).await?.kill().await?;
    let path = folder.path().join("wireproof.db");
    let words = ["wireproof.db-wal is damaged", "gone or empty", "left as it was", "move the file away"];
    fs::write(&path, "")?;
    assert_refused(folder.path(), &words, "an empty store").await?;
    fs::remove_file(&path)?;
    assert_refused(folder.path(), &words, "a store that is gone").await?;
    fs::remove_file(folder.path().join("wireproof.db-wal"))?;
    Server::start(folder.path()).await.map(drop)
}

#[tokio::test]
async fn an_empty_file_that_a_dying_process_made_is_a_new_store() -> Result<()> {
    let folder = folder_with(b"")?;
    Server::start(folder.path()).await.map(drop)
}
