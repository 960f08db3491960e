//! `wireproof compact` from outside: exit codes, what it says, and a store that is as it was.

use std::fs;

use anyhow::{Result, ensure};
use tempfile::tempdir;
use wireproof_protocol::ClientFrame;

use crate::{
    history::until_completed,
    process::{Server, finish, token, wireproof},
};

fn compact(folder: &std::path::Path) -> tokio::process::Command {
    let mut command = wireproof(["compact", "--data-dir"]);
    command.arg(folder);
    command
}

/// There was no way to make a store smaller. The command refuses a running server's (4) and a folder without one (2), and
/// changes nothing there; stopped, it says what was taken and is now, and the server starts with the same content.
#[tokio::test]
async fn a_store_is_compacted_while_its_server_is_stopped() -> Result<()> {
    let folder = tempdir()?;
    let nowhere = folder.path().join("nowhere");
    let ended = finish(compact(&nowhere)).await?;
    ensure!(ended.code == Some(2) && ended.stderr.contains("holds no store"), "{}", ended.stderr);
    ensure!(ended.stderr.contains("next: ") && !nowhere.exists(), "{}", ended.stderr);
    let data = folder.path().join("data");
    let server = Server::start(&data).await?;
    let (mut ada, _) = server.connect(&token(&data, "ada").await?).open_welcomed().await?;
    let content = "What is 17*23?".to_owned();
    ada.send(&ClientFrame::Chat { content, thread_id: None, agent: None }, None).await?;
    until_completed(&mut ada).await?;
    let ended = finish(compact(&data)).await?;
    ensure!(ended.code == Some(4) && ended.stderr.contains("in use"), "{:?} {}", ended.code, ended.stderr);
    server.terminate()?;
    server.ended().await?;
    let ended = finish(compact(&data)).await?;
    ensure!(ended.code == Some(0) && ended.stderr.is_empty(), "{:?} {}", ended.code, ended.stderr);
    let now = fs::metadata(data.join("wireproof.db"))?.len();
    ensure!(ended.stdout.contains(&format!("{now} bytes now")), "{}", ended.stdout);
    let server = Server::start(&data).await?;
    let (mut ada, welcome) = server.connect(&token(&data, "ada").await?).open_welcomed().await?;
    ensure!(welcome.seq > 5, "the log is as it was: {}", welcome.seq);
    let content = "What is 2+3?".to_owned();
    ada.send(&ClientFrame::Chat { content, thread_id: None, agent: None }, None).await?;
    until_completed(&mut ada).await?;
    Ok(())
}
