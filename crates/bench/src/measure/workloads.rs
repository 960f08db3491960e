//! The workloads that wireproof and other servers are given alike, and how large each is.

use anyhow::{Context, Result};

use super::{
    Rows, jitter,
    latency::{self, open_loop},
    memory::{Act, memory},
    storm,
    throughput::{self, closed_loop},
};
use crate::server::Kind;

/// Their names.
pub const NAMES: [&str; 6] = ["closed-loop", "open-loop", "few-users", "memory", "jitter", "storm"];

/// One workload on one server. A small one has a twentieth of the users and takes a second: its figures mean nothing.
pub async fn run(name: &str, kind: Kind, small: bool) -> Result<Rows> {
    let name = NAMES.into_iter().find(|known| *known == name);
    let name = name.with_context(|| format!("--server goes with one of {}", NAMES.join(", ")))?;
    let users = |count: usize| if small { count / 20 } else { count };
    let seconds = |count: u64| if small { 1 } else { count };
    let metrics = match name {
        "closed-loop" => {
            let (users, seconds) = (users(throughput::USERS), seconds(throughput::SECONDS));
            closed_loop(kind, &kind.dialect().ask(), users, seconds).await
        }
        "open-loop" => open_loop(kind, users(1000), seconds(latency::SECONDS)).await,
        "few-users" => open_loop(kind, users(200), seconds(latency::SECONDS)).await,
        "memory" => memory(kind, users(2000), &[Act::Chat, Act::Large]).await,
        "jitter" => jitter::jitter(kind, users(jitter::USERS), seconds(jitter::SECONDS)).await,
        _ => storm::storm(kind, users(storm::CLIENTS)).await,
    };
    Ok(vec![(name, metrics?)])
}
