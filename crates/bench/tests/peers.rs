//! Every server that is measured beside wireproof is started for real and given every workload, small: the generator refuses
//! a server whose runs do not have the five events.

use std::process::{Command, Output};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// One workload on one server; what it measured.
fn measured(workload: &str, server: &str) -> Result<Value> {
    let output = bench(workload, server)?;
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "{workload} on {server}: {errors}");
    let line: Value = serde_json::from_slice(&output.stdout)?;
    ensure!(line["name"] == workload, "{line}");
    Ok(line["metrics"].clone())
}

fn bench(workload: &str, server: &str) -> Result<Output> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wireproof-bench"));
    command.args([workload, "--server", server, "--small", "--json"]);
    command.output().context("cannot start the generator")
}

fn figure(metrics: &Value, name: &str) -> Result<f64> {
    metrics[name].as_f64().with_context(|| format!("{name} is not in {metrics}"))
}

/// Runs in a closed loop and at due times, memory, jitter with cuts, and a storm. Returns the share of the runs that users
/// saw whole in spite of the cuts.
fn every_workload(server: &str) -> Result<f64> {
    let runs = figure(&measured("closed-loop", server)?, "runs_per_s")?;
    ensure!(runs > 12.0, "12 users had {runs} runs in a second");
    let open = measured("open-loop", server)?;
    ensure!(figure(&open, "agent_completed_p50_ms")? >= figure(&open, "agent_started_p50_ms")?, "{open}");
    ensure!(figure(&measured("memory", server)?, "after_16_kib_message_kib_each")? > 0.0);
    let jitter = measured("jitter", server)?;
    ensure!(figure(&jitter, "cuts")? > 0.0 && figure(&jitter, "events_seen_twice")? == 0.0, "{jitter}");
    let whole = figure(&jitter, "runs_seen_whole_share")?;
    ensure!((0.1..=1.0).contains(&whole), "{jitter}");
    let storm = measured("storm", server)?;
    ensure!(figure(&storm, "gave_up")? == 0.0 && figure(&storm, "runs_meanwhile")? > 0.0, "{storm}");
    Ok(whole)
}

#[test]
fn heavy_wireproof_has_every_workload_and_its_users_see_every_run_whole() -> Result<()> {
    let whole = every_workload("probe")?;
    ensure!(whole == 1.0, "{whole} of the runs were seen whole");
    Ok(())
}

#[test]
fn heavy_fastapi_has_every_workload() -> Result<()> {
    every_workload("fastapi").map(drop)
}

#[test]
fn heavy_node_ws_has_every_workload() -> Result<()> {
    every_workload("ws").map(drop)
}

#[test]
fn heavy_socket_io_has_every_workload() -> Result<()> {
    every_workload("socket.io").map(drop)
}

#[test]
fn heavy_bare_axum_has_every_workload() -> Result<()> {
    every_workload("axum").map(drop)
}

#[test]
fn a_server_that_nobody_knows_is_named_with_those_that_are_known() -> Result<()> {
    let output = bench("closed-loop", "apache")?;
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(
        !output.status.success() && errors.contains("`apache`") && errors.contains("socket.io"),
        "{errors}"
    );
    let output = bench("resume", "ws")?;
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(!output.status.success() && errors.contains("open-loop"), "{errors}");
    Ok(())
}
