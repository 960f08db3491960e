//! A server that stood still, and one that is told to go: what came meanwhile is read, and nothing is waited for in vain.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use tempfile::tempdir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, interval, timeout},
};
use wireproof_client::RecvError;
use wireproof_protocol::{ClientFrame, ControlBody, Incoming};

use crate::process::{Server, WITHIN, serve, token};

/// Seconds of silence, and of each part of a request, after which a connection ends.
const SHORT: &str = "2";
/// Longer than all of them.
const PAUSE: Duration = Duration::from_secs(4);

async fn dial(server: &Server, first: &str) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(server.address()).await?;
    stream.write_all(first.as_bytes()).await?;
    Ok(stream)
}

/// Reads until this comes.
async fn hear(stream: &mut TcpStream, words: &str) -> Result<()> {
    let mut heard = Vec::new();
    let hearing = async {
        while !String::from_utf8_lossy(&heard).contains(words) {
            let before = heard.len();
            stream.read_buf(&mut heard).await?;
            ensure!(heard.len() > before, "it ended before {words:?}: {}", String::from_utf8_lossy(&heard));
        }
        Ok(())
    };
    timeout(WITHIN, hearing).await.with_context(|| format!("no {words:?} came"))?
}

/// Bug: after a pause of the process (SIGSTOP, a machine that slept) longer than `dead_seconds` all connections were closed
/// for their silence, and what they had sent was never read; heads, bodies and first frames likewise.
#[tokio::test]
async fn what_came_while_the_process_stood_still_is_read() -> Result<()> {
    let folder = tempdir()?;
    let mut command = serve(folder.path());
    command.env("WIREPROOF_LIMITS_HEARTBEAT_SECONDS", "1");
    for setting in ["DEAD", "HEADER", "BODY", "AUTHENTICATE", "STALL"] {
        command.env(format!("WIREPROOF_LIMITS_{setting}_SECONDS"), SHORT);
    }
    let server = Server::launch(command).await?;
    let mut connections = Vec::new();
    for name in ["ada", "bob", "eve"] {
        let token = token(folder.path(), name).await?;
        connections.push(server.connect(&token).open_welcomed().await?.0);
    }
    let shown = token(folder.path(), "ada").await?;
    let key = "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let upgrade = format!(
        "GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n{key}\r\n"
    );
    let mut stranger = dial(&server, &upgrade).await?;
    hear(&mut stranger, "101").await?;
    let mut head = dial(&server, "GET /health HTTP/1.1\r\n").await?;
    let post = format!(
        "POST /api/threads HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {shown}\r\nContent-Length: 2\r\n\r\n{{"
    );
    let mut body = dial(&server, &post).await?;

    server.signal(Signal::STOP)?;
    let (began, mut beat) = (Instant::now(), interval(Duration::from_millis(500)));
    let mut beats = 0;
    while began.elapsed() < PAUSE {
        beat.tick().await;
        beats += 1;
        for connection in &mut connections {
            connection.send(&ClientFrame::Ping, None).await?;
        }
        if beats == 3 {
            let frame = format!(r#"{{"type":"authenticate","token":"{shown}"}}"#);
            // A frame whose mask is zero.
            let length = u16::try_from(frame.len())?.to_be_bytes();
            stranger.write_all(&[&[0x81, 0xfe], &length[..], &[0; 4], frame.as_bytes()].concat()).await?;
            head.write_all(b"Host: localhost\r\n\r\n").await?;
            body.write_all(b"}").await?;
        }
    }
    server.signal(Signal::CONT)?;
    for connection in &mut connections {
        let mut pongs = 0;
        while pongs < beats {
            match connection.recv(WITHIN).await {
                Ok(frame) => match frame.incoming {
                    Incoming::Control(control) => {
                        pongs += i32::from(matches!(control.body, ControlBody::Pong { .. }))
                    }
                    // The thread that the body made.
                    Incoming::Event(_) => {}
                    other => anyhow::bail!("there came {other:?}"),
                },
                Err(RecvError::Ended(ended)) => anyhow::bail!("closed after {pongs} pongs: {ended:?}"),
                Err(error) => return Err(error.into()),
            }
        }
    }
    hear(&mut stranger, "connection_established").await?;
    hear(&mut head, "200 OK").await?;
    hear(&mut body, "201 Created").await?;

    // Who says nothing when there is time for it is closed all the same: this one answers no ping.
    let closed = timeout(WITHIN, stranger.read_to_end(&mut Vec::new())).await;
    // However it is closed.
    let _ = closed.context("a silent connection is closed")?;
    Ok(())
}

/// Bug: a stop waited a second for a request whose head was not whole: nobody asks it any more.
#[tokio::test]
async fn a_server_that_nobody_asks_anything_ends_at_once() -> Result<()> {
    for begun in [
        "",
        "GET /health HTTP/1.1\r\nHo",
        "POST /auth/login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{",
    ] {
        let folder = tempdir()?;
        let server = Server::start(folder.path()).await?;
        let _knocking = dial(&server, begun).await?;
        let mut asked = dial(&server, "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n").await?;
        hear(&mut asked, "healthy").await?;
        let stopped = Instant::now();
        server.terminate()?;
        ensure!(server.ended().await?.0.code() == Some(0));
        let took = stopped.elapsed();
        ensure!(took < Duration::from_millis(700), "{begun:?}: it took {took:?}");
    }
    Ok(())
}
