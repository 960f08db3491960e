//! `wireproof load` against a served process: its result is JSON, and its counts add up.

use anyhow::{Context, Result};
use serde_json::Value;
use tempfile::tempdir;

use crate::process::{Server, finish, serve, wireproof};

async fn load(arguments: &[&str]) -> Result<Value> {
    let folder = tempdir()?;
    let mut command = serve(folder.path());
    for limit in ["CONNECTIONS_PER_USER", "CONCURRENT_RUNS", "QUEUED_RUNS", "MESSAGES_PER_MINUTE"] {
        command.env(format!("WIREPROOF_LIMITS_{limit}"), "0");
    }
    let server = Server::launch(command).await?;
    let mut command = wireproof(["load", "--json", "--url", &server.url, "--data-dir"]);
    command.arg(folder.path()).args(arguments);
    let ended = finish(command).await?;
    assert_eq!(ended.code, Some(0), "{}\n{}", ended.stdout, ended.stderr);
    serde_json::from_str(&ended.stdout).with_context(|| format!("no JSON: {}", ended.stdout))
}

fn number(report: &Value, path: &str) -> f64 {
    let Some(number) = report.pointer(path).and_then(Value::as_f64) else {
        panic!("no {path} in {report:#}")
    };
    number
}

/// Holds whatever the model of the load: all that was opened and sent came to a good end and was timed.
fn assert_adds_up(report: &Value, connections: f64, users: f64) {
    assert_eq!(number(report, "/connections/asked"), connections);
    assert_eq!(number(report, "/connections/opened"), connections);
    assert_eq!(number(report, "/connections/users"), users);
    assert_eq!(report["errors"], serde_json::json!({}));
    for bad in ["runs_failed", "runs_unfinished", "refused"] {
        assert_eq!(number(report, &format!("/load/{bad}")), 0.0, "{report:#}");
    }
    assert_eq!(number(report, "/load/runs_completed"), number(report, "/load/messages"));
    for step in ["accepted", "agent_started", "agent_completed"] {
        let at = |quantile| number(report, &format!("/latency_ms/{step}/{quantile}"));
        assert!(at("p50") > 0.0 && at("p50") <= at("p99") && at("p99") <= at("max"), "{report:#}");
    }
    assert!(number(report, "/server/rss_kib_open") > 1000.0, "the server's process was found");
    // Every event goes to each of a user's connections.
    let (stored, delivered) =
        (number(report, "/load/events_per_second"), number(report, "/load/deliveries_per_second"));
    let copies = connections / users;
    assert!(
        (delivered / stored / copies - 1.0).abs() < 0.1,
        "{stored} stored, {delivered} delivered: {report:#}"
    );
}

#[tokio::test]
async fn messages_by_a_schedule_are_all_sent_and_all_answered() -> Result<()> {
    let report = load(&["-c", "50", "-u", "25", "--rate", "60", "-d", "2s"]).await?;
    assert_adds_up(&report, 50.0, 25.0);
    assert_eq!(report["load"]["model"], "open");
    let sent = number(&report, "/load/messages");
    assert!((119.0..=121.0).contains(&sent), "60 a second for 2 s are not {sent}");
    Ok(())
}

#[tokio::test]
async fn a_closed_loop_keeps_every_connection_busy() -> Result<()> {
    let report = load(&["-c", "20", "--closed", "-d", "2s"]).await?;
    assert_adds_up(&report, 20.0, 20.0);
    assert_eq!(report["load"]["model"], "closed");
    assert!(number(&report, "/load/messages") >= 40.0, "{report:#}");
    Ok(())
}

#[tokio::test]
async fn connections_without_messages_are_only_held() -> Result<()> {
    let report = load(&["-c", "50", "--rate", "0", "-d", "1s"]).await?;
    assert_eq!((report["load"]["model"].as_str(), number(&report, "/load/messages")), (Some("idle"), 0.0));
    assert_eq!(number(&report, "/connections/opened"), 50.0);
    Ok(())
}
