//! What connections cost in memory: idle, and after each sent one message of 16 KiB.

use std::{collections::BTreeMap, time::Duration};

use anyhow::Result;

use super::Rows;
use crate::{
    server::{Kind, Process},
    wire::Wire,
};

const CONNECTIONS: usize = 15_000;
const MESSAGE: usize = 16 << 10;

async fn settled_rss(server: &Process) -> Result<f64> {
    // The allocator gives pages back with a delay; the figure is the one that stays.
    let mut last = server.rss_kib()?;
    loop {
        tokio::time::sleep(Duration::from_millis(1500)).await;
        let now = server.rss_kib()?;
        if (last - now).abs() < 200.0 {
            return Ok(now);
        }
        last = now;
    }
}

/// 15,000 authenticated connections of 15,000 users on the shipped server.
pub async fn idle_connections() -> Result<Rows> {
    let server = Process::start(Kind::Shipped).await?;
    // One connection first: what the first of anything costs is not the connections' cost.
    let warm = Wire::connect(&server.address, &server.token("warm")?, "", 0).await?;
    let before = settled_rss(&server).await?;
    let mut wires = Vec::with_capacity(CONNECTIONS);
    for index in 0..CONNECTIONS {
        wires.push(Wire::connect(&server.address, &server.token(&format!("user{index}"))?, "", index).await?);
    }
    let idle = settled_rss(&server).await?;
    // A command that works, with 16 KiB of room taken by what the server passes over: nothing is stored of it.
    let message = format!(r#"{{"type":"ping","filler":"{}"}}"#, "x".repeat(MESSAGE));
    for wire in &mut wires {
        wire.send(&message).await?;
        wire.until(b"\"pong\"").await?;
    }
    let after = settled_rss(&server).await?;
    drop(warm);
    let each = |kib: f64| (kib - before) / CONNECTIONS as f64;
    let metrics = BTreeMap::from([
        ("connections", CONNECTIONS as f64),
        ("idle_kib_each", each(idle)),
        ("after_16_kib_message_kib_each", each(after)),
        ("rss_mib", idle / 1024.0),
    ]);
    Ok(vec![("idle-connections", metrics)])
}
