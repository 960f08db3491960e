//! How long users wait: for a run to start, for its events, and for what they missed.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::Result;
use futures_util::future::try_join_all;

use super::{Metrics, Rows, histogram, micros, ms};
use crate::{
    five_events,
    server::{Kind, Process},
    wire::{Wire, contains, number},
};

/// How long each user asks.
pub const SECONDS: u64 = 8;

/// Five events on an idle server; then `agent_started` while 1,000 connections each ask once a second.
pub async fn agent_started() -> Result<Rows> {
    let server = Process::start(Kind::Shipped).await?;
    let mut wire = server.connect("idle", 0).await?;
    let (ask, mut idle) = (Kind::Shipped.dialect().ask(), histogram()?);
    for _ in 0..300 {
        let began = Instant::now();
        wire.send(&ask).await?;
        wire.until(b"\"agent_completed\"").await?;
        idle.record(micros(began.elapsed()))?;
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    drop(server);
    let idle =
        BTreeMap::from([("five_events_p50_ms", ms(&idle, 0.5)), ("five_events_p99_ms", ms(&idle, 0.99))]);
    Ok(vec![("idle-run", idle), ("busy-1000-connections", open_loop(Kind::Shipped, 1000, SECONDS).await?)])
}

/// So many users, each of whom asks once a second at a time of its own, whatever became of the last question.
pub async fn open_loop(kind: Kind, users: usize, seconds: u64) -> Result<Metrics> {
    let server = Process::start(kind).await?;
    five_events::check(&server).await?;
    let (started, completed) = (RefCell::new(histogram()?), RefCell::new(histogram()?));
    let (started, completed) = (&started, &completed);
    let (wires, ask) = (server.connect_many(users).await?, kind.dialect().ask());
    let ask = ask.as_str();
    let cpu = server.cpu_seconds()?;
    let began = Instant::now();
    try_join_all(wires.into_iter().enumerate().map(|(index, mut wire)| async move {
        let first = began + Duration::from_secs(1) * index as u32 / users as u32;
        for second in 0..seconds {
            // Due times are fixed beforehand: a late answer does not make the next question late.
            let due = first + Duration::from_secs(second);
            tokio::time::sleep_until(due.into()).await;
            wire.send(ask).await?;
            wire.until(b"\"agent_started\"").await?;
            started.borrow_mut().record(micros(due.elapsed()))?;
            wire.until(b"\"agent_completed\"").await?;
            completed.borrow_mut().record(micros(due.elapsed()))?;
        }
        anyhow::Ok(())
    }))
    .await?;
    let (taken, cpu) = (began.elapsed().as_secs_f64(), server.cpu_seconds()? - cpu);
    let (started, completed) = (started.borrow(), completed.borrow());
    let runs = completed.len() as f64;
    Ok(BTreeMap::from([
        ("agent_started_p50_ms", ms(&started, 0.5)),
        ("agent_started_p99_ms", ms(&started, 0.99)),
        ("agent_completed_p50_ms", ms(&completed, 0.5)),
        ("agent_completed_p99_ms", ms(&completed, 0.99)),
        ("runs_per_s", runs / taken),
        ("server_cpu_us_per_run", cpu / runs * 1e6),
    ]))
}

/// 10,000 missed events, from the first byte of the handshake to `caught_up`.
pub async fn resume() -> Result<Rows> {
    let server = Process::start(Kind::Probe).await?;
    let token = server.token("ada")?;
    let mut wire = Wire::connect(&server.address, &token, "", 0).await?;
    wire.send(r#"{"type":"chat","content":"burst 10000"}"#).await?;
    wire.until(b"\"agent_completed\"").await?;
    wire.send(r#"{"type":"ping"}"#).await?;
    let (_, pong) = wire.until(b"\"pong\"").await?;
    let head = number(&pong, "seq").unwrap_or_default();
    drop(wire);
    let second = Wire::connect(&server.address, &token, "", 0).await?;
    drop(second);
    let mut times = histogram()?;
    let epoch = epoch(&server, &token).await?;
    let query = format!("?epoch={epoch}&after={}", head as u64 - 10_000);
    let mut events = 0;
    for _ in 0..20 {
        let began = Instant::now();
        let mut wire = Wire::connect(&server.address, &token, &query, 0).await?;
        events = wire.until(b"\"caught_up\"").await?.0 - 1;
        times.record(micros(began.elapsed()))?;
    }
    let metrics = BTreeMap::from([
        ("events", events as f64),
        ("p50_ms", ms(&times, 0.5)),
        ("p99_ms", ms(&times, 0.99)),
    ]);
    Ok(vec![("resume", metrics)])
}

/// The epoch that a snapshot names when an unknown one is asked for.
async fn epoch(server: &Process, token: &str) -> Result<String> {
    let mut wire = Wire::connect(&server.address, token, "?epoch=0000000000000000&after=0", 0).await?;
    let frame = loop {
        let frame = wire.frame().await?;
        if contains(&frame, b"\"snapshot\"") {
            break frame;
        }
    };
    let value: serde_json::Value = serde_json::from_slice(&frame)?;
    Ok(value["epoch"].as_str().unwrap_or_default().to_owned())
}
