//! What the limits cost: the check of a frame alone, and a server that keeps to limits beside one that has none.

use std::{
    collections::BTreeMap,
    process::Command,
    sync::{Arc, Barrier},
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use futures_util::future::try_join_all;
use wireproof_protocol::UserId;
use wireproof_server::limits::{ClientAddress, Limits, rates::Rates};
use wireproof_server::metrics::{Metrics, Names};

use super::Rows;
use crate::{
    server::{Kind, LIFTED, Process},
    wire::Wire,
};

/// Checks of each thread.
const CHECKS: u32 = 5_000_000;
const SECONDS: u64 = 4;
const ROUNDS: usize = 3;

/// Limits that nothing here reaches, so that each is looked at and none refuses.
const HIGH: &str = "[limits]\nconnections_per_user = 0\nconcurrent_runs = 0\nmessages_per_minute = 1000000000\n\
    message_burst = 1000000000\nother_frames_per_minute = 1000000000\nother_frame_burst = 1000000000\n\
    bytes_per_minute = 1000000000000\nbyte_burst = 1000000000000\nmessages_per_minute_per_address = 1000000000\n";

/// Nanoseconds of a frame's checks, with so many threads on one user's buckets at once.
pub fn check(threads: usize) -> Result<f64> {
    let limits = Limits {
        messages_per_minute: 1_000_000_000,
        message_burst: 1_000_000_000,
        bytes_per_minute: 1 << 40,
        byte_burst: 1 << 40,
        messages_per_minute_per_address: 1_000_000_000,
        ..Limits::default()
    };
    let rates = Rates::new(&limits, Metrics::new(Names::default()), Instant::now());
    let user = UserId::new("ada")?;
    let barrier = Arc::new(Barrier::new(threads));
    let checking = (0..threads).map(|_| {
        let allowance = rates.allowance(&user, ClientAddress::of([127, 0, 0, 1].into()));
        let barrier = barrier.clone();
        std::thread::spawn(move || {
            barrier.wait();
            let began = Instant::now();
            let mut refused = 0u32;
            for _ in 0..CHECKS {
                // As a connection does: the time is read once a frame.
                let now = Instant::now();
                let checked = allowance.bytes(100, now).and_then(|()| allowance.message(now));
                refused += u32::from(checked.is_err());
            }
            (began.elapsed(), refused)
        })
    });
    let threads: Vec<_> = checking.collect();
    let mut most = Duration::ZERO;
    for thread in threads {
        let (took, refused) = thread.join().map_err(|_| anyhow::anyhow!("a thread panicked"))?;
        anyhow::ensure!(refused < CHECKS, "everything was refused");
        most = most.max(took);
    }
    Ok(most.as_secs_f64() * 1e9 / f64::from(CHECKS))
}

/// The check with one thread and with two on both cores; then pings, with and without limits in turn.
pub async fn limits() -> Result<Rows> {
    let alone = check(1)?;
    // This process has one core; another one gets both.
    let both = Command::new("taskset")
        .args(["-c", "0,1"])
        .arg(std::env::current_exe()?)
        .arg("limits-check")
        .output()?;
    let contended: f64 = String::from_utf8(both.stdout)?.trim().parse().context("the check's figure")?;
    let (mut on, mut off) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        on.push(pings(HIGH).await?);
        off.push(pings(LIFTED).await?);
    }
    let (on, off) = (median(on), median(off));
    let metrics = BTreeMap::from([
        ("check_ns", alone),
        ("check_ns_2_threads", contended),
        ("server_cpu_us_per_frame_on", on),
        ("server_cpu_us_per_frame_off", off),
        ("difference_us_per_frame", on - off),
    ]);
    Ok(vec![("limits", metrics)])
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// CPU of the server for a ping and its pong, in microseconds.
async fn pings(settings: &str) -> Result<f64> {
    let server = Process::start_with(Kind::Probe, settings).await?;
    let mut wires = Vec::new();
    for index in 0..64 {
        wires.push(Wire::connect(&server.address, &server.token(&format!("user{index}"))?, "", index).await?);
    }
    let (cpu, end) = (server.cpu_seconds()?, Instant::now() + Duration::from_secs(SECONDS));
    let counts = try_join_all(wires.into_iter().map(|mut wire| async move {
        let mut frames = 0u64;
        while Instant::now() < end {
            wire.send(r#"{"type":"ping"}"#).await?;
            wire.until(b"\"pong\"").await?;
            frames += 1;
        }
        anyhow::Ok(frames)
    }))
    .await?;
    Ok((server.cpu_seconds()? - cpu) / counts.iter().sum::<u64>() as f64 * 1e6)
}
