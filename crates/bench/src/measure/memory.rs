//! What connections cost in memory: idle, after a small chat, and after each sent one message of 16 KiB.

use std::{collections::BTreeMap, time::Duration};

use anyhow::Result;

use super::{Metrics, Rows};
use crate::server::{Kind, Process};

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

/// What each connection does before its memory is looked at again.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// One run of five events.
    Chat,
    /// One message of 16 KiB, of which nothing is stored.
    Large,
}

/// 15,000 authenticated connections of 15,000 users on the shipped server.
pub async fn idle_connections() -> Result<Rows> {
    Ok(vec![("idle-connections", memory(Kind::Shipped, CONNECTIONS, &[Act::Large]).await?)])
}

/// So many connections, each of a user: idle, and after each act.
pub async fn memory(kind: Kind, connections: usize, acts: &[Act]) -> Result<Metrics> {
    let server = Process::start(kind).await?;
    // One connection first: what the first of anything costs is not the connections' cost.
    let warm = server.connect("warm", 0).await?;
    let before = settled_rss(&server).await?;
    let each = |kib: f64| (kib - before) / connections as f64;
    let mut wires = server.connect_many(connections).await?;
    let idle = settled_rss(&server).await?;
    let mut metrics = BTreeMap::from([
        ("connections", connections as f64),
        ("idle_kib_each", each(idle)),
        ("rss_mib", idle / 1024.0),
    ]);
    let dialect = kind.dialect();
    for act in acts {
        let (frame, answer, name) = match act {
            Act::Chat => (dialect.ask(), "\"agent_completed\"", "after_chat_kib_each"),
            // A command that works, with 16 KiB of room taken by what the server passes over.
            Act::Large => {
                let ping = dialect.frame("ping", "filler", &"x".repeat(MESSAGE));
                (ping, "\"pong\"", "after_16_kib_message_kib_each")
            }
        };
        for wire in &mut wires {
            wire.send(&frame).await?;
            wire.until(answer.as_bytes()).await?;
        }
        metrics.insert(name, each(settled_rss(&server).await?));
    }
    drop(warm);
    Ok(metrics)
}
