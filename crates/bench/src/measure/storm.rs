//! The storm: the server is killed under 10,000 connected clients, and they all come back to the new process.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::Result;
use futures_util::{StreamExt, TryStreamExt, stream};
use hdrhistogram::Histogram;
use tokio::{sync::watch, task::JoinSet};

use super::{Metrics, histogram, micros, ms};
use crate::{
    dialect::Position,
    login::{Login, reach},
    server::{Kind, Process},
    wire::{Wire, contains},
};

/// Clients, each of a user of its own.
pub const CLIENTS: usize = 10_000;
/// Only the limits of a user who asks all the time are lifted: admission is what is measured.
const SETTINGS: &str = "[limits]\nmessages_per_minute = 0\n";

/// What became of one client: when it was back after the server came back, and how often it was sent away.
struct Returned {
    after: Option<Duration>,
    sent_away: u64,
    /// Connected for as long as the others come back: nobody makes room.
    _wire: Option<Wire>,
}

/// So many clients, each with a run behind it; the figures are from the moment the new process accepts. Where the server
/// resumes, a client is back when it has caught up; elsewhere when it is welcomed.
pub async fn storm(kind: Kind, clients: usize) -> Result<Metrics> {
    let mut server = Process::start_with(kind, SETTINGS).await?;
    // 2,500 share a local address: the ports of connections that are over stay taken for a while.
    let logins = (0..clients).map(|index| server.login(&format!("user{index}"), 4 * index));
    let connected: Vec<(Login, Wire)> =
        stream::iter(logins).map(settled).buffer_unordered(64).try_collect().await?;
    let (accepting, accepts) = watch::channel(None);
    let mut returning = JoinSet::new();
    for (login, wire) in connected {
        returning.spawn(comes_back(login, wire, kind.resumes(), accepts.clone()));
    }
    server.kill().await?;
    server.again().await?;
    accepting.send_replace(Some(Instant::now()));
    let (over, is_over) = watch::channel(false);
    let observer = tokio::spawn(observe(server.login("observer", 0)?, is_over));
    let mut returned = Vec::with_capacity(clients);
    while let Some(client) = returning.join_next().await {
        returned.push(client?);
    }
    over.send_replace(true);
    let runs = observer.await??;
    let mut times = histogram()?;
    for after in returned.iter().filter_map(|client| client.after) {
        times.record(micros(after))?;
    }
    Ok(BTreeMap::from([
        ("clients", clients as f64),
        ("gave_up", (clients as u64 - times.len()) as f64),
        ("sent_away", returned.iter().map(|client| client.sent_away).sum::<u64>() as f64),
        ("back_p50_ms", ms(&times, 0.5)),
        ("back_p95_ms", ms(&times, 0.95)),
        ("back_max_ms", ms(&times, 1.0)),
        ("runs_meanwhile", runs.len() as f64),
        ("run_p50_ms", ms(&runs, 0.5)),
        ("run_p99_ms", ms(&runs, 0.99)),
    ]))
}

/// A client whose user has had a run, read to its end.
async fn settled(login: Result<Login>) -> Result<(Login, Wire)> {
    let login = login?;
    let mut wire = reach(&login, &Position::default()).await?.wire;
    wire.send(&login.dialect.ask()).await?;
    loop {
        let frame = wire.frame().await?;
        wire.note(&frame);
        if contains(&frame, b"\"agent_completed\"") {
            return Ok((login, wire));
        }
    }
}

/// Follows a client until it is back.
async fn comes_back(
    login: Login,
    mut wire: Wire,
    resumes: bool,
    accepts: watch::Receiver<Option<Instant>>,
) -> Returned {
    while let Ok(frame) = wire.frame().await {
        wire.note(&frame);
    }
    let Ok(reached) = reach(&login, &wire.position()).await else {
        return Returned { after: None, sent_away: 0, _wire: None };
    };
    let (mut wire, sent_away) = (reached.wire, reached.sent_away);
    if resumes && wire.until(b"\"caught_up\"").await.is_err() {
        return Returned { after: None, sent_away, _wire: None };
    }
    // The first may be in before the process that started the server has read that it accepts.
    let after = accepts.borrow().map(|began| began.elapsed()).unwrap_or_default();
    Returned { after: Some(after), sent_away, _wire: Some(wire) }
}

/// Runs of a user who is in before most others, one after the other until all are back.
async fn observe(login: Login, over: watch::Receiver<bool>) -> Result<Histogram<u64>> {
    let mut wire = reach(&login, &Position::default()).await?.wire;
    let (ask, mut times) = (login.dialect.ask(), histogram()?);
    while !*over.borrow() {
        let began = Instant::now();
        wire.send(&ask).await?;
        wire.until(b"\"agent_completed\"").await?;
        times.record(micros(began.elapsed()))?;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(times)
}
