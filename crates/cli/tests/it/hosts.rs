//! A server that is asked by a name which it does not have.

use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use tempfile::tempdir;
use tokio::io::AsyncReadExt;

use crate::process::{Server, finish, serve, token, wireproof};

/// 127.0.0.1, for whoever looks names up; for the server a name that it was not given.
const NAME: &str = "0x7f000001";

/// Bug: the command said "check the address, or start a server" and ended with 3, and the server's log said nothing.
#[tokio::test]
async fn both_the_client_and_the_operator_are_told_of_the_setting() -> Result<()> {
    let folder = tempdir()?;
    let mut command = serve(folder.path());
    command.stderr(Stdio::piped());
    let mut server = Server::launch(command).await?;
    let mut log = server.take_stderr().context("a pipe to the log")?;
    let port = server.address().rsplit_once(':').context("a port")?.1.to_owned();
    let socket = format!("ws://{NAME}:{port}/ws");
    let data = folder.path().display().to_string();
    let commands: [&[&str]; 4] = [
        &["chat", "--url", &socket, "hi"],
        &["load", "--url", &socket, "--data-dir", &data, "-c", "1", "-d", "1s"],
        &["check", &socket, "--data-dir", &data],
        &["admin", "--url", &format!("http://{NAME}:{port}"), "connections"],
    ];
    let token = token(folder.path(), "ada").await?;
    for arguments in commands {
        let mut command = wireproof(arguments);
        command.env("WIREPROOF_TOKEN", &token);
        let ended = finish(command).await?;
        ensure!(ended.code == Some(4), "{arguments:?}: {:?} {}", ended.code, ended.stderr);
        ensure!(ended.stderr.contains("http.hosts"), "{arguments:?}: {}", ended.stderr);
        ensure!(!ended.stderr.contains("start a server"), "{arguments:?}: {}", ended.stderr);
    }
    server.terminate()?;
    server.ended().await?;
    let mut lines = String::new();
    log.read_to_string(&mut lines).await?;
    let told: Vec<_> = lines.lines().filter(|line| line.contains("http.hosts")).collect();
    ensure!(told.len() == 1 && told[0].contains(NAME), "the operator is told once: {lines}");
    Ok(())
}
