//! How long users wait: for a run to start, for its events, and for what they missed.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    rc::Rc,
    time::{Duration, Instant},
};

use anyhow::Result;
use futures_util::future::try_join_all;

use super::{Rows, histogram, micros, ms};
use crate::{
    server::{Kind, Process},
    wire::{Wire, contains, number},
};

const ASK: &str = r#"{"type":"chat","content":"What is 17*23?"}"#;

/// Five events on an idle server; then `agent_started` while 1,000 connections each ask once a second.
pub async fn agent_started() -> Result<Rows> {
    let server = Process::start(Kind::Shipped).await?;
    let mut wire = Wire::connect(&server.address, &server.token("idle")?, "", 0).await?;
    let mut idle = histogram()?;
    for _ in 0..300 {
        let began = Instant::now();
        wire.send(ASK).await?;
        wire.until(b"\"agent_completed\"").await?;
        idle.record(micros(began.elapsed()))?;
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let (connections, rounds) = (1000, 8);
    let busy = Rc::new(RefCell::new(histogram()?));
    let completed = Rc::new(RefCell::new(histogram()?));
    let mut wires = Vec::new();
    for index in 0..connections {
        wires.push(Wire::connect(&server.address, &server.token(&format!("user{index}"))?, "", index).await?);
    }
    let cpu = server.cpu_seconds()?;
    let began = Instant::now();
    try_join_all(wires.into_iter().enumerate().map(|(index, mut wire)| {
        let (busy, completed) = (busy.clone(), completed.clone());
        async move {
            for round in 0..rounds {
                // Due times are fixed beforehand: a late answer does not make the next question late.
                let due = began + Duration::from_millis(index as u64) + Duration::from_secs(round);
                tokio::time::sleep_until(due.into()).await;
                wire.send(ASK).await?;
                wire.until(b"\"agent_started\"").await?;
                busy.borrow_mut().record(micros(due.elapsed()))?;
                wire.until(b"\"agent_completed\"").await?;
                completed.borrow_mut().record(micros(due.elapsed()))?;
            }
            anyhow::Ok(())
        }
    }))
    .await?;
    let runs = f64::from(connections as u32 * rounds as u32);
    let cpu_us = (server.cpu_seconds()? - cpu) / runs * 1e6;
    let (busy, completed) = (busy.borrow(), completed.borrow());
    Ok(vec![
        (
            "idle-run",
            BTreeMap::from([("five_events_p50_ms", ms(&idle, 0.5)), ("five_events_p99_ms", ms(&idle, 0.99))]),
        ),
        (
            "busy-1000-connections",
            BTreeMap::from([
                ("agent_started_p50_ms", ms(&busy, 0.5)),
                ("agent_started_p99_ms", ms(&busy, 0.99)),
                ("agent_completed_p99_ms", ms(&completed, 0.99)),
                ("runs_per_s", runs / began.elapsed().as_secs_f64()),
                ("server_cpu_us_per_run", cpu_us),
            ]),
        ),
    ])
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
