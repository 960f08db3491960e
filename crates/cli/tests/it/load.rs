//! `wireproof load` against a served process: its result is JSON, its counts add up, its expectations decide, and it tells
//! when it is itself what was measured.

use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tempfile::tempdir;

use crate::process::{Ended, Server, finish, finish_within, run, serve, wireproof};

async fn load(arguments: &[&str]) -> Result<Value> {
    let ended = load_to_its_end(arguments).await?;
    assert_eq!(ended.code, Some(0), "{}\n{}", ended.stdout, ended.stderr);
    report(&ended)
}

fn report(ended: &Ended) -> Result<Value> {
    serde_json::from_str(&ended.stdout).with_context(|| format!("no JSON: {}{}", ended.stdout, ended.stderr))
}

async fn load_to_its_end(arguments: &[&str]) -> Result<Ended> {
    let folder = tempdir()?;
    let mut command = serve(folder.path());
    for limit in ["CONNECTIONS_PER_USER", "CONCURRENT_RUNS", "QUEUED_RUNS", "MESSAGES_PER_MINUTE"] {
        command.env(format!("WIREPROOF_LIMITS_{limit}"), "0");
    }
    let server = Server::launch(command).await?;
    let mut command = wireproof(["load", "--json", "--url", &server.url, "--data-dir"]);
    command.arg(folder.path()).args(arguments);
    finish(command).await
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
    for bad in ["runs_failed", "runs_unfinished", "refused", "unsent"] {
        assert_eq!(number(report, &format!("/load/{bad}")), 0.0, "{report:#}");
    }
    assert_eq!(number(report, "/load/runs_completed"), number(report, "/load/messages"));
    for step in ["accepted", "agent_started", "first_delta", "completed"] {
        let clocks: &[&str] =
            if report["load"]["model"] == "closed" { &["raw"] } else { &["raw", "corrected"] };
        for clock in clocks {
            let at = |quantile| number(report, &format!("/latency_ms/{step}/{clock}/{quantile}"));
            assert!(at("p50") > 0.0 && at("p50") <= at("p99") && at("p99") <= at("p99.9"), "{report:#}");
            assert!(at("p99.9") <= at("max"), "{report:#}");
        }
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
    assert!(report["latency_ms"]["completed"]["corrected"].is_null(), "nothing is due in a closed loop");
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

#[tokio::test]
async fn stages_ramp_one_after_the_other_and_each_is_timed() -> Result<()> {
    let report = load(&["-c", "30", "--stage", "1s@20", "--stage", "2s@20..60"]).await?;
    assert_adds_up(&report, 30.0, 30.0);
    assert_eq!(number(&report, "/load/messages"), 100.0);
    let stages: Vec<_> =
        report["stages"].as_array().into_iter().flatten().map(|stage| &stage["stage"]).collect();
    assert_eq!(stages, ["1s@20", "2s@20..60"]);
    assert!(number(&report, "/stages/1/completed_ms/p99") > 0.0);
    Ok(())
}

#[tokio::test]
async fn expectations_decide_the_exit_code_and_each_has_its_verdict() -> Result<()> {
    let some =
        ["-c", "10", "--rate", "20", "-d", "1s", "--expect", "completed.p99<60s", "--expect", "errors<1%"];
    let met = load(&some).await?;
    assert_eq!(
        (&met["expectations"][0]["met"], &met["expectations"][1]["met"]),
        (&json!(true), &json!(true))
    );
    let unmet = load_to_its_end(&[&some[..], &["--expect", "runs_per_second>=100000"]].concat()).await?;
    assert_eq!(unmet.code, Some(1), "{}", unmet.stderr);
    let report = report(&unmet)?;
    let verdict = &report["expectations"][2];
    assert_eq!((&verdict["expected"], &verdict["met"]), (&json!("runs_per_second>=100000"), &json!(false)));
    assert!(verdict["measured"].as_f64().is_some_and(|measured| measured > 0.0), "{verdict}");
    // Nothing is due in a closed loop: what was not measured is not met.
    let closed = ["-c", "2", "--closed", "-d", "1s", "--expect", "completed.p99<60s"];
    assert_eq!(load_to_its_end(&closed).await?.code, Some(1));
    Ok(())
}

#[tokio::test]
async fn what_cannot_be_read_or_does_not_go_together_is_usage() -> Result<()> {
    for (words, arguments) in [
        ("first_delta", vec!["--expect", "speed>9000"]),
        ("500ms", vec!["--expect", "completed.p99<500"]),
        ("30s@100..1000", vec!["--stage", "fast"]),
        ("--stage", vec!["--stage", "1s@5", "--rate", "5"]),
        ("--in-flight", vec!["--in-flight", "0"]),
        ("--self-check", vec!["--self-check", "--closed"]),
        ("too few", vec!["--self-check", "--rate", "10"]),
        ("3s to 60s", vec!["--self-check", "--duration", "2m"]),
    ] {
        let ended = run([vec!["load"], arguments.clone()].concat()).await?;
        assert_eq!(ended.code, Some(2), "{arguments:?}: {}", ended.stderr);
        assert!(ended.stderr.contains(words), "{arguments:?}: {}", ended.stderr);
    }
    Ok(())
}

/// More than one core can send is asked for: the warning names the generator, and what was never sent is counted.
#[tokio::test]
async fn heavy_a_generator_that_cannot_keep_up_says_so() -> Result<()> {
    let ended = run(["load", "--json", "--ping", "-c", "4", "--rate", "400000", "-d", "250ms"]).await?;
    let report = report(&ended)?;
    let warnings = report["warnings"].to_string();
    assert!(warnings.contains("the generator was late"), "{report:#}");
    let (sent, unsent) = (number(&report, "/load/messages"), number(&report, "/load/unsent"));
    assert_eq!(sent + unsent, 100_000.0, "{report:#}");
    assert_eq!(ended.code, Some(i32::from(unsent > 0.0)), "{report:#}");
    Ok(())
}

/// The server's process is really stopped for a second: the latency from due tells it, that from sent hides it, and the
/// generator does not take the blame.
#[tokio::test]
async fn heavy_a_server_that_stands_still_shows_in_the_corrected_latency() -> Result<()> {
    let mut command = wireproof(["load", "--self-check", "--json"]);
    command.args(["--rate", "500", "-c", "5", "-d", "5s"]);
    let ended = finish_within(command, Duration::from_secs(100)).await?;
    let report = report(&ended)?;
    assert_eq!(ended.code, Some(0), "{report:#}");
    assert_eq!(number(&report, "/load/messages"), 2500.0);
    let (corrected, raw) =
        (number(&report, "/self_check/corrected_p99_ms"), number(&report, "/self_check/raw_p99_ms"));
    assert!(corrected >= 900.0, "{report:#}");
    assert!(raw < corrected / 2.0, "{report:#}");
    assert!(number(&report, "/latency_ms/completed/raw/max") >= 900.0, "{report:#}");
    assert!(number(&report, "/generator/late_ms/p99") < corrected / 2.0, "{report:#}");
    Ok(())
}

/// The figures of a whole measurement were once lost to a file that could not be written.
#[tokio::test]
async fn a_history_that_cannot_be_written_is_said_before_the_measurement() -> Result<()> {
    let folder = tempdir()?;
    let mut command = wireproof(["load", "--duration", "600s", "--record"]);
    command.arg(folder.path().join("none/history.jsonl"));
    let ended = finish(command).await?;
    assert_eq!(ended.code, Some(2), "{}{}", ended.stdout, ended.stderr);
    assert!(ended.stderr.contains("--record"), "{}", ended.stderr);
    Ok(())
}
