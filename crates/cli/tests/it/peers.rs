//! Peers that are no server: each command that speaks to one ends in time, with the exit code of "cannot reach" and a
//! sentence.

mod peer;

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use futures_util::{StreamExt, TryStreamExt, stream};
use tempfile::{TempDir, tempdir};
use wireproof_faultproxy::{Afterwards, Fault, FaultProxy, Toxic, Trigger};

use crate::process::{Server, finish, token, wireproof};
use peer::{HTTP, Manner, Peer, SOCKET};

/// How many commands are run at once against each peer: a share of the hundred that a run by name takes.
const AT_ONCE: usize = 10;
/// The variable that says another number.
const AT_ONCE_VARIABLE: &str = "WIREPROOF_AT_ONCE";

fn at_once() -> Result<usize> {
    match std::env::var(AT_ONCE_VARIABLE) {
        Ok(text) => text.parse().with_context(|| format!("{AT_ONCE_VARIABLE}={text:?} is no number")),
        Err(_) => Ok(AT_ONCE),
    }
}

/// A folder with what the commands need: a backup, and a certificate.
struct Stage {
    folder: TempDir,
    backup: PathBuf,
}

impl Stage {
    async fn build() -> Result<Self> {
        let folder = tempdir()?;
        let (data, backup) = (folder.path().join("real"), folder.path().join("backup"));
        Server::start(&data).await?.kill().await?;
        let mut command = wireproof(["backup", "--data-dir"]);
        command.arg(&data).arg("--to").arg(&backup);
        ensure!(finish(command).await?.code == Some(0), "no backup");
        Ok(Self { folder, backup })
    }

    /// A data folder that a process holds which is no server, and that process's socket.
    fn held(&self, name: &str, manner: Manner) -> Result<(PathBuf, File, Peer)> {
        let data = self.folder.path().join(name);
        wireproof_server::files::private_folder(&data)?;
        let lock = File::create(data.join("wireproof.lock"))?;
        lock.try_lock()?;
        let peer = Peer::local(&data.join("wireproof.sock"), manner)?;
        Ok((data, lock, peer))
    }
}

/// The commands that speak over a WebSocket, and those that speak HTTP, to an address.
fn commands_at(peer: &Peer, ca: &Path) -> [Vec<Vec<String>>; 2] {
    let (socket, http) = (peer.url("ws", "/ws"), peer.url("http", ""));
    let ca = ca.to_string_lossy().into_owned();
    let words = |line: &str| -> Vec<String> {
        let mut words: Vec<_> = line.split(' ').map(str::to_owned).collect();
        words.extend(["--ca".to_owned(), ca.clone()]);
        words
    };
    let sockets = [
        format!("chat hello --token a.b.c --url {socket}"),
        format!("check {socket} --only connect"),
        format!("load --url {socket} --token a.b.c -c 2 -d 1s"),
    ];
    let acts =
        ["connections", "disconnect --user ada", "disconnect --connection x", "revoke --user ada", "drain"];
    let https = acts.map(|act| format!("admin {act} --url {http}"));
    [sockets.iter().map(|line| words(line)).collect(), https.iter().map(|line| words(line)).collect()]
}

/// The commands that speak over the operator's socket of a data folder.
fn commands_on(data: &Path, backup: &Path) -> Vec<Vec<String>> {
    let lines = [
        "admin connections",
        "admin disconnect --user ada",
        "admin disconnect --connection x",
        "admin revoke --user ada",
        "admin drain",
        "user list",
        "user add ada",
        "user disable ada",
        "user enable ada",
        "user password ada",
        "user grant ada chat",
        "user revoke ada chat",
    ];
    let mut commands: Vec<Vec<String>> =
        lines.iter().map(|line| line.split(' ').map(str::to_owned).collect()).collect();
    commands.push(["restore", "--from", &backup.to_string_lossy()].map(str::to_owned).into());
    for command in &mut commands {
        command.extend(["--data-dir".to_owned(), data.to_string_lossy().into_owned()]);
    }
    commands
}

/// Runs one command against a peer so many times, all at once; each says why and ends with 3.
async fn hold(command: &[String], manner: Manner, times: usize) -> Result<()> {
    let run = |_| async {
        let mut asked = wireproof(command);
        asked.args(["--timeout", "1"]).env("WIREPROOF_TOKEN", "a.b.c");
        let ended = finish(asked).await.with_context(|| format!("{manner:?}: {command:?}"))?;
        ensure!(
            ended.code == Some(3) && ended.stderr.contains("error: "),
            "{manner:?}: {command:?} ended with {:?}: {}{}",
            ended.code,
            ended.stdout,
            ended.stderr
        );
        Ok(())
    };
    stream::iter(0..times).map(run).buffer_unordered(times).try_collect().await
}

/// Every command that takes an address against every manner of its kind.
async fn hold_at_addresses(encrypted: bool, times: usize) -> Result<()> {
    let folder = tempdir()?;
    let ca = folder.path().join("cert.pem");
    let pair = peer::certify()?;
    fs::write(&ca, pair.cert.pem())?;
    for (kind, manners) in [SOCKET, HTTP].into_iter().enumerate() {
        for manner in manners {
            let peer = Peer::at_an_address(*manner, encrypted.then_some(&pair)).await?;
            let commands = &commands_at(&peer, &ca)[kind];
            let all = commands.iter().map(|command| hold(command, *manner, times));
            futures_util::future::try_join_all(all).await?;
        }
    }
    Ok(())
}

async fn hold_on_folders(times: usize) -> Result<()> {
    let stage = Stage::build().await?;
    for (number, manner) in HTTP.iter().enumerate() {
        let (data, _lock, _peer) = stage.held(&format!("held-{number}"), *manner)?;
        let commands = commands_on(&data, &stage.backup);
        let all = commands.iter().map(|command| hold(command, *manner, times));
        futures_util::future::try_join_all(all).await?;
    }
    Ok(())
}

/// Bug: `chat`, `admin` and others ended with 0 and not a word when the peer closed or reset the connection.
#[tokio::test]
async fn a_peer_at_an_address_that_is_no_server_cannot_be_reached() -> Result<()> {
    hold_at_addresses(false, 1).await
}

/// The same behind TLS, and when not even that is spoken.
#[tokio::test]
async fn a_peer_behind_tls_that_is_no_server_cannot_be_reached() -> Result<()> {
    hold_at_addresses(true, 1).await?;
    // Who was to speak TLS and does not.
    for manner in [Manner::Closes, Manner::Resets, Manner::Silent, Manner::Garbage] {
        let peer = Peer::at_an_address(manner, None).await?;
        for line in ["chat hello --token a.b.c --url wss://", "admin drain --url https://"] {
            let command: Vec<_> = format!("{line}{}", peer.address()).split(' ').map(str::to_owned).collect();
            hold(&command, manner, 1).await?;
        }
    }
    Ok(())
}

/// Bug: `admin revoke` said "revoked; ended 1 connections" whatever was answered; later it printed what stood in the place
/// of the number, with the terminal's control characters, and took an empty answer for an ended connection.
#[tokio::test]
async fn a_process_in_the_place_of_a_server_cannot_be_reached() -> Result<()> {
    hold_on_folders(1).await
}

#[tokio::test]
async fn heavy_many_commands_at_once_against_each_peer() -> Result<()> {
    hold_at_addresses(false, at_once()?).await
}

#[tokio::test]
async fn heavy_many_commands_at_once_against_each_peer_behind_tls() -> Result<()> {
    hold_at_addresses(true, at_once()?).await
}

#[tokio::test]
async fn heavy_many_commands_at_once_against_each_process_in_the_place_of_a_server() -> Result<()> {
    hold_on_folders(at_once()?).await
}

/// Bug: a chat whose message was never taken waited for ten minutes.
#[tokio::test]
async fn a_chat_whose_message_nobody_takes_ends_in_time() -> Result<()> {
    let folder = tempdir()?;
    let server = Server::start(folder.path()).await?;
    let proxy = FaultProxy::start(server.address().parse()?, 1).await?;
    let silence = Fault::BlackHole { for_ms: None, then: Afterwards::GoOn };
    proxy.add(Toxic::to_server(silence).when(Trigger::AtText("hello".to_owned())));
    let token = token(folder.path(), "ada").await?;
    let ended =
        finish(wireproof(["chat", "hello", "--timeout", "1", "--token", &token, "--url", &proxy.url("/ws")]))
            .await?;
    ensure!(ended.code == Some(3), "{:?} {}{}", ended.code, ended.stdout, ended.stderr);
    ensure!(ended.stderr.contains("within 1s"), "{}", ended.stderr);
    Ok(())
}

/// Bug: whatever the server said, it counted as a sign that the message might still be taken, for ever.
#[tokio::test]
async fn a_chat_whose_server_says_everything_else_ends_in_time() -> Result<()> {
    let folder = tempdir()?;
    let server = Server::start(folder.path()).await?;
    let token = token(folder.path(), "ada").await?;
    let (connection, _) = server.connect(&token).open_welcomed().await?;
    let peer = Peer::babbling(connection.last_text().to_owned()).await?;
    let ended = finish(wireproof([
        "chat",
        "hello",
        "--timeout",
        "1",
        "--token",
        &token,
        "--url",
        &peer.url("ws", "/ws"),
    ]))
    .await?;
    ensure!(ended.code == Some(3) && ended.stderr.contains("within 1s"), "{:?} {}", ended.code, ended.stderr);
    Ok(())
}

/// An issuer that is no issuer is a finding, and found in time.
#[tokio::test]
async fn the_doctor_finds_an_issuer_that_does_not_answer() -> Result<()> {
    for manner in
        [Manner::Closes, Manner::Resets, Manner::Silent, Manner::Garbage, Manner::Page, Manner::Endless]
    {
        let (folder, peer) = (tempdir()?, Peer::at_an_address(manner, None).await?);
        let mut command = wireproof(["doctor", "--timeout", "1", "--data-dir"]);
        command.arg(folder.path()).env("WIREPROOF_JWT_JWKS_URL", peer.url("http", "/keys"));
        let ended = finish(command).await.with_context(|| format!("{manner:?}"))?;
        ensure!(ended.code == Some(1) && ended.stdout.contains("keys.jwks"), "{manner:?}: {}", ended.stdout);
    }
    Ok(())
}
