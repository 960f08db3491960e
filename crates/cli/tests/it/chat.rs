//! `wireproof chat` when something is not as it should be: it says so at once, and goes on where it can.

use std::process::Stdio;

use anyhow::{Context, Result};
use tempfile::tempdir;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    time::timeout,
};

use crate::process::{Server, WITHIN, finish, token, wireproof};

/// `chat` with a message over the server's limit waited ten minutes for an answer that has no id.
#[tokio::test]
async fn a_message_over_the_limit_is_refused_at_once() -> Result<()> {
    let folder = tempdir()?;
    let server = Server::start(folder.path()).await?;
    let token = token(folder.path(), "ada").await?;
    let long = "x".repeat(70_000);
    let ended = finish(wireproof(["chat", "--url", &server.url, "--token", &token, &long])).await?;
    assert_eq!(ended.code, Some(4), "{}", ended.stderr);
    assert!(ended.stderr.contains("at most 65536"), "{}", ended.stderr);
    Ok(())
}

/// One Latin-1 byte on stdin ended the whole conversation; so would a line without an end.
#[tokio::test]
async fn a_line_that_is_no_message_is_refused_and_the_chat_goes_on() -> Result<()> {
    let folder = tempdir()?;
    let server = Server::start(folder.path()).await?;
    let token = token(folder.path(), "ada").await?;
    let mut command = wireproof(["chat", "--url", &server.url, "--token", &token]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let mut stdin = child.stdin.take().context("a pipe to stdin")?;
    let endless = vec![b'x'; 3 << 20];
    let input = [b"What is 100+11?\ncaf\xe9\n", &endless[..], b"\nWhat is 200+22?"].concat();
    tokio::spawn(async move { stdin.write_all(&input).await });
    let output = timeout(WITHIN, child.wait_with_output()).await??;
    let shown = String::from_utf8(output.stdout)?;
    assert_eq!(output.status.code(), Some(0), "{shown}");
    for text in ["111", "Line 2 of the input is not UTF-8", "Line 3 of the input is longer", "222"] {
        assert!(shown.contains(text), "{text:?} is missing in:\n{shown}");
    }
    Ok(())
}

/// `chat` waited ten minutes for the end of a run that an offline restore had taken out of the store.
#[tokio::test]
async fn a_run_that_no_snapshot_knows_is_over() -> Result<()> {
    let folder = tempdir()?;
    let (data_dir, file) = (folder.path().join("data"), folder.path().join("backup"));
    let server = Server::start(&data_dir).await?;
    let token = token(&data_dir, "ada").await?;
    let mut backup = wireproof(["backup", "--data-dir"]);
    backup.arg(&data_dir).arg("--to").arg(&file);
    assert_eq!(finish(backup).await?.code, Some(0));
    let mut command = wireproof(["chat", "--url", &server.url, "--token", &token]);
    let mut child = command.arg("Count from 1 to 1000.").stdout(Stdio::piped()).spawn()?;
    let mut lines = BufReader::new(child.stdout.take().context("a pipe from stdout")?).lines();
    let mut shown = String::new();
    // Not before the answer: a request without one is made again.
    while !(shown.contains("accepted:") && shown.contains("agent_started")) {
        let line = timeout(WITHIN, lines.next_line()).await??.context("the chat ended early")?;
        shown.extend([&line, "\n"]);
    }
    let address = server.address().to_owned();
    server.kill().await?;
    let mut restore = wireproof(["restore", "--force", "--keep-sessions", "--data-dir"]);
    restore.arg(&data_dir).arg("--from").arg(&file);
    let ended = finish(restore).await?;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let mut command = wireproof(["serve", "--listen", &address, "--data-dir"]);
    command.arg(&data_dir);
    let _server = Server::launch(command).await?;
    while let Some(line) = timeout(WITHIN, lines.next_line()).await?? {
        shown.extend([&line, "\n"]);
    }
    let status = timeout(WITHIN, child.wait()).await??;
    assert_eq!(status.code(), Some(1), "{shown}");
    assert!(shown.contains("is over"), "{shown}");
    Ok(())
}
