//! `/metrics` before its judges: Prometheus' own tools read what a server with traffic serves, and the documentation
//! names every metric and no other.

use std::{collections::BTreeMap, path::Path, process::Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tempfile::tempdir;
use tokio::{io::AsyncWriteExt, process::Command};
use wireproof_protocol::{ClientFrame, EventBody, Incoming, Retitle};

use crate::{
    http::request,
    process::{Server, WITHIN, token},
};

const OPEN_METRICS: &str =
    "accept: application/openmetrics-text;version=1.0.0;q=0.8,text/plain;version=0.0.4;q=0.3";

/// A server that has carried a run and refused a frame, a token and a handshake.
async fn served(data_dir: &Path) -> Result<Server> {
    let server = Server::start(data_dir).await?;
    let (mut ada, _) = server.connect(&token(data_dir, "ada").await?).open_welcomed().await?;
    let content = "What is 17*23, and what time is it?".to_owned();
    ada.send(&ClientFrame::Chat { content, thread_id: None, agent: None }, None).await?;
    loop {
        let incoming = ada.recv(WITHIN).await?.incoming;
        if matches!(&incoming, Incoming::Event(event) if matches!(event.body, EventBody::AgentCompleted { .. }))
        {
            break;
        }
    }
    ada.send_text("{").await?;
    ada.recv(WITHIN).await?;
    ensure!(server.connect("no token").open_welcomed().await.is_err(), "a bad token opened the door");
    ensure!(request(server.address(), "GET /ws", &[], "").await?.status == 426, "a GET without an upgrade");
    Ok(server)
}

/// Runs promtool; what it says besides success is an error.
async fn promtool(arguments: &[&str], input: &str) -> Result<()> {
    let mut child = Command::new("promtool")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("promtool cannot be started; `cargo xtask setup` installs it")?;
    let mut stdin = child.stdin.take().context("a pipe to promtool")?;
    stdin.write_all(input.as_bytes()).await?;
    drop(stdin);
    let output = child.wait_with_output().await?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success() && said.is_empty(), "promtool {arguments:?}: {}\n{said}", output.status);
    Ok(())
}

#[tokio::test]
async fn promtool_has_nothing_to_say_against_the_metrics() -> Result<()> {
    let folder = tempdir()?;
    let server = served(folder.path()).await?;
    let classic = request(server.address(), "GET /metrics", &[], "").await?;
    ensure!(classic.head.contains("content-type: text/plain; version=0.0.4"), "{}", classic.head);
    promtool(&["check", "metrics"], &classic.body).await
}

/// Promtool's reader of OpenMetrics wants a time with each sample; all else is as it was served.
#[tokio::test]
async fn who_asks_for_openmetrics_gets_it_and_prometheus_can_read_it() -> Result<()> {
    let folder = tempdir()?;
    let server = served(&folder.path().join("data")).await?;
    let open = request(server.address(), "GET /metrics", &[OPEN_METRICS], "").await?;
    ensure!(open.head.contains("content-type: application/openmetrics-text; version=1.0.0"), "{}", open.head);
    let timed: String = open
        .body
        .lines()
        .map(|line| if line.starts_with('#') { format!("{line}\n") } else { format!("{line} 1700000000\n") })
        .collect();
    let (file, blocks) = (folder.path().join("metrics"), folder.path().join("blocks"));
    std::fs::write(&file, timed)?;
    let paths = [file.to_str().context("a path")?, blocks.to_str().context("a path")?];
    promtool(&["tsdb", "create-blocks-from", "openmetrics", paths[0], paths[1]], "").await?;
    ensure!(std::fs::read_dir(&blocks)?.count() > 0, "Prometheus read no sample");
    Ok(())
}

/// A metric that nobody can look up is worth little, and one that is told of and not there is worse.
#[tokio::test]
async fn the_documentation_names_every_metric_and_no_other() -> Result<()> {
    let folder = tempdir()?;
    let server = Server::start(folder.path()).await?;
    let served = request(server.address(), "GET /metrics", &[], "").await?.body;
    let types = served.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let served: BTreeMap<&str, &str> = types.collect();
    let page = include_str!("../../../../docs/operations.md");
    let rows = page.lines().filter_map(|line| {
        let mut cells = line.strip_prefix("| `")?.split('|').map(str::trim);
        let name = cells.next()?.strip_suffix('`')?;
        let kind = cells.next()?;
        ["counter", "gauge", "histogram"].contains(&kind).then_some((name, kind))
    });
    let told: BTreeMap<&str, &str> = rows.collect();
    assert_eq!(told, served);
    Ok(())
}

/// The rules can be read, and ask for series that a server has: one that is never there is an alert that never comes.
#[tokio::test]
async fn the_alert_rules_ask_for_what_is_served() -> Result<()> {
    let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging/alerts.yml");
    promtool(&["check", "rules", rules.to_str().context("a path")?], "").await?;
    let folder = tempdir()?;
    let server = Server::start(folder.path()).await?;
    let served = request(server.address(), "GET /metrics", &[], "").await?.body;
    let rules = std::fs::read_to_string(rules)?;
    let mut asked = 0;
    for expression in rules.lines().filter_map(|line| line.trim().strip_prefix("expr: ")) {
        let is_name = |sign: char| sign.is_ascii_alphanumeric() || sign == '_';
        for series in expression.split(|sign| !is_name(sign) && !"{}=\"".contains(sign)) {
            // Labels that Prometheus itself adds are not served.
            let series = series.replace("{job=\"wireproof\"}", "");
            if !series.starts_with("wireproof_") && !series.starts_with("process_") {
                continue;
            }
            let start = series.replace('}', "");
            ensure!(served.lines().any(|line| line.starts_with(&start)), "nothing is served as {series}");
            asked += 1;
        }
    }
    ensure!(asked > 8, "only {asked} series were found in the rules");
    Ok(())
}

/// Somebody else holds the database: nothing can be written, and `/ws/health` says so until something can.
#[tokio::test]
async fn a_store_that_takes_no_writes_shows_in_the_health() -> Result<()> {
    let folder = tempdir()?;
    let server = Server::start(folder.path()).await?;
    let (mut ada, _) = server.connect(&token(folder.path(), "ada").await?).open_welcomed().await?;
    let health = || async {
        let answer = request(server.address(), "GET /ws/health", &[], "").await?;
        let body: Value = serde_json::from_str(&answer.body)?;
        anyhow::Ok((answer.status, body["status"].clone(), body["reasons"].clone()))
    };
    assert_eq!(health().await?, (200, json!("healthy"), Value::Null));
    let other = rusqlite::Connection::open(folder.path().join("wireproof.db"))?;
    other.busy_timeout(WITHIN)?;
    other.execute_batch("BEGIN IMMEDIATE")?;
    let retitle = Retitle { title: Some("t".to_owned()), metadata: None };
    let create = ClientFrame::CreateThread { thread_id: None, retitle };
    ada.send(&create, None).await?;
    ensure!(ada.recv(WITHIN).await?.text().contains("internal"), "the write was refused");
    assert_eq!(health().await?, (503, json!("unhealthy"), json!(["store_failing", "store_failed_lately"])));
    let metrics = request(server.address(), "GET /metrics", &[], "").await?.body;
    ensure!(!metrics.contains("wireproof_commits_failed_total 0\n"), "{metrics}");
    other.execute_batch("ROLLBACK")?;
    ada.send(&create, None).await?;
    ensure!(ada.recv(WITHIN).await?.text().contains("thread_created"), "the store writes again");
    assert_eq!(health().await?, (200, json!("degraded"), json!(["store_failed_lately"])));
    Ok(())
}
