//! `wireproof-bench NAME --json`: one benchmark, one JSON object a line. `cargo xtask bench` runs them all, pinned.
//! The workloads that other servers are given too take `--server NAME`, and `--small` to see only that they work.

#![allow(clippy::print_stdout)] // printing measurements is the job

mod agents;
mod dialect;
mod five_events;
mod login;
mod measure;
mod server;
mod wire;

use std::time::Duration;

use anyhow::{Result, bail};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// No benchmark takes longer; a server that hangs fails it.
const DEADLINE: Duration = Duration::from_secs(240);

fn main() -> Result<()> {
    rlimit::increase_nofile_limit(u64::MAX)?;
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let name = arguments.first().map(String::as_str).unwrap_or_default();
    if name == "limits-check" {
        println!("{}", measure::limits::check(2)?);
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    if name == "proxy-peer" {
        return measure::proxy::peer();
    }
    if name == "proxy-serve" {
        return runtime.block_on(measure::proxy::serve_proxy(&arguments[1..]));
    }
    if name == "serve" {
        return runtime.block_on(server::serve(&arguments[1..]));
    }
    let rows = runtime.block_on(async { tokio::time::timeout(DEADLINE, run(name, &arguments)).await })??;
    for (row, metrics) in rows {
        println!("{}", serde_json::json!({ "name": row, "metrics": metrics }));
    }
    Ok(())
}

async fn run(name: &str, arguments: &[String]) -> Result<measure::Rows> {
    let server = arguments.iter().skip_while(|argument| *argument != "--server").nth(1);
    if server.is_some() || measure::workloads::NAMES.contains(&name) {
        let kind = server::Kind::named(server.map_or("wireproof", String::as_str))?;
        let small = arguments.iter().any(|argument| argument == "--small");
        return measure::workloads::run(name, kind, small).await;
    }
    match name {
        "server-start" => measure::start::server_start().await,
        "first-run" => measure::start::first_run().await,
        "agent-started" => measure::latency::agent_started().await,
        "idle-connections" => measure::memory::idle_connections().await,
        "closed-loop-runs" => measure::throughput::closed_loop_runs().await,
        "deletion" => measure::deletion::deletion().await,
        "durable-events" => measure::throughput::durable_events().await,
        "deliveries" => measure::throughput::deliveries().await,
        "handshakes" => measure::handshakes::handshakes().await,
        "fault-proxy" => measure::proxy::proxy(),
        "judge" => measure::judge::judge(),
        "limits" => measure::limits::limits().await,
        "bad-user" => measure::bad_user::bad_user().await,
        "stall" => measure::stall::stall().await,
        "resume" => measure::latency::resume().await,
        _ => bail!("there is no benchmark of that name; see `cargo xtask bench --help`"),
    }
}
