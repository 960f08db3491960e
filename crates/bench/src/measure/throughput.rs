//! How much the server does on one core: runs, durable events, deliveries.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    rc::Rc,
    time::{Duration, Instant},
};

use anyhow::Result;
use futures_util::future::try_join_all;

use super::{Rows, histogram, ms, unix_now};
use crate::{
    server::{Kind, Process},
    wire::{Wire, contains, number},
};

const SECONDS: u64 = 6;

async fn connect_many(server: &Process, count: usize, user: impl Fn(usize) -> String) -> Result<Vec<Wire>> {
    let mut wires = Vec::with_capacity(count);
    for index in 0..count {
        wires.push(Wire::connect(&server.address, &server.token(&user(index))?, "", index).await?);
    }
    Ok(wires)
}

/// Every connection asks again as soon as its run is over: runs of just five events, and runs of the builtin agent.
pub async fn closed_loop_runs() -> Result<Rows> {
    let five = closed_loop(Kind::Probe, r#"{"type":"chat","content":"five"}"#).await?;
    let builtin = closed_loop(Kind::Shipped, r#"{"type":"chat","content":"What is 17*23?"}"#).await?;
    Ok(vec![("closed-loop-five-events", five), ("closed-loop-builtin", builtin)])
}

async fn closed_loop(kind: Kind, ask: &'static str) -> Result<BTreeMap<&'static str, f64>> {
    let server = Process::start(kind).await?;
    let wires = connect_many(&server, 256, |index| format!("user{index}")).await?;
    let cpu = server.cpu_seconds()?;
    let began = Instant::now();
    let end = began + Duration::from_secs(SECONDS);
    let counts = try_join_all(wires.into_iter().map(|mut wire| async move {
        let mut runs = 0u64;
        while Instant::now() < end {
            wire.send(ask).await?;
            wire.until(b"\"agent_completed\"").await?;
            runs += 1;
        }
        anyhow::Ok(runs)
    }))
    .await?;
    let runs = counts.iter().sum::<u64>() as f64;
    let store = std::fs::metadata(server.folder().join("data/wireproof.db")).map_or(0, |file| file.len());
    Ok(BTreeMap::from([
        ("runs_per_s", runs / began.elapsed().as_secs_f64()),
        ("server_cpu_us_per_run", (server.cpu_seconds()? - cpu) / runs * 1e6),
        ("store_bytes_per_run", store as f64 / runs),
    ]))
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

async fn steady() -> Result<BTreeMap<&'static str, f64>> {
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

async fn delivered(prefix: &str, users: usize, burst: usize) -> Result<BTreeMap<&'static str, f64>> {
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
