//! The stall: 1,000 clients never read while their users' agents are busy; what that costs the others, and in memory.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::Result;
use hdrhistogram::Histogram;

use super::{Rows, histogram, micros, ms};
use crate::{
    server::{Kind, Process},
    wire::Wire,
};

const USERS: usize = 100;
const STALLED: usize = 1_000;
/// Time in which the kernel's buffers and the server's queues of the stalled get full, and the one that is measured:
/// over before they are sent away, which is when they are 1 MiB behind.
const FILLING: Duration = Duration::from_secs(5);
const MEASURED: Duration = Duration::from_secs(6);
/// 30 events a second of each user, of some 3 KiB.
const WORK: &str = r#"{"type":"chat","content":"pace 30 11 2700"}"#;
const ASK: &str = r#"{"type":"chat","content":"five"}"#;

/// The same load twice: first nobody is connected whom it concerns, then ten clients of each user that never read.
pub async fn stall() -> Result<Rows> {
    let server = Process::start(Kind::Probe).await?;
    let mut reader = Wire::connect(&server.address, &server.token("reader")?, "", 0).await?;
    // Once to warm up.
    under_load(&server, &mut reader).await?;
    let without = under_load(&server, &mut reader).await?;
    let before = server.rss_kib()?;
    let mut stalled = Vec::with_capacity(STALLED);
    for index in 0..STALLED {
        let token = server.token(&format!("user{}", index % USERS))?;
        stalled.push(Wire::connect_narrow(&server.address, &token, index).await?);
    }
    let with = under_load(&server, &mut reader).await?;
    let metrics = BTreeMap::from([
        ("stalled", stalled.len() as f64),
        ("run_p50_ms_without", ms(&without.times, 0.5)),
        ("run_p99_ms_without", ms(&without.times, 0.99)),
        ("run_p50_ms_with", ms(&with.times, 0.5)),
        ("run_p99_ms_with", ms(&with.times, 0.99)),
        ("server_cpu_share_without", without.cpu),
        ("server_cpu_share_with", with.cpu),
        ("rss_kib_each_stalled", (with.rss_kib - before) / STALLED as f64),
    ]);
    Ok(vec![("stall", metrics)])
}

struct Phase {
    times: Histogram<u64>,
    /// CPU seconds of the server a second.
    cpu: f64,
    rss_kib: f64,
}

/// All users' agents at work; the reader's runs once everything that gets full is full.
async fn under_load(server: &Process, reader: &mut Wire) -> Result<Phase> {
    let mut workers = Vec::with_capacity(USERS);
    for index in 0..USERS {
        let token = server.token(&format!("user{index}"))?;
        let mut wire = Wire::connect(&server.address, &token, "", index).await?;
        wire.send(WORK).await?;
        workers.push(wire);
    }
    // It only asked: whoever reads what it asked for would cost too.
    drop(workers);
    tokio::time::sleep(FILLING).await;
    let (mut times, cpu, began) = (histogram()?, server.cpu_seconds()?, Instant::now());
    while began.elapsed() < MEASURED {
        let asked = Instant::now();
        reader.send(ASK).await?;
        reader.until(b"\"agent_completed\"").await?;
        times.record(micros(asked.elapsed()))?;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let cpu = (server.cpu_seconds()? - cpu) / began.elapsed().as_secs_f64();
    let rss_kib = server.rss_kib()?;
    // Until the agents are done, and what is to be sent away is away.
    tokio::time::sleep(Duration::from_secs(4)).await;
    Ok(Phase { times, cpu, rss_kib })
}
