//! How much the server does on one core: runs, durable events, deliveries.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    rc::Rc,
    time::{Duration, Instant},
};

use anyhow::Result;
use futures_util::future::try_join_all;

use super::{Metrics, Rows, histogram, micros, ms, unix_now};
use crate::{
    dialect::Dialect,
    five_events,
    server::{Kind, Process},
    wire::{Wire, contains, number},
};

pub const SECONDS: u64 = 6;
/// Those of the closed loop.
pub const USERS: usize = 256;

async fn connect_many(server: &Process, count: usize, user: impl Fn(usize) -> String) -> Result<Vec<Wire>> {
    let mut wires = Vec::with_capacity(count);
    for index in 0..count {
        wires.push(server.connect(&user(index), index).await?);
    }
    Ok(wires)
}

/// Every connection asks again as soon as its run is over: runs of just five events, and runs of the builtin agent.
pub async fn closed_loop_runs() -> Result<Rows> {
    let five = closed_loop(Kind::Probe, r#"{"type":"chat","content":"five"}"#, USERS, SECONDS).await?;
    let builtin = closed_loop(Kind::Shipped, &Dialect::Plain.ask(), USERS, SECONDS).await?;
    Ok(vec![("closed-loop-five-events", five), ("closed-loop-builtin", builtin)])
}

/// So many users, each of whom asks again as soon as the run is over.
pub async fn closed_loop(kind: Kind, ask: &str, users: usize, seconds: u64) -> Result<Metrics> {
    let server = Process::start(kind).await?;
    five_events::check(&server).await?;
    let wires = server.connect_many(users).await?;
    let times = &RefCell::new(histogram()?);
    let cpu = server.cpu_seconds()?;
    let began = Instant::now();
    let end = began + Duration::from_secs(seconds);
    try_join_all(wires.into_iter().map(|mut wire| async move {
        while Instant::now() < end {
            let asked = Instant::now();
            wire.send(ask).await?;
            wire.until(b"\"agent_completed\"").await?;
            times.borrow_mut().record(micros(asked.elapsed()))?;
        }
        anyhow::Ok(())
    }))
    .await?;
    let (seconds, cpu, times) = (began.elapsed().as_secs_f64(), server.cpu_seconds()? - cpu, times.borrow());
    let runs = times.len() as f64;
    let mut metrics = BTreeMap::from([
        ("runs_per_s", runs / seconds),
        ("server_cpu_us_per_run", cpu / runs * 1e6),
        ("run_p50_ms", ms(&times, 0.5)),
        ("run_p99_ms", ms(&times, 0.99)),
    ]);
    if let Ok(store) = std::fs::metadata(server.folder().join("data/wireproof.db")) {
        metrics.insert("store_bytes_per_run", store.len() as f64 / runs);
    }
    Ok(metrics)
}

/// Bursts of many users as fast as they go; then a steady 5,000 events a second over 1,000 connections.
pub async fn durable_events() -> Result<Rows> {
    let server = Process::start(Kind::Probe).await?;
    let wires = connect_many(&server, 64, |index| format!("burst{index}")).await?;
    let cpu = server.cpu_seconds()?;
    let began = Instant::now();
    let end = began + Duration::from_secs(SECONDS);
    let counts = try_join_all(wires.into_iter().map(|mut wire| async move {
        let mut events = 0;
        while Instant::now() < end {
            wire.send(r#"{"type":"chat","content":"burst 200"}"#).await?;
            events += wire.until(b"\"agent_completed\"").await?.0;
        }
        anyhow::Ok(events)
    }))
    .await?;
    let events = counts.iter().sum::<usize>() as f64;
    let most = BTreeMap::from([
        ("events_per_s", events / began.elapsed().as_secs_f64()),
        ("server_cpu_us_per_event", (server.cpu_seconds()? - cpu) / events * 1e6),
    ]);
    drop(server);
    Ok(vec![("durable-events", most), ("publish-to-deliver", steady().await?)])
}

async fn steady() -> Result<Metrics> {
    let server = Process::start(Kind::Probe).await?;
    let wires = connect_many(&server, 1000, |index| format!("pace{index}")).await?;
    let times = Rc::new(RefCell::new(histogram()?));
    let began = Instant::now();
    let counts = try_join_all(wires.into_iter().enumerate().map(|(index, mut wire)| {
        let times = times.clone();
        async move {
            tokio::time::sleep(Duration::from_micros(200 * index as u64)).await;
            wire.send(&format!(r#"{{"type":"chat","content":"pace 5 {SECONDS}"}}"#)).await?;
            let mut events = 0u64;
            loop {
                let frame = wire.frame().await?;
                let now = unix_now();
                if contains(&frame, b"\"status_update\"") {
                    let said = number(&frame, "timestamp").unwrap_or(now);
                    times.borrow_mut().record((((now - said) * 1e6) as u64).max(1))?;
                    events += 1;
                } else if contains(&frame, b"\"agent_completed\"") {
                    return anyhow::Ok(events);
                }
            }
        }
    }))
    .await?;
    let events = counts.iter().sum::<u64>() as f64;
    let times = times.borrow();
    Ok(BTreeMap::from([
        ("events_per_s", events / began.elapsed().as_secs_f64()),
        ("p50_ms", ms(&times, 0.5)),
        ("p99_ms", ms(&times, 0.99)),
    ]))
}

/// One user's events to 500 of the user's connections, and 500 users' events each to their own.
pub async fn deliveries() -> Result<Rows> {
    let one = delivered("one", 1, 200).await?;
    let many = delivered("many", 500, 400).await?;
    Ok(vec![("deliveries-one-user", one), ("deliveries-many-users", many)])
}

async fn delivered(prefix: &str, users: usize, burst: usize) -> Result<Metrics> {
    let server = Process::start(Kind::Probe).await?;
    let wires = connect_many(&server, 500, |index| format!("{prefix}{}", index % users)).await?;
    let rounds = if users == 1 { 10 } else { 2 };
    let ask = format!(r#"{{"type":"chat","content":"burst {burst}"}}"#);
    let cpu = server.cpu_seconds()?;
    let began = Instant::now();
    let counts = try_join_all(wires.into_iter().enumerate().map(|(index, mut wire)| {
        let ask = ask.clone();
        async move {
            let mut events = 0;
            for _ in 0..rounds {
                if index < users {
                    wire.send(&ask).await?;
                }
                events += wire.until(b"\"agent_completed\"").await?.0;
            }
            anyhow::Ok(events)
        }
    }))
    .await?;
    let events = counts.iter().sum::<usize>() as f64;
    let cpu = server.cpu_seconds()? - cpu;
    Ok(BTreeMap::from([
        ("deliveries_per_s", events / began.elapsed().as_secs_f64()),
        ("deliveries_per_cpu_s", events / cpu),
    ]))
}
