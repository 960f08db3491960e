//! A page in headless Chromium: this test serves it, and it posts back what it got.

use std::{process::Stdio, time::Duration};

use anyhow::{Context, Result, bail};
use axum::{
    Router,
    http::header::CONTENT_TYPE,
    response::Html,
    routing::{get, post},
};
use tempfile::tempdir;
use tokio::{net::TcpListener, process::Command, sync::mpsc, time::timeout};

use super::{Conversation, SET_UP};

/// Longer than a browser takes to start and to talk on a busy machine.
const BROWSING: Duration = Duration::from_secs(60);

/// No sandbox, as tests run as root; no graphics; and nothing that goes to the network by itself.
pub(crate) const FLAGS: [&str; 11] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-breakpad",
    "--disable-extensions",
];

/// Has the conversation held by a page that comes from this listener.
pub(super) async fn converse(listener: TcpListener, url: &str, token: &str) -> Result<Conversation> {
    let (reports, mut reported) = mpsc::channel(1);
    let script = ([(CONTENT_TYPE, "text/javascript")], include_str!("../../clients/conversation.mjs"));
    let router = Router::new()
        .route("/", get(|| async { Html(include_str!("../../clients/page.html")) }))
        .route("/conversation.mjs", get(|| async move { script }))
        .route("/report", post(|body: String| async move { reports.send(body).await.map_err(|_| "late") }));
    let page = format!("http://{}/#{url},{token}", listener.local_addr()?);
    let serving = tokio::spawn(async move { axum::serve(listener, router).await });

    let profile = tempdir()?;
    let mut chromium = Command::new("chromium");
    chromium.args(FLAGS).arg(format!("--user-data-dir={}", profile.path().display())).arg(page);
    chromium.env("TMPDIR", profile.path()).stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true);
    let mut chromium = chromium.spawn().with_context(|| format!("cannot start `chromium`: {SET_UP}"))?;
    let report = tokio::select! {
        report = timeout(BROWSING, reported.recv()) => report.context("the page did not report in time")?,
        ended = chromium.wait() => bail!("chromium ended before its page had reported: {}", ended?),
    };
    chromium.kill().await.context("ending chromium")?;
    serving.abort();
    let report = report.context("a report")?;
    serde_json::from_str(&report).with_context(|| format!("the page failed: {report}"))
}
