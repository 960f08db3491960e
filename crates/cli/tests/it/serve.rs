//! The life of a server: what it says when it is ready, and how it goes when it is asked to.

use std::{fs, time::Duration};

use anyhow::{Context, Result, bail};
use tempfile::{TempDir, tempdir};
use tokio::time::Instant;
use wireproof_client::{Connection, OpenError, RecvError};
use wireproof_protocol::{ClientFrame, ControlBody, Event, EventBody, Incoming, Outcome};

use crate::{
    history::{all_ended, fold, is_kept, read_log},
    process::{Server, WITHIN, serve, token},
};

#[tokio::test]
async fn stdout_is_the_ready_line_and_the_log_is_on_stderr() -> Result<()> {
    let folder = tempdir()?;
    let log = folder.path().join("stderr");
    let mut command = serve(&folder.path().join("data"));
    command.env_remove("WIREPROOF_LOG").stderr(fs::File::create(&log)?);
    let server = Server::launch(command).await?;
    let address = server.address().to_owned();
    assert!(server.url.starts_with("ws://127.0.0.1:") && server.url.ends_with("/ws"), "{}", server.url);
    let token = token(&folder.path().join("data"), "ada").await?;
    server.connect(&token).open_welcomed().await.context("ready means that it accepts")?;
    server.terminate()?;
    let (status, more) = server.ended().await?;
    assert_eq!((status.code(), more), (Some(0), vec![]));
    let log = fs::read_to_string(log)?;
    assert!(log.contains(&address) && log.contains("accepting connections"), "{log}");
    assert!(!log.contains(&token) && !log.contains('\u{1b}'), "a token, or colours in a file:\n{log}");
    Ok(())
}

/// A server with a connection whose run is under way.
async fn busy(ask: &str, drain_seconds: &str) -> Result<(TempDir, Server, String, Connection)> {
    let folder = tempdir()?;
    let mut command = serve(folder.path());
    command.env("WIREPROOF_DRAIN_SECONDS", drain_seconds).env("WIREPROOF_DRAIN_SPREAD_SECONDS", "3");
    let server = Server::launch(command).await?;
    let token = token(folder.path(), "ada").await?;
    let (mut connection, _) = server.connect(&token).open_welcomed().await?;
    let chat = ClientFrame::Chat { content: ask.to_owned(), thread_id: None, agent: None };
    connection.send(&chat, None).await?;
    Ok((folder, server, token, connection))
}

/// What a connection hears from now to its end: the events, the wait that a `go_away` asks for, and the close code.
async fn hear_out(connection: &mut Connection) -> Result<(Vec<Event>, Option<u64>, Option<u16>)> {
    let (mut events, mut wait) = (Vec::new(), None);
    loop {
        match connection.recv(WITHIN).await {
            Ok(frame) => match frame.incoming {
                Incoming::Event(event) => events.push(*event),
                Incoming::Control(control) => match control.body {
                    ControlBody::GoAway { reconnect_after_ms } => wait = Some(reconnect_after_ms),
                    other => bail!("in a drain came {other:?}"),
                },
                Incoming::Unknown(value) => bail!("a frame of no known type: {value}"),
            },
            Err(RecvError::Ended(ended)) => return Ok((events, wait, ended.code)),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Hears events until the first of this name.
async fn hear_until(connection: &mut Connection, name: &str) -> Result<Vec<Event>> {
    let mut events = Vec::new();
    while events.last().is_none_or(|event: &Event| event.body.name() != name) {
        if let Incoming::Event(event) = connection.recv(WITHIN).await?.incoming {
            events.push(*event);
        }
    }
    Ok(events)
}

fn outcome(events: &[Event]) -> Option<Outcome> {
    events.iter().find_map(|event| match event.body {
        EventBody::AgentCompleted { outcome, .. } => Some(outcome),
        _ => None,
    })
}

#[tokio::test]
async fn sigterm_lets_a_run_end_says_when_to_come_back_and_closes_with_1012() -> Result<()> {
    let (folder, server, token, mut connection) = busy("Count from 1 to 20.", "20").await?;
    let mut events = hear_until(&mut connection, "message_delta").await?;
    server.terminate()?;
    let (rest, wait, code) = hear_out(&mut connection).await?;
    events.extend(rest);
    assert_eq!(outcome(&events), Some(Outcome::Success), "the run went on to its end");
    assert!(wait.is_some_and(|wait| wait <= 3000), "go_away says {wait:?}, the spread is 3 s");
    assert_eq!(code, Some(1012));
    assert_eq!(server.ended().await?.0.code(), Some(0));

    let server = Server::start(folder.path()).await?;
    let (_connection, welcome) = server.connect(&token).open_welcomed().await?;
    is_kept(&events, &read_log(&server, &token, welcome.epoch).await?)
}

/// Bug: after the client had answered the close, the server waited for it to hang up, as the client waited for the
/// server: two seconds for every close that the server began.
#[tokio::test]
async fn an_idle_connection_does_not_hold_up_the_end() -> Result<()> {
    let folder = tempdir()?;
    let server = Server::start(folder.path()).await?;
    let (mut connection, _) = server.connect(&token(folder.path(), "ada").await?).open_welcomed().await?;
    let begun = Instant::now();
    server.terminate()?;
    let (events, wait, code) = hear_out(&mut connection).await?;
    assert_eq!((events.len(), wait.is_some(), code), (0, true, Some(1012)));
    assert_eq!(server.ended().await?.0.code(), Some(0));
    assert!(begun.elapsed() < Duration::from_secs(1), "it took {:?}", begun.elapsed());
    drop(connection);
    Ok(())
}

#[tokio::test]
async fn a_run_that_outlasts_the_drain_gets_its_end_and_nobody_new_is_let_in() -> Result<()> {
    let (folder, server, token, mut connection) = busy("Wait 40 seconds.", "1").await?;
    let mut events = hear_until(&mut connection, "tool_executing").await?;
    let begun = Instant::now();
    server.terminate()?;
    // The drain has begun once its word has arrived; from then on a handshake is refused.
    let go_away = connection.recv(WITHIN).await?;
    assert!(go_away.text().contains("go_away"), "{}", go_away.text());
    let late = server.connect(&token).open_welcomed().await;
    let refused = matches!(&late, Err(OpenError::Refused { status: 503, retry_after: Some(_), .. }));
    assert!(refused || matches!(late, Err(OpenError::Unreachable { .. })), "{:?}", late.map(|_| ()));

    let (rest, _, code) = hear_out(&mut connection).await?;
    events.extend(rest);
    assert_eq!((outcome(&events), code), (Some(Outcome::Failed), Some(1012)));
    assert_eq!(server.ended().await?.0.code(), Some(0));
    assert!(begun.elapsed() < Duration::from_secs(10), "the drain took {:?}", begun.elapsed());

    let server = Server::start(folder.path()).await?;
    let (_connection, welcome) = server.connect(&token).open_welcomed().await?;
    let log = read_log(&server, &token, welcome.epoch).await?;
    is_kept(&events, &log)?;
    all_ended(&fold(&log)?)
}

#[tokio::test]
async fn a_second_signal_ends_the_drain_at_once() -> Result<()> {
    let (_folder, server, _, mut connection) = busy("Wait 40 seconds.", "60").await?;
    hear_until(&mut connection, "tool_executing").await?;
    server.terminate()?;
    let go_away = connection.recv(WITHIN).await?;
    assert!(go_away.text().contains("go_away"), "{}", go_away.text());
    server.terminate()?;
    assert_eq!(server.ended().await?.0.code(), Some(1));
    Ok(())
}
