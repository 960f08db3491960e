//! What stands in the way of a sound store is said by its true name, and what a write-ahead log lost is said at all.

use std::{fs, path::Path};

use anyhow::{Context, Result, ensure};
use rusqlite::Connection;
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use tempfile::tempdir;
use tokio::process::Command;
use wireproof_protocol::{ClientFrame, ControlBody, Incoming};

use crate::{
    history::until_completed,
    process::{Ended, Server, WITHIN, finish, token, wireproof},
};

const FRAME: usize = 24 + 4096;

/// A store that was used and closed in order.
async fn used(folder: &Path) -> Result<()> {
    let server = Server::start(folder).await?;
    write_some(&server, folder, 3).await?;
    server.terminate()?;
    server.ended().await.map(drop)
}

async fn write_some(server: &Server, folder: &Path, messages: usize) -> Result<()> {
    let token = token(folder, "ada").await?;
    let (mut connection, _) = server.connect(&token).open_welcomed().await?;
    for _ in 0..messages {
        let chat = ClientFrame::Chat { content: "What is 17*23?".to_owned(), thread_id: None, agent: None };
        connection.send(&chat, None).await?;
        until_completed(&mut connection).await?;
    }
    Ok(())
}

fn names(ended: &Ended, word: &str, what: &str) -> Result<()> {
    let said = format!("{}{}", ended.stdout, ended.stderr);
    ensure!(ended.code == Some(1), "{what} ended with {:?}: {said}", ended.code);
    ensure!(said.contains(word), "{what}: {word:?} is missing: {said}");
    ensure!(!said.contains("damaged") && !said.contains("start empty"), "{what}: {said}");
    Ok(())
}

fn on(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = wireproof(arguments);
    command.arg("--data-dir").arg(folder);
    command
}

/// Bug: a sound store that another program had locked was called damaged, with the advice to move it away; and `doctor` did
/// not see the lock when the write-ahead log was empty.
#[tokio::test]
async fn a_locked_store_is_called_locked() -> Result<()> {
    let folder = tempdir()?;
    used(folder.path()).await?;
    let before = fs::read(folder.path().join("wireproof.db"))?;
    let file = folder.path().join("backup");
    let file = file.to_str().context("a path")?;
    let commands: [&[&str]; 4] = [
        &["serve", "--listen", "127.0.0.1:0"],
        &["user", "list"],
        &["doctor", "--json"],
        &["backup", "--to", file],
    ];
    // One that writes lets others read; one that has locked all lets nobody.
    for (lock, stopped) in
        [("BEGIN EXCLUSIVE", 3), ("PRAGMA locking_mode = EXCLUSIVE; UPDATE meta SET value = value", 4)]
    {
        let other = Connection::open(folder.path().join("wireproof.db"))?;
        other.execute_batch(lock)?;
        for arguments in &commands[..stopped] {
            let ended = finish(on(folder.path(), arguments)).await?;
            names(&ended, "locked by another program", &format!("{} beside {lock}", arguments[0]))?;
        }
    }
    assert!(fs::read(folder.path().join("wireproof.db"))?.len() == before.len());
    Server::start(folder.path()).await.map(drop)
}

/// Bug on a full disk, made by a limit on the size of files: a sound store was called damaged, and a program without
/// room to write died of a signal.
#[tokio::test]
async fn a_start_without_room_says_so() -> Result<()> {
    let (folder, empty) = (tempdir()?, tempdir()?);
    used(folder.path()).await?;
    for (folder, what) in [(&folder, "a store"), (&empty, "a new store")] {
        let mut command = Command::new("sh");
        command.arg("-c").arg("ulimit -f 0 && exec \"$@\"").arg("sh").arg(env!("CARGO_BIN_EXE_wireproof"));
        command
            .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(folder.path())
            .kill_on_drop(true);
        names(&finish(command).await?, "make room", what)?;
    }
    Server::start(folder.path()).await.map(drop)
}

/// Bug: a server whose files reached the limit of their size died of SIGXFSZ.
#[tokio::test]
async fn a_limit_on_the_size_of_files_is_a_full_disk_and_passes() -> Result<()> {
    let folder = tempdir()?;
    let server = Server::start(folder.path()).await?;
    write_some(&server, folder.path(), 1).await?;
    let written = fs::metadata(folder.path().join("wireproof.db-wal"))?.len();
    let limit = |bytes| -> Result<()> {
        let id = server.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        let limit = Rlimit { current: bytes, maximum: None };
        prlimit(Some(id.context("it has ended")?), Resource::Fsize, limit)?;
        Ok(())
    };
    let token = token(folder.path(), "ada").await?;
    let (mut connection, _) = server.connect(&token).open_welcomed().await?;
    limit(Some(written))?;
    let chat = ClientFrame::Chat { content: "What is 17*23?".to_owned(), thread_id: None, agent: None };
    connection.send(&chat, None).await?;
    let Incoming::Control(refused) = connection.recv(WITHIN).await?.incoming else {
        anyhow::bail!("no refusal")
    };
    ensure!(
        matches!(&refused.body, ControlBody::Error(e) if e.error_code.as_str() == "internal"),
        "{refused:?}"
    );
    limit(None)?;
    connection.send(&chat, None).await?;
    until_completed(&mut connection).await?;
    server.terminate()?;
    ensure!(server.ended().await?.0.success());
    Ok(())
}

/// Bug: commits behind a flipped byte of the write-ahead log were gone without a word, and their numbers were given
/// again under the same epoch.
#[tokio::test]
async fn a_flipped_byte_in_the_write_ahead_log_is_told() -> Result<()> {
    let folder = tempdir()?;
    let server = Server::start(folder.path()).await?;
    write_some(&server, folder.path(), 3).await?;
    let token = token(folder.path(), "ada").await?;
    let before = server.connect(&token).open_welcomed().await?.1;
    server.kill().await?;
    let log = folder.path().join("wireproof.db-wal");
    let sound = fs::read(&log)?;
    let commits =
        |bytes: &[u8]| bytes[32..].chunks_exact(FRAME).filter(|frame| frame[4..8] != [0; 4]).count();
    // In the middle of a page, in the number of a page, in a salt, and in the head of the log.
    for place in [32 + 6 * FRAME + 2000, 32 + 6 * FRAME + 3, 32 + 6 * FRAME + 9, 20] {
        let copy = tempdir()?;
        for name in ["wireproof.db", "jwt.key"] {
            fs::copy(folder.path().join(name), copy.path().join(name))?;
        }
        let mut flipped = sound.clone();
        flipped[place] ^= 1;
        fs::write(copy.path().join("wireproof.db-wal"), &flipped)?;
        let looked = finish(on(copy.path(), &["doctor", "--json"])).await?;
        let said = format!("{}{}", looked.stdout, looked.stderr);
        ensure!(said.contains("store.log_broken"), "byte {place}: {said}");
        let lost = commits(&sound) - if place == 20 { 0 } else { commits(&sound[..32 + 6 * FRAME]) };
        // A frame whose salt is not that of the log cannot be told from one of an earlier log.
        let least = if place == 32 + 6 * FRAME + 9 { lost - 1 } else { lost };
        ensure!(
            (least..=lost).any(|lost| said.contains(&format!("is damaged: {lost} commits"))),
            "byte {place}: not {lost} commits: {said}"
        );
        let server = Server::start(copy.path()).await?;
        let after = server.connect(&token).open_welcomed().await?.1;
        ensure!(after.epoch != before.epoch && after.seq < before.seq, "byte {place}: {after:?}");
        server.kill().await?;
        // Told once: the next start finds a log that is whole.
        let looked = finish(on(copy.path(), &["doctor", "--json"])).await?;
        ensure!(!looked.stdout.contains("store.log_broken"), "byte {place}: {}", looked.stdout);
    }
    // As it was left, nothing is lost.
    let looked = finish(on(folder.path(), &["doctor", "--json"])).await?;
    ensure!(!looked.stdout.contains("store.log_broken"), "{}", looked.stdout);
    let server = Server::start(folder.path()).await?;
    ensure!(server.connect(&token).open_welcomed().await?.1.epoch == before.epoch, "a new epoch for nothing");
    Ok(())
}
