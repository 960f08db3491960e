//! A log that cannot be read in the middle of a replay: it is tried again with a pause in between, and given up in time.

use std::{fs, path::Path, process::Stdio, time::Duration};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tempfile::{TempDir, tempdir};
use tokio::time::{Instant, sleep};
use wireproof_faultproxy::wire::{CLOSE, Wire, handshake};
use wireproof_protocol::ClientFrame;

use crate::{
    http::request,
    process::{Server, WITHIN, serve, token},
};

/// Events with 15 KB each: several pages, and more than the kernel takes for a client that does not read.
const EVENTS: usize = 60;
/// What the log of the server says of each failure.
const FAILURE: &str = "a user's log could not be read";

/// A server whose store has a long log that it did not write itself, so that it reads it from the database.
async fn server_with_a_log() -> Result<(TempDir, Server, String)> {
    let folder = tempdir()?;
    let command = || {
        let mut command = serve(&folder.path().join("data"));
        command.env("WIREPROOF_LIMITS_MESSAGES_PER_MINUTE", "0").env("WIREPROOF_LOG", "error");
        command
    };
    let server = Server::launch(command()).await?;
    let token = token(&folder.path().join("data"), "ada").await?;
    let bearer = format!("authorization: Bearer {token}");
    let thread = json!({ "metadata": { "x": "y".repeat(15 << 10) } }).to_string();
    for _ in 0..EVENTS {
        let answer = request(server.address(), "POST /api/threads", &[&bearer], &thread).await?;
        ensure!(answer.status == 201, "{}", answer.body);
    }
    server.terminate()?;
    server.ended().await?;
    let mut again = command();
    again.stderr(Stdio::from(fs::File::create(folder.path().join("stderr"))?));
    let server = Server::launch(again).await?;
    Ok((folder, server, token))
}

/// A client that asks for everything, has read its welcome, and reads no more.
async fn replaying(server: &Server, token: &str) -> Result<Wire> {
    let bearer = format!("Authorization: Bearer {token}");
    let address = server.address().parse()?;
    let mut wire = Wire::dial(address, WITHIN).await?;
    wire.write(handshake("/ws", &[&bearer]).as_bytes()).await?;
    wire.head().await?;
    let welcome: Value = serde_json::from_slice(&wire.frame().await?.context("a welcome")?.payload)?;
    let epoch = welcome["epoch"].as_str().context("an epoch")?;
    let mut wire = Wire::dial_narrow(address, WITHIN).await?;
    wire.write(handshake(&format!("/ws?epoch={epoch}&after=0"), &[&bearer]).as_bytes()).await?;
    wire.head().await?;
    Ok(wire)
}

fn rename(data_dir: &Path, from: &str, to: &str) -> Result<()> {
    let store = rusqlite::Connection::open(data_dir.join("wireproof.db"))?;
    store.busy_timeout(WITHIN)?;
    Ok(store.execute_batch(&format!("ALTER TABLE {from} RENAME TO {to}"))?)
}

fn failures(folder: &Path) -> Result<usize> {
    Ok(fs::read_to_string(folder.join("stderr"))?.matches(FAILURE).count())
}

/// Reads to the end of the replay, or to the close; how many events came, and the code.
async fn read_out(wire: &mut Wire) -> Result<(usize, Option<u16>)> {
    let mut events = 0;
    while let Some(frame) = wire.frame().await? {
        if frame.opcode == CLOSE {
            return Ok((events, frame.close_code()));
        }
        let text = String::from_utf8_lossy(&frame.payload).into_owned();
        events += usize::from(text.contains("\"event_id\""));
        if text.contains("\"caught_up\"") {
            return Ok((events, None));
        }
    }
    Ok((events, None))
}

/// Bug: a page that could not be read was read again at once, and each time logged, thousands of times in five seconds.
#[tokio::test]
async fn it_is_tried_a_few_times_and_then_given_up() -> Result<()> {
    let (folder, server, token) = server_with_a_log().await?;
    let mut wire = replaying(&server, &token).await?;
    rename(&folder.path().join("data"), "log", "log_away")?;
    let began = Instant::now();
    let (events, code) = read_out(&mut wire).await?;
    ensure!(events < EVENTS && code == Some(1011), "{events} events, {code:?}");
    let failures = failures(folder.path())?;
    ensure!(failures == 6, "{failures} failures in {:?}", began.elapsed());
    ensure!(request(server.address(), "GET /health", &[], "").await?.status == 200);
    Ok(())
}

/// A fault that passes costs the client nothing but time.
#[tokio::test]
async fn a_fault_that_passes_ends_no_replay() -> Result<()> {
    let (folder, server, token) = server_with_a_log().await?;
    let data_dir = folder.path().join("data");
    let mut wire = replaying(&server, &token).await?;
    rename(&data_dir, "log", "log_away")?;
    let reading = tokio::spawn(async move { read_out(&mut wire).await });
    let began = Instant::now();
    while failures(folder.path())? == 0 {
        ensure!(began.elapsed() < WITHIN, "the log was never missed");
        sleep(Duration::from_millis(5)).await;
    }
    rename(&data_dir, "log_away", "log")?;
    ensure!(reading.await?? == (EVENTS, None), "all events, and no close");
    Ok(())
}

/// Bug: each `ping` of a user who had not written since the start of the server read the database.
#[tokio::test]
async fn a_ping_reads_no_database_once_the_head_is_known() -> Result<()> {
    let (folder, server, token) = server_with_a_log().await?;
    let (mut ada, welcome) = server.connect(&token).open_welcomed().await?;
    rename(&folder.path().join("data"), "log", "log_away")?;
    for frame in [ClientFrame::Ping, ClientFrame::Heartbeat, ClientFrame::Ping] {
        ada.send(&frame, None).await?;
        let answer = ada.recv(WITHIN).await?;
        let expected = format!("\"seq\":{}", welcome.seq);
        ensure!(answer.text().contains(&expected), "{}", answer.text());
    }
    let (_again, welcomed) = server.connect(&token).open_welcomed().await?;
    ensure!(welcomed.seq == EVENTS as u64, "{}", welcomed.seq);
    Ok(())
}
